package failover

import (
	"slices"
	"time"
)

// Bounds that are not configured.
const (
	countEvery = time.Second // evidence of one source of one kind counts once in that time
	maxSources = 16          // sources of evidence on one region
)

// region is what is known of one region.
//
// Its health follows three rules. A source that has failed FailAfter times in a row makes it Unhealthy, until that source has
// recovered or has been silent for MinHold. After that it is Healthy again only by RecoverAfter good answers in a row to one
// source, all to requests that began after the last of those failures; until then it is Unknown. And what failed before it
// became Healthy never counts afterwards. So time and good answers only improve a health.
type region struct {
	name    string
	health  Health
	since   time.Time
	why     reason // of health
	sources []*source
	held    time.Time // until when it is not entered by itself

	ill       bool      // it was Unhealthy, and has not been Healthy since
	failed    time.Time // when the latest failure of a source began that made the region Unhealthy, or kept it so
	recovered time.Time // when it last became Healthy
}

// reason says which source changed a health, and by what.
type reason struct {
	source   string
	class    string // of the last failure
	failures int    // in a row
}

// source is what one source says of a region.
type source struct {
	name           string
	health         Health
	since          time.Time // when its evidence last changed health
	fails, oks     int       // in a row
	proofs         int       // good answers in a row to requests that began after region.failed
	class          string    // of the last failure
	began          time.Time // when the latest request began whose outcome is known
	given          time.Time // the same, as it was reported
	last           time.Time // when it last said anything
	failedAt, okAt time.Time // when a failure, and a good answer, last counted
}

func (c *Controller) region(name string) *region {
	for _, r := range c.regions {
		if r.name == name {
			return r
		}
	}
	return nil
}

func (r *region) source(name string) *source {
	for _, s := range r.sources {
		if s.name == name {
			return s
		}
	}
	if len(r.sources) == maxSources {
		return r.sources[maxSources-1]
	}
	s := &source{name: name, health: Unknown}
	r.sources = append(r.sources, s)
	return s
}

// count counts a piece of evidence, and reports whether it changed anything but times.
func (r *region) count(e *Evidence, now time.Time, c *Config) bool {
	s := r.source(e.Source)
	began, given := now, now
	if !e.Began.IsZero() {
		// A time without a monotonic reading is compared with the wall clock once, here: it may be set later.
		began, given = now.Add(-now.Sub(e.Began)), e.Began
		if given.Equal(s.given) || began.Sub(now) > maxAhead {
			return false
		}
	}
	late := began.Before(s.began) || began.Before(s.since)
	if late || e.Err != nil && began.Before(r.recovered) {
		return false
	}
	s.began, s.given, s.last = began, given, now
	if e.Err != nil {
		return r.countFailure(s, e.Class, now, c)
	}
	steady := s.health == Healthy && s.fails == 0 && !r.ill
	s.fails = 0
	if now.Sub(s.okAt) < countEvery {
		return false
	}
	s.okAt = now
	if steady {
		return false
	}
	s.oks = min(s.oks+1, c.RecoverAfter)
	if began.After(r.failed) {
		s.proofs = min(s.proofs+1, c.RecoverAfter)
	}
	if s.health == Unknown || s.health == Unhealthy && s.oks >= c.RecoverAfter {
		s.health, s.since = Healthy, now
	}
	return true
}

// countFailure counts a failure of s.
func (r *region) countFailure(s *source, class string, now time.Time, c *Config) bool {
	s.oks, s.proofs = 0, 0
	if now.Sub(s.failedAt) < countEvery {
		return false
	}
	s.fails, s.failedAt, s.class = s.fails+1, now, class
	if s.health != Unhealthy && s.fails >= c.FailAfter {
		s.health, s.since = Unhealthy, now
	}
	if s.health == Unhealthy {
		if s.began.After(r.failed) {
			r.failed = s.began
		}
		for _, other := range r.sources {
			other.proofs = 0
		}
	}
	return true
}

// lapsed reports whether a source of r has been Unhealthy and silent for MinHold, and judge has not been called since.
func (r *region) lapsed(now time.Time, c *Config) bool {
	return slices.ContainsFunc(r.sources, func(s *source) bool {
		return s.health == Unhealthy && now.Sub(s.failedAt) >= c.MinHold
	})
}

// judge brings the health of r up to date with its sources. It reports whether the health changed, and when it may change by
// itself; zero where it will not.
func (r *region) judge(now time.Time, c *Config) (changed bool, next time.Time) {
	h, why := Unknown, reason{}
	var worst, best, lapsed *source
	for _, s := range r.sources {
		if until := s.failedAt.Add(c.MinHold); s.health == Unhealthy && now.Before(until) {
			next = earlier(next, until)
			if worst == nil || s.since.After(worst.since) {
				worst = s
			}
			continue
		}
		if s.health == Unhealthy { // it has been silent for too long to be believed
			s.health, s.fails = Unknown, 0
			if lapsed == nil || s.failedAt.After(lapsed.failedAt) {
				lapsed = s
			}
		}
		proven := s.health == Healthy && (!r.ill || s.proofs >= c.RecoverAfter)
		if proven && (best == nil || s.okAt.After(best.okAt)) {
			best = s
		}
	}
	switch {
	case worst != nil:
		h, why = Unhealthy, reason{worst.name, worst.class, worst.fails}
	case best != nil:
		h, why = Healthy, reason{source: best.name}
	case lapsed != nil:
		why.source = lapsed.name
	}
	if h == r.health {
		if h == Unhealthy {
			r.why = why // for a move that comes later
		}
		return false, next
	}
	r.health, r.since, r.why = h, now, why
	switch h {
	case Unhealthy:
		r.ill = true
	case Healthy:
		r.ill, r.recovered = false, now
		for _, s := range r.sources {
			s.fails = 0
		}
	case Unknown:
	}
	return true, next
}

// earlier returns the earlier of two times, where the zero Time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (r *region) state() RegionState {
	s := RegionState{Name: r.name, Health: r.health, Since: r.since, Held: r.held}
	for _, src := range r.sources {
		state := SourceState{Source: src.name, Health: src.health, Failures: src.fails, Last: src.last}
		if src.health != Healthy {
			state.Successes = src.oks
		}
		s.Sources = append(s.Sources, state)
	}
	return s
}
