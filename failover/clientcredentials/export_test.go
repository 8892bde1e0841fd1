package clientcredentials

import (
	"sync/atomic"

	"github.com/regionjwt/regionjwt/internal/clock"
)

// Skew makes the clocks of s run ahead of package time, by what the returned counters hold, in nanoseconds.
func (s *TokenSource) Skew() (mono, wall *atomic.Int64) {
	mono, wall = new(atomic.Int64), new(atomic.Int64)
	system := s.clock
	s.clock = func() clock.Time {
		now := system()
		return clock.Time{Mono: now.Mono + mono.Load(), Wall: now.Wall + wall.Load()}
	}
	return mono, wall
}

// Settle waits until no request is in progress.
func (s *TokenSource) Settle() { s.work.Wait() }
