package failover

import (
	"context"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// Run reads the local copy, then replicates the pin, probes the regions and fails over until ctx ends, and returns ctx's cause.
// Without it a Controller moves when reports arrive, and knows the pin that Load reads.
func (c *Controller) Run(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	stop := c.startParts(ctx)
	defer stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		c.mu.Lock()
		next := c.choose()
		c.mu.Unlock()
		c.notify()
		if next.IsZero() {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(max(time.Until(next), time.Millisecond))
		}
		select {
		case <-ctx.Done():
		case <-c.woken:
		case <-timer.C:
		}
	}
	return context.Cause(ctx)
}

// guarded calls code of others, in a goroutine of its own that it may end. It logs a panic, and returns it.
func (c *Controller) guarded(what string, f func()) error { return c.noted(guard.Apart(what, f)) }

// noted logs a panic, and returns it.
func (c *Controller) noted(err error) error {
	if err != nil {
		c.config.Logger.Error("failover: a callback panicked", "error", err)
	}
	return err
}
