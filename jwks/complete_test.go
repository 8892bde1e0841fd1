package jwks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// Nobody asks while the keys of a region become too old. The first answer after that is not complete, although nothing has
// happened since the answer that was.
func TestCompleteAnswerEndsWithoutAnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		n.at(regionA).list("one")
		n.at(regionB).list("two")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA}, []string{regionB}))
		require.NoError(t, c.Preload(t.Context()))
		time.Sleep(12 * time.Hour)
		n.at(regionB).set(refuse)
		require.True(t, look(t, c, "one", "ES256").Complete) // refreshes the keys of region a
		time.Sleep(13 * time.Hour)
		r := look(t, c, "one", "ES256")
		require.Len(t, r.Keys, 1)
		require.False(t, r.Complete, "region b may list another key of that name")
	})
}

// A question to memory alone has nothing fetched: neither what is due nor what is not there.
func TestQuestionToMemoryFetchesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		n.at(keysURL).list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		memory := func(kid string) int {
			q := jwks.Query{Issuer: "https://idp.example/p", KeyID: kid, Algorithm: "ES256", CacheOnly: true}
			r := c.Lookup(t.Context(), q)
			synctest.Wait()
			return outcome(r, kid)
		}
		require.Equal(t, 503, memory("one"))
		require.Zero(t, n.at(keysURL).requests())
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		require.Equal(t, 401, memory("two"), "the answer is recent")
		time.Sleep(11 * time.Second)
		require.Equal(t, 503, memory("two"))
		time.Sleep(time.Hour)
		require.Equal(t, 200, memory("one"))
		require.Equal(t, 1, n.at(keysURL).requests())
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		synctest.Wait()
		require.Equal(t, 2, n.at(keysURL).requests(), "it was due")
	})
}
