package jwks_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
)

// deaf blocks whoever calls it, whatever its context says, until it is opened.
type deaf struct {
	closed  atomic.Bool
	gate    chan struct{}
	waiting atomic.Int64
}

func (d *deaf) pass() {
	if d.closed.Load() {
		d.waiting.Add(1)
		defer d.waiting.Add(-1)
		<-d.gate
	}
}

// deafStore is a store that does not return when its context ends.
type deafStore struct {
	shelf
	deaf
}

func (s *deafStore) Load(ctx context.Context, name string) (store.Document, error) {
	s.pass()
	return s.shelf.Load(ctx, name)
}

func (s *deafStore) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	s.pass()
	return s.shelf.Save(ctx, name, data, ifRevision)
}

// A store that does not return keeps nobody from recovering, and is not called again and again for ever.
func TestAStoreThatDoesNotReturn(t *testing.T) {
	s := &deafStore{deaf: deaf{gate: make(chan struct{})}}
	s.closed.Store(true)
	inBubble(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, func(c *jwks.Config) {
		s.gate = make(chan struct{}) // of the bubble
		c.Store = s
	}, func(t *testing.T, w world) {
		w.Break(east)
		w.Break(west)
		within(t, 2*time.Second, func() {
			_, err := w.ask(east)
			require.ErrorIs(t, err, jwks.ErrUnavailable)
		})
		w.Mend(east)
		w.Mend(west)
		time.Sleep(4 * time.Second) // two for the snapshot, one more for the store, one of rest
		w.mustHave(east)
		w.mustHave(west)
		stop := running(t, w.Cache)
		for range 200 {
			w.Rotate(east)
			w.Withdraw(east)
			time.Sleep(time.Hour)
			within(t, 0, func() { w.mustHave(east) })
		}
		require.LessOrEqual(t, s.waiting.Load(), int64(64+4))
		s.closed.Store(false)
		close(s.gate)
		synctest.Wait()
		time.Sleep(2 * time.Hour)
		s.mu.Lock()
		require.Positive(t, s.saves, "the store is used again")
		s.mu.Unlock()
		stop()
	})
}

// deafClient does not return from requests to one host.
type deafClient struct {
	deaf
	host  string
	inner http.RoundTripper
}

func (c *deafClient) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Host, c.host) {
		c.pass()
	}
	return c.inner.RoundTrip(r)
}

// A Client that does not return from some requests keeps nobody from recovering once others of them do.
func TestAClientThatDoesNotReturn(t *testing.T) {
	c := &deafClient{host: west}
	c.closed.Store(true)
	inBubble(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, func(config *jwks.Config) {
		c.gate = make(chan struct{})
		c.inner = config.Client.Transport
		config.Client = &http.Client{Transport: c}
	}, func(t *testing.T, w world) {
		within(t, 0, func() { w.mustHave(east) })
		within(t, 2*time.Second, func() {
			_, err := w.ask(west)
			require.ErrorIs(t, err, jwks.ErrUnavailable)
		})
		time.Sleep(time.Minute)
		_, err := w.ask(west)
		require.ErrorIs(t, err, jwks.ErrUnavailable)
		require.LessOrEqual(t, c.waiting.Load(), int64(32), "no more than there are connections")
		c.closed.Store(false) // for new requests
		time.Sleep(8 * time.Second)
		w.mustHave(west)
		require.Positive(t, c.waiting.Load(), "the old ones have not returned")
		close(c.gate)
	})
}

// Close waits for a hook that blocks, but not for ever.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	var gate chan struct{}
	inBubble(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, func(c *jwks.Config) {
		gate = make(chan struct{})
		c.Hooks.Fetched = func(jwks.Fetched) { <-gate }
	}, func(t *testing.T, w world) {
		_, err := w.ask(east)
		require.NoError(t, err, "it was taken in before the hook is told")
		within(t, 5*time.Second, func() { require.NoError(t, w.Cache.Close()) })
		close(gate)
	})
}

// Settings that would hammer a key server, or trust keys for years, are refused.
func TestSettingsHaveBounds(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]jwks.Config{
		"Refresh is below 1s":            {Refresh: time.Second - 1},
		"UnknownKey.Every below 100ms":   {UnknownKey: jwks.Budget{Every: time.Millisecond}},
		"UnknownKey.Burst is above 1000": {UnknownKey: jwks.Budget{Burst: 1001}},
		"MaxStale above 744h0m0s":        {MaxStale: 31*24*time.Hour + 1},
	} {
		_, err := jwks.New(c)
		require.ErrorContains(t, err, want)
	}
	_, err := jwks.New(jwks.Config{
		Refresh: time.Second, MaxStale: 31 * 24 * time.Hour, UnknownKey: jwks.Budget{Burst: 1000, Every: 100 * time.Millisecond},
	})
	require.NoError(t, err)
}
