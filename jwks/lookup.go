package jwks

import (
	"context"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/verdict"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

const (
	answerTime = time.Second // that a round needs to be of use to a caller who waits
	maxWaiting = 65_536      // callers that wait in a process
	leastRetry = time.Second // of Result.RetryAfter
	mostRetry  = time.Minute
)

// Lookup implements Source.
func (c *Cache) Lookup(ctx context.Context, q Query) Result {
	if !c.made() {
		return Result{Err: errNotMade, RetryAfter: leastRetry}
	}
	e, v := c.find(q.Issuer)
	if e == nil {
		return Result{Complete: true, Err: ErrUnknownIssuer}
	}
	now := c.clock()
	if !q.CacheOnly {
		c.refreshDue(e, now)
	}
	ask := q.question()
	r, known := v.answer(ask, now)
	switch {
	case len(q.Tried) > 0 && known && len(r.Keys) > 0 && (q.CacheOnly || q.KeyID != "" && r.Keys[0].ID() == q.KeyID):
		e.catchUp() // the key may just have come
		if again, known := e.view.Load().answer(ask, now); known {
			r = again
		}
		return c.mismatch(e, q, r, now)
	case known && (len(q.Tried) == 0 || len(r.Keys) == 0):
		return c.settle(q, r, now)
	case q.CacheOnly:
		r.Complete = v.state.AbsentRecently(v.narrow(ask, now), q.IssuedAt, now)
		r.RetryAfter = leastRetry
		return r
	}
	return c.settle(q, e.ask(ctx, q, ask), now)
}

// question is what q asks of the state of an issuer.
func (q *Query) question() keystate.Question {
	unnamed := q.AllowMissingKeyID && q.KeyID != ""
	return keystate.Question{KeyID: q.KeyID, Algorithm: jose.Canonical(q.Algorithm), Unnamed: unnamed}
}

// find returns an issuer, and what is known of it; nil if no provider lists it.
func (c *Cache) find(iss string) (*issuerEntry, *issuerView) {
	for {
		e := c.table.Load().issuers[iss]
		if e == nil {
			return nil, nil
		}
		if v := e.view.Load(); v != retired {
			return e, v
		}
	}
}

// of returns the range of the keys of that kid.
func (v *issuerView) of(kid string) (first, last int) {
	first = v.find(kid)
	last = first
	for last < len(v.keys) && v.keys[last].key.ID == kid {
		last++
	}
	return first, last
}

// narrow leaves out the keys without kid if a key of that kid fits, or more of them fit than are tried.
func (v *issuerView) narrow(ask keystate.Question, now clock.Time) keystate.Question {
	if !ask.Unnamed {
		return ask
	}
	first, last := v.of(ask.KeyID)
	fits := func(k *Key) bool { return ask.Matches(k.key) && k.valid(now) }
	if slices.ContainsFunc(v.keys[first:last], fits) {
		ask.Unnamed = false
		return ask
	}
	var unnamed []jose.Thumbprint
	first, last = v.of("")
	for _, k := range v.keys[first:last] {
		if fits(k) && !slices.Contains(unnamed, k.key.Thumbprint) {
			unnamed = append(unnamed, k.key.Thumbprint)
		}
	}
	ask.Unnamed = len(unnamed) <= v.state.Most()
	return ask
}

// answer answers from memory. known is false if somebody must be asked.
func (v *issuerView) answer(ask keystate.Question, now clock.Time) (r Result, known bool) {
	ask = v.narrow(ask, now)
	first, last := v.of(ask.KeyID)
	switch {
	case ask.KeyID == "":
		first, last = 0, len(v.keys)
	case ask.Unnamed:
		first, last = v.of("")
	}
	switch {
	case last-first == 1:
		if k := v.keys[first]; ask.Matches(k.key) && k.valid(now) {
			r.Keys = v.keys[first:last:last]
		}
	case last > first:
		return v.several(ask, first, last, now)
	}
	if len(r.Keys) > 0 && ask.KeyID != "" && v.complete(first, now) {
		r.Complete = true
		return r, true
	}
	return v.evaluate(ask, r, false, now)
}

// several answers for a kid with several keys, or without one.
func (v *issuerView) several(ask keystate.Question, first, last int, now clock.Time) (r Result, known bool) {
	var all []keystate.Candidate
	switch {
	case first == last:
	case v.rare != nil && v.rare.all != nil:
		all = v.rare.all[first:last]
	default: // a token without kid
		all = v.state.Candidates(now)
	}
	chosen, cut := v.state.Choose(all, ask)
	if cut && ask.KeyID == "" { // to try some of them would make chance decide
		return Result{Complete: true, Err: verdict.ErrManyKeys}, true
	}
	for _, cand := range chosen { // with each of its names, as other regions may use another one
		for _, k := range v.keys[first:last] {
			if k.key.Thumbprint == cand.Key.Thumbprint && ask.Matches(k.key) && k.valid(now) {
				r.Keys = append(r.Keys, k)
			}
		}
	}
	return v.evaluate(ask, r, cut, now)
}

// evaluate says what the answer is worth. An entry that cannot be read answers for a minute without a request.
func (v *issuerView) evaluate(ask keystate.Question, r Result, cut bool, now clock.Time) (Result, bool) {
	verdict, _ := v.state.Complete(ask, now)
	switch {
	case len(r.Keys) > 0:
		r.Complete = verdict != keystate.Incomplete && !cut
		if !r.Complete {
			r.RetryAfter = leastRetry
		}
		return r, true
	case verdict == keystate.NotAllowed:
		return Result{Complete: true, Err: ErrKeyNotAllowed}, true
	}
	return r, v.state.Unreadable(ask, now)
}

// mismatch answers for a token that no candidate has verified: without waiting, but it may cause a refresh of the sets, as
// the issuer may have replaced a key under its kid.
func (c *Cache) mismatch(e *issuerEntry, q Query, r Result, now clock.Time) Result {
	r.Keys = slices.DeleteFunc(slices.Clone(r.Keys), func(k *Key) bool { return k.key.Thumbprint.In(q.Tried) })
	if len(r.Keys) > 0 || q.CacheOnly {
		return r
	}
	for _, s := range e.sets {
		s.mu.Lock()
		c.recheckMismatch(s, now)
		s.mu.Unlock()
	}
	return c.settle(q, r, now)
}

// settle gives the Result its last form: a row of "unavailable" becomes "rate limited".
func (c *Cache) settle(q Query, r Result, now clock.Time) Result {
	if r.Complete || len(r.Keys) > 0 || q.CacheOnly {
		if r.Complete && !q.CacheOnly {
			c.outages.Other()
		}
		return r
	}
	r.RetryAfter = min(max(r.RetryAfter, leastRetry), mostRetry)
	if !r.Limited && !c.outages.Take(now, c.anyUsable) {
		r.Limited = true
	}
	if r.Limited {
		c.outages.Other()
	}
	return r
}

// anyUsable reports whether a key set of the process is usable.
func (c *Cache) anyUsable(now clock.Time) bool {
	for _, s := range c.table.Load().sets {
		if s.usable(now, c.config.limits()) {
			return true
		}
	}
	return false
}

// ask has the sets fetched that may have the key, where their budgets allow, and waits until one has it, it is certain that
// none has, nothing more can be found out in time, or ctx ends.
func (e *issuerEntry) ask(ctx context.Context, q Query, ask keystate.Question) Result {
	c := e.cache
	w := &waiter{entry: e, query: q, ask: ask, arrived: c.seq.Add(1)}
	id, now := hashOf(ask), c.clock()
	if !e.asked.enter(id, e.usable(now), now) {
		return w.verdict(true, leastRetry, nil)
	}
	defer e.asked.leave(id)
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > maxWaiting {
		return w.verdict(true, leastRetry, nil)
	}
	deadline := time.Now().Add(max(c.config.UnknownKeyWait, 0))
	for {
		e, _ := c.find(q.Issuer) // Update may have replaced it
		if e == nil {
			return w.verdict(false, leastRetry, nil)
		}
		changed := e.asked.wait()
		v := e.view.Load()
		if v == retired {
			continue
		}
		w.entry, w.view = e, v
		now := c.clock()
		if r, known := v.answer(ask, now); known && (len(q.Tried) == 0 || len(r.Keys) == 0) {
			return r
		} else if len(r.Keys) > 0 {
			if r = untried(r, q.Tried); len(r.Keys) > 0 {
				return r
			}
		}
		if v.state.Absent(v.narrow(ask, now), w.arrived, q.IssuedAt, now, q.Tried...) {
			e.asked.note(ask, now)
			return Result{Complete: true}
		}
		left := time.Until(deadline)
		running, wait, limited := w.request(now, left)
		if left <= 0 || !running && (wait < 0 || wait > left-answerTime) {
			return w.verdict(limited, wait, nil)
		}
		if running && wait < 0 {
			wait = left
		}
		timer := time.NewTimer(min(max(wait, time.Millisecond), left))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return w.verdict(limited, leastRetry, context.Cause(ctx))
		}
		timer.Stop()
	}
}

