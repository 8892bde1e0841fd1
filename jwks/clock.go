package jwks

import (
	"math/rand/v2"
	"time"

	"github.com/regionjwt/regionjwt/internal/backoff"
)

// jitter varies d, so that the requests of many processes spread.
func (c *Cache) jitter(d time.Duration) time.Duration { return backoff.Spread(d, c.random()) }

// backOff returns the wait after so many failures in a row.
func backOff(failures int) time.Duration { return backoff.After(failures, firstBackOff, maxBackOff) }

// random returns a number from 0 to 1. It is replaced in tests that must repeat.
func (c *Cache) random() float64 {
	if c.config.random != nil {
		return c.config.random()
	}
	return rand.Float64()
}
