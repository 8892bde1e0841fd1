package replica

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/store"
)

// DefaultPollInterval is the default of store.ReplicaConfig.PollInterval.
const DefaultPollInterval = 500 * time.Millisecond

// Limits of follow.
const (
	minPause       = 50 * time.Millisecond  // between two loads
	uselessPause   = 500 * time.Millisecond // after a load that brought nothing, although the revision is another one
	watchRetry     = time.Second            // after a Watch that ended
	maxUnmodified  = 2 * time.Second        // for which a store may answer that the document is not modified,
	unmodifiedRate = 512 << 10              // and one more second for each of so many bytes
)

// follow calls changed with a document of a store until ctx ends: once at the beginning, then whenever the document has
// changed, and after each error. It calls unchanged with its digest whenever the store has answered and the document has not
// changed. Both are called in the goroutine of the caller; a slow one delays the next load. changed owns the data, and
// returns for how long the store is not asked again.
//
// The content of the document decides whether it has changed. Its revision is passed to Load, but not for more than 2 seconds
// and one more for each 512 KiB of the document: a store cannot hide a new document behind an old revision for longer. If
// only the revision changes, changed is not called, and the next load waits up to 500 ms. So does the load after one that is
// not authentic.
//
// The store is asked at intervals, and soon after a hint of Watch; two loads are at least 50 ms apart.
func follow(
	ctx context.Context, e *endpoint, name string, interval time.Duration,
	unchanged func(seen.Digest), changed func(answer) time.Duration,
) {
	hints := make(chan struct{}, 1)
	watching, end := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		e.watch(watching, name, func() {
			select {
			case hints <- struct{}{}:
			default:
			}
		})
	})
	defer func() { end(); watcher.Wait() }() // also if changed panics
	if interval <= 0 {
		interval = DefaultPollInterval
	}
	interval = max(interval, minPause)
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	f := follower{endpoint: e, name: name, unchanged: unchanged, changed: changed}
	for ctx.Err() == nil {
		useless, rest := f.load(ctx)
		if useless {
			rest = max(rest, min(interval, uselessPause))
		}
		pause(ctx, max(rest, minPause))
		select {
		case <-ctx.Done():
		case <-hints:
		case <-ticks.C:
		}
	}
}

// follower is one call of follow.
type follower struct {
	endpoint  *endpoint
	name      string
	unchanged func(seen.Digest)
	changed   func(answer) time.Duration

	revision string      // of the document that changed was called with last; "" after an error
	digest   seen.Digest // of that document
	due      time.Time   // when it is loaded whatever its revision is
}

// load loads once. It reports whether that was useless: only the revision is another one, or the document is not authentic.
func (f *follower) load(ctx context.Context) (useless bool, rest time.Duration) {
	ifNot := f.revision
	if !time.Now().Before(f.due) {
		ifNot = ""
	}
	a := f.endpoint.load(ctx, f.name, ifNot)
	if ifNot != "" && errors.Is(a.err, store.ErrNotModified) {
		f.unchanged(f.digest)
		return false, 0
	}
	if a.err != nil {
		f.revision = "" // so that changed is called when the store recovers
		if ctx.Err() == nil {
			rest = f.changed(a)
		}
		return errors.Is(a.err, store.ErrNotAuthentic), rest
	}
	f.due = time.Now().Add(maxUnmodified + time.Duration(len(a.data))*time.Second/unmodifiedRate)
	digest, known := seen.Of(f.name, a.data), f.revision
	f.revision = a.revision
	if known != "" && digest == f.digest {
		f.unchanged(f.digest)
		return known != a.revision, 0
	}
	f.digest = digest
	return false, f.changed(a)
}

// Follow follows the document of one store, for the tests of stores: see follow. unchanged may be nil.
func Follow(
	ctx context.Context, s store.Store, name string, interval time.Duration, unchanged func(), changed func([]byte, error),
) {
	same := func(seen.Digest) {
		if unchanged != nil {
			unchanged()
		}
	}
	follow(ctx, &endpoint{name: "the store", store: s}, name, interval, same, func(a answer) time.Duration {
		changed(a.data, a.err)
		return 0
	})
}
