package clientcredentials_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/tokenwatch"
)

// A watcher sees each request, those of exchanges as well, until it stops; one that panics is no reason for another not to, or for
// a caller to have no token. The state is that of the token in memory.
func TestRequestsAreWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.source(t, nil)
		require.Equal(t, tokenwatch.Status{Provider: "tenant", Regional: true}, tokenwatch.StatusOf(s))
		defer tokenwatch.Watch(s, func(tokenwatch.Request) { panic("s3cret") })()
		var seen []tokenwatch.Request
		stop := tokenwatch.Watch(s, func(r tokenwatch.Request) { seen = append(seen, r) })
		w.set(east, status(503))
		tok := have(t, s, west, 0)
		synctest.Wait()
		require.ElementsMatch(t, []tokenwatch.Request{{Region: east, Failure: "status 503"}, {Region: west}}, seen)
		require.Equal(t, tokenwatch.Status{Provider: "tenant", Regional: true, Region: west, Expires: tok.Expiry()}, tokenwatch.StatusOf(s))

		seen = nil
		w.set(west, reply{after: time.Second})
		_, err := s.Exchange(t.Context(), clientcredentials.Exchange{SubjectToken: "abc"})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, []tokenwatch.Request{{Region: west, Duration: time.Second}}, seen)
		require.Equal(t, tok.Expiry(), tokenwatch.StatusOf(s).Expires)

		seen = nil
		stop()
		stop()
		time.Sleep(2 * time.Hour)
		require.False(t, tokenwatch.StatusOf(s).Expires.After(time.Now()))
		have(t, s, west, time.Second)
		synctest.Wait()
		require.Empty(t, seen)

		for _, none := range []any{nil, s.Token, (*clientcredentials.TokenSource)(nil), &clientcredentials.TokenSource{}} {
			tokenwatch.Watch(none, nil)()
			require.Zero(t, tokenwatch.StatusOf(none))
		}
	})
}
