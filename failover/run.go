package failover

import (
	"context"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/replica"
)

const saveEvery = 5 * time.Second // until a local copy that could not be written is tried again

// Run reads the local copy, then replicates the pin, probes the regions and fails over until ctx ends, and returns ctx's cause.
// Without it a Controller moves when reports arrive, and knows the pin that Load reads.
func (c *Controller) Run(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	_ = c.guarded(theLocalCopy, func() { c.readLocal(ctx) })
	stop := c.startParts(ctx)
	defer stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		c.mu.Lock()
		next := c.choose(now)
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

// followStore follows the store until ctx ends. A store that panics is unavailable.
func (c *Controller) followStore(ctx context.Context) {
	r := c.config.Replica
	pause := time.NewTimer(r.PollInterval)
	defer pause.Stop()
	for ctx.Err() == nil {
		err := c.guarded(theStore, func() {
			replica.Follow(ctx, r.Store, r.Name, r.PollInterval, c.unchanged, c.receive)
		})
		if err == nil {
			return
		}
		c.receive(nil, err)
		pause.Reset(r.PollInterval)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}

// keepLocal writes the local copy whenever it is not what is known.
func (c *Controller) keepLocal(ctx context.Context) {
	ticks := time.NewTicker(saveEvery)
	defer ticks.Stop()
	for {
		_ = c.guarded(theLocalCopy, func() { c.saveLocal(ctx) })
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}
