package failover

import (
	"context"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// What the errors of stores that panic name.
const (
	theStore     = "Replica.Store"
	theLocalCopy = "Replica.LocalCopy"
)

// load loads the document from s. A panic of s, or of its error, is the error.
func (c *Controller) load(ctx context.Context, what string, s store.Store) (data []byte, revision string, err error) {
	if p := guard.Apart(what, func() { data, revision, err = s.Load(ctx, c.config.Replica.Name, "") }); p != nil {
		return nil, "", p
	}
	return data, revision, guard.Sound("the error of "+what, err)
}

// save saves the document to s. A panic of s, or of its error, is the error.
func (c *Controller) save(ctx context.Context, what string, s store.Store, data []byte, ifRevision string) (err error) {
	if p := guard.Apart(what, func() { _, err = s.Save(ctx, c.config.Replica.Name, data, ifRevision) }); p != nil {
		return p
	}
	return guard.Sound("the error of "+what, err)
}

// scope is that of the store. A panic of the store is its error.
func (c *Controller) scope() (scope trust.Scope, err error) {
	err = guard.Apart(theStore, func() { scope = trust.Of(c.config.Replica.Store).Scope })
	return scope, err
}
