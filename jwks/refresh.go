package jwks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

const (
	lookEvery       = time.Minute // that Run looks for what is due if nothing wakes it: a clock may have been set
	eagerSets       = 100         // up to this number of sets are fetched when Run starts; more are fetched on use
	minCacheControl = time.Minute
	maxCacheControl = time.Hour
	recheckAfter    = time.Minute // from an answer that misses a key to the next one
)

// Run refreshes the key sets ahead of need until ctx ends, and returns the cause of ctx. If there are at most 100 sets, all are
// fetched when it starts. If there are more, each is fetched when a token first needs it, and refreshed from then on. Without
// Run, and after it has ended, sets are fetched and refreshed when they are used. A fetch under way when ctx ends goes on for
// seconds at most: a token may wait for it. Run may be called several times, also at once.
func (c *Cache) Run(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(c.refreshAll(c.clock()))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-c.wake:
		}
	}
	return context.Cause(ctx)
}

// refreshAll starts every refresh that is due, and returns the time until the next one is.
func (c *Cache) refreshAll(now clock.Time) time.Duration {
	next := lookEvery
	sets := c.table.Load().sets
	for _, s := range sets {
		if len(sets) > eagerSets && !s.wasAsked() {
			continue
		}
		if now.Reached(s.due.Load()) {
			c.refresh(s, now)
			continue // the end of the round wakes Run
		}
		next = min(next, now.Until(s.due.Load()))
	}
	return max(next, 10*time.Millisecond)
}

// wasAsked reports whether a round of the set was ever tried.
func (s *set) wasAsked() bool { return !s.due.Load().IsZero() }

// refreshDue starts the refreshes of an issuer that are due. Nobody waits for them.
func (c *Cache) refreshDue(e *issuerEntry, now clock.Time) {
	for _, s := range e.sets {
		if now.Reached(s.due.Load()) {
			c.refresh(s, now)
		}
	}
}

func (c *Cache) refresh(s *set, now clock.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.round != nil || s.removed() || !now.Reached(s.due.Load()) {
		return
	}
	if wait := s.spent(now); wait > 0 {
		s.due.Store(now.Add(wait))
		return
	}
	if wait := max(s.pace.rest(now), s.rest(now, refreshRest)); wait > 0 && s.pace.rests() {
		s.due.Store(now.Add(max(wait, firstBackOff)))
		return
	}
	c.start(s, false, now)
	s.due.Store(now.Add(roundTime)) // so that nobody else tries meanwhile; the end of the round sets another time
}

// recheckMismatch starts a refresh after a signature that no key has verified, once a minute and within the burst of unknown
// keys. If a round is under way, it starts when that has ended. The caller holds the set's mutex.
func (c *Cache) recheckMismatch(s *set, now clock.Time) {
	if s.round != nil {
		s.round.mismatch = !s.round.recheck
		return
	}
	if s.removed() || s.pace.waitMismatch(now) > 0 ||
		s.pace.wait(c.config.UnknownKeyInterval, now) > 0 || s.rest(now, urgentRest) > 0 {
		return
	}
	p := s.paced()
	p.mismatch = now
	p.charge(now)
	r := c.start(s, false, now)
	r.recheck = true
}

// schedule sets when the set is refreshed next. The caller holds the set's mutex.
func (c *Cache) schedule(s *set, r *round, own *keystate.Issuer, now clock.Time) {
	if !r.good && r.cause == causeToken && s.pace.rests() {
		return // a failed round that tokens have caused does not put off the refresh
	}
	if !r.good {
		wait := c.jitter(max(backOff(s.pace.failures()), s.rest(now, refreshRest)))
		s.due.Store(now.Add(wait))
		s.paced().resting = now.Add(wait)
		return
	}
	wait := c.jitter(c.config.RefreshInterval)
	for _, a := range r.attempts {
		if a.state == attemptGood && a.maxAge > 0 {
			wait = min(max(c.jitter(a.maxAge), minCacheControl), maxCacheControl)
			break
		}
	}
	at := clock.Sooner(now.Add(min(wait, c.config.MaxStale/2)), c.recheckAt(own, now))
	s.due.Store(at.NotBefore(now.Add(firstBackOff)))
}

// recheckAt returns when a key that is missing from an answer must be asked for again; zero if none is.
func (c *Cache) recheckAt(own *keystate.Issuer, now clock.Time) clock.Time {
	return own.Recheck(0, now, func(st *keystate.State) clock.Time {
		due := st.Answer.StartedAt.Add(recheckAfter)
		if f := st.Failure; f != nil {
			due = due.NotBefore(f.At.Add(max(backOff(f.Count), f.RetryAfter)))
		}
		if st.Answer.Age > time.Second { // a copy that is served again proves nothing new
			due = due.Add(min(st.Answer.Age, maxCacheControl))
		}
		return due
	})
}

// reschedule makes the set due when an answer that came after the end of its round demands it.
func (c *Cache) reschedule(s *set) {
	now := c.clock()
	s.mu.Lock()
	own := s.own(c.config.limits())
	if at := c.recheckAt(&own, now); !at.IsZero() && s.round == nil {
		s.dueBy(at)
	}
	s.mu.Unlock()
	c.wakeRun()
}

// Preload fetches every key set that has no usable keys, once, and waits for the answers, at most until ctx ends. The error joins
// one for each region without usable keys; the cache serves whatever came.
func (c *Cache) Preload(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	if ctx == nil {
		return errors.New("jwks: Preload needs a context that is not nil")
	}
	t := c.table.Load()
	var group errgroup.Group
	group.SetLimit(c.config.MaxRequests)
	for _, s := range t.sets {
		group.Go(func() error { c.preload(ctx, s); return nil })
	}
	_ = group.Wait()
	for _, e := range t.issuers {
		e.catchUp() // an answer may not be in the view yet
	}
	now := c.clock()
	var errs []error
	for _, r := range t.regions {
		for _, s := range r.sets {
			if s.usable(now, c.config.limits()) {
				continue
			}
			err := errUnavailable
			if why := s.why(); why != nil {
				err = fmt.Errorf("%w: %w", errUnavailable, why)
			} else if ctx.Err() != nil {
				err = fmt.Errorf("%w: %w", errUnavailable, context.Cause(ctx))
			}
			errs = append(errs, fmt.Errorf("provider %q: region %q: %w", r.provider, r.name, err))
		}
	}
	return errors.Join(errs...)
}

// preload waits for the round of a set, which it starts unless the set is usable.
func (c *Cache) preload(ctx context.Context, s *set) {
	for {
		now := c.clock()
		s.mu.Lock()
		if s.usable(now, c.config.limits()) || s.removed() {
			s.mu.Unlock()
			return
		}
		r, wait := s.round, s.pace.waitFailed(false, now)
		if r == nil && wait == 0 {
			r = c.start(s, false, now) // a token that needs it makes it urgent
		}
		s.mu.Unlock()
		if r != nil {
			select {
			case <-r.done:
			case <-r.stop:
			case <-ctx.Done():
			}
			return
		}
		again := time.NewTimer(wait) // it is called again and again
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

// why returns the last failure of a URL of the set, or nil.
func (s *set) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sl := range s.slots {
		if f := sl.said().failure; f != nil {
			return f
		}
	}
	return nil
}
