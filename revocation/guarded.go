package revocation

import (
	"context"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/store"
)

// load loads the document from s. A panic of s is its error.
func (l *List) load(ctx context.Context, s store.Store) (doc store.Document, err error) {
	if p := guard.Apart("the store", func() { doc, err = s.Load(ctx, l.config.Name) }); p != nil {
		return store.Document{}, p
	}
	return doc, guard.Sound("the error of the store", err)
}

// save saves the document to s. A panic of s is its error.
func (l *List) save(ctx context.Context, s store.Store, data []byte, ifRevision string) (err error) {
	if p := guard.Apart("the store", func() { _, err = s.Save(ctx, l.config.Name, data, ifRevision) }); p != nil {
		return p
	}
	return guard.Sound("the error of the store", err)
}

// scope is that of the store. A panic of the store is its error.
func (l *List) scope() (scope store.Scope, err error) {
	err = guard.Apart("the store", func() { scope = store.ScopeOf(l.config.Store) })
	return scope, err
}

// callback calls a function of the user, and logs its panic.
func (l *List) callback(what string, f func()) {
	if p := guard.Apart(what, f); p != nil {
		l.config.Logger.Error("a panic was recovered", "why", p)
	}
}

// guardedNow returns a clock that tells the time of the machine where now is nil or panics.
func guardedNow(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return func() (t time.Time) {
		if p := guard.Call("Config.Now", func() { t = now() }); p != nil {
			guard.Report(p)
			return time.Now()
		}
		return t
	}
}
