package clientcredentials

import "time"

// instant is a reading of both clocks, in nanoseconds. The monotonic clock stands still while a process is frozen, the wall
// clock may be set; the age of a token must not be fooled by either.
type instant struct{ mono, wall int64 }

// since is the larger of the monotonic and the wall time that has passed from t to now, and never negative.
func (now instant) since(t instant) time.Duration {
	return time.Duration(max(now.mono-t.mono, now.wall-t.wall, 0))
}

// left is what is left at now of d, which began at t.
func (now instant) left(t instant, d time.Duration) time.Duration { return max(0, d-now.since(t)) }

// clock reads both clocks. The age of a token and of what is known of a region comes from it.
type clock func() instant

func systemClock() clock {
	base := time.Now()
	return func() instant {
		t := time.Now()
		return instant{mono: int64(t.Sub(base)), wall: t.UnixNano()}
	}
}
