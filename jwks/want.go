package jwks

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
)

// roundState is what a caller can expect of a set.
type roundState uint8

const (
	roundSettled roundState = iota // every URL has had an outcome since the caller arrived, or asks not to be asked
	roundRunning                   // a round is on its way
	roundLater                     // one may start later
)

// want asks a set for the key that a caller waits for: it joins the round that is under way, or starts one if that is allowed and
// can end in time. held means that the rate of unknown keys is what keeps a round from starting, for d.
func (c *Cache) want(s *set, w *waiter, now clock.Time, left time.Duration) (d time.Duration, held bool, state roundState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed() {
		return 0, false, roundSettled
	}
	if r := s.round; r != nil && !r.good && r.snapshot != snapshotOver { // the snapshot may have the key
		r.want(w)
		return 0, false, roundRunning
	}
	own := s.own(c.config.limits())
	usable := own.Usable(now)
	if s.settledFor(w.arrived, usable, now, c) {
		return 0, false, roundSettled
	}
	r := s.round
	if r != nil {
		r.want(w)
		if !r.answeredBefore(w.arrived) {
			return 0, false, roundRunning
		}
	}
	d, held = s.waitFor(w, usable, now, c)
	switch {
	case r != nil && (d > 0 || left <= 0):
		return d, held, roundRunning
	case d > 0 || left <= 0 && c.config.UnknownKeyWait >= 0:
		return d, held, roundLater
	case !w.view.holds(w.entry): // the key may have come since the caller looked
		return time.Millisecond, false, roundRunning
	}
	if usable {
		if s.pace.wait(c.config.UnknownKeyInterval, now) > 0 {
			s.paced().repeated = now
		} else {
			s.paced().charge(now)
		}
	}
	s.paced().caused = now
	if r != nil {
		r.askAgain(w.arrived)
		r.charged = r.charged || usable
		return 0, false, roundRunning
	}
	r = c.start(s, true, now)
	r.charged = usable
	r.want(w)
	return 0, false, roundRunning
}

// waitFor returns how long the set may not be asked for the key of a caller. held means that the rate of unknown keys is the
// reason. The caller holds the set's mutex.
func (s *set) waitFor(w *waiter, usable bool, now clock.Time, c *Cache) (d time.Duration, held bool) {
	d, held = s.restFor(w.arrived, now)
	if failed := s.pace.waitFailed(usable, now); failed > d {
		d, held = failed, false
	}
	if !usable {
		return d, false
	}
	gate, often := w.entry.asked.gate(w.ask, now)
	bucket := s.pace.wait(c.config.UnknownKeyInterval, now)
	if often {
		bucket = min(bucket, s.pace.waitRepeated(now))
	}
	bucket = max(bucket, gate, s.copiesWait(now))
	return max(d, bucket), held || bucket > d
}

// restFor returns how long all URLs rest that have had no outcome since a caller arrived. spent means that the first that may be
// asked rests only because it was asked as often as it may be. The caller holds the set's mutex.
func (s *set) restFor(arrived uint64, now clock.Time) (least time.Duration, spent bool) {
	least = urgentRest
	for _, sl := range s.slots {
		if sl.settled(arrived) {
			continue
		}
		if d := sl.resting(now, urgentRest); d < least {
			least, spent = d, d > sl.unwilling(now, urgentRest)
		}
	}
	return least, spent
}

// answeredBefore reports whether a URL has answered in the round, and began to before a caller arrived, while the round goes on
// because another URL does not answer. The caller holds the set's mutex.
func (r *round) answeredBefore(arrived uint64) bool {
	return slices.ContainsFunc(r.attempts, func(a *attempt) bool { return a.answeredBefore(arrived) })
}

func (a *attempt) answeredBefore(arrived uint64) bool {
	return a.state == attemptGood && a.slot.current().Answer.Started <= arrived
}

// askAgain makes the round ask those URLs once more. The caller holds the set's mutex.
func (r *round) askAgain(arrived uint64) {
	r.attempts = slices.DeleteFunc(r.attempts, func(a *attempt) bool { return a.answeredBefore(arrived) })
	if r.cause == causeRefresh {
		r.cause = causeFlood
	}
	r.wake()
}

// want makes the round look for a key, urgently. The caller holds the set's mutex.
func (r *round) want(w *waiter) {
	if len(r.wanted) < maxWanted {
		ask := w.ask
		ask.Unnamed = false // the keys without kid that are known are not what is wanted
		r.wanted[ask] = struct{}{}
	}
	if len(w.query.Tried) > 0 { // the keys that are known are not what is wanted
		r.recheck = true
	}
	if !r.urgent {
		r.urgent = true
		select {
		case r.promoted <- struct{}{}:
		default:
		}
	}
}

// settledFor reports whether nothing more can be learned for a caller that arrived then: each URL has had an outcome since, asks
// not to be asked, or has been down for so long that another one stands in for it. The caller holds the set's mutex.
func (s *set) settledFor(arrived uint64, usable bool, now clock.Time, c *Cache) bool {
	all, some := true, false
	for _, sl := range s.slots {
		switch {
		case sl.settled(arrived):
			some = true
		case sl.unwilling(now, urgentRest) > 0, usable && sl.current().Down(c.config.limits()):
		default:
			all = false
		}
	}
	return all && some
}

// rest returns how long all URLs ask not to be asked. The caller holds the set's mutex.
func (s *set) rest(now clock.Time, most time.Duration) time.Duration {
	least := most
	for _, sl := range s.slots {
		least = min(least, sl.resting(now, most))
	}
	return least
}

// copiesWait is how long a round would only be answered with the copies that are known: every URL does not honor no-cache.
func (s *set) copiesWait(now clock.Time) time.Duration {
	wait := slowest
	for _, sl := range s.slots {
		st := sl.current()
		if st.Failure != nil || st.Answer.NoCacheIgnored < 3 {
			return 0
		}
		wait = min(wait, slowest-now.Since(st.Answer.StartedAt))
	}
	return max(wait, 0)
}
