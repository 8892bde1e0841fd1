// Package followed follows a document as store.Follow does, and tells of answers that bring nothing new as well.
package followed

import (
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/store"
)

// Follow is store.Follow, which calls answered whenever the store has answered with a document, changed or not, before
// f. It calls both from one goroutine at a time.
func Follow(
	ctx context.Context, s store.Store, name string, every time.Duration, answered func(), f func(store.Document, error),
) {
	store.Follow(ctx, noting{s, answered}, name, every, f)
}

// noting notes the answers of a store.
type noting struct {
	store.Store
	answered func()
}

// Load implements store.Store.
func (n noting) Load(ctx context.Context, name string) (store.Document, error) {
	d, err := n.Store.Load(ctx, name)
	if err == nil {
		n.answered()
	}
	return d, err
}

var (
	errNoRevision = errors.New("followed: the store has no revisions apart from documents")
	errNoWatch    = errors.New("followed: the store cannot hint at changes")
)

// Revision implements store.Reviser. Where the store is none, Follow loads the document.
func (n noting) Revision(ctx context.Context, name string) (string, error) {
	r, ok := n.Store.(store.Reviser)
	if !ok {
		return "", errNoRevision
	}
	revision, err := r.Revision(ctx, name)
	if err == nil {
		n.answered()
	}
	return revision, err
}

// Watch implements store.Watcher.
func (n noting) Watch(ctx context.Context, name string, changed func()) error {
	w, ok := n.Store.(store.Watcher)
	if !ok {
		return errNoWatch
	}
	return w.Watch(ctx, name, changed)
}
