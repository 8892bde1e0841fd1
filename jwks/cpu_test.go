package jwks_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// A forged token that finds no place among those who wait wakes none of them.
func TestTokensWithoutAPlaceAreCheap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		s.set(func(s *server) { s.delay = 1900 * time.Millisecond })
		for i := range 1024 {
			go ask(t.Context(), c, "p", fmt.Sprint("w", i))
		}
		time.Sleep(500 * time.Millisecond)
		before := jwks.View(c, "https://idp.example/p")
		for i := range 20 {
			require.Equal(t, 429, ask(t.Context(), c, "p", fmt.Sprint("f", i)))
		}
		require.Same(t, before, jwks.View(c, "https://idp.example/p"), "a new one wakes all")
		time.Sleep(20 * time.Second)
	})
}

// A set with many keys of one name makes a token of that name about as much dearer as it has keys, not as the square.
func TestManyKeysOfOneNameAreCheap(t *testing.T) { // not parallel: it measures time
	cost := func(size int) time.Duration {
		n := newServers()
		s, all := n.at(keysURL), []map[string]any{}
		for i := range size {
			all = append(all, as(material(fmt.Sprint(i)), "x", "ES256"))
		}
		s.publish(all...)
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		until(t, c, "p", "x")
		least := time.Hour
		for range 50 {
			least = min(least, timed(func() { require.Len(t, look(t, c, "x", "ES256").Keys, 4) }))
		}
		return least
	}
	few, many := cost(100), cost(1000)
	t.Log("100 keys", few, "1,000 keys", many)
	require.Less(t, many, 40*few)
}
