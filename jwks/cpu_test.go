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

// A token whose kid many keys share costs about as much more as there are keys, not as their square.
func BenchmarkManyKeysOfOneKeyID(b *testing.B) {
	for _, size := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(size, " keys"), func(b *testing.B) {
			n := newServers()
			s, all := n.at(keysURL), []map[string]any{}
			for i := range size {
				all = append(all, as(material(fmt.Sprint(i)), "x", "ES256"))
			}
			s.publish(all...)
			c := newCache(b, n, jwks.Config{}, pool("p", []string{keysURL}))
			until(b, c, "p", "x")
			for b.Loop() {
				require.NotEmpty(b, look(b, c, "x", "ES256").Keys)
			}
		})
	}
}
