// Package replica replicates a document of a store: it checks the configuration, and follows the document.
package replica

import (
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/store"
)

// Default and limits of Follow.
const (
	DefaultPollInterval = 500 * time.Millisecond

	loadTimeout    = 2 * time.Second        // of one Load
	minPause       = 50 * time.Millisecond  // between two Loads
	uselessPause   = 500 * time.Millisecond // after a Load that brought nothing, although the revision is another one
	watchRetry     = time.Second            // after a Watch that ended
	maxUnmodified  = 2 * time.Second        // for which a store may answer that the document is not modified,
	unmodifiedRate = 512 << 10              // and one more second for each of so many bytes
)

// Follow calls changed with a document of s until ctx ends: once when Follow begins, then whenever the document has changed, and
// again after each error. It calls changed with every error of Load, among them ErrNotFound, and no data. It calls unchanged,
// which may be nil, whenever the store has answered and the document has not changed. Both are called in the goroutine of the
// caller; a slow one delays the next Load. changed owns the data.
//
// The content of the document decides whether it has changed. Follow passes its revision to Load, but not for more than 2 seconds
// and one more for each 512 KiB of the document: a store cannot hide a new document behind an old revision for longer. If only
// the revision changes, Follow does not call changed, and waits up to 500 ms until the next Load. The same holds for the next
// Load after ErrNotAuthentic.
//
// Follow loads at intervals of interval, and soon after a hint of Watch; a Load has 2 seconds. The time between two Loads is at
// least 50 ms. If interval is zero or negative, it is 500 ms. If s is nil, Follow calls changed once, with an error, and returns.
func Follow(
	ctx context.Context, s store.Store, name string, interval time.Duration, unchanged func(), changed func([]byte, error),
) {
	if nils.Is(s) {
		changed(nil, errNoStore)
		return
	}
	hints := make(chan struct{}, 1)
	watching, end := context.WithCancel(ctx)
	watcher := make(chan struct{})
	go func() {
		defer close(watcher)
		watch(watching, s, name, hints)
	}()
	defer func() { end(); <-watcher }() // also if changed panics
	if interval <= 0 {
		interval = DefaultPollInterval
	}
	interval = max(interval, minPause)
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	f := follower{store: s, name: name, unchanged: unchanged, changed: changed}
	for ctx.Err() == nil {
		wait := minPause
		if f.load(ctx) {
			wait = min(interval, uselessPause)
		}
		pause.Reset(wait)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
		case <-hints:
		case <-ticks.C:
		}
	}
}

// errNoStore is the error of a nil Store.
var errNoStore = errors.New("there is no store to follow")

// follower is one call of Follow.
type follower struct {
	store     store.Store
	name      string
	unchanged func()
	changed   func([]byte, error)

	revision string      // of the document that changed was called with last; "" after an error
	digest   seen.Digest // of that document
	due      time.Time   // when it is loaded whatever its revision is
}

// load loads once. It reports whether that was useless: only the revision is another one, or the document is not authentic.
func (f *follower) load(ctx context.Context) (useless bool) {
	within, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	ifNot := f.revision
	if !time.Now().Before(f.due) {
		ifNot = ""
	}
	data, revision, err := Load(within, f.store, f.name, ifNot)
	if ifNot != "" && errors.Is(err, store.ErrNotModified) {
		f.noteUnchanged()
		return false
	}
	if err != nil {
		f.revision = "" // so that changed is called when the store recovers
		if ctx.Err() == nil {
			f.changed(nil, err)
		}
		return errors.Is(err, store.ErrNotAuthentic)
	}
	f.due = time.Now().Add(maxUnmodified + time.Duration(len(data))*time.Second/unmodifiedRate)
	digest, known := seen.Of(f.name, data), f.revision
	f.revision = revision
	if known != "" && digest == f.digest {
		f.noteUnchanged()
		return known != revision
	}
	f.digest = digest
	f.changed(data, nil)
	return false
}

func (f *follower) noteUnchanged() {
	if f.unchanged != nil {
		f.unchanged()
	}
}

// Load calls Load of s. A panic is its error.
func Load(ctx context.Context, s store.Store, name, ifNot string) (data []byte, revision string, err error) {
	if p := guard.Apart("the store", func() { data, revision, err = s.Load(ctx, name, ifNot) }); p != nil {
		return nil, "", p
	}
	return data, revision, guard.Sound("the error of the store", err)
}

// Save calls Save of s. A panic is its error.
func Save(ctx context.Context, s store.Store, name string, data []byte, ifRevision string) (err error) {
	if p := guard.Apart("the store", func() { _, err = s.Save(ctx, name, data, ifRevision) }); p != nil {
		return p
	}
	return guard.Sound("the error of the store", err)
}

// watch calls Watch again whenever it ends.
func watch(ctx context.Context, s store.Store, name string, hints chan<- struct{}) {
	for ctx.Err() == nil {
		hint := func() {
			select {
			case hints <- struct{}{}:
			default:
			}
		}
		// Its error does not matter: Follow polls as well.
		_ = guard.Apart("the store", func() { _ = s.Watch(ctx, name, hint) })
		timer := time.NewTimer(watchRetry)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
