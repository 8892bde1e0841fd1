package jwks_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// While every URL answers at once, an unknown key is 401 or 429, never 503.
func TestUnknownKeysOfHealthyServers(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			n := newServers()
			regions := [][]string{{"https://a.example/keys"}, {"https://b.example/keys"}, {"https://c.example/keys"}}
			for i, urls := range regions {
				n.at(urls[0]).list(fmt.Sprint("key-", i))
			}
			c := newCache(t, n, jwks.Config{}, pool("p", regions...))
			require.NoError(t, c.Preload(t.Context()))
			for i := range 40 {
				require.Contains(t, []int{401, 429}, ask(t.Context(), c, "p", fmt.Sprint("made-up-", i)))
				time.Sleep(500 * time.Millisecond)
			}
			time.Sleep(10 * time.Second)
		})
	}
}

// This also holds where refreshes use up how often a URL may be asked, as regions share it.
func TestUnknownKeysOfHealthyServersThatAreRefreshedOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		shared, east, west := "https://shared.example/keys", "https://east.example/keys", "https://west.example/keys"
		for _, url := range []string{shared, east, west} {
			n.at(url).list("key")
		}
		c := newCache(t, n, jwks.Config{RefreshInterval: time.Second}, pool("p", []string{shared, east}, []string{west, shared}))
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = c.Run(ctx) }()
		require.NoError(t, c.Preload(ctx))
		got := map[int]int{}
		for i, began := 0, time.Now(); time.Since(began) < time.Minute; i++ {
			got[ask(ctx, c, "p", fmt.Sprint("made-up-", i))]++
			time.Sleep(time.Millisecond)
		}
		require.Zero(t, got[503], got)
		require.Greater(t, got[401], 20, got)
		cancel()
		synctest.Wait()
	})
}

// A key that came since the caller looked is found without a round, also by a caller that does not wait.
func TestAKeyThatHasJustCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const iss = "https://idp.example/p"
		n := newServers()
		s := n.at("https://a.example/keys")
		s.list("key")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{"https://a.example/keys"}))
		require.NoError(t, c.Preload(t.Context()))
		before := jwks.View(c, iss)
		q := jwks.Query{Issuer: iss, KeyID: "key", CacheOnly: true}
		old := c.Lookup(t.Context(), q).Keys[0].Thumbprint()
		s.set(func(s *server) { // another key under the same ID
			s.keys["key"] = maps.Clone(material("another"))
			s.keys["key"]["kid"] = "key"
		})
		require.Equal(t, 401, ask(t.Context(), c, "p", "made-up"))
		jwks.ShowAgain(c, iss, before)
		q.Tried = []string{old}
		got := c.Lookup(t.Context(), q)
		require.Len(t, got.Keys, 1)
		require.NotEqual(t, old, got.Keys[0].Thumbprint())
	})
}

// A caller that has looked at the keys before an answer was published, and asks after its round has ended, causes no other round.
func TestRoundThatEndsBeforeItsViewIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at("https://a.example/keys")
		s.list("key")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{"https://a.example/keys"}))
		require.NoError(t, c.Preload(t.Context()))
		before := jwks.View(c, "https://idp.example/p")
		s.list("key", "new")
		time.Sleep(time.Minute)
		require.Equal(t, 401, ask(t.Context(), c, "p", "made-up"))
		asked := s.requests()
		jwks.ShowAgain(c, "https://idp.example/p", before)
		require.Equal(t, 200, ask(t.Context(), c, "p", "new"))
		require.Equal(t, asked, s.requests())
	})
}
