package jwks

import (
	"sync/atomic"
	"time"
)

// instant is a reading of both clocks, in nanoseconds. The monotonic clock stands still while a process is frozen, the
// wall clock may be set; the age of a key must not be fooled by either.
type instant struct{ mono, wall int64 }

// since is the larger of the monotonic and the wall time that has passed from t to now, and never negative.
func (now instant) since(t instant) time.Duration {
	return time.Duration(max(now.mono-t.mono, now.wall-t.wall, 0))
}

func (now instant) plus(d time.Duration) instant {
	return instant{now.mono + int64(d), now.wall + int64(d)}
}

// reached reports whether at is past by either clock.
func (now instant) reached(at instant) bool { return now.mono >= at.mono || now.wall >= at.wall }

// until is the time until at is reached; 0 once it is.
func (now instant) until(at instant) time.Duration {
	return time.Duration(max(0, min(at.mono-now.mono, at.wall-now.wall)))
}

// clock reads the clocks; it is the only way in which this package learns the time.
type clock func() instant

func systemClock() clock {
	base := time.Now()
	return func() instant {
		t := time.Now()
		return instant{mono: int64(t.Sub(base)), wall: t.UnixNano()}
	}
}

// stamp is an instant that is read without a lock. A reader that meets a writer may see one clock's old reading beside
// the other's new one; since then errs on the side of the greater age.
type stamp struct{ mono, wall atomic.Int64 }

func (s *stamp) load() instant { return instant{s.mono.Load(), s.wall.Load()} }

func (s *stamp) store(t instant) {
	s.mono.Store(t.mono)
	s.wall.Store(t.wall)
}

// sighting is when a key was last listed.
type sighting struct {
	stamp
	fetched atomic.Bool // by an answer to this process; before that, a snapshot tells
}

func (s *sighting) fetch(t instant) {
	s.store(t)
	s.fetched.Store(true)
}

// bucket is a token bucket; its owner's mutex guards it.
type bucket struct {
	burst int
	every time.Duration
	spent float64 // tokens taken and not yet refilled
	last  instant
}

func (b *bucket) refill(now instant) {
	b.spent = max(0, b.spent-float64(now.since(b.last))/float64(b.every))
	b.last = now
}

func (b *bucket) take(now instant) bool {
	b.refill(now)
	if b.spent+1 > float64(b.burst)+1e-9 {
		return false
	}
	b.spent++
	return true
}

func (b *bucket) giveBack() { b.spent = max(0, b.spent-1) }

// wait is the time until take can succeed.
func (b *bucket) wait(now instant) time.Duration {
	b.refill(now)
	missing := b.spent + 1 - float64(b.burst)
	return time.Duration(max(0, missing) * float64(b.every))
}
