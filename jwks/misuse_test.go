package jwks_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// Run may run twice, end, and run again. Without it, sets are fetched on use.
func TestRunTwiceAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		why := errors.New("shutdown")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 2)
		for range 2 {
			go func() { ended <- c.Run(ctx) }()
		}
		time.Sleep(time.Second)
		require.Equal(t, 1, s.requests(), "Run fetches ahead, once")
		time.Sleep(time.Hour)
		require.InDelta(t, 5, s.requests(), 1, "and refreshes, once")
		cancel(why)
		for range 2 {
			require.ErrorIs(t, <-ended, why)
		}
		before := s.requests()
		time.Sleep(time.Hour)
		require.Equal(t, before, s.requests(), "no refresh after the end of Run")
		s.list("one", "two")
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"), "and a token still has its key fetched")
		require.ErrorIs(t, c.Run(ctx), why, "Run returns at once if its context has ended")
		again, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		before = s.requests()
		require.ErrorIs(t, c.Run(again), context.DeadlineExceeded)
		require.Greater(t, s.requests(), before+2)
	})
}

// The zero Cache answers "cannot tell", and says why.
func TestZeroCache(t *testing.T) {
	t.Parallel()
	var c jwks.Cache
	r := c.Lookup(t.Context(), jwks.Query{Issuer: "https://idp.example/p", KeyID: "one", Algorithm: "ES256"})
	require.Equal(t, 503, outcome(r, "one"))
	require.Positive(t, r.RetryAfter)
	for name, err := range map[string]error{
		"Lookup": r.Err, "Run": c.Run(t.Context()), "Preload": c.Preload(t.Context()), "Ready": c.Ready(), "Update": c.Update(nil),
	} {
		require.ErrorContains(t, err, "not made by New", name)
	}
	require.Empty(t, c.Status())
	select {
	case <-c.Changed():
		t.Fatal("nothing changes")
	default:
	}
}

// A caller who gives up, or has given up already, hurts nobody else.
func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		s.set(func(s *server) { s.delay = 500 * time.Millisecond })
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		good := make(chan int, 1)
		go func() { good <- ask(t.Context(), c, "p", "one") }()
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			began := time.Now()
			r := c.Lookup(ctx, jwks.Query{Issuer: "https://idp.example/p", KeyID: "one", Algorithm: "ES256"})
			cancel()
			if len(r.Keys) == 0 {
				require.ErrorIs(t, r.Err, context.DeadlineExceeded)
				require.False(t, r.Complete)
				require.LessOrEqual(t, time.Since(began), 10*time.Millisecond)
			}
		}
		require.Equal(t, 200, <-good)
		require.Equal(t, 1, s.requests())
	})
}

// The problems of several documents are told in the order of their issuers, so that two runs say the same.
func TestNewStaticTellsProblemsInOrder(t *testing.T) {
	t.Parallel()
	sets := map[string][]byte{}
	for _, iss := range []string{"c", "a", "e", "b", "d"} {
		sets[iss] = []byte("{}")
	}
	_, err := jwks.NewStatic(sets)
	require.Error(t, err)
	var told []string
	for line := range strings.Lines(err.Error()) {
		told = append(told, strings.Split(line, `"`)[1])
	}
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, told)
}
