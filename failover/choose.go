package failover

import (
	"math/rand/v2"
	"time"

	"github.com/regionjwt/regionjwt/failover/internal/health"
)

// moment is now, for the state.
func (c *Controller) moment() health.Moment {
	return health.Moment{Now: time.Now(), Spread: c.spread()}
}

// choose follows the pin, brings the state up to date, and publishes it. It returns when that is due again without a signal. The
// caller holds mu, and calls notify after it.
func (c *Controller) choose() (next time.Time) {
	at := c.moment()
	next, _ = c.follow(at.Now)
	var due time.Time
	c.state, due = c.state.Elapse(at)
	c.publish()
	return earlier(next, due)
}

// signal hands a signal to the state, and reports whether more than times has changed. The caller holds mu, and calls notify
// after it.
func (c *Controller) signal(g *health.Signal) (changed bool) {
	at := c.moment()
	_, followed := c.follow(at.Now)
	if followed {
		c.state, _ = c.state.Elapse(at)
	}
	c.state, changed = c.state.Apply(g, at)
	c.publish()
	return changed || followed
}

// follow follows the pin that is in effect, and returns when it expires, or the zero time. The caller holds mu.
func (c *Controller) follow(now time.Time) (next time.Time, changed bool) {
	p := c.replica.State().Document.inEffect(now)
	if p == nil {
		return time.Time{}, false
	}
	inForce := p.inForce(now)
	if inForce {
		next = p.Expires
	}
	if c.pin != nil && c.pin.id == p.id && c.state.Pinned == inForce {
		return next, false
	}
	c.pin = p
	c.state = c.state.Follow(health.Pin{Region: p.Region, Made: p.Pinned, InForce: inForce, At: p.At, Expires: p.Expires})
	return next, true
}

// earlier returns the earlier of two times; the zero Time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// spread is by how much of a tenth a hold-down is longer, at random.
func spread() float64 { return rand.Float64() }
