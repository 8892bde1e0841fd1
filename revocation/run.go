package revocation

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/regionjwt/regionjwt/store"
)

// Trouble says what is wrong with the store. The zero Trouble is none.
type Trouble string

// The troubles of a store. None of them changes what is known.
const (
	Unreachable  Trouble = "unreachable"   // it does not answer
	NotAuthentic Trouble = "not_authentic" // it has a document that none who may has written
	Malformed    Trouble = "malformed"     // it has a document that is not one of rules
	Wiped        Trouble = "wiped"         // it has no document any more
	Behind       Trouble = "behind"        // it was rolled back: its document lacks what is known
)

// Event is a change of the rules, or of what is wrong with the store.
type Event struct {
	At      time.Time
	Rules   int     // that count now
	Epoch   uint64  // of what is known
	Trouble Trouble // with the store, from now on; "" where all is well
	Err     error   // what the store said, where there is trouble
	Source  string  // where the rules come from: "store", "local copy", "none"
}

// Status says how things stand.
type Status struct {
	Known   bool          // whether the rules are known
	Rules   int           // that count now
	Epoch   uint64        // grows with every change that was shared
	Age     time.Duration // since the store last answered; 0 where it never did, or there is none
	Trouble Trouble
	Source  string // "store", "local copy", "none"
}

// Status says how things stand. It does no I/O.
func (l *List) Status() Status {
	s := l.state.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	st := Status{Known: s.known, Rules: len(l.Rules()), Epoch: s.knowledge.epoch, Trouble: l.trouble, Source: s.source}
	if !s.confirmed.IsZero() {
		st.Age = max(0, l.config.Now().Sub(s.confirmed))
	}
	return st
}

// localTimeout bounds a call to the local copy.
const localTimeout = 2 * time.Second

// Run reads the local copy, then follows the store, until ctx ends; it returns the cause. Without it, a List knows what Add and
// Load bring.
func (l *List) Run(ctx context.Context) error {
	l.readCopy(ctx)
	if l.config.Store == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	store.Follow(ctx, l.config.Store, l.config.Name, l.config.Poll, func(d store.Document, err error) { l.follow(ctx, d, err) })
	return context.Cause(ctx)
}

// Load reads the local copy and asks the store once. The error is the store's; what is known then comes from the copy.
func (l *List) Load(ctx context.Context) error {
	l.readCopy(ctx)
	if l.config.Store == nil {
		return nil
	}
	doc, err := l.config.Store.Load(ctx, l.config.Name)
	l.follow(ctx, doc, err)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// follow takes in what the store says.
func (l *List) follow(ctx context.Context, d store.Document, err error) {
	before := l.Version()
	trouble := Trouble("")
	switch {
	case errors.Is(err, store.ErrNotFound):
		if l.state.Load().knowledge.epoch > 0 {
			trouble = Wiped
		}
		l.take(&knowledge{epoch: l.state.Load().knowledge.epoch})
	case errors.Is(err, store.ErrNotAuthentic):
		trouble = NotAuthentic
	case err != nil:
		trouble = Unreachable
	case d.Data == nil: // unchanged
		l.mu.Lock()
		l.learn(l.state.Load().knowledge, false, func(s *state) { s.confirmed = l.config.Now() })
		trouble = l.trouble
		if trouble == Unreachable {
			trouble = ""
		}
		l.mu.Unlock()
	default:
		var theirs *knowledge
		if theirs, err = decode(d.Data); err != nil {
			trouble = Malformed
		} else if l.take(theirs) {
			trouble = Behind
		}
	}
	changed := l.Version() != before
	if changed {
		l.copyLocally(ctx)
	}
	l.report(trouble, err, changed)
}

// report tells of a change, and of trouble when it begins and when it ends.
func (l *List) report(trouble Trouble, err error, changed bool) {
	l.mu.Lock()
	turned := trouble != l.trouble
	l.trouble = trouble
	l.mu.Unlock()
	if !changed && !turned {
		return
	}
	st := l.Status()
	e := Event{At: l.config.Now(), Rules: st.Rules, Epoch: st.Epoch, Trouble: trouble, Source: st.Source}
	level := slog.LevelInfo
	if trouble != "" {
		e.Err = err
		level = slog.LevelWarn
	}
	l.config.Logger.Log(context.Background(), level, "revocation rules", "rules", e.Rules, "epoch", e.Epoch, "source", e.Source,
		"trouble", string(trouble), "error", e.Err)
	if l.config.OnEvent != nil {
		l.config.OnEvent(e)
	}
}

// readCopy takes in the local copy, as long as nothing better is known.
func (l *List) readCopy(ctx context.Context) {
	if l.config.LocalCopy == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	doc, err := l.config.LocalCopy.Load(ctx, l.config.Name)
	var copied *knowledge
	switch {
	case errors.Is(err, store.ErrNotFound):
		if l.config.Store == nil { // it is all there is
			copied = &knowledge{}
		}
	case err == nil:
		copied, err = decode(doc.Data)
	}
	if copied == nil {
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			l.config.Logger.Warn("the local copy of the revocation rules is not used", "error", err)
		}
		return
	}
	now := l.config.Now()
	l.mu.Lock()
	s := l.state.Load()
	merged, more := s.knowledge.merge(copied, now)
	first := !s.known
	if more || first {
		l.learn(merged, true, func(s *state) {
			if first {
				s.known, s.source = true, "local copy"
			}
		})
	}
	l.copied = copied
	l.mu.Unlock()
	if more || first {
		l.tell()
	}
}

// copyLocally keeps what is known for the next start.
func (l *List) copyLocally(ctx context.Context) {
	c := l.config.LocalCopy
	l.mu.Lock()
	k := l.state.Load().knowledge
	same := k == l.copied
	l.mu.Unlock()
	if c == nil || same {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), localTimeout)
	defer cancel()
	data, err := k.encode()
	if err == nil {
		var doc store.Document
		if doc, err = c.Load(ctx, l.config.Name); err == nil || errors.Is(err, store.ErrNotFound) || doc.Revision != "" {
			_, err = c.Save(ctx, l.config.Name, data, doc.Revision)
		}
	}
	if err != nil {
		l.config.Logger.Warn("the revocation rules could not be copied", "error", err)
		return
	}
	l.mu.Lock()
	l.copied = k
	l.mu.Unlock()
}
