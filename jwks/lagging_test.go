package jwks_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// A URL that lags brings a withdrawn key back, as a token with it has the URL asked. The key goes for good once the URL has
// caught up: every refresh asks that URL as long as it alone lists the key.
func TestKeyThatALaggingMirrorBroughtBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		a, b := n.at(regionA), n.at(regionB)
		a.list("old")
		b.list("old")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = c.Run(ctx) }()
		require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
		a.list("new")
		require.Equal(t, 200, ask(t.Context(), c, "p", "new"))
		time.Sleep(time.Hour)
		key := look(t, c, "old", "ES256").Keys[0]
		require.True(t, key.Valid(), "a URL still lists it")
		b.list("new")
		time.Sleep(40 * time.Minute)
		require.False(t, key.Valid())
		require.NotEqual(t, 200, ask(t.Context(), c, "p", "old"))
		got := 0
		for range 24 {
			got = ask(t.Context(), c, "p", "old")
			require.NotEqual(t, 200, got)
			time.Sleep(time.Minute)
		}
		require.Equal(t, 401, got)
	})
}

// Two regions that list a new key at every fetch do not drive each other to more than a fetch in ten seconds. One is refreshed
// each minute, so that its answers come at other times than those of the other one.
func TestRegionsDoNotChaseEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		for url, header := range map[string]http.Header{regionA: nil, regionB: {"Cache-Control": {"max-age=60"}}} {
			var answers atomic.Int64
			n.at(url).set(func(s *server) {
				s.answer = func(r *http.Request) *http.Response {
					kid := fmt.Sprintf("new-%s-%d", url, answers.Add(1))
					return response(r, http.StatusOK, header, document([]string{"one", kid}, nil))
				}
			})
		}
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA}, []string{regionB}))
		for range 600 {
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			time.Sleep(time.Second)
		}
		for _, url := range []string{regionA, regionB} {
			require.Greater(t, n.at(url).requests(), 30, "the key of one region has the other one asked")
			require.LessOrEqual(t, n.at(url).requests(), 5+60+2)
		}
	})
}
