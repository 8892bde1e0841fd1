package failover

import (
	"math/rand/v2"
	"time"
)

// decide judges the regions, and moves where that is due. The caller holds mu and calls tell, which gives it up.
func (c *Controller) decide(now time.Time) (next time.Time) {
	for _, r := range c.regions {
		changed, until := r.judge(now, &c.config)
		next = earlier(next, until)
		if changed {
			c.noteReason(Event{At: now, Kind: HealthChanged, Region: r.name}, r.why)
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
				c.active.held = now.Add(hold).Add(time.Duration(c.spread() * float64(hold) / 10)) // a sum may overflow
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
	e := Event{At: now, Kind: Moved, Region: to.name, From: from.name, Cause: cause}
	switch cause {
	case CauseFailed:
		c.noteReason(e, from.why)
	case CauseRecovered:
		c.noteReason(e, to.why)
	case CauseStart, CauseManual:
		c.note(e)
	}
}

// spread is by how much of a tenth a hold is longer, by chance.
func spread() float64 { return rand.Float64() }
