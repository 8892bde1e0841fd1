package revocation

import (
	"context"
	"log/slog"
	"time"
)

// Trouble says what is wrong with the store, or with the local copy. The zero Trouble is none.
type Trouble string

// The troubles of a store. None of them changes what is known.
const (
	Unreachable  Trouble = "unreachable"   // it does not answer, or could not be written
	NotAuthentic Trouble = "not_authentic" // it has a document that none who may has written
	Malformed    Trouble = "malformed"     // it has a document that is not one of rules, or of a newer version
	Wiped        Trouble = "wiped"         // it has no document any more
	Missing      Trouble = "missing"       // it has no document, and should: see Config.RequireDocument and Config.MinEpoch
	Behind       Trouble = "behind"        // its document was put back: it lacks what is known, or is below Config.MinEpoch
)

// Where rules come from.
const (
	fromStore = "store"
	fromCopy  = "local copy"
	fromNone  = "none"
)

// Event is a change of the rules, or of what is wrong with the store or the local copy.
type Event struct {
	At          time.Time
	Rules       int     // that count now
	Epoch       uint64  // of what is known
	Trouble     Trouble // with the store, from now on; "" where all is well
	Err         error   // what the store said, where there is trouble
	CopyTrouble Trouble // with the local copy, from now on: a restart would forget what it lacks; it is tried again
	CopyErr     error   // what the copy said, where there is trouble
	Source      string  // where the rules come from: "store", "local copy", "none"
}

// Status says how things stand.
type Status struct {
	Known       bool          // whether the rules are known
	Rules       int           // that count now
	Epoch       uint64        // grows with every change that was shared
	Age         time.Duration // since the store last answered; 0 where it never did, or there is none
	Trouble     Trouble       // with the store
	CopyTrouble Trouble       // with the local copy
	Source      string        // "store", "local copy", "none"
}

// Status says how things stand. It does no I/O.
func (l *List) Status() Status {
	if l.current() == nil {
		return Status{Source: fromNone}
	}
	l.mu.Lock()
	h := l.health
	s := l.state.Load()
	l.mu.Unlock()
	now := l.config.Now()
	st := Status{
		Known: s.known, Rules: s.knowledge.count(now), Epoch: s.knowledge.epoch,
		Trouble: h.trouble, CopyTrouble: h.copyTrouble, Source: s.source,
	}
	if !s.confirmed.IsZero() {
		st.Age = max(0, now.Sub(s.confirmed))
	}
	return st
}

// count returns how many rules count.
func (k *knowledge) count(now time.Time) (n int) {
	for _, w := range k.rules {
		if !w.Rule.ended(now) {
			n++
		}
	}
	return n
}

// health is what is wrong.
type health struct {
	trouble, copyTrouble Trouble
	err, copyErr         error
}

// report tells of a change of the rules, and of trouble when it begins and when it ends.
func (l *List) report(changed bool, change func(*health)) {
	now := l.config.Now()
	l.mu.Lock()
	old := l.health
	if change != nil {
		change(&l.health)
	}
	h := l.health
	s := l.state.Load()
	if changed || h.trouble != old.trouble || h.copyTrouble != old.copyTrouble {
		e := Event{At: now, Epoch: s.knowledge.epoch, Source: s.source, Trouble: h.trouble, CopyTrouble: h.copyTrouble}
		if e.Trouble != "" {
			e.Err = h.err
		}
		if e.CopyTrouble != "" {
			e.CopyErr = h.copyErr
		}
		l.events = append(l.events, queued{e, s.knowledge})
	}
	tells := !l.telling && len(l.events) > 0
	l.telling = l.telling || tells
	l.mu.Unlock()
	if tells {
		l.tellEvents()
	}
}

// queued is an Event of which the rules are not counted yet.
type queued struct {
	event Event
	of    *knowledge
}

// tellEvents tells OnEvent and the log of all events that wait, in their order.
func (l *List) tellEvents() {
	for {
		l.mu.Lock()
		if len(l.events) == 0 {
			l.telling = false
			l.mu.Unlock()
			return
		}
		next := l.events[0]
		l.events = l.events[1:]
		l.mu.Unlock()
		e := next.event
		e.Rules = next.of.count(e.At)
		level := slog.LevelInfo
		if e.Trouble != "" || e.CopyTrouble != "" {
			level = slog.LevelWarn
		}
		l.config.Logger.Log(context.Background(), level, "revocation rules",
			"rules", e.Rules, "epoch", e.Epoch, "source", e.Source, "trouble", string(e.Trouble), "error", e.Err,
			"copy_trouble", string(e.CopyTrouble), "copy_error", e.CopyErr)
		if l.config.OnEvent != nil {
			l.callback("OnEvent", func() { l.config.OnEvent(e) })
		}
	}
}
