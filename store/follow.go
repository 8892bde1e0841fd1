package store

import (
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// Watcher is implemented by stores that can tell of changes. Watch calls changed after the document of that name may have
// changed, and blocks until ctx ends or it cannot go on. It is a hint: changes may be told once for several, late, or never,
// so that whoever depends on them asks again by and by. changed must not block.
type Watcher interface {
	Watch(ctx context.Context, name string, changed func()) error
}

// Reviser is implemented by stores that can tell the revision of a document more cheaply than the document. The error is that
// of Load.
type Reviser interface {
	Revision(ctx context.Context, name string) (string, error)
}

// Default and bounds of Follow.
const (
	defaultEvery  = 500 * time.Millisecond
	followTimeout = 2 * time.Second       // for one question
	followPause   = 50 * time.Millisecond // between two questions, at least
	watchAgain    = time.Second           // after a Watch that could not go on
)

// Follow tells of a document of s until ctx ends: f gets it when Follow begins and whenever its revision has changed, and
// every error of asking for it, among them ErrNotFound. It asks every so often, and soon when a Watcher hints at a change; a
// question has 2 seconds. However many hints there are, there are 50 ms between two questions; a hint that comes in between is
// heeded after them. every is 500 ms where it is zero or negative, and 50 ms where it is less. f is called from one goroutine
// at a time, that of the caller. A panic of s is an error of asking for the document.
func Follow(ctx context.Context, s Store, name string, every time.Duration, f func(Document, error)) {
	ctx, cancel := context.WithCancel(ctx)
	hints := make(chan struct{}, 1)
	if w, ok := s.(Watcher); ok {
		watchers := make(chan struct{})
		go func() {
			defer close(watchers)
			watch(ctx, w, name, hints)
		}()
		defer func() { <-watchers }()
	}
	defer cancel() // before the wait for the watchers: f may panic
	if every <= 0 {
		every = defaultEvery
	}
	ticks := time.NewTicker(max(every, followPause))
	defer ticks.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	last := ""
	for ctx.Err() == nil {
		last = ask(ctx, s, name, last, f)
		pause.Reset(followPause)
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

// ask asks once, and returns the revision that f knows.
func ask(ctx context.Context, s Store, name, last string, f func(Document, error)) string {
	within, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	if r, ok := s.(Reviser); ok && last != "" {
		if revision, err := revisionFrom(within, r, name); err == nil && revision == last {
			f(Document{Revision: last}, nil) // it is still the same
			return last
		}
	}
	doc, err := loadFrom(within, s, name)
	if err != nil {
		if ctx.Err() == nil {
			f(Document{}, err)
		}
		return "" // so that it is told again when it is back
	}
	if doc.Revision == last {
		doc.Data = nil
	}
	f(doc, nil)
	return doc.Revision
}

// loadFrom calls Load. A panic is its error.
func loadFrom(ctx context.Context, s Store, name string) (doc Document, err error) {
	if p := guard.Apart("the store", func() { doc, err = s.Load(ctx, name) }); p != nil {
		return Document{}, p
	}
	return doc, err
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
		_ = guard.Apart("the store", func() { _ = w.Watch(ctx, name, changed) }) // why it ended does not matter: the questions go on
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
