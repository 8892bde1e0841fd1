package jwks_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// The refresh that a wrong signature causes is one of the burst that unknown key IDs have.
func TestWrongSignatureUsesUpTheBurst(t *testing.T) {
	t.Parallel()
	for _, wrong := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(time.Minute)
			n := newServers()
			n.at(keysURL).list("one")
			c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			time.Sleep(time.Minute)
			if wrong {
				r := look(t, c, "one", "ES256", thumbprints(look(t, c, "one", "ES256"))...)
				require.True(t, r.Complete)
				synctest.Wait()
				require.Equal(t, 2, n.at(keysURL).requests())
			}
			var took time.Duration
			for i := range 5 {
				took = timed(func() { require.Equal(t, 401, ask(t.Context(), c, "p", fmt.Sprint("made-up-", i))) })
				require.True(t, took == 0 || i == 4)
			}
			require.Equal(t, wrong, took > 0)
		})
	}
}

// The refresh that a wrong signature causes asks every URL for a fresh copy, as any of them may have the new material.
func TestWrongSignatureHasEveryURLAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		old, fresh := as(material("old"), "k", "ES256"), as(material("fresh"), "k", "ES256")
		n.at(regionA).publish(old)
		n.at(regionB).publish(old)
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
		require.Len(t, look(t, c, "k", "ES256").Keys, 1)
		time.Sleep(time.Minute)
		n.at(regionB).publish(fresh)
		look(t, c, "k", "ES256", thumbprint(t, old))
		synctest.Wait()
		require.Equal(t, "no-cache", n.at(regionA).last().Get("Cache-Control"))
		require.Equal(t, []string{thumbprint(t, fresh)}, thumbprints(look(t, c, "k", "ES256", thumbprint(t, old))))
	})
}

// A refresh that is under way may be answered with what a server takes for unchanged. A wrong signature meanwhile causes another
// round when it has ended.
func TestWrongSignatureDuringARefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		old, fresh := as(material("old"), "k", "ES256"), as(material("fresh"), "k", "ES256")
		s := n.at(keysURL)
		s.publish(old)
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Len(t, look(t, c, "k", "ES256").Keys, 1)
		time.Sleep(20 * time.Minute)
		s.set(func(s *server) { s.delay = 100 * time.Millisecond })
		require.Len(t, look(t, c, "k", "ES256").Keys, 1) // starts a refresh, which the old set answers
		time.Sleep(10 * time.Millisecond)
		s.publish(fresh)
		s.set(func(s *server) { s.delay = 0 })
		require.Empty(t, look(t, c, "k", "ES256", thumbprint(t, old)).Keys)
		time.Sleep(time.Second)
		require.Equal(t, 3, s.requests())
		require.Equal(t, "no-cache", s.last().Get("Cache-Control"))
		require.Len(t, look(t, c, "k", "ES256", thumbprint(t, old)).Keys, 1)
	})
}
