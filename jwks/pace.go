package jwks

import (
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
)

const (
	burst        = 5                // rounds that unknown keys may cause at once
	slowest      = 10 * time.Second // between rounds, whatever they found
	growAfter    = time.Minute      // of rounds that find nothing, until their interval grows
	growBy       = 24               // it is this part of the time since then
	repeats      = 3                // times that a key is asked for within repeatTime, to be asked for beyond the burst
	repeatTime   = 10 * time.Second
	mismatchTime = time.Minute // between rounds that wrong signatures cause

	// limitedTime is how long a host that rejects requests in a flood of tokens must have answered none well to have failed. It
	// is so long that a host that answers some of the requests has answered one.
	limitedTime = time.Minute
	coldTime    = 30 * time.Second

	maxPlaces   = 1024 // distinct keys of one iss that callers wait for
	morePlaces  = 64   // the same, for keys that were asked for at least twice within repeatTime
	maxAsked    = 1024 // keys of one iss that are remembered as asked for, once and repeatedly each
	forgetAsked = time.Minute
)

// pace decides when rounds of one set may start for callers. The set's mutex guards it.
type pace struct {
	spent     float64    // of the burst
	refilled  clock.Time // when spent was last brought up to date
	caused    clock.Time // when an unknown key last caused requests
	fruitless clock.Time // since when rounds for unknown keys have found nothing; zero if the last one found its key
	repeated  clock.Time // when a round last began for a key that was asked for again and again
	mismatch  clock.Time // when a wrong signature last caused a round

	failed    int        // rounds in a row without a good answer
	failing   clock.Time // when the first of them began
	slow      int        // of them, those after coldTime
	requested clock.Time // when the last request of a round began
	urgent    clock.Time // when the last round began that somebody waited for
	before    clock.Time // when the one before that began
	resting   clock.Time // until when no refresh begins
}

// paced returns the pace of the set to be changed. The caller holds the set's mutex.
func (s *set) paced() *pace {
	if s.pace == nil {
		s.pace = &pace{}
	}
	return s.pace
}

// charge takes one round off the burst.
func (p *pace) charge(now clock.Time) {
	if p.spent == 0 {
		p.refilled = now
	}
	p.spent++
}

// idle reports whether nothing that p says matters any longer.
func (p *pace) idle(least time.Duration, now clock.Time) bool {
	if p == nil {
		return true
	}
	p.wait(least, now)
	old := func(t clock.Time) bool { return t.IsZero() || now.Since(t) >= mismatchTime }
	return p.failed == 0 && p.spent == 0 && p.fruitless.IsZero() && p.resting.IsZero() && !p.flooded(now) && old(p.urgent) &&
		old(p.repeated) && old(p.mismatch)
}

// flooded reports whether unknown keys have caused requests lately.
func (p *pace) flooded(now clock.Time) bool {
	return p != nil && !p.caused.IsZero() && now.Since(p.caused) < limitedTime
}

// failures returns the number of rounds in a row without a good answer.
func (p *pace) failures() int {
	if p == nil {
		return 0
	}
	return p.failed
}

// turn returns when the round before the last one began that somebody waited for.
func (p *pace) turn() clock.Time {
	if p == nil {
		return clock.Time{}
	}
	return p.before
}

// rests reports whether a failed round has put off the refresh, and rest for how much longer.
func (p *pace) rests() bool { return p != nil && !p.resting.IsZero() }

func (p *pace) rest(now clock.Time) time.Duration {
	if !p.rests() {
		return 0
	}
	return now.Until(p.resting)
}

// waitMismatch is the time until a wrong signature may cause a round.
func (p *pace) waitMismatch(now clock.Time) time.Duration {
	if p == nil || p.mismatch.IsZero() {
		return 0
	}
	return max(0, mismatchTime-now.Since(p.mismatch))
}

// interval is the time between two rounds that unknown keys cause: least at first, and up to slowest while they find nothing.
func (p *pace) interval(least time.Duration, now clock.Time) time.Duration {
	if p.fruitless.IsZero() {
		return least
	}
	return min(max((now.Since(p.fruitless)-growAfter)/growBy, least), max(slowest, least))
}

// wait is the time until the burst allows another round.
func (p *pace) wait(least time.Duration, now clock.Time) time.Duration {
	if p == nil {
		return 0
	}
	every := p.interval(least, now)
	p.spent = max(0, p.spent-float64(now.Since(p.refilled))/float64(every))
	p.refilled = now
	if p.spent == 0 {
		p.fruitless = clock.Time{}
	}
	return time.Duration(max(0, p.spent+1-burst-1e-9) * float64(every))
}

// waitRepeated is the time until a round may start for a key that is asked for again and again.
func (p *pace) waitRepeated(now clock.Time) time.Duration {
	if p == nil || p.repeated.IsZero() {
		return 0
	}
	return max(0, p.interval(time.Second, now)-now.Since(p.repeated))
}

// waitFailed is the time until a round may start for a caller after rounds without a good answer.
func (p *pace) waitFailed(usable bool, now clock.Time) time.Duration {
	if p.failures() == 0 {
		return 0
	}
	space := min(backOff(p.failed), 2*time.Second)
	if !usable {
		space = min(time.Second<<min(p.slow, 4), slowest)
	}
	return max(0, space-now.Since(p.requested))
}

// ended notes the end of a round.
func (p *pace) ended(r *round, now clock.Time) {
	if r.good {
		p.failed, p.slow, p.resting = 0, 0, clock.Time{}
	} else {
		if !r.requested.IsZero() {
			p.requested = r.requested
		}
		if p.failed == 0 {
			p.failing = r.began
		}
		p.failed++
		if now.Since(p.failing) >= coldTime {
			p.slow++
		}
	}
	switch {
	case r.found:
		p.fruitless = clock.Time{}
	case r.charged && p.fruitless.IsZero():
		p.fruitless = r.began
	}
}
