package health

import (
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
)

// target returns where to move without an operator, and why, or -1 to stay. From an unhealthy region it is the first healthy one,
// or else the first unknown one. From another region it is a preferred one that is healthy, and of which no failure was just
// reported.
func (s *State) target(now time.Time) (to int, cause string) {
	if s.Regions[s.Active].Health == label.Unhealthy {
		to := s.first(label.Healthy, len(s.Regions), (*Region).enterable)
		if to < 0 {
			to = s.first(label.Unknown, len(s.Regions), (*Region).enterable)
		}
		return to, Failed
	}
	steady := func(r *Region) bool { return r.preferable() && r.doubted(now, &s.Rules).IsZero() }
	to = s.first(label.Healthy, s.Active, steady)
	if s.released { // the pin was all that kept the region
		return to, s.Cause
	}
	return to, Recovered
}

// first is the first of the regions before an index with a health and a property that is not active, or -1.
func (s *State) first(health string, before int, is func(*Region) bool) int {
	for i := range s.Regions[:before] {
		if r := &s.Regions[i]; i != s.Active && r.Health == health && is(r) {
			return i
		}
	}
	return -1
}

func (r *Region) enterable() bool  { return r.hold.IsZero() }
func (r *Region) preferable() bool { return r.hold.IsZero() && r.prefer.IsZero() }

// doubted is until when r is not returned to because a reporter has just reported a failure, if that reporter reports no success;
// the zero time if there was none.
func (r *Region) doubted(now time.Time, rules *Rules) (until time.Time) {
	return ahead(r.doubt(rules), now)
}

// doubt is doubted, or a time that has passed.
func (r *Region) doubt(rules *Rules) (until time.Time) {
	for i := range r.Reporters {
		s := &r.Reporters[i]
		if t := s.failedAt.Add(rules.HoldDown); s.Failures > 0 && t.After(until) {
			until = t
		}
	}
	return until
}

// move makes another region active.
func (s *State) move(to int, cause string, at Moment) {
	s.from, s.entry = s.Active, s.Regions[to].Health
	left, entered := &s.Regions[s.Active], &s.Regions[to]
	s.reason = entered.Reason
	if cause == Failed {
		s.reason = left.Reason
		left.holdDown(at, &s.Rules)
	}
	if !entered.failed.IsZero() {
		entered.returned = at.Now
	}
	s.Active, s.Since, s.Cause = to, at.Now, cause
}

// holdDown begins the time for which a region that failed is not entered.
func (r *Region) holdDown(at Moment, rules *Rules) {
	if soon := !r.returned.IsZero() && at.Now.Sub(r.returned) < times(maxHolds, rules.HoldDown); soon {
		r.holds++
	} else {
		r.holds = 0
	}
	spread := time.Duration(at.Spread * float64(rules.HoldDown) / 10)
	r.hold = at.Now.Add(rules.HoldDown).Add(spread) // a sum of durations may overflow
	r.prefer = at.Now.Add(times(holds(r.holds), rules.HoldDown)).Add(spread)
}

// holds is how many times HoldDown a return takes of a region that failed soon after its return n times in a row.
func holds(n int) int { return min(1<<min(n, maxHolds), maxHolds) }

// times multiplies a duration, and stays below the longest one.
func times(n int, d time.Duration) time.Duration {
	const longest = time.Duration(1<<63 - 1)
	if d > longest/time.Duration(n) {
		return longest
	}
	return time.Duration(n) * d
}

// Pin is what an operator decided.
type Pin struct {
	Region  string
	Made    bool      // it pins Region; otherwise it ends a pin
	InForce bool      // it has not expired
	At      time.Time // when it was made
	Expires time.Time
}

// Follow returns the state after a pin, or after its end or expiry.
func (s State) Follow(p Pin) State {
	to := s.Index(p.Region)
	if to < 0 {
		return s
	}
	s = s.copied()
	was := s.Pinned
	s.Pinned = p.Made && p.InForce
	s.released = was && !s.Pinned
	moves := to != s.Active && (s.Pinned || !p.Made && !s.Rules.Automatic)
	if moves {
		r := &s.Regions[to]
		r.hold, r.prefer, r.holds, r.returned = time.Time{}, time.Time{}, 0, time.Time{}
		s.Active, s.entry = to, r.Health
	}
	switch {
	case s.Pinned:
		s.because(Pinned, p.At)
	case p.Made && was:
		s.because(Expired, p.Expires)
	case !p.Made && (was || moves || to == s.Active && s.Cause != Failed && s.Cause != Recovered):
		s.because(Unpinned, p.At)
	}
	return s
}

// because notes that a pin, or its end, is why the active region is active.
func (s *State) because(cause string, since time.Time) {
	s.Cause, s.Since, s.from, s.reason = cause, since, -1, Reason{}
}
