package jwks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// lookEvery is how often Run looks for what is due when nothing wakes it: the wall clock may have been set, or the
// process frozen, while it slept.
const lookEvery = time.Minute

// Run refreshes the key sets ahead of need until ctx ends, then ends the fetches in progress, waits for them, and
// returns the cause of ctx. Where there are no more than 100 sets, all are fetched when it starts; where there are more, each
// is fetched when a token first needs it, and refreshed from then on. Without Run, sets are refreshed when they are used.
func (c *Cache) Run(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	defer c.endFlights()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-c.wake:
		}
		timer.Reset(c.refreshAll(c.clock()))
	}
}

// refreshAll starts every refresh that is due and returns the time until the next one is.
func (c *Cache) refreshAll(now instant) time.Duration {
	next := lookEvery
	sets := c.table.Load().sets
	for _, s := range sets {
		if s.view.Load() == nil && len(sets) > eagerSets && !s.wasAsked() {
			continue
		}
		if s.isDue(now) {
			c.refresh(s, now)
			continue // its landing wakes Run
		}
		next = min(next, now.until(s.due.load()))
	}
	return max(next, 10*time.Millisecond)
}

// wasAsked reports whether a fetch of s was ever tried.
func (s *set) wasAsked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures > 0 || s.flight != nil
}

// Warm fetches every key set that has no usable keys, once, and waits for the answers, at most until ctx ends. It is best
// effort: the error joins one for each region without usable keys, and the cache serves whatever came.
func (c *Cache) Warm(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	t := c.table.Load()
	var wg sync.WaitGroup
	for _, s := range t.sets {
		wg.Go(func() { c.warm(ctx, s) })
	}
	wg.Wait()
	now := c.clock()
	var errs []error
	for _, r := range t.regions {
		for _, s := range r.sets {
			if s.usable(now) {
				continue
			}
			err := &UnavailableError{RetryAfter: longestWait}
			s.mu.Lock()
			err.add(s, now)
			s.mu.Unlock()
			err.RetryAfter = max(err.RetryAfter, time.Second)
			if err.Err == nil && ctx.Err() != nil {
				err.Err = context.Cause(ctx)
			}
			errs = append(errs, fmt.Errorf("authority %q: region %q: %w", r.authority, r.region, err))
		}
	}
	return errors.Join(errs...)
}

// warm waits for the flight of s, which it starts unless s is usable.
func (c *Cache) warm(ctx context.Context, s *set) {
	now := c.clock()
	woken := make(chan struct{}, 1)
	s.mu.Lock()
	if s.usable(now) {
		s.mu.Unlock()
		return
	}
	f := c.launch(s, forDemand, now)
	if f != nil {
		f.watchers[woken] = struct{}{}
	}
	s.mu.Unlock()
	for f != nil {
		select {
		case <-woken:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		if f.landed {
			f = nil
		}
		s.mu.Unlock()
	}
}
