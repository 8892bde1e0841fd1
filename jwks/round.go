package jwks

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

const (
	roundTime      = 5 * time.Second // from the first connection
	requestTime    = 2 * time.Second
	leastTime      = time.Second            // of a request that begins late in a round
	hedgeAfter     = 500 * time.Millisecond // until the next URL is asked as well
	repeatAfter    = time.Second            // until a URL that does not answer is asked again, on another connection
	maxWanted      = 256                    // questions that a round looks for
	maxInFlight    = 2                      // requests to one URL
	maxHooks       = 16                     // calls of OnFetch under way
	maxStray       = 4                      // to it that have not returned in time, beyond which it is not asked
	busyRetry      = 50 * time.Millisecond  // until it is asked again whether there are fewer
	attributeAfter = 10 * time.Second       // between an answer and the next one, if a key has appeared in another region
	firstBackOff   = time.Second
	maxBackOff     = time.Minute
	urgentRest     = time.Minute      // that is heard of Retry-After while somebody waits
	refreshRest    = 15 * time.Minute // that is heard of it otherwise
)

// round is one fetch of a set over its URLs. It goes on when the callers that wait for it leave. The set's mutex guards its
// fields.
type round struct {
	roundSignals
	urgent    bool // somebody waits for it
	charged   bool // unknown keys have caused it
	cause     roundCause
	recheck   bool // it must not be answered with what is known
	mismatch  bool // a signature was wrong meanwhile, so a recheck follows
	good      bool // a URL has answered well
	found     bool // a key that was wanted
	ended     bool
	snapshot  snapshotUse
	wanted    map[keystate.Question]struct{}
	attempts  []*attempt
	began     clock.Time
	requested clock.Time // when its last request began
	until     time.Time  // when it ends; zero until it has a connection
}

// roundSignals wake the goroutine of a round, and those who wait for its end.
type roundSignals struct {
	promoted chan struct{} // it has become urgent; holds one signal
	events   chan struct{} // something has happened; holds one signal
	stop     chan struct{} // closed when the set is removed
	done     chan struct{} // closed when it has ended
}

// roundCause is why a round began.
type roundCause uint8

const (
	causeToken   roundCause = iota // a token asked, and no refresh was due
	causeRefresh                   // a refresh was due
	causeFlood                     // a refresh was due, and unknown keys have caused requests as well
)

// snapshotUse is what a round does with the snapshot of its set.
type snapshotUse uint8

const (
	snapshotUnread  snapshotUse = iota // it may help
	snapshotReading                    // it is being read
	snapshotOver                       // it was read, or need not be
)

// start begins a round. The caller holds the set's mutex.
func (c *Cache) start(s *set, urgent bool, now clock.Time) *round {
	cause := causeToken
	switch due := now.Reached(s.due.Load()); {
	case due && s.pace.flooded(now):
		cause = causeFlood
	case due:
		cause = causeRefresh
	}
	r := &round{
		urgent: urgent, cause: cause, began: now, wanted: map[keystate.Question]struct{}{},
		roundSignals: roundSignals{
			promoted: make(chan struct{}, 1), events: make(chan struct{}, 1),
			stop: make(chan struct{}), done: make(chan struct{}),
		},
	}
	if c.config.Snapshots == nil || s.usable(now, c.config.limits()) {
		r.snapshot = snapshotOver
	}
	s.round = r
	if urgent {
		p := s.paced()
		p.before, p.urgent = p.urgent, now
	}
	go c.run(s, r)
	return r
}

// run is the goroutine of a round: it asks the URLs in order, the next one when one has failed, has not answered for a while, or
// has given an answer that is not enough, and again those that do not answer.
func (c *Cache) run(s *set, r *round) {
	defer c.end(s, r)
	var snapshot sync.WaitGroup
	defer snapshot.Wait()
	timer := time.NewTimer(roundTime)
	defer timer.Stop()
	for {
		next, done := c.step(s, r, &snapshot)
		if done {
			return
		}
		timer.Reset(next)
		select {
		case <-r.events:
		case <-r.promoted:
			c.promote(s, r)
		case <-timer.C:
		case <-r.stop:
			return
		}
	}
}

