package failover

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
)

// Bounds that are not configured.
const (
	countEvery   = time.Second // reports of one reporter of one kind count once in that time
	maxReporters = 16          // of one region
)

// region is what is known of one region.
//
// Its health follows three rules. A reporter that has reported Threshold failures in a row makes it unhealthy, until that
// reporter has recovered or has reported no failure for HoldDown. After that it is healthy again only by Threshold successes of
// one reporter in a row, all of requests that began after the last of those failures; until then it is unknown. And what failed
// before it became healthy never counts afterwards. So time and successes only improve a health.
type region struct {
	name      string
	health    string
	reason    reason // of health
	reporters []*reporter
	holdDown  time.Time // until when it is not entered by itself

	ill       bool      // it was unhealthy, and has not been healthy since
	failed    time.Time // when the latest failure of a reporter began that made the region unhealthy, or kept it so
	recovered time.Time // when it last became healthy
}

// reason says which reporter changed a health, and by what.
type reason struct {
	reporter string
	failure  string // label of the last failure
	failures int    // in a row
}

// reporter is what one reporter says of a region.
type reporter struct {
	name                string
	health              string
	since               time.Time // when its reports last changed health
	failures, successes int       // in a row
	proofs              int       // successes in a row of requests that began after region.failed
	failure             string    // label of the last failure
	began               time.Time // when the latest request began whose outcome is known
	started             time.Time // the same, as it was reported
	last                time.Time // when it last reported anything
	failedAt, okAt      time.Time // when a failure, and a success, last counted
}

func (c *Controller) region(name string) *region {
	for _, r := range c.regions {
		if r.name == name {
			return r
		}
	}
	return nil
}

func (r *region) reporter(name string) *reporter {
	for _, s := range r.reporters {
		if s.name == name {
			return s
		}
	}
	if len(r.reporters) == maxReporters {
		return r.reporters[maxReporters-1]
	}
	s := &reporter{name: name, health: label.Unknown}
	r.reporters = append(r.reporters, s)
	return s
}

// count counts a report, and reports whether it changed anything but times.
func (r *region) count(from string, o *observation, now time.Time, c *Config) bool {
	s := r.reporter(from)
	began, started := now, now
	if !o.started.IsZero() {
		// A time without a monotonic reading is compared with the wall clock once, here: it may be set later.
		began, started = now.Add(-now.Sub(o.started)), o.started
		if started.Equal(s.started) || began.Sub(now) > maxAhead {
			return false
		}
	}
	late := began.Before(s.began) || began.Before(s.since)
	if late || o.failed && began.Before(r.recovered) {
		return false
	}
	s.began, s.started, s.last = began, started, now
	if o.failed {
		return r.countFailure(s, o.failure, now, c)
	}
	steady := s.health == label.Healthy && s.failures == 0 && !r.ill
	s.failures = 0
	if now.Sub(s.okAt) < countEvery {
		return false
	}
	s.okAt = now
	if steady {
		return false
	}
	s.successes = min(s.successes+1, c.Threshold)
	if began.After(r.failed) {
		s.proofs = min(s.proofs+1, c.Threshold)
	}
	if s.health == label.Unknown || s.health == label.Unhealthy && s.successes >= c.Threshold {
		s.health, s.since = label.Healthy, now
	}
	return true
}

// countFailure counts a failure that s reports.
func (r *region) countFailure(s *reporter, failure string, now time.Time, c *Config) bool {
	s.successes, s.proofs = 0, 0
	if now.Sub(s.failedAt) < countEvery {
		return false
	}
	s.failures, s.failedAt, s.failure = s.failures+1, now, failure
	if s.health != label.Unhealthy && s.failures >= c.Threshold {
		s.health, s.since = label.Unhealthy, now
	}
	if s.health == label.Unhealthy {
		if s.began.After(r.failed) {
			r.failed = s.began
		}
		for _, other := range r.reporters {
			other.proofs = 0
		}
	}
	return true
}

// expired reports whether a reporter's view that r is unhealthy has reached HoldDown, and update has not been called since.
func (r *region) expired(now time.Time, c *Config) bool {
	return slices.ContainsFunc(r.reporters, func(s *reporter) bool {
		return s.health == label.Unhealthy && now.Sub(s.failedAt) >= c.HoldDown
	})
}

// update brings the health of r up to date with its reporters. It returns when the health may change by itself; the zero Time if
// it will not.
func (r *region) update(now time.Time, c *Config) (next time.Time) {
	health, why := label.Unknown, reason{}
	var worst, best, expired *reporter
	for _, s := range r.reporters {
		if until := s.failedAt.Add(c.HoldDown); s.health == label.Unhealthy && now.Before(until) {
			next = earlier(next, until)
			if worst == nil || s.since.After(worst.since) {
				worst = s
			}
			continue
		}
		if s.health == label.Unhealthy { // its last failure is too old to count
			s.health, s.failures = label.Unknown, 0
			if expired == nil || s.failedAt.After(expired.failedAt) {
				expired = s
			}
		}
		proven := s.health == label.Healthy && (!r.ill || s.proofs >= c.Threshold)
		if proven && (best == nil || s.okAt.After(best.okAt)) {
			best = s
		}
	}
	switch {
	case worst != nil:
		health, why = label.Unhealthy, reason{worst.name, worst.failure, worst.failures}
	case best != nil:
		health, why = label.Healthy, reason{reporter: best.name}
	case expired != nil:
		why.reporter = expired.name
	}
	if health == r.health {
		if health == label.Unhealthy {
			r.reason = why // for a move that comes later
		}
		return next
	}
	r.health, r.reason = health, why
	switch health {
	case label.Unhealthy:
		r.ill = true
	case label.Healthy:
		r.ill, r.recovered = false, now
		for _, s := range r.reporters {
			s.failures = 0
		}
	}
	return next
}

// earlier returns the earlier of two times; the zero Time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
