package failover

import (
	"math/rand/v2"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
)

// choose follows the pin, updates the health of the regions, and moves if that is due. The caller holds mu, and calls notify
// after it.
func (c *Controller) choose(now time.Time) (next time.Time) {
	next = c.follow(now)
	for _, r := range c.regions {
		next = earlier(next, r.update(now, &c.config))
		if !r.holdDown.IsZero() && !now.Before(r.holdDown) {
			r.holdDown = time.Time{}
		}
		next = earlier(next, r.holdDown)
	}
	if c.config.Automatic && !c.pinned {
		if to, cause := c.target(); to != nil {
			if cause == causeFailed {
				d := c.config.HoldDown
				c.active.holdDown = now.Add(d).Add(time.Duration(c.spread() * float64(d) / 10)) // a sum may overflow
				next = earlier(next, c.active.holdDown)
			}
			c.active, c.since, c.cause = to, now, cause
		}
	}
	c.publish()
	return next
}

// target returns where to move by itself, and why, or nil to stay. From an unhealthy region it is the first healthy one, or else
// the first unknown one. From another region it is a preferred one that is healthy. A region in hold-down is not entered.
func (c *Controller) target() (*region, string) {
	first := func(health string, from []*region) *region {
		for _, r := range from {
			if r != c.active && r.health == health && r.holdDown.IsZero() {
				return r
			}
		}
		return nil
	}
	if c.active.health == label.Unhealthy {
		to := first(label.Healthy, c.regions)
		if to == nil {
			to = first(label.Unknown, c.regions)
		}
		return to, causeFailed
	}
	for i, r := range c.regions {
		if r == c.active {
			return first(label.Healthy, c.regions[:i]), causeRecovered
		}
	}
	return nil, ""
}

// spread is by how much of a tenth a hold-down is longer, at random.
func spread() float64 { return rand.Float64() }
