package store

import (
	"context"
	"errors"
	"time"
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
// at a time.
func Follow(ctx context.Context, s Store, name string, every time.Duration, f func(Document, error)) {
	hints := make(chan struct{}, 1)
	if w, ok := s.(Watcher); ok {
		watchers := make(chan struct{})
		go func() {
			defer close(watchers)
			watch(ctx, w, name, hints)
		}()
		defer func() { <-watchers }()
	}
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
		if revision, err := r.Revision(within, name); err == nil && revision == last {
			f(Document{Revision: last}, nil) // it is still the same
			return last
		}
	}
	doc, err := s.Load(within, name)
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

// watch keeps a Watch going.
func watch(ctx context.Context, w Watcher, name string, hints chan<- struct{}) {
	for ctx.Err() == nil {
		_ = w.Watch(ctx, name, func() { // why it ended does not matter: the questions go on
			select {
			case hints <- struct{}{}:
			default:
			}
		})
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
