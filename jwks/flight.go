package jwks

import (
	"context"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// purpose tells why a set is fetched; each has its own share of the connections to a host.
type purpose int

const (
	forRefresh purpose = iota // nobody waits
	forDemand                 // a caller waits for a key
)

// flight is one fetch of a set over its mirrors. It goes on when the callers that wait for it leave. The set's mutex
// guards its fields.
type flight struct {
	purpose  purpose
	turn     int64
	wanted   map[string]bool // kids that callers wait for; true where one came before the flight began
	watchers map[chan struct{}]struct{}
	charged  bool // a token of the set's bucket was taken for it
	landed   bool
	good     bool
}

// tell wakes those who wait for the flight. The caller holds the set's mutex.
func (f *flight) tell() {
	for w := range f.watchers {
		select {
		case w <- struct{}{}:
		default: // it has been woken and has not looked yet
		}
	}
}

// launch starts a flight of s unless one is on its way, the set rests after failures, or the cache is closed. The caller
// holds s.mu.
func (c *Cache) launch(s *set, p purpose, now instant) *flight {
	if s.flight != nil {
		return s.flight
	}
	if s.resting(now, p == forDemand) > 0 {
		return nil
	}
	ctx, done := c.begin()
	if ctx == nil {
		return nil
	}
	f := &flight{purpose: p, turn: c.turn.Add(1), wanted: map[string]bool{}, watchers: map[chan struct{}]struct{}{}}
	s.flight = f
	order := s.order(now, p == forDemand)
	go func() {
		defer done()
		c.fly(ctx, s, f, order)
	}()
	return f
}

// outcome is what became of one attempt.
type outcome struct {
	ep     *endpoint
	answer *answer
	failed *FetchError
}

// fly asks the mirrors in order, each once: the next one as soon as one has failed or has been silent for a while, or as
// an answer lacks a key that somebody waits for. The first answer with all of them ends the flight.
func (c *Cache) fly(ctx context.Context, s *set, f *flight, order []*endpoint) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	outcomes := make(chan outcome, len(order))
	var attempts sync.WaitGroup
	defer attempts.Wait()
	defer cancel() // before the wait

	asked := 0
	running := map[*endpoint]instant{}
	ask := func() {
		if asked == len(order) {
			return
		}
		ep, last := order[asked], asked == len(order)-1
		asked++
		running[ep] = c.clock()
		attempts.Go(func() {
			actx, stop := ctx, context.CancelFunc(func() {})
			if !last {
				actx, stop = context.WithTimeout(ctx, attemptTime)
			}
			defer stop()
			outcomes <- c.attempt(actx, s, ep, f.purpose)
		})
	}
	restored := c.config.Store == nil
	restore := func() {
		if !restored && s.view.Load() == nil {
			restored = true
			attempts.Go(func() { c.restore(ctx, s, f) })
		}
	}
	ask()
	hedge := time.NewTimer(hedgeAfter)
	defer hedge.Stop()
	for len(running) > 0 {
		select {
		case o := <-outcomes:
			delete(running, o.ep)
			if c.take(s, f, o) {
				c.giveUp(s, running)
				c.land(s, f)
				c.saveIfGood(ctx, s, f)
				return
			}
			restore()
			ask()
		case <-hedge.C:
			restore()
			ask()
			hedge.Reset(hedgeAfter)
		}
	}
	attempts.Wait() // for the snapshot
	c.land(s, f)
	c.saveIfGood(ctx, s, f)
}

// saveIfGood writes a snapshot after a flight with a good answer. It has a time of its own, and Close waits for it.
func (c *Cache) saveIfGood(ctx context.Context, s *set, f *flight) {
	if c.config.Store != nil && f.good {
		c.save(context.WithoutCancel(ctx), s)
	}
}

// attempt fetches from one mirror, after discovery where the mirror's URL comes from there.
func (c *Cache) attempt(ctx context.Context, s *set, ep *endpoint, p purpose) outcome {
	s.mu.Lock()
	rawURL, last := ep.url, ep.last
	discover := ep.issuer != "" && (rawURL == "" || ep.lastErr != nil || c.clock().since(ep.discovered) > rediscoverAfter)
	s.mu.Unlock()
	if discover {
		found, failed := c.discover(ctx, ep.issuer, p)
		if failed != nil && rawURL == "" {
			return outcome{ep: ep, failed: failed}
		}
		if failed == nil {
			s.mu.Lock()
			ep.discovered = c.clock()
			if found != rawURL {
				ep.url, rawURL, last = found, found, nil
			}
			s.mu.Unlock()
		}
	}
	a, failed := c.fetchSet(ctx, rawURL, last, p)
	return outcome{ep: ep, answer: a, failed: failed}
}

// take notes an outcome, and reports whether the flight has all that it was started for.
func (c *Cache) take(s *set, f *flight, o outcome) (enough bool) {
	now := c.clock()
	s.mu.Lock()
	if o.failed != nil {
		if o.failed.Class != ClassCanceled {
			o.ep.missed(o.failed, now)
			s.lastErr = o.failed
		}
		s.mu.Unlock()
		c.log.attemptFailed(s, o)
		return false
	}
	changed := s.merge(o.ep, o.answer, now)
	o.ep.answered = f.turn
	f.good = true
	enough = true
	view := s.view.Load()
	for kid := range f.wanted {
		if view.byKid[kid] == nil {
			enough = false
		}
	}
	f.tell()
	s.mu.Unlock()
	c.log.answered(s, o, changed)
	if changed {
		c.changed()
	}
	return enough
}

// giveUp notes the mirrors that have been silent for so long that another one was asked as well.
func (c *Cache) giveUp(s *set, running map[*endpoint]instant) {
	now := c.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ep, began := range running {
		if now.since(began) >= hedgeAfter {
			ep.missed(fail(ClassTimeout), now)
		}
	}
}

// land ends a flight.
func (c *Cache) land(s *set, f *flight) {
	now := c.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	f.landed = true
	if !f.good {
		s.failures++
		s.failedAt, s.failed = now, f.turn
		if f.charged {
			s.bucket.giveBack()
		}
		s.due.store(now.plus(jitter(max(backOff(s.failures), s.resting(now, false)))))
	} else {
		s.answered = f.turn
		view := s.view.Load()
		certain := s.everyMirror(now, func(ep *endpoint) bool { return ep.answered == f.turn })
		for kid, inTime := range f.wanted {
			if certain && inTime && view.byKid[kid] == nil {
				s.noteAbsent(kid, now)
			}
		}
	}
	f.tell()
	c.poke()
}

// jitter varies d by up to a tenth, so that the fetches of many processes spread.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*0.2-0.1)*float64(d))
}

// hosts bounds the requests in progress to each host, one share for each purpose. There is no bound over all hosts.
type hosts struct {
	mu    sync.Mutex
	slots map[string]*[2]*semaphore.Weighted
}

// acquire waits for a slot of the host of rawURL.
func (h *hosts) acquire(ctx context.Context, rawURL string, p purpose) (release func(), err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	if h.slots == nil {
		h.slots = map[string]*[2]*semaphore.Weighted{}
	}
	slots := h.slots[u.Host]
	if slots == nil {
		slots = &[2]*semaphore.Weighted{semaphore.NewWeighted(hostConnections), semaphore.NewWeighted(hostConnections)}
		h.slots[u.Host] = slots
	}
	h.mu.Unlock()
	if err := slots[p].Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { slots[p].Release(1) }, nil
}
