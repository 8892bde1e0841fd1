package jwks

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// clock reads both clocks. It is the only way in which this package learns the time of keys.
type clock func() keystate.Time

func systemClock() clock {
	base := time.Now().Add(-time.Nanosecond) // no reading is zero
	return func() keystate.Time {
		t := time.Now()
		return keystate.Time{Mono: int64(t.Sub(base)), Wall: t.UnixNano()}
	}
}

// stamp is a Time that is read without a lock. A reader that meets a writer may see one clock's old reading beside the other's
// new one. Since then returns the greater age.
type stamp struct{ mono, wall atomic.Int64 }

func (s *stamp) load() keystate.Time { return keystate.Time{Mono: s.mono.Load(), Wall: s.wall.Load()} }

func (s *stamp) store(t keystate.Time) {
	s.mono.Store(t.Mono)
	s.wall.Store(t.Wall)
}

// jitter varies d by up to a tenth, so that the requests of many processes spread.
func (c *Cache) jitter(d time.Duration) time.Duration {
	return d + time.Duration((c.random()*0.2-0.1)*float64(d))
}

// random returns a number from 0 to 1. It is replaced in tests that must repeat.
func (c *Cache) random() float64 {
	if c.config.random != nil {
		return c.config.random()
	}
	return rand.Float64() //nolint:gosec // it only spreads requests
}
