package clientcredentials

import (
	"context"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/tokenwatch"
)

// round is one search for a token over the regions. It goes on when the callers that wait for it leave.
type round struct {
	done   chan struct{} // closed when it has finished
	token  *Token        // once it has finished: this, or err
	err    *tokenError
	wanted chan struct{} // closed when a caller waits for it
	cancel context.CancelFunc

	onDemand bool // a caller waits for it; guarded by the TokenSource's mutex
	move     bool // it is for a token of its first region, as long as no caller waits
}

// join returns the token in memory, and the round to wait for if there is one to wait for: the one in progress, or a new one. The
// error says why there is none.
func (s *TokenSource) join(preferred *region) (*Token, *round, *tokenError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, t := s.clock(), s.current.Load() // another round may have finished since the caller looked
	need := s.need(t, now, preferred)
	if need == nothing {
		return t, nil, nil
	}
	current := s.round
	if current == nil {
		plan, rejection := s.plan(now, preferred, nil)
		move := need == background && now.Since(t.got) < t.renew
		switch {
		case move && (len(plan) == 0 || plan[0] != preferred): // it is of no use to ask another
		case len(plan) > 0:
			current = s.start(plan[0], preferred, move)
		case need == background:
		case rejection != nil:
			return t, nil, rejection
		default:
			return t, nil, s.noRegion()
		}
	}
	if need == background {
		return t, nil, nil
	}
	if !current.onDemand {
		current.onDemand = true
		close(current.wanted)
	}
	return t, current, nil
}

// plan lists the regions to ask at now, in order, without those that were asked, and a rejection that ends the list. While
// there is no usable token, it has regions that rest after a failure, behind the others. The caller holds mu.
func (s *TokenSource) plan(now clock.Time, preferred *region, asked []*region) (plan []*region, rejection *tokenError) {
	order := make([]*region, 0, len(s.regions))
	if preferred != nil {
		order = append(order, preferred)
	}
	for _, r := range s.regions {
		if r != preferred {
			order = append(order, r)
		}
	}
	urgent := s.urgent(now)
	var resting []*region
	for _, r := range order {
		if rejection = r.rejects(now); rejection != nil {
			break // another region is not asked for a better one
		}
		switch {
		case r.busy || slices.Contains(asked, r):
		case r.wait(now, false) == 0:
			plan = append(plan, r)
		case urgent && r.wait(now, true) == 0:
			resting = append(resting, r)
		}
	}
	return append(plan, resting...), rejection
}

// urgent reports whether there is no usable token at now, or not for long.
func (s *TokenSource) urgent(now clock.Time) bool {
	t := s.current.Load()
	return t == nil || now.Since(t.got) >= t.life-t.margin()
}

// noRegion is the error for a call that finds no region to ask. The caller holds mu.
func (s *TokenSource) noRegion() *tokenError {
	e := &tokenError{failure: noRegion}
	for _, r := range s.regions {
		if r.outage != nil {
			e.regions = append(e.regions, r.outage)
		}
	}
	return e
}

// start starts a round that asks first before others. The caller holds mu.
func (s *TokenSource) start(first, preferred *region, move bool) *round {
	ctx, cancel := context.WithCancel(context.Background()) // it is no caller's
	r := &round{done: make(chan struct{}), wanted: make(chan struct{}), cancel: cancel, move: move}
	s.round = r
	s.work.Go(func() {
		defer cancel()
		search := search{
			TokenSource: s, round: r, preferred: preferred, behind: len(s.regions),
			outcomes: make(chan outcome, 2*len(s.regions)),
		}
		search.run(ctx, first)
	})
	return r
}

// search is the part of a round that only its own goroutine touches.
type search struct {
	*TokenSource
	*round
	preferred *region
	asked     []*region // in the order in which they were
	open      []bool    // which of those have not answered
	outcomes  chan outcome
	rejection *tokenError // of the region at behind in asked, which decides if none before it issues a token
	behind    int         // and later ones do not
	finished  bool
}

// outcome is how one request ended.
type outcome struct {
	at      int // in asked
	token   *Token
	failed  *tokenError
	started time.Time
	took    time.Duration
}

// run asks one region after the other until one issues a token or rejects the request. Then it waits for the requests that are
// still in progress: they tell which regions work.
func (s *search) run(ctx context.Context, first *region) {
	hedge := time.NewTimer(time.Hour)
	hedge.Stop()
	defer hedge.Stop()
	wanted, waited := s.wanted, false // whether a caller waits
	s.ask(ctx, first)
	askedAt := time.Now()
	for s.waiting() {
		asked := false
		select {
		case <-wanted:
			wanted, waited = nil, true
			if s.config.Hedge > 0 {
				hedge.Reset(max(0, s.config.Hedge-time.Since(askedAt)))
			}
			continue
		case <-hedge.C:
			s.askNext(ctx)
			asked = true // or there was none to ask: one that rests now may be asked later
		case o := <-s.outcomes:
			if !s.open[o.at] {
				continue // it came after its time
			}
			s.open[o.at] = false
			tell := s.take(o)
			if o.failed != nil && (!s.move || s.isOnDemand()) {
				asked = s.askNext(ctx)
			}
			s.conclude()
			tell()
		}
		if asked {
			askedAt = time.Now()
			if waited && !s.finished && s.config.Hedge > 0 {
				hedge.Reset(s.config.Hedge)
			}
		}
	}
}

func (s *search) isOnDemand() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.onDemand
}

