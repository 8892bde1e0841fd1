package jwks_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// After Run has returned, the cache works as it does without Run: a new key is fetched when a token needs it, and a set that is
// due is refreshed when it is used. A caller that waited for a fetch when Run ended gets its key all the same.
func TestAfterRunHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		synctest.Wait()
		s.list("one", "two")
		s.set(func(s *server) { s.delay = time.Second })
		waited := make(chan int, 1)
		go func() { waited <- ask(t.Context(), c, "p", "two") }()
		time.Sleep(500 * time.Millisecond)
		stop()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Equal(t, 200, <-waited)
		s.set(func(s *server) { s.delay = 0 })

		for _, kid := range []string{"three", "four", "five"} {
			time.Sleep(time.Minute)
			s.list("one", kid)
			require.Equal(t, 200, ask(t.Context(), c, "p", kid))
		}
		before := s.requests()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, before, s.requests(), "nobody asks while no token comes")
		began := time.Now()
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		require.Zero(t, time.Since(began))
		synctest.Wait()
		require.Equal(t, before+1, s.requests(), "the set is refreshed when it is used")
	})
}