// step does what is due in a round, and returns the time until something is due again.
func (c *Cache) step(s *set, r *round, snapshot *sync.WaitGroup) (next time.Duration, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, t := c.clock(), time.Now()
	own := s.own(c.config.limits())
	r.observe(&own, now)
	if r.enough(s, &own, now) || !r.until.IsZero() && !t.Before(r.until) {
		return 0, true
	}
	next = roundTime
	if !r.until.IsZero() {
		next = min(next, r.until.Sub(t))
	}
	waits, last := false, (*attempt)(nil)
	for _, a := range r.attempts {
		waits = waits || a.state == attemptRunning &&
			(a.connected.IsZero() || !r.good || !a.slot.current().Down(c.config.limits()))
		last = a
	}
	if untold := r.unasked(s, own.Usable(now), now); len(untold) > 0 {
		hedge := last == nil || last.state != attemptRunning
		if !hedge {
			left := hedgeAfter - c.silence(last, t)
			hedge = left <= 0
			next = min(next, max(left, 0))
		}
		if hedge {
			c.begin(s, r, untold[0])
			c.restoreOnce(s, r, snapshot, last != nil)
			return min(next, hedgeAfter), false
		}
		return max(next, time.Millisecond), false
	}
	if !waits {
		c.restoreOnce(s, r, snapshot, !r.good)
		return busyRetry, r.good || !s.busy(r, now)
	}
	c.restoreOnce(s, r, snapshot, r.silent(t))
	if r.snapshot == snapshotUnread {
		next = min(next, hedgeAfter)
	}
	return max(c.repeat(s, r, t, next), time.Millisecond), false
}

// silence returns for how long a URL has not answered. One that waits for a connection is silent while its host answers nobody.
func (c *Cache) silence(a *attempt, t time.Time) time.Duration {
	switch {
	case !a.connected.IsZero():
		return t.Sub(a.connected)
	case a.ticket != nil:
		return c.hosts.silence(a.ticket)
	}
	return 0
}

// busy reports whether a URL was not asked because requests of earlier rounds have not ended, as they soon will. The caller holds
// the set's mutex.
func (s *set) busy(r *round, now clock.Time) bool {
	for _, sl := range s.slots {
		if r.attempt(sl) == nil && len(s.inFlight(sl)) >= maxInFlight && sl.resting(now, urgentRest) == 0 {
			return true
		}
	}
	return false
}

// silent reports whether a URL has not answered for a while.
func (r *round) silent(t time.Time) bool {
	for _, a := range r.attempts {
		if a.state == attemptRunning && !a.connected.IsZero() && t.Sub(a.connected) >= hedgeAfter {
			return true
		}
	}
	return false
}

// repeat asks again the URLs that have not answered k requests for k seconds: once in a refresh, until the round ends if somebody
// waits. The caller holds the set's mutex.
func (c *Cache) repeat(s *set, r *round, t time.Time, next time.Duration) time.Duration {
	for _, a := range r.attempts {
		if a.state != attemptRunning || a.connected.IsZero() || !r.urgent && a.requests >= 2 {
			continue
		}
		left := time.Duration(a.requests)*repeatAfter - t.Sub(a.connected)
		switch {
		case left > 0:
			next = min(next, left)
		case len(s.inFlight(a.slot)) < maxInFlight && a.slot.rate.wait(c.clock()) == 0:
			c.request(s, r, a)
			next = min(next, repeatAfter)
		default:
			next = min(next, busyRetry)
		}
	}
	return next
}

