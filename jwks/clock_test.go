package jwks_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// clocks are those of a process: the bubble's time, which stands still for a frozen one, and a wall clock that may be set.
type clocks struct {
	base time.Time
	wall atomic.Int64 // ahead of the bubble, in nanoseconds
}

func (c *clocks) read() (mono, wall int64) {
	return int64(time.Since(c.base)), time.Now().UnixNano() + c.wall.Load()
}

// withClocks runs f with a cache whose clocks can be changed.
func withClocks(t *testing.T, p issuer.Provider, f func(*testing.T, *servers, *jwks.Cache, *clocks)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, k := newServers(), &clocks{base: time.Now().Add(-time.Nanosecond)}
		c, err := jwks.NewWithClock(providers(p), jwks.Config{HTTPClient: n.Client()}, k.read, newDice(1).Float64)
		require.NoError(t, err)
		f(t, n, c, k)
	})
}

// A process was frozen for hours: its monotonic clock stood still and its timers are late. What is not too old serves at once,
// and is refreshed. What is too old waits for the refresh.
func TestThaw(t *testing.T) {
	withClocks(t, pool("p", []string{keysURL}), func(t *testing.T, n *servers, c *jwks.Cache, k *clocks) {
		s := n.at(keysURL)
		s.list("one")
		key := look(t, c, "one", "ES256").Keys[0]
		synctest.Wait()
		k.wall.Add(int64(5 * time.Hour))
		require.Equal(t, 5*time.Hour, key.Age())
		require.Zero(t, timed(func() { require.Same(t, key, look(t, c, "one", "ES256").Keys[0]) }))
		synctest.Wait()
		require.Equal(t, 2, s.requests())
		require.Zero(t, key.Age())
		s.set(func(s *server) { s.delay = time.Second })
		k.wall.Add(int64(25 * time.Hour))
		require.False(t, key.Valid())
		require.Equal(t, time.Second, timed(func() { require.Equal(t, 200, ask(t.Context(), c, "p", "one")) }))
		s.set(refuse)
		k.wall.Add(int64(25 * time.Hour))
		require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
	})
}

// The wall clock goes back a day: keys are not younger for it, and still end after MaxStale.
func TestClockGoesBack(t *testing.T) {
	withClocks(t, pool("p", []string{keysURL}), func(t *testing.T, n *servers, c *jwks.Cache, k *clocks) {
		s := n.at(keysURL)
		s.list("one")
		key := look(t, c, "one", "ES256").Keys[0]
		synctest.Wait()
		k.wall.Add(-int64(24 * time.Hour))
		require.Zero(t, key.Age(), "never negative")
		s.set(refuse)
		time.Sleep(23 * time.Hour)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		require.Equal(t, 23*time.Hour, key.Age())
		time.Sleep(2 * time.Hour)
		require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
		require.False(t, key.Valid())
		s.set(heal)
		require.LessOrEqual(t, until(t, c, "p", "one"), 11*time.Second)
	})
}

// The wall clock was hours ahead and is set right: nothing is lost, and refreshes go on.
func TestClockWasAhead(t *testing.T) {
	withClocks(t, pool("p", []string{keysURL}), func(t *testing.T, n *servers, c *jwks.Cache, k *clocks) {
		s := n.at(keysURL)
		s.list("one")
		k.wall.Store(int64(10 * time.Hour))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		k.wall.Store(0)
		for range 4 {
			time.Sleep(17 * time.Minute)
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			synctest.Wait()
		}
		require.Equal(t, 5, s.requests())
		s.list("one", "two")
		require.Zero(t, timed(func() { require.Equal(t, 200, ask(t.Context(), c, "p", "two")) }))
	})
}

// The wall clock is set back between two regions' answers: what was answered before stays answered before, so that no region
// is asked again and again to find out whose key it is.
func TestClockSetBackIsNoFlood(t *testing.T) {
	withClocks(t, pool("p", []string{regionA}, []string{regionB}), func(t *testing.T, n *servers, c *jwks.Cache, k *clocks) {
		a, b := n.at(regionA), n.at(regionB)
		a.list("one")
		b.list("two")
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		time.Sleep(time.Minute)
		k.wall.Add(-int64(time.Hour))
		for range 20 { // both are refreshed
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			time.Sleep(time.Minute)
		}
		a.list("one", "three")
		require.Equal(t, 200, ask(t.Context(), c, "p", "three"))
		time.Sleep(time.Minute)
		before := b.requests()
		for range 600 {
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, b.requests()-before, 3)
	})
}
