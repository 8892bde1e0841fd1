package jwks_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

// clocks are those of a process: the bubble's time, as far as it was not frozen, and a wall clock that may be set.
type clocks struct {
	base time.Time
	wall atomic.Int64 // ahead of the bubble, in nanoseconds
}

func (c *clocks) read() (mono, wall int64) {
	return int64(time.Since(c.base)), time.Now().UnixNano() + c.wall.Load()
}

// withClocks runs f with a cache whose clocks can be changed.
func withClocks(t *testing.T, f func(*testing.T, world, *clocks)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
		c := &clocks{base: time.Now()}
		cache, err := jwks.NewWithClock(jwks.Config{Authorities: authorities(w), Client: w.Client()}, c.read)
		require.NoError(t, err)
		defer func() { _ = cache.Close() }()
		f(t, world{World: w, Cache: cache, t: t}, c)
	})
}

// A function that was frozen for hours: its monotonic clock stood still, its timers are late. What is not too old serves
// at once, and is refreshed.
func TestThaw(t *testing.T) {
	withClocks(t, func(t *testing.T, w world, c *clocks) {
		key := w.mustHave(east)
		c.wall.Add(int64(5 * time.Hour))
		within(t, 0, func() { require.Same(t, key, w.mustHave(east)) })
		synctest.Wait()
		require.Equal(t, 2, w.Fetches(east))
		require.Zero(t, key.Age())
		w.Slow(east, time.Second)
		c.wall.Add(int64(25 * time.Hour))
		within(t, time.Second, func() { w.mustHave(east) }) // too old: it waits for new ones
		w.Break(east)
		c.wall.Add(int64(25 * time.Hour))
		_, err := w.ask(east)
		require.ErrorIs(t, err, jwks.ErrUnavailable)
	})
}

// The wall clock goes back a day: keys are not younger for it, and still end after MaxStale.
func TestClockGoesBack(t *testing.T) {
	withClocks(t, func(t *testing.T, w world, c *clocks) {
		key := w.mustHave(east)
		c.wall.Add(-int64(24 * time.Hour))
		require.Zero(t, key.Age(), "never negative")
		w.Break(east)
		time.Sleep(23 * time.Hour)
		require.Equal(t, 23*time.Hour, w.mustHave(east).Age())
		time.Sleep(2 * time.Hour)
		_, err := w.ask(east)
		require.ErrorIs(t, err, jwks.ErrUnavailable)
		w.Mend(east)
		time.Sleep(time.Minute)
		w.mustHave(east)
	})
}

// The wall clock is set right after it was hours ahead: nothing is lost, and refreshes go on.
func TestClockWasAhead(t *testing.T) {
	withClocks(t, func(t *testing.T, w world, c *clocks) {
		c.wall.Store(int64(10 * time.Hour))
		w.mustHave(east)
		c.wall.Store(int64(0))
		for range 4 {
			time.Sleep(17 * time.Minute)
			w.mustHave(east)
			synctest.Wait()
		}
		require.Equal(t, 5, w.Fetches(east))
		w.Rotate(east)
		within(t, 0, func() { w.mustHave(east) })
	})
}
