package failover

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Bounds that are not configured.
const (
	countEvery = time.Second // evidence of one source of one kind counts once in that time
	maxSources = 16          // sources of evidence on one region
)

// Evidence is what somebody has seen of a region.
type Evidence struct {
	Region string
	// Source names who has seen it, so that the good word of one does not hide the bad word of another: "keys", "token".
	// More than 16 are counted as one.
	Source string
	// Began is when the attempt began that shows it. Evidence of an attempt that began before the source's view of the region
	// last changed is late, and does not count. The zero Time means now.
	Began time.Time
	// Err is nil where the region answered. context.Canceled, which says that the caller gave up, is no evidence.
	Err error
}

// Report is Evidence without a source that has just been seen. A region that the authority does not have is ignored.
func (c *Controller) Report(region string, err error) { c.Observe(Evidence{Region: region, Err: err}) }

// Observe takes in evidence. A region that the authority does not have is ignored.
func (c *Controller) Observe(e Evidence) {
	if errors.Is(e.Err, context.Canceled) {
		return
	}
	now := time.Now()
	if e.Began.IsZero() {
		e.Began = now
	}
	c.mu.Lock()
	r := c.region(e.Region)
	if r == nil || !r.source(e.Source).count(e, now, &c.config) {
		c.mu.Unlock()
		return
	}
	c.decide(now)
	c.tell()
	c.poke()
}

// poke has Run look for what is due.
func (c *Controller) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// region is what is known of one region.
type region struct {
	name    string
	health  Health
	since   time.Time
	sources []*source
	held    time.Time // until when it is not entered by itself
}

// source is what one source says of a region.
type source struct {
	name           string
	health         Health
	since          time.Time
	fails, oks     int
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

// count counts a piece of evidence, and reports whether it counted.
func (s *source) count(e Evidence, now time.Time, c *Config) bool {
	if e.Began.Before(s.since) {
		return false
	}
	s.last = now
	turn := func(h Health) {
		s.health, s.since, s.fails, s.oks = h, now, 0, 0
		s.failedAt, s.okAt = time.Time{}, time.Time{}
	}
	if e.Err != nil {
		s.oks = 0
		if s.health == Unhealthy || now.Sub(s.failedAt) < countEvery {
			return false
		}
		s.fails, s.failedAt = s.fails+1, now
		if s.fails >= c.FailAfter {
			turn(Unhealthy)
		}
		return true
	}
	s.fails = 0
	switch {
	case s.health == Healthy, now.Sub(s.okAt) < countEvery:
		return false
	case s.health == Unknown:
		turn(Healthy)
		return true
	}
	s.oks, s.okAt = s.oks+1, now
	if s.oks >= c.RecoverAfter {
		turn(Healthy)
	}
	return true
}

// judge returns the health of r by all its sources, and when it may change by itself; zero where it will not. The bad word of a
// source that has been silent for MinHold does not count any more.
func (r *region) judge(now time.Time, c *Config) (h Health, next time.Time) {
	h = Unknown
	bad := false
	for _, s := range r.sources {
		switch until := s.last.Add(c.MinHold); {
		case s.health == Unhealthy && now.Before(until):
			bad = true
			next = earlier(next, until)
		case s.health == Healthy:
			h = Healthy
		}
	}
	if bad {
		return Unhealthy, next
	}
	return h, time.Time{}
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
		s.Sources = append(s.Sources, SourceState{
			Source: src.name, Health: src.health, Failures: src.fails, Successes: src.oks, Last: src.last,
		})
	}
	return s
}

// decide judges the regions, and moves where that is due. The caller holds mu and calls tell, which gives it up.
func (c *Controller) decide(now time.Time) (next time.Time) {
	for _, r := range c.regions {
		h, until := r.judge(now, &c.config)
		next = earlier(next, until)
		if h != r.health {
			r.health, r.since = h, now
			c.note(Event{At: now, Kind: HealthChanged, Region: r.name})
		}
		if !r.held.IsZero() && !now.Before(r.held) {
			r.held = time.Time{}
		}
		next = earlier(next, r.held)
	}
	if c.config.Automatic && !c.order.Pinned {
		if to, cause := c.choose(); to != nil {
			if cause == CauseFailed {
				hold := c.config.MinHold
				c.active.held = now.Add(hold + time.Duration(c.spread()*float64(hold)/10))
				next = earlier(next, c.active.held)
			}
			c.move(to, cause, now)
		}
	}
	c.publish()
	return next
}

// choose returns where to move by itself, and why; nil where to stay. From a region that has failed it goes to the first one
// that is well, or else to the first one of which nothing is known. From one that has not, it goes to a preferred one that is
// well. A region that is held is not entered.
func (c *Controller) choose() (*region, Cause) {
	first := func(h Health, from []*region) *region {
		for _, r := range from {
			if r != c.active && r.health == h && r.held.IsZero() {
				return r
			}
		}
		return nil
	}
	if c.active.health == Unhealthy {
		to := first(Healthy, c.regions)
		if to == nil {
			to = first(Unknown, c.regions)
		}
		return to, CauseFailed
	}
	for i, r := range c.regions {
		if r == c.active {
			return first(Healthy, c.regions[:i]), CauseRecovered
		}
	}
	return nil, ""
}

// move makes a region the active one. The caller holds mu.
func (c *Controller) move(to *region, cause Cause, now time.Time) {
	from := c.active
	c.active, c.previous, c.since, c.cause = to, from.name, now, cause
	c.generation++
	c.note(Event{At: now, Kind: Moved, Region: to.name, From: from.name, Cause: cause})
}

// spread is by how much of a tenth a hold is longer, by chance.
func spread() float64 { return rand.Float64() }
