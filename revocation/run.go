package revocation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/followed"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/seen"
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
	l.followStore(ctx)
	return context.Cause(ctx)
}

// followStore follows the store until ctx ends. If the store panics, it does not answer.
func (l *List) followStore(ctx context.Context) {
	for ctx.Err() == nil {
		err := guard.Call("Store", func() {
			followed.Follow(ctx, l.config.Store, l.config.Name, l.config.Poll, l.confirm, l.follow)
		})
		if err == nil {
			return
		}
		l.follow(store.Document{}, err)
		timer := time.NewTimer(l.config.Poll)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
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
	default:
		trouble, err = l.takeDocument(d.Data)
	}
	changed := l.Version() != before
	if changed {
		l.wakeCopier()
	}
	l.report(changed, func(h *health) { h.trouble, h.err = trouble, err })
}

// confirm notes that the store has answered.
func (l *List) confirm() {
	now := l.config.Now()
	l.mu.Lock()
	l.learn(l.state.Load().knowledge, false, func(s *state) { s.confirmed = now })
	l.mu.Unlock()
}

// judged is what became of a document of the store.
type judged struct {
	err     error
	behind  bool
	learned uint64 // List.learned when that was so
}

// remember notes what became of a document, so that it is not decoded again as long as nothing else is learned.
func (l *List) remember(data []byte, behind bool, err error) {
	l.mu.Lock()
	learned := l.learned
	l.mu.Unlock()
	l.judged.Put(seen.Of(l.config.Name, data), judged{err, behind, learned})
}

// takeDocument takes in a document of the store, and returns the problem with it.
func (l *List) takeDocument(data []byte) (Trouble, error) {
	l.mu.Lock()
	learned := l.learned
	l.mu.Unlock()
	j, known := l.judged.Get(seen.Of(l.config.Name, data))
	switch {
	case known && j.err != nil:
	case known && j.learned == learned:
		l.confirm()
	default:
		var theirs *knowledge
		if theirs, j.err = l.read(data); j.err == nil {
			j.behind = l.take(theirs)
		}
		if !errors.Is(j.err, errFar) { // that one may be near some day
			l.remember(data, j.behind, j.err)
		}
	}
	switch {
	case errors.Is(j.err, store.ErrNotAuthentic):
		return NotAuthentic, j.err
	case j.err != nil:
		return Malformed, j.err
	case j.behind:
		return Behind, nil
	default:
		return "", nil
	}
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
