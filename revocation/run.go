package revocation

import (
	"context"
	"errors"
	"sync"

	"github.com/regionjwt/regionjwt/store"
)

// Run reads the local copy and follows the store, until ctx ends; it returns the cause. It keeps the copy up to date, in a
// goroutine that ends with it, so that a slow copy delays nothing. Without it, a List knows what Add and Load bring.
func (l *List) Run(ctx context.Context) error {
	if l.current() == nil {
		return errNotMade
	}
	var copying sync.WaitGroup
	defer copying.Wait()
	if l.config.LocalCopy != nil {
		l.mu.Lock()
		l.running++
		l.mu.Unlock()
		copying.Go(func() { l.followCopy(ctx) })
	}
	if l.config.Store == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	store.Follow(ctx, l.config.Store, l.config.Name, l.config.Poll, l.follow)
	return context.Cause(ctx)
}

// Load reads the local copy and asks the store once. The error is the store's; what is known then comes from the copy. That the
// store has no document is an error where Config.RequireDocument says that there is one.
func (l *List) Load(ctx context.Context) error {
	if l.current() == nil {
		return errNotMade
	}
	_ = l.copyNow(ctx, copyTimeout, true)
	if l.config.Store == nil {
		return nil
	}
	doc, err := l.load(ctx, l.config.Store)
	l.follow(doc, err)
	if !l.wakeCopier() {
		_ = l.copyNow(ctx, copyTimeout, false)
	}
	if errors.Is(err, store.ErrNotFound) && !l.config.RequireDocument {
		return nil
	}
	return err
}

// follow takes in what the store says.
func (l *List) follow(d store.Document, err error) {
	before := l.Version()
	trouble := Trouble("")
	switch {
	case errors.Is(err, store.ErrNotFound):
		trouble = l.takeNothing()
	case errors.Is(err, store.ErrNotAuthentic):
		trouble = NotAuthentic
	case err != nil:
		trouble = Unreachable
	case d.Data == nil: // unchanged
		now := l.config.Now()
		l.mu.Lock()
		l.learn(l.state.Load().knowledge, false, func(s *state) { s.confirmed = now })
		trouble = l.health.trouble
		if trouble == Unreachable {
			trouble = ""
		}
		l.mu.Unlock()
	default:
		var theirs *knowledge
		if theirs, _, err = decode(d.Data, inDocument); err != nil {
			trouble = Malformed
		} else if l.take(theirs) {
			trouble = Behind
		}
	}
	changed := l.Version() != before
	if changed {
		l.wakeCopier()
	}
	l.report(changed, func(h *health) { h.trouble, h.err = trouble, err })
}

// takeNothing takes in that the store has no document.
func (l *List) takeNothing() Trouble {
	believed := l.believed(0, false)
	now := l.config.Now()
	l.mu.Lock()
	s := l.state.Load()
	first := believed && !s.known
	l.learn(s.knowledge, first, func(s *state) {
		s.confirmed = now
		if believed {
			s.known, s.source = true, fromStore
		}
	})
	l.mu.Unlock()
	if first {
		l.tell()
	}
	switch {
	case s.knowledge.epoch > 0:
		return Wiped
	case !believed:
		return Missing
	default:
		return ""
	}
}
