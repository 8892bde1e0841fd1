package jwks_test

import (
	"fmt"
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
