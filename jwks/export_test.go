package jwks

import (
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/issuer"
)

// NewWithClock is New with other clocks and another source of jitter. read returns readings of the monotonic and the wall clock,
// in nanoseconds.
func NewWithClock(ps []issuer.Provider, c Config, read func() (mono, wall int64), random func() float64) (*Cache, error) {
	c.random = random
	return newCache(ps, c, func() clock.Time {
		mono, wall := read()
		return clock.Time{Mono: mono, Wall: wall}
	})
}

// Hosts returns how many hosts a cache knows.
func Hosts(c *Cache) int {
	c.hosts.mu.Lock()
	defer c.hosts.mu.Unlock()
	return len(c.hosts.byName)
}

// Asked returns how many key IDs of an issuer are remembered that are not there.
func Asked(c *Cache, iss string) int {
	a := &c.table.Load().issuers[iss].asked
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.askedTables == nil {
		return 0
	}
	return a.once.count() + a.repeated.count() + a.absent.count()
}

// View returns what identifies the picture of an issuer that those who wait look at.
func View(c *Cache, iss string) any { return c.table.Load().issuers[iss].view.Load() }

// ShowAgain makes what View returned the picture again, as it is until an answer is published.
func ShowAgain(c *Cache, iss string, view any) {
	v, _ := view.(*issuerView)
	c.table.Load().issuers[iss].view.Store(v)
}

// NextRefresh returns when the URL of that index in Status is refreshed next.
func NextRefresh(c *Cache, index int) time.Time {
	n := 0
	for _, r := range c.table.Load().regions {
		for _, s := range r.sets {
			for range s.slots {
				if n == index {
					return time.Unix(0, s.due.Load().Wall)
				}
				n++
			}
		}
	}
	return time.Time{}
}
