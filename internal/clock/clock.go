// Package clock reads the monotonic and the wall clock together, for ages that neither a frozen process nor a clock that is
// set may change.
package clock

import (
	"sync/atomic"
	"time"
)

// Clock reads both clocks.
type Clock func() Time

// System returns the clock of the process. No reading is the zero Time.
func System() Clock {
	base := time.Now().Add(-time.Nanosecond)
	return func() Time {
		t := time.Now()
		return Time{Mono: int64(t.Sub(base)), Wall: t.UnixNano()}
	}
}

// Time is a reading of two clocks, in nanoseconds. The monotonic clock stands still while a process is frozen. The wall clock can
// be set. The zero Time means "never".
type Time struct{ Mono, Wall int64 }

// IsZero reports whether t is the zero Time.
func (t Time) IsZero() bool { return t == Time{} }

// Since returns the larger elapsed time of both clocks from u to t, never negative. It serves comparisons in which the longer
// time leads to "cannot tell".
func (t Time) Since(u Time) time.Duration { return time.Duration(max(t.Mono-u.Mono, t.Wall-u.Wall, 0)) }

// Lived returns the elapsed monotonic time from u to t, never negative. It serves comparisons in which the longer time leads to
// "rejected".
func (t Time) Lived(u Time) time.Duration { return time.Duration(max(t.Mono-u.Mono, 0)) }

// Add returns t plus d on both clocks.
func (t Time) Add(d time.Duration) Time { return Time{t.Mono + int64(d), t.Wall + int64(d)} }

// Reached reports whether either clock has reached at.
func (t Time) Reached(at Time) bool { return t.Mono >= at.Mono || t.Wall >= at.Wall }

// Until returns the time until either clock reaches at, never negative.
func (t Time) Until(at Time) time.Duration {
	return time.Duration(max(0, min(at.Mono-t.Mono, at.Wall-t.Wall)))
}

// After reports whether t is later than u by the monotonic clock.
func (t Time) After(u Time) bool { return t.Mono > u.Mono || t.Mono == u.Mono && t.Wall > u.Wall }

// NotBefore returns t, but on no clock earlier than u.
func (t Time) NotBefore(u Time) Time { return Time{max(t.Mono, u.Mono), max(t.Wall, u.Wall)} }

// Sooner returns the earlier of two times, by each clock, of which the zero Time is none.
func Sooner(t, u Time) Time {
	switch {
	case t.IsZero():
		return u
	case u.IsZero():
		return t
	}
	return Time{min(t.Mono, u.Mono), min(t.Wall, u.Wall)}
}

// Later returns the later of two times, of which the zero Time is none.
func Later(t, u Time) Time {
	if t.IsZero() || !u.IsZero() && u.After(t) {
		return u
	}
	return t
}

// Stamp is a Time that is read without a lock. A reader that meets a writer may see one clock's old reading beside the
// other's new one. Since then returns the greater age.
type Stamp struct{ mono, wall atomic.Int64 }

// Load returns the time.
func (s *Stamp) Load() Time { return Time{Mono: s.mono.Load(), Wall: s.wall.Load()} }

// Store sets the time.
func (s *Stamp) Store(t Time) {
	s.mono.Store(t.Mono)
	s.wall.Store(t.Wall)
}
