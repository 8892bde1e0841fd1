package jwks

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// attemptState is what has become of an attempt.
type attemptState uint8

const (
	attemptRunning attemptState = iota
	attemptGood
	attemptFailed // or canceled
)

// attempt asks one URL in a round, with one request or several: the first good answer counts. It fails when a request fails other
// than by timeout, or when all its requests have ended. The set's mutex guards its fields.
type attempt struct {
	slot      *slot
	state     attemptState
	requests  int      // so far
	pending   int      // of them, those that have not ended
	inFlight  []uint64 // their numbers, of those that have a connection
	connected time.Time
	cancels   []context.CancelFunc // of its requests
	ticket    *ticket              // of the first request, until it has a connection
	maxAge    time.Duration        // of a good answer, less its Age; 0 if there is none
}

// begin asks a URL for the first time in the round. The caller holds the set's mutex.
func (c *Cache) begin(s *set, r *round, sl *slot) {
	a := &attempt{slot: sl}
	r.attempts, s.active = append(r.attempts, a), append(s.active, a)
	c.request(s, r, a)
}

// request sends one more request. The second one and every other use the other client, on connections of its own. The caller
// holds the set's mutex.
func (c *Cache) request(s *set, r *round, a *attempt) {
	a.requests++
	a.pending++
	a.slot.rate.take(c.clock())
	q := &request{cache: c, set: s, round: r, attempt: a, repeated: a.requests > 1, client: s.clients.pick(a.requests - 1)}
	q.ticket = c.hosts.enqueue(a.slot.address(), s, r.urgent)
	if a.requests == 1 {
		a.ticket = q.ticket
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancels = append(a.cancels, cancel)
	go q.run(ctx)
}

// cancel ends the requests of the attempt. The caller holds the set's mutex.
func (a *attempt) cancel() {
	for _, cancel := range a.cancels {
		cancel()
	}
}

// promote moves the requests of a round that wait for a connection to the queue of those that somebody waits for.
func (c *Cache) promote(s *set, r *round) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range r.attempts {
		if a.ticket != nil {
			c.hosts.promote(a.ticket)
		}
	}
}

// request is one request to one URL.
type request struct {
	cache    *Cache
	set      *set
	round    *round
	attempt  *attempt
	ticket   *ticket
	repeated bool
	client   *client

	number  uint64
	urgent  bool
	noCache bool // ask for a fresh copy
	plain   bool // send no validator
	began   time.Time
	beganAt clock.Time
	early   *recovery // of a good answer that was noted before the request has ended
}

// run sends the request, once there is a connection for it, and notes its outcome.
func (q *request) run(ctx context.Context) {
	c := q.cache
	if !c.hosts.wait(ctx, q.ticket) {
		q.finish(answer{failed: &failure{label: label.Canceled}})
		return
	}
	deadline := q.start()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if q.repeated {
		q.client.closeIdle()
	}
	defer c.hosts.release(q.ticket) // also if the client does not return: others need the place
	stuck := &q.attempt.slot.stuck
	if stuck.Load() >= maxStray {
		q.finish(answer{failed: &failure{label: label.Timeout, cause: errStuck}})
		return
	}
	got, ok := counted(ctx, stuck, func() (a answer) {
		a.failed = &failure{label: "panic"}
		if err := guard.Call("HTTP client", func() { a = q.fetch(ctx) }); err != nil {
			c.log.Error("HTTP client panicked", "url", q.attempt.slot.name(), "error", err)
		}
		return a
	})
	if !ok && ctx.Err() != nil {
		got = answer{failed: classify(ctx, errStuck)}
	} else if !ok {
		got = answer{failed: fail("panic")} // it has ended its goroutine
	}
	if got.failed != nil && got.failed.label == label.Timeout {
		q.client.closeIdle()
	}
	if got.failed == nil || got.failed.label != label.Canceled {
		c.hosts.answered(q.ticket, got.failed)
	}
	c.hosts.release(q.ticket) // before any code of others is called
	q.finish(got)
	if pair := q.set.clients; pair.gone.Load() {
		pair.closeIdle()
	}
}

// start notes that the request has its connection, and returns its deadline.
func (q *request) start() time.Time {
	c, s, r, a := q.cache, q.set, q.round, q.attempt
	s.mu.Lock()
	defer s.mu.Unlock()
	q.number, q.began, q.beganAt = c.seq.Add(1), time.Now(), c.clock()
	q.urgent = r.urgent
	st := a.slot.current()
	q.noCache = r.urgent || r.recheck
	q.plain = q.noCache || a.requests > 1 || st.Missing()
	a.inFlight = append(a.inFlight, q.number)
	r.requested = q.beganAt
	if r.until.IsZero() {
		r.until = q.began.Add(roundTime)
	}
	if a.connected.IsZero() {
		a.connected = q.began
	}
	if !q.repeated {
		a.ticket = nil
	}
	deadline := q.began.Add(requestTime)
	if a.slot.discovery != nil {
		deadline = deadline.Add(requestTime) // a document and a key set
	}
	if r.until.Before(deadline) {
		deadline = r.until
	}
	if least := q.began.Add(leastTime); deadline.Before(least) {
		deadline = least
	}
	r.wake()
	return deadline
}