// observe notes what the round has found. The caller holds the set's mutex.
func (r *round) observe(own *keystate.Issuer, now clock.Time) {
	for _, a := range r.attempts {
		if a.state == attemptGood {
			r.good = true
		}
	}
	if r.found || !r.good || len(r.wanted) == 0 {
		return
	}
	for _, cand := range own.Candidates(now) {
		for q := range r.wanted {
			r.found = r.found || q.Matches(cand.Key)
		}
	}
}

// enough reports whether no more answers are needed: every wanted key was found, and each key of the set is listed by an answer
// of this round, or only by URLs that must not be asked now. The caller holds the set's mutex.
func (r *round) enough(s *set, own *keystate.Issuer, now clock.Time) bool {
	if !r.good || r.recheck && s.untold(r, now) {
		return false
	}
	all := own.Candidates(now)
	for q := range r.wanted {
		found := false
		for i := range all {
			found = found || q.Matches(all[i].Key)
		}
		if !found {
			return false
		}
	}
	for i := range all {
		vouched, open := false, false
		for n, sl := range s.slots {
			k := own.Sources[n].Listing(all[i].Key)
			if k == nil {
				continue
			}
			switch a := r.attempt(sl); {
			case a == nil:
				open = open || sl.resting(now, refreshRest) == 0
			case a.state == attemptGood:
				vouched = vouched || k.Current
			case a.state == attemptRunning:
				open = true
			}
		}
		if !vouched && open {
			return false
		}
	}
	return true
}

// untold reports whether a URL that may be asked has not answered in the round. The caller holds the set's mutex.
func (s *set) untold(r *round, now clock.Time) bool {
	return slices.ContainsFunc(s.slots, func(sl *slot) bool {
		a := r.attempt(sl)
		return a == nil && sl.resting(now, refreshRest) == 0 && !sl.refused(now) || a != nil && a.state == attemptRunning
	})
}

// attempt returns the attempt of the round at a URL, or nil.
func (r *round) attempt(sl *slot) *attempt {
	for _, a := range r.attempts {
		if a.slot == sl {
			return a
		}
	}
	return nil
}

// unasked lists the URLs that may still be asked, in the order in which to ask them: those that do not fail first. In a refresh,
// a failing one whose back-off is over is among them, so that a preferred URL is found to have recovered.
func (r *round) unasked(s *set, usable bool, now clock.Time) []*slot {
	most := refreshRest
	if r.urgent {
		most = urgentRest
	}
	var first, later []*slot
	for _, sl := range s.slots {
		f := sl.current().Failure
		switch {
		case r.attempt(sl) != nil, sl.resting(now, most) > 0, len(s.inFlight(sl)) >= maxInFlight:
		case sl.refused(now) && usable && !r.urgent:
		case f != nil && (r.urgent || now.Since(f.At) < backOff(f.Count)):
			later = append(later, sl)
		default:
			first = append(first, sl)
		}
	}
	return append(first, later...)
}

// end ends a round. Requests under way go on to their own end.
func (c *Cache) end(s *set, r *round) {
	now := c.clock()
	s.mu.Lock()
	s.round, r.ended = nil, true
	for _, a := range r.attempts {
		if a.connected.IsZero() { // it waits for a connection, and nobody waits for it
			a.cancel()
		}
	}
	own := s.own(c.config.limits())
	r.observe(&own, now)
	if !s.removed() {
		s.paced().ended(r, now)
		c.schedule(s, r, &own, now)
		if r.mismatch {
			c.recheckMismatch(s, now)
		}
		if s.pace.idle(c.config.UnknownKeyInterval, now) {
			s.pace = nil
		}
	}
	good, expired := r.good, s.hasExpired(&own, now)
	s.mu.Unlock()
	s.publish() // those who wait look again
	close(r.done)
	if expired > 0 {
		c.log.expired(c.table.Load(), s, expired)
	}
	c.wakeRun()
	if good && c.config.Snapshots != nil {
		c.save(context.Background(), s)
	}
	c.compare(s, r)
}
