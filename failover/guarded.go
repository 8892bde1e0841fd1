package failover

import (
	"context"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/store"
)

// What the errors of stores that panic name.
const (
	theStore     = "Store"
	theLocalCopy = "LocalCopy"
)

// load loads the document from s. A panic of s is its error.
func (c *Controller) load(ctx context.Context, what string, s store.Store) (doc store.Document, err error) {
	if p := guard.Apart(what, func() { doc, err = s.Load(ctx, c.config.Name) }); p != nil {
		return store.Document{}, p
	}
	return doc, err
}

// save saves the document to s. A panic of s is its error.
func (c *Controller) save(ctx context.Context, what string, s store.Store, data []byte, ifRevision string) (err error) {
	if p := guard.Apart(what, func() { _, err = s.Save(ctx, c.config.Name, data, ifRevision) }); p != nil {
		return p
	}
	return err
}

// scope is that of the store. A panic of the store is its error.
func (c *Controller) scope() (scope store.Scope, err error) {
	err = guard.Apart(theStore, func() { scope = store.ScopeOf(c.config.Store) })
	return scope, err
}
