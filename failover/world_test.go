package failover_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

const (
	east  = "us-east-1"
	west  = "us-west-2"
	north = "eu-north-1"
)

var errDown = errors.New("down")

// authority has regions with issuers and keys of their own.
func authority(names ...string) issuer.Provider {
	a := issuer.Provider{ID: "orders"}
	for _, n := range names {
		a.Regions = append(a.Regions, issuer.Region{
			Name: n, Issuers: []string{"https://" + n + ".example.com"}, JWKSURLs: []string{"https://" + n + ".example.com/jwks"},
		})
	}
	return a
}

// journal keeps events.
type journal struct {
	mu     sync.Mutex
	events []failover.Event
}

func (l *journal) add(e failover.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *journal) all() []failover.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// kinds lists the kinds of the events, with their regions.
func (l *journal) kinds() (kinds []string) {
	for _, e := range l.all() {
		kinds = append(kinds, string(e.Kind)+" "+e.Region)
	}
	return kinds
}

func newController(t *testing.T, c failover.Config) *failover.Controller {
	t.Helper()
	if c.Provider.ID == "" {
		c.Provider = authority(east, west)
	}
	f, err := failover.New(c)
	require.NoError(t, err)
	return f
}

// start runs f until the end of the test, or until stop is called.
func start(t *testing.T, f *failover.Controller) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	stopped := sync.OnceFunc(func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
	t.Cleanup(stopped)
	return stopped
}

// shelf is a store in memory that can be spoiled.
type shelf struct {
	mu   sync.Mutex
	docs map[string]store.Document
	revs int
	err  error // of every call
}

func newShelf() *shelf { return &shelf{docs: map[string]store.Document{}} }

func (s *shelf) Load(_ context.Context, name string) (store.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.docs[name]
	switch {
	case s.err != nil:
		return store.Document{}, s.err
	case !ok:
		return store.Document{}, store.ErrNotFound
	}
	return d, nil
}

func (s *shelf) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return "", s.err
	case s.docs[name].Revision != ifRevision:
		return "", store.ErrConflict
	}
	return s.put(name, data), nil
}

func (s *shelf) put(name string, data []byte) string {
	s.revs++
	revision := string(rune('a'-1+s.revs%26)) + string(rune('0'+s.revs%10))
	s.docs[name] = store.Document{Data: slices.Clone(data), Revision: revision}
	return revision
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// copied returns what stands in s.
func (s *shelf) copied() map[string]store.Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.docs)
}

// replace makes docs what stands in s, with new revisions, as one does who can write to it.
func (s *shelf) replace(docs map[string]store.Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.docs = map[string]store.Document{}
	for n, d := range docs {
		s.put(n, d.Data)
	}
}

// operators returns the store of those who may write, and of those who may only read.
func operators(t *testing.T, inner store.Store) (writer, reader store.Trusted) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	writer, err = store.Signed(inner, "test", store.Signing{Public: []ed25519.PublicKey{public}, Private: private})
	require.NoError(t, err)
	reader, err = store.Signed(inner, "test", store.Signing{Public: []ed25519.PublicKey{public}})
	require.NoError(t, err)
	return writer, reader
}
