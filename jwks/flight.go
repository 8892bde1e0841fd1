package jwks

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
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
	demanded bool                 // somebody waits, whatever it was started for
	queued   []context.CancelFunc // ends the wait for a connection among the refreshes
	deadline time.Time            // of all attempts; zero until the first has a connection
	charged  bool                 // a token of the set's bucket was taken for it
	canceled bool                 // the cache was closed, or Run ended
	inspects bool                 // every mirror is asked
	again    bool                 // and once more at the next refresh
	hurry    chan struct{}        // somebody has come who waits while it inspects; nil where it does not
	crowded  chan struct{}        // more have come than may wait, and a snapshot could help them; nil where none could
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

// demand has the flight go first from now on, as somebody waits for it. The caller holds the set's mutex.
func (f *flight) demand() {
	f.demanded = true
	select {
	case f.hurry <- struct{}{}:
	default:
	}
	for _, cancel := range f.queued {
		cancel()
	}
	f.queued = nil
}

// crowd has the flight look for a snapshot at once: more callers have come than may wait. The caller holds the set's mutex.
func (f *flight) crowd() {
	select {
	case f.crowded <- struct{}{}:
	default:
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
	f := &flight{
		purpose: p, turn: c.turn.Add(1), demanded: p == forDemand,
		wanted: map[string]bool{}, watchers: map[chan struct{}]struct{}{},
		inspects: p == forRefresh && len(s.endpoints) > 1 && s.view.Load() != nil && now.since(s.inspected) >= inspectAfter,
	}
	if f.inspects {
		f.hurry = make(chan struct{}, 1)
	}
	if c.config.Store != nil && s.view.Load() == nil {
		f.crowded = make(chan struct{}, 1)
	}
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
	began  time.Time // zero where there was no connection to be had
	took   time.Duration
}

// fly asks the mirrors in order, each once: the next one as soon as one has failed or has been silent for a while, or as
// an answer lacks something that another mirror may have. The first answer that lacks nothing ends the flight.
func (c *Cache) fly(ctx context.Context, s *set, f *flight, order []*endpoint) {
	ctx, cancel := context.WithCancel(ctx)
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
		attempts.Go(func() { outcomes <- c.attempt(ctx, s, f, ep, last) })
	}
	restored := f.crowded == nil
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
				cancel() // the others need not wait for the snapshot
				c.saveIfGood(ctx, s, f)
				return
			}
			restore()
			ask()
		case <-f.hurry:
			if c.cutShort(s, f) {
				c.giveUp(s, running)
				c.land(s, f)
				cancel() // the others need not wait for the snapshot
				c.saveIfGood(ctx, s, f)
				return
			}
		case <-f.crowded:
			restore()
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

// cutShort reports whether f only inspects any more, and then ends that: a mirror that hangs shall not keep those waiting who
// look for a key, and need a flight of their own. The next refresh inspects again.
func (c *Cache) cutShort(s *set, f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !f.good || !s.vouchedFor(f, c.clock()) {
		return false
	}
	f.inspects = false
	return true
}

// saveIfGood writes a snapshot after a flight with a good answer. It has a time of its own, and Close waits for it.
func (c *Cache) saveIfGood(ctx context.Context, s *set, f *flight) {
	if c.config.Store != nil && f.good {
		c.save(context.WithoutCancel(ctx), s)
	}
}

// take notes an outcome, and reports whether the flight has all that it can be after.
func (c *Cache) take(s *set, f *flight, o outcome) (enough bool) {
	now := c.clock()
	s.mu.Lock()
	if o.failed != nil {
		if o.failed.Class == ClassCanceled {
			f.canceled = true
		} else {
			o.ep.missed(o.failed, now)
			if !s.surplus(f, now) {
				s.lastErr = o.failed
			}
		}
		demanded, first, aged := f.demanded, o.ep.failures == 1, s.hasJustExpired(now)
		s.mu.Unlock()
		c.log.attemptFailed(c.table.Load(), s, o, first)
		c.log.expired(c.table.Load(), s, aged)
		c.tellOf(s, o, demanded, change{}, nil)
		return false
	}
	var drifts []Drift
	if o.ep.refused && !o.ep.known {
		drifts = append(drifts, Drift{Kind: MirrorEnabled, Source: o.ep.name()})
	}
	back := s.comesBack(o.ep)
	var ch change
	if o.ep.last == nil && s.surplus(f, now) {
		f.again = s.inspect(o.ep, o.answer, now) || f.again
	} else {
		ch = s.merge(o.ep, o.answer, now)
		o.ep.answered = f.turn
		f.good = true
	}
	drifts = append(drifts, s.compare()...)
	enough = s.has(f, now) && (!f.inspects || !s.open(f, now))
	demanded := f.demanded
	f.tell()
	s.mu.Unlock()
	c.log.cameBack(c.table.Load(), s, o, back)
	c.log.answered(c.table.Load(), s, o, ch.published)
	c.log.drifted(drifts)
	if ch.published {
		c.changed()
	}
	c.tellOf(s, o, demanded, ch, drifts)
	return enough
}

// has reports whether f has all that it is after, but for an inspection. The caller holds s.mu.
func (s *set) has(f *flight, now instant) bool {
	view := s.view.Load()
	for kid := range f.wanted {
		if view.find(kid) == nil {
			return false
		}
	}
	return s.vouchedFor(f, now)
}

// surplus reports whether f goes on only to inspect mirrors that need not be asked. The caller holds s.mu.
func (s *set) surplus(f *flight, now instant) bool { return f.inspects && f.good && s.has(f, now) }

// open reports whether a mirror that may be asked was not, in f. The caller holds s.mu.
func (s *set) open(f *flight, now instant) bool {
	return slices.ContainsFunc(s.endpoints, func(ep *endpoint) bool {
		return ep.asked != f.turn && ep.rests(now) == 0 && !s.leavesOut(ep, now)
	})
}

// vouchedFor reports whether each key of s is listed by a mirror that has answered in this flight, or by none that could still
// be asked: a key that only other mirrors list is theirs to withdraw, so they are asked. The caller holds s.mu.
func (s *set) vouchedFor(f *flight, now instant) bool {
	for _, r := range s.records {
		vouched, open := false, false
		for _, l := range r.by {
			vouched = vouched || l.ep.answered == f.turn
			open = open || l.ep.asked != f.turn && l.ep.rests(now) == 0
		}
		if !vouched && open {
			return false
		}
	}
	return true
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
	switch {
	case f.good:
		s.answered = f.turn
		if f.inspects && !f.again {
			s.inspected = now
		}
		view := s.view.Load()
		certain := s.everyMirror(now, func(ep *endpoint) bool { return ep.answered == f.turn })
		for kid, inTime := range f.wanted {
			if certain && inTime && view.find(kid) == nil {
				s.noteAbsent(kid, now)
			}
		}
	case f.canceled:
		s.due.store(now.plus(firstBackOff))
	default:
		s.failures++
		s.failedAt, s.failed = now, f.turn
		next := max(backOff(s.failures), s.resting(now, false))
		if s.notEnabled(now, disabledFor) {
			next = disabledFor
			f.charged = false // that is an answer, too
		}
		s.due.store(now.plus(jitter(next)))
	}
	if !f.good && f.charged {
		s.bucket.giveBack()
	}
	f.tell()
	c.poke()
}

// jitter varies d by up to a tenth, so that the fetches of many processes spread.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*0.2-0.1)*float64(d))
}