// waiting reports whether a request is in progress.
func (s *search) waiting() bool { return slices.Contains(s.open, true) }

// askNext asks the next region, unless the round has finished, a region has rejected the request, or there is none.
func (s *search) askNext(ctx context.Context) bool {
	if s.finished || s.rejection != nil {
		return false
	}
	s.mu.Lock()
	plan, _ := s.plan(s.clock(), s.preferred, s.asked)
	s.mu.Unlock()
	if len(plan) == 0 {
		return false
	}
	s.ask(ctx, plan[0])
	return true
}

// ask sends a request to r.
func (s *search) ask(ctx context.Context, r *region) {
	at := len(s.asked)
	s.asked, s.open = append(s.asked, r), append(s.open, true)
	s.mu.Lock()
	r.busy = true
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	// Code that does not heed its context keeps its region busy, but holds up no round.
	began, asked := s.clock(), time.Now()
	late := context.AfterFunc(ctx, func() {
		failed := &tokenError{failure: ended(ctx), region: r.name}
		s.outcomes <- outcome{at: at, failed: failed, started: asked, took: requestTimeout}
	})
	s.work.Go(func() {
		defer cancel()
		var token *Token
		var failed *tokenError
		if err := s.guarded("the HTTP client", func() { token, failed = s.request(ctx, r, began) }); err != nil {
			token, failed = nil, &tokenError{failure: panicked, region: r.name, cause: err}
		}
		s.mu.Lock()
		r.busy = false
		s.mu.Unlock()
		late()
		s.outcomes <- outcome{at: at, token: token, failed: failed, started: asked, took: s.clock().Since(began)}
	})
}

// take notes what an outcome says of its region, and returns what is left to be told about it, without a lock.
func (s *search) take(o outcome) (tell func()) {
	r := s.asked[o.at]
	if o.failed != nil && o.failed.failure == label.Canceled { // the round has an answer already
		return func() {}
	}
	s.mu.Lock()
	now := s.clock()
	var first, recovered, rejects bool
	var old *Token
	switch {
	case o.failed == nil:
		recovered, _ = r.answered(nil, now)
		old = s.adopt(o)
	case o.failed.failure == rejected:
		recovered, rejects = r.answered(o.failed, now)
		if o.at < s.behind {
			s.rejection, s.behind = o.failed, o.at
		}
	default:
		first = r.failed(o.failed, now)
	}
	s.mu.Unlock()
	s.tellParent(r, o, now)
	return func() {
		switch {
		case first:
			s.tools.log.failed(o.failed)
		case recovered:
			s.tools.log.recovered(r.name)
		}
		if rejects && s.parent == nil { // an exchange may be rejected because of the token of a user
			s.tools.log.rejected(o.failed)
		}
		if old != nil && old.from != r {
			s.tools.log.moved(old.from.name, r.name)
		}
		s.report(r, o)
	}
}

// tellParent tells the TokenSource for whose exchange s searches whether a region works.
func (s *search) tellParent(r *region, o outcome, now clock.Time) {
	if s.parent == nil {
		return
	}
	s.parent.mu.Lock()
	defer s.parent.mu.Unlock()
	switch {
	case o.failed == nil || o.failed.failure == rejected:
		r.origin.failures, r.origin.outage = 0, nil
	default:
		r.origin.failed(o.failed, now)
	}
}

// report tells the Controller, OnRequest and the metrics about an outcome.
func (s *search) report(r *region, o outcome) {
	failure := ""
	if o.failed != nil {
		failure = o.failed.Failure()
	}
	if c, region := s.config.Failover, r.sole(); c != nil && region != "" {
		switch {
		case o.failed == nil || o.failed.failure == rejected: // the region works, even if it rejects the client
			c.Report(region, reporter, o.started, nil)
		case label.Outage(o.failed.Failure(), o.failed.retryAfter):
			c.Report(region, reporter, o.started, o.failed)
		}
	}
	if s.config.OnRequest != nil {
		_ = s.guarded("OnRequest", func() { s.config.OnRequest(r.name, failure, o.took) })
	}
	s.tell(tokenwatch.Request{Region: r.name, Failure: failure, Duration: o.took})
}

// reporter is the name of a TokenSource as a reporter to a Controller.
const reporter = "token"

// adopt puts a token in use: the first of the round, or that of a region which comes before the one that was first. It
// returns the token that was in use. The caller holds mu.
func (s *search) adopt(o outcome) (old *Token) {
	old = s.current.Load()
	switch {
	case !s.finished:
		s.current.Store(o.token)
		s.behind = o.at
		s.finish(o.token, nil)
	case s.token != nil && o.at < s.behind && old == s.token:
		s.current.Store(o.token)
	default:
		return nil
	}
	return old
}

// conclude finishes a round that has come to its end without a token.
func (s *search) conclude() {
	if s.finished {
		return
	}
	for at, open := range s.open {
		if open && at < s.behind {
			return // it may still issue a token
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rejection == nil {
		_, s.rejection = s.plan(s.clock(), s.preferred, s.asked) // one that is remembered
	}
	if s.rejection != nil {
		s.finish(nil, s.rejection)
		s.cancel()
		return
	}
	s.finish(nil, s.noRegion())
}

// finish ends a round for those who wait for it. The caller holds mu.
func (s *search) finish(token *Token, err *tokenError) {
	s.finished = true
	s.token, s.err = token, err
	s.TokenSource.round = nil
	close(s.done)
}
