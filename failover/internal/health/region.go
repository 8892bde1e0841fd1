package health

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
)

// reporter returns the record of a reporter; those that find no room share the last one.
func (r *Region) reporter(name string) *Reporter {
	for i := range r.Reporters {
		if r.Reporters[i].Name == name {
			return &r.Reporters[i]
		}
	}
	if len(r.Reporters) < maxReporters {
		r.Reporters = append(r.Reporters, Reporter{Name: name, Health: label.Unknown})
	}
	return &r.Reporters[len(r.Reporters)-1]
}

// count counts a signal, and reports whether it changed anything but times.
func (r *Region) count(g *Signal, now time.Time, rules *Rules) bool {
	s := r.reporter(g.Reporter)
	began, started := now, now
	if !g.Began.IsZero() {
		// A time without a monotonic reading is compared with the wall clock once, here: it may be set later.
		began, started = now.Add(-now.Sub(g.Began)), g.Began
		if started.Equal(s.started) || began.Sub(now) > maxAhead {
			return false
		}
	}
	late := began.Before(s.began) || began.Before(s.since)
	if late || g.Failed && began.Before(r.recovered) {
		return false
	}
	if g.Failed && g.Lasts > 0 && !now.Before(began.Add(g.Lasts)) {
		return false // a verdict that has ended
	}
	s.began, s.started, s.Last = began, started, now
	if g.Failed {
		return r.countFailure(s, g, now, rules)
	}
	return r.countSuccess(s, now, rules)
}

// countSuccess counts a success that s reports.
func (r *Region) countSuccess(s *Reporter, now time.Time, rules *Rules) bool {
	steady := s.Health == label.Healthy && s.Failures == 0 && !r.ill
	s.Failures = 0
	if now.Sub(s.okAt) < countEvery {
		return false
	}
	s.okAt = now
	if steady {
		return false
	}
	s.Successes = min(s.Successes+1, rules.Threshold)
	if s.began.After(r.failed) {
		if s.proofs == 0 {
			s.firstOK = s.began
		}
		s.proofs = min(s.proofs+1, rules.Threshold)
	}
	if s.Health == label.Unknown || s.Health == label.Unhealthy && s.Successes >= rules.Threshold {
		s.Health, s.since = label.Healthy, now
	}
	return true
}

// countFailure counts a failure that s reports.
func (r *Region) countFailure(s *Reporter, g *Signal, now time.Time, rules *Rules) bool {
	s.Successes, s.proofs = 0, 0
	if g.Lasts <= 0 && now.Sub(s.failedAt) < countEvery {
		return false
	}
	if s.Failures == 0 {
		s.from = s.began
	}
	s.Failures, s.Failure, s.to, s.failedAt, s.ends = s.Failures+1, g.Failure, s.began, now, time.Time{}
	s.row = s.Failures
	if g.Lasts > 0 {
		s.ends = s.began.Add(g.Lasts)
	}
	if s.Health != label.Unhealthy && (s.Failures >= rules.Threshold || g.Lasts > 0) {
		s.Health, s.since = label.Unhealthy, now
	}
	if s.Health == label.Unhealthy {
		if s.began.After(r.failed) {
			r.failed = s.began
		}
		for i := range r.Reporters {
			r.Reporters[i].proofs = 0
		}
	}
	return true
}

// until is how long the view of a reporter lasts that the region is unhealthy: until the end of its verdict, if that is one.
func (s *Reporter) until(rules *Rules) time.Time {
	if !s.ends.IsZero() {
		return s.ends
	}
	return s.failedAt.Add(rules.HoldDown)
}

// expired reports whether a reporter's view that r is unhealthy has ended, and update has not been called since.
func (r *Region) expired(now time.Time, rules *Rules) bool {
	return slices.ContainsFunc(r.Reporters, func(s Reporter) bool {
		return s.Health == label.Unhealthy && !now.Before(s.until(rules))
	})
}

// update brings the health of r up to date with its reporters. It returns when the health may change by itself; the zero Time if
// it will not.
func (r *Region) update(now time.Time, rules *Rules) (next time.Time) {
	var worst, best, expired *Reporter
	for i := range r.Reporters {
		s := &r.Reporters[i]
		if until := s.until(rules); s.Health == label.Unhealthy && now.Before(until) {
			next = earlier(next, until)
			if worst == nil || s.since.After(worst.since) {
				worst = s
			}
			continue
		}
		if s.Health == label.Unhealthy { // its last failure is too old to count
			s.Health, s.Failures = label.Unknown, 0
			if expired == nil || s.failedAt.After(expired.failedAt) {
				expired = s
			}
		}
		proven := s.Health == label.Healthy && (!r.ill || s.proofs >= rules.Threshold)
		if proven && (best == nil || s.okAt.After(best.okAt)) {
			best = s
		}
	}
	switch {
	case worst != nil:
		why := Reason{worst.Name, worst.Failure, worst.row, worst.from, worst.to, !worst.ends.IsZero()}
		r.become(label.Unhealthy, why, now)
	case best != nil:
		r.become(label.Healthy, Reason{Reporter: best.Name, From: best.firstOK, To: best.began}, now)
	case expired != nil:
		r.become(label.Unknown, Reason{Reporter: expired.Name, To: expired.to, Verdict: !expired.ends.IsZero()}, now)
	default:
		r.become(label.Unknown, Reason{}, now)
	}
	return next
}

// become sets the health of r.
func (r *Region) become(health string, why Reason, now time.Time) {
	if health == r.Health {
		if health == label.Unhealthy {
			r.Reason = why // for a move that comes later
		}
		return
	}
	r.Health, r.Since, r.Reason = health, now, why
	switch health {
	case label.Unhealthy:
		r.ill = true
	case label.Healthy:
		r.ill, r.recovered = false, now
		for i := range r.Reporters {
			r.Reporters[i].Failures = 0
		}
	}
}

// Verdict is the error that a monitor reports about a region: a failure that decides alone, and ends.
type Verdict struct{ Lasts time.Duration } //nolint:errname // it is what a monitor says

// Error implements error.
func (Verdict) Error() string { return "failover: a monitor says that the region is unhealthy" }

// Failure is the label.
func (Verdict) Failure() string { return "verdict" }