// wake wakes the round.
func (r *round) wake() {
	select {
	case r.events <- struct{}{}:
	default:
	}
}

// finish notes the outcome of the request, and the event of the URL if it has one now.
func (q *request) finish(got answer) {
	c, s, a, sl := q.cache, q.set, q.attempt, q.attempt.slot
	s.mu.Lock()
	a.pending--
	a.inFlight = slices.DeleteFunc(a.inFlight, func(n uint64) bool { return n == q.number })
	e, decided := q.event(&got)
	var back recovery
	if decided {
		a.cancel()
		back = s.note(sl, &got, q.beganAt)
		if q.early != nil {
			back.failures, back.expired, back.changed = q.early.failures, q.early.expired, q.early.changed
		}
		before, next := s.apply(sl, e, c.config.limits())
		r := sl.said()
		if got.failed != nil && next.Failure == nil { // a later request has answered well
			r.failure, back.first = nil, false
			sl.say(r)
		}
		s.missing(sl, c.config.limits(), c.clock())
		back.misses = len(sl.said().missing)
		back.changed = back.changed || got.failed == nil && !next.ListsSame(&before.State)
		if got.failed == nil {
			a.state = attemptGood
		} else {
			a.state = attemptFailed
		}
	} else if a.pending == 0 && a.state == attemptRunning {
		a.state = attemptFailed
	}
	if a.pending == 0 {
		a.cancel()
		s.active = slices.DeleteFunc(s.active, func(o *attempt) bool { return o == a })
		if len(s.active) == 0 {
			s.active = nil
		}
	}
	late, outage := q.round.ended, q.isOutage(got.failed)
	s.mu.Unlock()
	if decided {
		s.publish()
	}
	q.round.wake() // before any code of others
	if decided {
		c.log.fetched(c.table.Load(), s, sl, &got, back)
		c.onFetch(q, &got, outage)
	}
	if late && decided {
		c.reschedule(s)
	}
}

// event returns what the outcome says of the URL. The caller holds the set's mutex.
func (q *request) event(got *answer) (e keystate.Event, decided bool) {
	a := q.attempt
	if a.state != attemptRunning {
		return e, false
	}
	e = keystate.Event{
		Started: q.number, StartedAt: q.beganAt, At: q.cache.clock(), Age: got.age, NoCache: q.noCache, Partial: got.partial,
		Keys: got.keys, Unusable: unusable(got.skipped),
	}
	switch f := got.failed; {
	case f == nil && got.unchanged:
		e.Kind = keystate.NotModified
	case f == nil:
		e.Kind = keystate.Good
	case f.label == label.Canceled, f.label == label.Timeout && a.pending > 0:
		return e, false
	default:
		e.Kind, e.Refused, e.RetryAfter = keystate.Failed, f.refused(), q.cache.jitter(f.retryAfter)
	}
	a.maxAge = got.maxAge
	return e, true
}

// recovery is what a good answer ends.
type recovery struct {
	first          bool // the failure is the first in a row
	failures       int  // of the URL, in a row
	expired        bool // the keys of the set had expired
	changed        bool // the keys of the URL did
	misses, missed int  // keys that other URLs list: now, and before
}

// note keeps what the answer to a request that began then says beside the state. The caller holds the set's mutex.
func (s *set) note(sl *slot, got *answer, began clock.Time) (back recovery) {
	st, r := sl.current(), sl.said()
	defer func() { sl.say(r) }()
	back.missed = len(r.missing)
	if st.Failure != nil {
		back.failures = st.Failure.Count
	}
	if got.failed != nil {
		r.failure = got.failed
		back.first = st.Failure == nil
		if len(got.skipped) > 0 {
			r.skipped = got.skipped
		}
		return back
	}
	if s.upkeep != nil {
		back.expired, s.upkeep.stale = s.upkeep.stale, false
	}
	r.failure = nil
	if !got.unchanged {
		r.skipped, sl.etag = got.skipped, nil
		if got.etag != "" {
			sl.etag = &etag{got.etag, got.url, began}
		}
	}
	return back
}

// bounded runs f, and returns its result, or false if f has ended its goroutine, or not returned a while after ctx has ended.
// Then it goes on alone, and what it returns is lost.
func bounded[T any](ctx context.Context, f func() T) (result T, ok bool) {
	done := make(chan T, 1)
	go func() {
		defer close(done) // also if f ends its goroutine
		done <- f()
	}()
	select {
	case result, ok = <-done:
		return result, ok
	case <-ctx.Done():
	}
	late := time.NewTimer(graceTime)
	defer late.Stop()
	select {
	case result, ok = <-done:
		return result, ok
	case <-late.C:
		return result, false
	}
}

// counted runs f as bounded does. stuck counts the calls that go on alone.
func counted[T any](ctx context.Context, stuck *atomic.Int32, f func() T) (result T, ok bool) {
	var settled atomic.Bool // by the first of: the call, its time
	result, ok = bounded(ctx, func() T {
		defer func() { // also if it ends its goroutine
			if settled.Swap(true) {
				stuck.Add(-1)
			}
		}()
		return f()
	})
	if ok {
		return result, true
	}
	stuck.Add(1)
	if settled.Swap(true) { // it has returned in this moment
		stuck.Add(-1)
	}
	return result, false
}
