package storage

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// inside is the store that a wrapper has inside.
type inside struct{ store.Store }

// TrustInfo describes the store to the packages of this project, as the one inside does.
func (i inside) TrustInfo() trust.Info { return trust.Of(i.Store) }

// ReadOnly is a store that is not written: neither a local copy that must not get a change before it is in the store, for what
// has failed must not take effect by the next change, nor a store that is only examined.
func ReadOnly(s store.Trusted) store.Trusted { return store.InsecureTrust(readOnly{inside{s}}) }

type readOnly struct{ inside }

var errReadOnly = errors.New("it is not written")

// Save implements store.Store.
func (readOnly) Save(context.Context, string, []byte, string) (string, error) { return "", errReadOnly }

// Causes is the error of a change that no store has accepted. The tool ends then, so that nothing is in effect in its process.
func Causes(err error) error {
	return causes{err, strings.ReplaceAll(err.Error(), store.ErrNotShared.Error(), "not written to the store")}
}

type causes struct {
	error

	text string
}

// Error implements error.
func (c causes) Error() string { return c.text }

// Unwrap returns the error.
func (c causes) Unwrap() error { return c.error }

// Unavailable returns stores that trust the same documents as others, and do not answer.
func Unavailable(stores []store.Trusted) (all []store.Trusted) {
	for _, s := range stores {
		all = append(all, store.InsecureTrust(&unavailable{inside{s}}))
	}
	return all
}

type unavailable struct{ inside }

// ErrUnavailable is the error of a store that is not asked.
var ErrUnavailable = errors.New("the store is not asked")

// Load implements store.Store.
func (*unavailable) Load(context.Context, string, string) ([]byte, string, error) {
	return nil, "", ErrUnavailable
}

// Save implements store.Store.
func (*unavailable) Save(context.Context, string, []byte, string) (string, error) {
	return "", ErrUnavailable
}

// Unreadable is a document in a store that is replaced if it turns out that it cannot be read.
type Unreadable struct {
	store    store.Trusted
	revision string // "" if it cannot be replaced
	newer    bool   // a newer version of this library wrote it
	err      error  // of reading the store
}

// Remember notes which document the store has now, before a reader judges it.
func Remember(ctx context.Context, s store.Trusted, name string) *Unreadable {
	data, revision, err := s.Load(ctx, name, "")
	return &Unreadable{store: s, revision: revision, newer: isNewer(data), err: err}
}

// formatVersion is the version of the documents of rules and of pins.
const formatVersion = 1

// isNewer reports whether a document names a version that this one does not have.
func isNewer(data []byte) bool {
	members, err := strictjson.Parse(nil, string(data))
	if err != nil {
		return false
	}
	v := strictjson.Find(members, "version")
	version, err := strconv.ParseFloat(v.Raw(), 64)
	return v.Kind() == strictjson.Number && (err != nil || version > formatVersion)
}

// Replace returns a store without the document, whose first Save replaces it, unless another writer was faster. problem is what
// the reader has found. A document of a newer version is never replaced.
func (u *Unreadable) Replace(problem error) (store.Trusted, error) {
	switch {
	case u.newer:
		return nil, cli.Fail(cli.ExitCannotTell, "%w; nothing was changed: no older version replaces it", problem)
	case u.revision == "":
		return nil, cli.Fail(cli.ExitCannotTell,
			"%w; nothing was changed, because the document cannot be replaced (%w)", problem, u.err)
	}
	return store.InsecureTrust(&replacing{inside: inside{u.store}, revision: u.revision}), nil
}

// replacing is a store whose document at a revision does not exist for its reader, until the first Save has replaced it.
type replacing struct {
	inside

	mu       sync.Mutex
	revision string // "" when it was replaced
}

// Load implements store.Store.
func (r *replacing) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revision != "" {
		return nil, "", store.ErrNotFound
	}
	return r.Store.Load(ctx, name, ifNot)
}

// Save implements store.Store.
func (r *replacing) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revision != "" {
		ifRevision = r.revision
	}
	revision, err := r.Store.Save(ctx, name, data, ifRevision)
	if err == nil {
		r.revision = ""
	}
	return revision, err
}

// Memory is a store of one document in memory, for one goroutine at a time.
type Memory struct {
	Data []byte
}

// Load implements store.Store.
func (m *Memory) Load(context.Context, string, string) ([]byte, string, error) {
	if m.Data == nil {
		return nil, "", store.ErrNotFound
	}
	return bytes.Clone(m.Data), "1", nil
}

// Save implements store.Store.
func (m *Memory) Save(_ context.Context, _ string, data []byte, _ string) (string, error) {
	m.Data = bytes.Clone(data)
	return "1", nil
}

// Watch implements store.Store.
func (*Memory) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}
