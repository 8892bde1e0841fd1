package jwks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// A request that nobody waits for any longer fails after a later one to the same URL was answered. The URL is not failing then.
func TestFailureOfAnOlderRequestComesLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		a, b := n.at(regionA), n.at(regionB)
		a.list("one")
		b.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		time.Sleep(20 * time.Minute)
		a.set(func(s *server) { s.hangs = true })
		require.Equal(t, 200, ask(t.Context(), c, "p", "one")) // has the key set refreshed
		time.Sleep(600 * time.Millisecond)
		require.Equal(t, 1, b.requests(), "it has answered, and the round is over")
		a.set(heal)
		a.list("one", "two")
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		require.Equal(t, 3, a.requests())
		time.Sleep(3 * time.Second) // the request that hangs fails
		require.Zero(t, c.Status()[0].Failures)
		require.Equal(t, "fresh", c.Status()[0].State)
	})
}

// slowly heals a server 4.2 seconds after began, so that its next request is answered after 5.1 seconds.
func (s *server) slowly(began time.Time, delay time.Duration) {
	time.Sleep(time.Until(began.Add(4200 * time.Millisecond)))
	s.set(func(s *server) { s.hangs, s.delay = false, delay })
	time.Sleep(time.Until(began.Add(5200 * time.Millisecond)))
}

// A request that begins less than a second before its round ends has a second nevertheless.
func TestRequestThatBeginsLateHasItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		b := n.at(regionB)
		b.list("one")
		for _, url := range []string{regionA, regionB} {
			n.at(url).set(func(s *server) { s.hangs = true })
		}
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
		began := time.Now()
		require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
		b.slowly(began, 600*time.Millisecond)
		require.Equal(t, 4500*time.Millisecond, b.times()[b.requests()-1].Sub(began))
		require.NoError(t, c.Ready())
	})
}

// An answer that comes after its round misses a key that no other URL lists. It is asked for again a minute later.
func TestAnswerAfterItsRoundMissesAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		a, b := n.at(regionA), n.at(regionB)
		a.list("one")
		a.delay = 300 * time.Millisecond
		b.list("one", "two")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		time.Sleep(time.Minute)
		b.list("one")
		b.set(func(s *server) { s.hangs = true })
		began := time.Now()
		require.NotEqual(t, 401, ask(t.Context(), c, "p", "made-up"))
		b.slowly(began, 800*time.Millisecond)
		require.Equal(t, 4300*time.Millisecond, b.times()[b.requests()-1].Sub(began))
		require.Equal(t, "fresh", c.Status()[1].State)
		require.LessOrEqual(t, time.Until(jwks.NextRefresh(c, 1)), time.Minute)
	})
}
