package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/store"
)

// Run reads the local copy and follows the store until ctx ends; it returns the cause. It keeps the local copy up to date, in a
// goroutine that ends before Run returns, so that a slow copy delays nothing. Without Run, a List knows what Add and Load bring.
func (l *List) Run(ctx context.Context) error {
	if l.current() == nil {
		return errNotMade
	}
	var saving sync.WaitGroup
	defer saving.Wait()
	if l.config.Replica.LocalCopy != nil {
		l.mu.Lock()
		l.running++
		l.mu.Unlock()
		saving.Go(func() { l.keepLocal(ctx) })
	}
	if l.config.Replica.Store == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	l.followStore(ctx)
	return context.Cause(ctx)
}

// followStore follows the store until ctx ends. A panic of the store means that it is unavailable.
func (l *List) followStore(ctx context.Context) {
	c := l.config.Replica
	for ctx.Err() == nil {
		err := guard.Call("Store", func() {
			follow := func(data []byte, err error) { _ = l.follow(data, err) }
			replica.Follow(ctx, c.Store, c.Name, c.PollInterval, l.confirm, follow)
		})
		if err == nil {
			return
		}
		_ = l.follow(nil, err)
		timer := time.NewTimer(c.PollInterval)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Load reads the local copy and the store once, for processes that do not call Run. The error says that the store is unavailable,
// that its document is not authentic or cannot be read, or that it has none although Replica.MinEpoch demands one; the rules may
// then be known from the local copy.
func (l *List) Load(ctx context.Context) error {
	if l.current() == nil {
		return errNotMade
	}
	c := l.config.Replica
	_ = l.saveLocal(ctx, localTimeout, true)
	if c.Store == nil {
		return nil
	}
	data, _, err := replica.Load(ctx, c.Store, c.Name, "")
	err = l.follow(data, err)
	if !l.wakeSaver() {
		_ = l.saveLocal(ctx, localTimeout, false)
	}
	if err == nil || errors.Is(err, store.ErrNotFound) && l.accepts(0) {
		return nil
	}
	return fmt.Errorf("revocation: %w", err)
}

// follow handles an answer of the store, and returns the failure that it is.
func (l *List) follow(data []byte, err error) error {
	before := l.current().version
	problem := ""
	switch {
	case errors.Is(err, store.ErrNotFound):
		problem = l.receiveNothing()
	case errors.Is(err, store.ErrNotAuthentic):
		problem = label.NotAuthentic
	case err != nil:
		problem = label.Unavailable
	default:
		problem, err = l.receiveDocument(data)
	}
	if l.current().version != before {
		l.wakeSaver()
	}
	l.report(func(p *problems) { p.store, p.storeFailure = problem, err })
	return err
}

// confirm notes that the document of the store has not changed.
func (l *List) confirm() {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problems.store == "" {
		l.apply(l.state.Load().rules, false, func(s *state) { s.confirmed = now })
	}
}

// verdict is the result of receiving a document.
type verdict struct {
	err        error
	rolledBack bool
	revision   uint64 // List.revision at that time
}

// remember keeps the verdict on a document, so that it is not decoded again while nothing else becomes known.
func (l *List) remember(data []byte, rolledBack bool, err error) {
	l.mu.Lock()
	revision := l.revision
	l.mu.Unlock()
	l.verdicts.Put(seen.Of(l.config.Replica.Name, data), verdict{err, rolledBack, revision})
}

// receiveDocument handles a document of the store, and returns the problem with it.
func (l *List) receiveDocument(data []byte) (problem string, err error) {
	l.mu.Lock()
	revision := l.revision
	l.mu.Unlock()
	v, known := l.verdicts.Get(seen.Of(l.config.Replica.Name, data))
	switch {
	case known && v.err != nil:
	case known && v.revision == revision:
		if !v.rolledBack {
			now := l.now()
			l.mu.Lock()
			l.apply(l.state.Load().rules, false, func(s *state) { s.confirmed = now })
			l.mu.Unlock()
		}
	default:
		var theirs *ruleSet
		if theirs, v.err = l.read(data); v.err == nil {
			v.rolledBack = l.receive(theirs)
		}
		if !errors.Is(v.err, errFar) { // that one may be near some day
			l.remember(data, v.rolledBack, v.err)
		}
	}
	switch {
	case errors.Is(v.err, store.ErrNotAuthentic):
		return label.NotAuthentic, v.err
	case v.err != nil:
		return label.Malformed, v.err
	case v.rolledBack:
		return label.RolledBack, nil
	default:
		return "", nil
	}
}

// receiveNothing handles that the store has no document, and returns the problem with that.
func (l *List) receiveNothing() (problem string) {
	accepted := l.accepts(0)
	now := l.now()
	l.mu.Lock()
	s := l.state.Load()
	first := accepted && !s.known
	switch {
	case s.rules.epoch > 0:
		problem = label.Lost
	case !accepted:
		problem = label.Missing
	}
	l.apply(s.rules, first, func(s *state) {
		if accepted {
			s.known, s.origin = true, label.Store
		}
		if problem == "" {
			s.confirmed = now
		}
	})
	l.mu.Unlock()
	if first {
		l.notify()
	}
	return problem
}
