package jwks_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// An issuer that Update adds can be asked for at once.
func TestUpdateAddsIssuersThatAreAskedFor(t *testing.T) {
	t.Parallel()
	n := newServers()
	n.at(keysURL).list("one")
	c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
	require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c.Lookup(t.Context(), jwks.Query{Issuer: "https://idp.example/q", KeyID: "one", CacheOnly: true})
			}
		})
	}
	for range 2000 {
		require.NoError(t, c.Update(providers(pool("p", []string{keysURL}), pool("q", []string{keysURL}))))
		require.NoError(t, c.Update(providers(pool("p", []string{keysURL}))))
	}
	close(stop)
	wg.Wait()
}

// A caller that waits for a key while Update changes its issuer gets the key when it comes, and the very pointer that Lookup
// returns from then on.
func TestUpdateWhileACallerWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		s.set(func(s *server) { s.delay = time.Second })
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		n.at("https://b.example/jwks").list("two")
		time.AfterFunc(500*time.Millisecond, func() {
			_ = c.Update(providers(pool("p", []string{keysURL}, []string{"https://b.example/jwks"})))
		})
		var k *jwks.Key
		took := timed(func() { k = look(t, c, "one", "ES256").Keys[0] })
		require.Equal(t, time.Second, took)
		require.Same(t, k, look(t, c, "one", "ES256").Keys[0])
		time.Sleep(time.Second)
	})
}

// Preload ends with its round although Update has changed the issuer meanwhile.
func TestUpdateWhilePreloadWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		s.set(func(s *server) { s.delay = time.Second })
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		time.AfterFunc(500*time.Millisecond, func() {
			_ = c.Update(providers(pool("p", []string{keysURL}, []string{"https://b.example/jwks"})))
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		took := timed(func() { _ = c.Preload(ctx) })
		require.Equal(t, time.Second, took)
	})
}