// untried leaves out the keys that did not verify the signature.
func untried(r Result, tried []string) Result {
	r.Keys = slices.DeleteFunc(slices.Clone(r.Keys), func(k *Key) bool { return k.key.Thumbprint.In(tried) })
	return r
}

// waiter is one caller that waits for a key.
type waiter struct {
	entry   *issuerEntry
	view    *issuerView // in which it has looked for the key
	query   Query
	ask     keystate.Question
	arrived uint64
}

// request asks each set for the key. running means that a round is on its way that may find it. wait is the least time until
// one may start, or a URL may be asked again, negative if none needs to. limited means that the rate of unknown keys is the
// reason for waiting.
func (w *waiter) request(now clock.Time, left time.Duration) (running bool, wait time.Duration, limited bool) {
	wait = -1
	for _, s := range w.entry.sets {
		switch d, held, state := w.entry.cache.want(s, w, now, left); state {
		case roundRunning:
			running, limited = true, limited || held
			if d > 0 && (wait < 0 || d < wait) {
				wait = d
			}
		case roundLater:
			if wait < 0 || d < wait {
				wait = d
			}
			limited = limited || held
		case roundSettled:
		}
	}
	return running, wait, limited
}

// verdict is the answer when nothing more can be found out in time.
func (w *waiter) verdict(limited bool, wait time.Duration, cause error) Result {
	e := w.entry
	e.catchUp() // an event that has settled a set may not be in the view yet
	now := e.cache.clock()
	v := e.view.Load()
	if r, known := v.answer(w.ask, now); known {
		if r = untried(r, w.query.Tried); len(r.Keys) > 0 || len(w.query.Tried) == 0 {
			return r
		}
	}
	if v.state.Absent(v.narrow(w.ask, now), w.arrived, w.query.IssuedAt, now, w.query.Tried...) {
		return Result{Complete: true}
	}
	limited = limited || v.state.OnlyAge(v.narrow(w.ask, now), w.arrived, now, w.query.Tried...)
	r := Result{Limited: limited, RetryAfter: wait, Err: cause}
	for _, s := range e.sets {
		if why := s.why(); r.Err == nil {
			r.Err = why
		}
	}
	return r
}

// usable reports whether a set of the issuer is usable.
func (e *issuerEntry) usable(now clock.Time) bool {
	return slices.ContainsFunc(e.sets, func(s *set) bool { return s.usable(now, e.cache.config.limits()) })
}
