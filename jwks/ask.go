package jwks

import (
	"context"
	"time"
)

// refreshDue starts the refreshes of e that are due; nobody waits for them.
func (c *Cache) refreshDue(e *served, now instant) {
	for _, p := range e.parts {
		if p.set.isDue(now) {
			c.refresh(p.set, now)
		}
	}
}

func (c *Cache) refresh(s *set, now instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil || !s.isDue(now) {
		return
	}
	next := fetchTime // by then the flight has landed, and set another time
	if c.launch(s, forRefresh, now) == nil {
		next = max(s.resting(now, false), firstBackOff)
	}
	s.due.store(now.plus(next)) // so that nobody else tries meanwhile
}

// ask answers for a kid that is not at hand: it has the sets of e fetched, where their budgets allow, and waits until one
// has the kid, all have answered, ctx ends or UnknownKeyWait is over.
func (c *Cache) ask(ctx context.Context, e *served, kid string) ([]*Key, error) {
	w := &waiter{cache: c, served: e, kid: kid, arrived: c.turn.Add(1)}
	if !w.board() {
		return w.verdict(nil) // as it is in a flood
	}
	defer w.leave()
	wait := time.NewTimer(max(c.config.UnknownKeyWait, 0))
	defer wait.Stop()
	for {
		for w.flying() {
			select {
			case <-w.woken:
			case <-wait.C:
				return w.verdict(nil)
			case <-ctx.Done():
				return w.verdict(context.Cause(ctx))
			}
			if keys := e.lookup(c, kid, c.clock()); len(keys) > 0 {
				return keys, nil
			}
		}
		if !w.board() {
			return w.verdict(nil)
		}
	}
}

// waiter is one caller that waits for a kid.
type waiter struct {
	cache   *Cache
	served  *served
	kid     string
	arrived int64         // its turn
	woken   chan struct{} // nil until it boards
	boarded []boarding
}

type boarding struct {
	set    *set
	flight *flight
}

// board joins or starts a flight of every set that may still have the kid, and reports whether there is any to wait for.
// A flight that began before the caller came may miss what was published since; so another one follows it.
func (w *waiter) board() bool {
	w.leave()
	c := w.cache
	now := c.clock()
	fresh := w.served.usable(now)
	for _, p := range w.served.parts {
		s := p.set
		s.mu.Lock()
		switch f := w.flightOf(s, now, fresh); {
		case f == nil:
		case s.waiting >= maxWaiters:
			f.crowd()
		default:
			if w.woken == nil {
				w.woken = make(chan struct{}, 1)
			}
			if len(f.wanted) < maxWaiters { // callers come and go; the flight stays
				f.wanted[w.kid] = f.wanted[w.kid] || f.turn > w.arrived
			}
			f.watchers[w.woken] = struct{}{}
			f.demand()
			s.waiting++
			w.boarded = append(w.boarded, boarding{s, f})
		}
		s.mu.Unlock()
	}
	if len(w.boarded) == 0 {
		return false
	}
	if len(w.served.lookup(c, w.kid, c.clock())) > 0 { // it landed before the flights were boarded
		w.leave()
		return false
	}
	return true
}

// flightOf returns the flight of s to wait for, or nil. fresh says that some set of the issuer is usable. The caller holds
// s.mu.
func (w *waiter) flightOf(s *set, now instant, fresh bool) *flight {
	c := w.cache
	if r := s.view.Load().find(w.kid); r != nil && now.since(r.seen.load()) <= s.config.MaxStale {
		return nil // it has come since the caller looked
	}
	if s.isAbsent(w.kid, now) || s.answered > w.arrived || s.failed > w.arrived {
		return nil // it has been asked since the caller came
	}
	if s.flight != nil {
		return s.flight
	}
	if s.usable(now) || fresh && s.notEnabled(now, disabledFor) {
		if s.resting(now, true) > 0 || !s.bucket.take(now) {
			return nil
		}
		f := c.launch(s, forDemand, now)
		if f == nil {
			s.bucket.giveBack()
			return nil
		}
		f.charged = true
		return f
	}
	return c.launch(s, forDemand, now)
}

// flying reports whether a boarded flight is still on its way.
func (w *waiter) flying() bool {
	for _, b := range w.boarded {
		b.set.mu.Lock()
		landed := b.flight.landed
		b.set.mu.Unlock()
		if !landed {
			return true
		}
	}
	return false
}

func (w *waiter) leave() {
	for _, b := range w.boarded {
		b.set.mu.Lock()
		delete(b.flight.watchers, w.woken)
		b.set.waiting--
		b.set.mu.Unlock()
	}
	w.boarded = nil
}

// verdict is the answer of memory: the keys if they have come, ErrUnknownKey if every set is known not to have the kid,
// and otherwise that it could not be found out.
func (w *waiter) verdict(cause error) ([]*Key, error) {
	c := w.cache
	now := c.clock()
	if keys := w.served.lookup(c, w.kid, now); len(keys) > 0 {
		return keys, nil
	}
	fresh := w.served.usable(now)
	unavailable := &UnavailableError{Err: cause, RetryAfter: longestWait}
	certain := true
	for _, p := range w.served.parts {
		s := p.set
		s.mu.Lock()
		gone := fresh && (s.dark() || s.notEnabled(now, s.config.UnknownKey.Every))
		if w.awaits(s) || !gone && !s.knows(w.kid, now) {
			certain = false
			unavailable.add(s, now)
		}
		s.mu.Unlock()
	}
	if certain {
		return nil, ErrUnknownKey
	}
	unavailable.RetryAfter = max(unavailable.RetryAfter, time.Second)
	return nil, unavailable
}

// awaits reports whether a flight of s that the caller waited for is still on its way. The caller holds s.mu.
func (w *waiter) awaits(s *set) bool {
	for _, b := range w.boarded {
		if b.set == s && !b.flight.landed {
			return true
		}
	}
	return false
}

// longestWait is what RetryAfter begins with, to be shortened by what the sets say.
const longestWait = time.Hour

// add notes what keeps s from answering. The caller holds s.mu.
func (e *UnavailableError) add(s *set, now instant) {
	wait := s.resting(now, true)
	if wait == 0 && s.flight == nil && s.usable(now) {
		wait = s.bucket.wait(now)
	}
	e.RetryAfter = min(e.RetryAfter, wait)
	if e.Err == nil && s.lastErr != nil {
		e.Err = s.lastErr
	}
}
