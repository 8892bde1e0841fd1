package replica

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

const (
	loadTimeout = 2 * time.Second        // of one call of a store
	endGrace    = 250 * time.Millisecond // for which a call may go on after its context has ended
	maxStuck    = 4                      // calls of one store that go on for longer
)

// The errors of a store that does not return although its context has ended.
var (
	errStuck   = errors.New("the store did not return when its context ended")
	errBlocked = errors.New("the store is not asked: too many calls of it have not returned")
)

// endpoint calls the methods of a store. A panic is an error, and a call that goes on after its context has ended is left alone.
type endpoint struct {
	name  string // in errors
	store store.Store
	stuck atomic.Int32
}

// answer is the answer of a store to Load.
type answer struct {
	data     []byte
	revision string
	signed   time.Time // when the document was signed; zero if the store does not tell
	err      error
}

func (e *endpoint) load(ctx context.Context, name, ifNot string) answer {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	return call(ctx, e, func(err error) answer { return answer{err: err} }, func() (a answer) {
		a.data, a.revision, a.signed, a.err = trust.Load(ctx, e.store, name, ifNot)
		a.err = guard.Sound("the error of the store", a.err)
		return a
	})
}

// save saves a document. Its error is nil, or that of the store.
func (e *endpoint) save(ctx context.Context, name string, data []byte, ifRevision string) error {
	return call(ctx, e, func(err error) error { return err }, func() error {
		_, err := e.store.Save(ctx, name, data, ifRevision)
		return guard.Sound("the error of the store", err)
	})
}

// watch calls changed after each hint, and Watch again whenever it ends, until ctx ends.
func (e *endpoint) watch(ctx context.Context, name string, changed func()) {
	for ctx.Err() == nil {
		// Its error does not matter: the document is polled as well.
		_ = call(ctx, e, func(err error) error { return err }, func() error { return e.store.Watch(ctx, name, changed) })
		pause(ctx, watchRetry)
	}
}

// call calls f in a goroutine of its own, until ctx has ended.
func call[R any](ctx context.Context, e *endpoint, failed func(error) R, f func() R) R {
	if e.stuck.Load() >= maxStuck {
		return failed(errBlocked)
	}
	done := make(chan R, 1)
	go func() {
		var result R
		if p := guard.Apart(e.name, func() { result = f() }); p != nil {
			result = failed(p)
		}
		done <- result
	}()
	select {
	case result := <-done:
		return result
	case <-ctx.Done():
	}
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	select {
	case result := <-done:
		return result
	case <-grace.C:
		e.stuck.Add(1)
		go func() { <-done; e.stuck.Add(-1) }()
		return failed(errors.Join(errStuck, context.Cause(ctx)))
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
