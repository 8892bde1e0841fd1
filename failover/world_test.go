package failover_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

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

// providerOf returns a provider with regions with issuers and keys of their own.
func providerOf(names ...string) issuer.Provider {
	a := issuer.Provider{ID: "orders"}
	for _, n := range names {
		a.Regions = append(a.Regions, issuer.Region{
			Name: n, Issuers: []string{"https://" + n + ".example.com"}, JWKSURLs: []string{"https://" + n + ".example.com/jwks"},
		})
	}
	return a
}

// What an event tells.
const (
	moved         = "moved"
	pinnedAgain   = "pinned" // the region that was active already
	unpinned      = "unpinned"
	healthChanged = "health_changed"
	storeChanged  = "store_changed"
	holdDown      = 5 * time.Minute // the default
)

// event is a part of a change, as OnChange tells it.
type event struct {
	at     time.Time
	kind   string
	region string
	from   string // for moved
	status failover.Status
}

// journal keeps changes.
type journal struct {
	mu      sync.Mutex
	events  []event
	last    *failover.Status
	changes int
}

func (l *journal) add(before, now failover.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != nil && (l.last.Active != before.Active || l.last.Cause != before.Cause || !l.last.Since.Equal(before.Since)) {
		panic("a change does not begin where the last one ended")
	}
	l.last = &now
	l.changes++
	add := func(kind, region, from string) {
		l.events = append(l.events, event{time.Now(), kind, region, from, now})
	}
	for i, r := range now.Regions {
		if r.Health != before.Regions[i].Health {
			add(healthChanged, r.Region, "")
		}
	}
	switch {
	case now.Active != before.Active:
		add(moved, now.Active, before.Active)
	case now.Pinned && now.Replica.Epoch > before.Replica.Epoch:
		add(pinnedAgain, now.Active, "")
	}
	if before.Pinned && !now.Pinned {
		add(unpinned, now.Active, "")
	}
	if now.Replica.StoreProblem != before.Replica.StoreProblem {
		add(storeChanged, now.Active, "")
	}
}

func (l *journal) all() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// kinds lists the kinds of the events, with their regions.
func (l *journal) kinds() (kinds []string) {
	for _, e := range l.all() {
		kinds = append(kinds, e.kind+" "+e.region)
	}
	return kinds
}

// outcome is a report.
type outcome struct {
	region, reporter string
	started          time.Time
	err              error
}

func observe(c *failover.Controller, o outcome) { c.Report(o.region, o.reporter, o.started, o.err) }

// labeled is a failure with a label of its own.
type labeled string

func (labeled) Error() string     { return "s3cret" }
func (l labeled) Failure() string { return string(l) }

// newController makes a Controller of the regions, which are east and west by default.
func newController(t *testing.T, c failover.Config, regions ...string) *failover.Controller {
	t.Helper()
	if len(regions) == 0 {
		regions = []string{east, west}
	}
	return controllerOf(t, providerOf(regions...), c)
}

func controllerOf(t *testing.T, p issuer.Provider, c failover.Config) *failover.Controller {
	t.Helper()
	f, err := failover.New(p, c)
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

// document is what a shelf holds under a name.
type document struct {
	Data     []byte
	Revision string
}

// shelf is a store in memory that can be spoiled.
type shelf struct {
	mu   sync.Mutex
	docs map[string]document
	revs int
	err  error // of every call
}

func newShelf() *shelf { return &shelf{docs: map[string]document{}} }

func (s *shelf) Load(_ context.Context, name, _ string) ([]byte, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.docs[name]
	switch {
	case s.err != nil:
		return nil, "", s.err
	case !ok:
		return nil, "", store.ErrNotFound
	}
	return slices.Clone(d.Data), d.Revision, nil
}

func (*shelf) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
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
	s.docs[name] = document{Data: slices.Clone(data), Revision: revision}
	return revision
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// copied returns what stands in s.
func (s *shelf) copied() map[string]document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.docs)
}

// replace makes docs what stands in s, with new revisions, as one does who can write to it.
func (s *shelf) replace(docs map[string]document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.docs = map[string]document{}
	for n, d := range docs {
		s.put(n, d.Data)
	}
}

// operators returns the store of those who may write, and of those who may only read.
func operators(t *testing.T, inner store.Store) (writer, reader store.Trusted) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	key := store.PublicKey{Key: public}
	return store.Signed(inner, "test", private, key), store.Signed(inner, "test", nil, key)
}
