package store

import (
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/seen"
)

// Watcher is implemented by stores that can hint at changes. It is safe for concurrent use, for the same and for other names.
type Watcher interface {
	// Watch calls changed after the document of that name may have changed: also without a change, late, once for several
	// changes, or not at all, so that a caller must ask from time to time as well. Watch calls changed from one goroutine at a
	// time, and not after it has returned; changed must not block and must not be nil.
	//
	// Watch blocks until ctx ends or the store cannot go on, and always returns an error. When ctx ends, Watch returns soon, with
	// an error that wraps that of ctx, and stops everything that it has started. Any other error means that there are no more
	// hints until Watch is called again: the connection was lost, or a decorator has a store inside that is no Watcher. For an
	// illegal name the error is that of Load.
	Watch(ctx context.Context, name string, changed func()) error
}

// Reviser is implemented by stores that can tell the revision of a document more cheaply than the document. It is safe for
// concurrent use.
type Reviser interface {
	// Revision returns the revision that Load would return now, which is never empty, or the error that Load would return before
	// it reads the document: ErrNotFound, ErrTooLarge, that of ctx, or that of the store. A revision is a hint: it does not say
	// that the document is authentic, and a process that can write to the store can give an old revision to a new document.
	Revision(ctx context.Context, name string) (string, error)
}

// Default and bounds of Follow.
const (
	defaultEvery  = 500 * time.Millisecond
	followTimeout = 2 * time.Second        // for one question
	followPause   = 50 * time.Millisecond  // between two questions, at least
	emptyPause    = 500 * time.Millisecond // after a document was loaded in vain
	watchAgain    = time.Second            // after a Watch that could not go on

	// A document is loaded that often although its revision is the known one, and not faster than at that rate.
	loadEvery = 2 * time.Second
	loadRate  = 512 << 10 // octets a second
)

// Follow calls f with a document of s until ctx ends: once when Follow begins, then whenever the document has changed, and again
// after each error. It calls f with every error of asking for the document, among them ErrNotFound, and an empty Document. While
// nothing changes, and nothing fails, it does not call f.
//
// What the document holds decides whether it has changed. The revision of a Reviser spares loading it, but not for more than 2
// seconds and one more for each 512 KiB of the document: so a store cannot hide a new document behind an old revision. A store
// that changes the revision alone gains nothing: f is not called, and the next question comes up to 500 ms later. The same holds
// for the next question after ErrNotAuthentic.
//
// Follow asks at intervals of every, and soon when a Watcher hints at a change; a question has 2 seconds. However many hints
// there are, there are 50 ms between two questions; Follow heeds a hint that comes in between after them. If every is zero or
// negative, it is 500 ms; at least it is 50 ms. Follow calls f in the goroutine of its caller; a slow f delays the next question.
// f owns the document. If s is nil, Follow calls f once, with an error, and returns.
func Follow(ctx context.Context, s Store, name string, every time.Duration, f func(Document, error)) {
	if nils.Is(s) {
		f(Document{}, errNoStore)
		return
	}
	hints := make(chan struct{}, 1)
	if w, ok := s.(Watcher); ok {
		watching, end := context.WithCancel(ctx)
		watchers := make(chan struct{})
		go func() {
			defer close(watchers)
			watch(watching, w, name, hints)
		}()
		defer func() { end(); <-watchers }() // also where s or f panics
	}
	if every <= 0 {
		every = defaultEvery
	}
	every = max(every, followPause)
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	follower := follower{store: s, name: name, f: f}
	for ctx.Err() == nil {
		wait := followPause
		if follower.ask(ctx) {
			wait = min(every, emptyPause)
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
var errNoStore = errors.New("store: there is no store to follow")

// follower is one call of Follow.
type follower struct {
	store Store
	name  string
	f     func(Document, error)

	revision string      // of the document that f knows; "" where it knows none
	digest   seen.Digest // of that document
	due      time.Time   // when it is loaded whatever its revision is
}

// ask asks once. It reports whether a document was loaded in vain: only its revision is another one, or it is not authentic.
func (f *follower) ask(ctx context.Context) (vain bool) {
	within, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	if r, ok := f.store.(Reviser); ok && f.revision != "" && time.Now().Before(f.due) {
		if revision, err := revisionFrom(within, r, f.name); err == nil && revision == f.revision {
			return false
		}
	}
	doc, err := loadFrom(within, f.store, f.name)
	if err != nil {
		f.revision = "" // so that it is told again when it is back
		if ctx.Err() == nil {
			f.f(Document{}, err)
		}
		return errors.Is(err, ErrNotAuthentic)
	}
	f.due = time.Now().Add(loadEvery + time.Duration(len(doc.Data))*time.Second/loadRate)
	digest, known := seen.Of(f.name, doc.Data), f.revision
	f.revision = doc.Revision
	if known != "" && digest == f.digest {
		return known != doc.Revision
	}
	f.digest = digest
	f.f(doc, nil)
	return false
}

// loadFrom calls Load. A panic is its error.
func loadFrom(ctx context.Context, s Store, name string) (doc Document, err error) {
	if p := guard.Apart("the store", func() { doc, err = s.Load(ctx, name) }); p != nil {
		return Document{}, p
	}
	return doc, guard.Sound("the error of the store", err)
}

// revisionFrom calls Revision. A panic is its error.
func revisionFrom(ctx context.Context, r Reviser, name string) (revision string, err error) {
	if p := guard.Apart("the store", func() { revision, err = r.Revision(ctx, name) }); p != nil {
		return "", p
	}
	return revision, err
}

// watch keeps a Watch going.
func watch(ctx context.Context, w Watcher, name string, hints chan<- struct{}) {
	for ctx.Err() == nil {
		changed := func() {
			select {
			case hints <- struct{}{}:
			default:
			}
		}
		// Why it ended does not matter: the questions go on.
		_ = guard.Apart("the store", func() { _ = w.Watch(ctx, name, changed) })
		timer := time.NewTimer(watchAgain)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// forward lets a decorator pass on what the store inside can do.
type forward struct{ inner Store }

// errNoWatch says that a store cannot tell of changes.
var errNoWatch = errors.New("store: the store inside cannot tell of changes")

// Watch implements Watcher.
func (f forward) Watch(ctx context.Context, name string, changed func()) error {
	w, ok := f.inner.(Watcher)
	if !ok {
		return errNoWatch
	}
	return w.Watch(ctx, name, changed)
}

// Revision implements Reviser. Where the store inside cannot, it loads the document.
func (f forward) Revision(ctx context.Context, name string) (string, error) {
	if r, ok := f.inner.(Reviser); ok {
		return r.Revision(ctx, name)
	}
	doc, err := f.inner.Load(ctx, name)
	return doc.Revision, err
}
