package clientcredentials

import (
	"context"
	"errors"
	"slices"
	"time"
)

// flight is one search for a token over the regions. It goes on when the callers that wait for it leave.
type flight struct {
	done   chan struct{} // closed when it has landed
	token  *Token        // once it has landed: this, or err
	err    *Error
	wanted chan struct{} // closed when a caller waits for it
	cancel context.CancelFunc

	demanded bool // a caller waits for it; guarded by the Source's mutex
	move     bool // it is for a token of its first region, as long as nobody waits
}

// board returns the token at hand, and the flight to wait for where that is called for: the one in progress, or a new one. The
// error says why there is none.
func (s *Source) board(preferred *region) (*Token, *flight, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, t := s.clock(), s.current.Load() // another flight may have landed since the caller looked
	need := s.need(t, now, preferred)
	if need == nothing || s.closed && need == background {
		return t, nil, nil
	}
	if s.closed {
		return t, nil, &Error{Reason: Closed}
	}
	f := s.flight
	if f == nil {
		plan, verdict := s.plan(now, preferred, nil)
		move := need == background && now.since(t.got) < t.renew
		switch {
		case move && (len(plan) == 0 || plan[0] != preferred): // it is of no use to ask another
		case len(plan) > 0:
			f = s.takeOff(plan[0], preferred, move)
		case need == background:
		case verdict != nil:
			return t, nil, verdict
		default:
			return t, nil, s.dark(now)
		}
	}
	if need == background {
		return t, nil, nil
	}
	if !f.demanded {
		f.demanded = true
		close(f.wanted)
	}
	return t, f, nil
}

// plan lists the regions to ask at now, in order, less those that were asked, and a refusal that ends the list. While no token
// serves, it holds regions that rest, behind the others. The caller holds mu.
func (s *Source) plan(now instant, preferred *region, asked []*region) (plan []*region, verdict *Error) {
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
		if verdict = r.refuses(now); verdict != nil {
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
	return append(plan, resting...), verdict
}

// urgent reports whether no token serves at now, or not for long.
func (s *Source) urgent(now instant) bool {
	t := s.current.Load()
	return t == nil || now.since(t.got) >= t.life-t.margin()
}

// dark is the error for a call at now that finds no region to ask. The caller holds mu.
func (s *Source) dark(now instant) *Error {
	e := &Error{Reason: NoRegion, RetryAfter: maxCoolDown}
	urgent := s.urgent(now)
	var causes []error
	for _, r := range s.regions {
		wait := r.wait(now, urgent)
		if r.busy {
			wait = probeEvery
		}
		e.RetryAfter = min(e.RetryAfter, max(wait, time.Millisecond))
		if r.failure != nil {
			causes = append(causes, r.failure)
		}
	}
	e.Err = errors.Join(causes...)
	return e
}

// takeOff starts a flight that asks first before others. The caller holds mu.
func (s *Source) takeOff(first, preferred *region, move bool) *flight {
	ctx, cancel := context.WithCancel(context.Background()) // it is no caller's
	f := &flight{done: make(chan struct{}), wanted: make(chan struct{}), cancel: cancel, move: move}
	s.flight = f
	s.flying[f] = struct{}{}
	s.work.Go(func() {
		defer cancel()
		search := search{
			Source: s, flight: f, preferred: preferred, outcomes: make(chan outcome, 2*len(s.regions)), behind: len(s.regions),
		}
		search.run(ctx, first)
		s.mu.Lock()
		delete(s.flying, f)
		s.mu.Unlock()
	})
	return f
}

// search is the part of a flight that only its own goroutine touches.
type search struct {
	*Source
	*flight
	preferred *region
	asked     []*region // in the order in which they were
	open      []bool    // which of those have not answered
	outcomes  chan outcome
	verdict   *Error // of the region at behind in asked, which counts where none before it gives a token
	behind    int    // and later ones do not
	landed    bool
}

// outcome is how one request ended.
type outcome struct {
	at     int // in asked
	token  *Token
	failed *Error
	took   time.Duration
}

// run asks one region after the other until one has a token or a verdict. Then it waits for the requests that are still in
// progress: they tell which regions live.
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
			asked = true // or in vain: a region that rests now may be asked then
		case o := <-s.outcomes:
			if !s.open[o.at] {
				continue // it came after its time
			}
			s.open[o.at] = false
			tell := s.take(o)
			if o.failed != nil && (!s.move || s.isDemanded()) {
				asked = s.askNext(ctx)
			}
			s.decide()
			tell()
		}
		if asked {
			askedAt = time.Now()
			if waited && !s.landed && s.config.Hedge > 0 {
				hedge.Reset(s.config.Hedge)
			}
		}
	}
}

func (s *search) isDemanded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.demanded
}

// waiting reports whether a request is in progress.
func (s *search) waiting() bool { return slices.Contains(s.open, true) }

// askNext asks the next region, unless the flight has landed, a verdict stands, or there is none.
func (s *search) askNext(ctx context.Context) bool {
	if s.landed || s.verdict != nil {
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
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	// What does not heed its context holds up its region and Close, but no flight.
	began, asked := s.clock(), time.Now()
	late := context.AfterFunc(ctx, func() {
		failed := &Error{Reason: ended(ctx), Region: r.name, began: asked}
		s.outcomes <- outcome{at: at, failed: failed, took: s.config.Timeout}
	})
	s.work.Go(func() {
		defer cancel()
		var token *Token
		var failed *Error
		if err := s.guarded("Client", func() { token, failed = s.request(ctx, r, began) }); err != nil {
			token, failed = nil, &Error{Reason: Panicked, Region: r.name, Err: err}
		}
		if failed != nil {
			failed.began = asked
		}
		s.mu.Lock()
		r.busy = false
		s.mu.Unlock()
		late()
		s.outcomes <- outcome{at: at, token: token, failed: failed, took: s.clock().since(began)}
	})
}

// take notes what an outcome says of its region, and returns what is left to be told about it, under no lock.
func (s *search) take(o outcome) (tell func()) {
	r := s.asked[o.at]
	if o.failed != nil && o.failed.Reason == Closed {
		return func() {}
	}
	event := Event{Region: r.name, Took: o.took}
	var evidence error
	if o.failed != nil {
		event.Err = o.failed
		if o.failed.Reason != Refused {
			evidence = o.failed
		}
	}
	s.mu.Lock()
	now := s.clock()
	var news, recovered, refused bool
	var old *Token
	switch {
	case evidence != nil:
		news = r.missed(o.failed, now, s.config.CoolDown)
	case o.failed != nil:
		recovered, refused = r.lives(o.failed, now)
		if o.at < s.behind {
			s.verdict, s.behind = o.failed, o.at
		}
	default:
		recovered, _ = r.lives(nil, now)
		old = s.adopt(o)
	}
	s.mu.Unlock()
	return func() {
		switch {
		case news:
			s.log.failed(o.failed)
		case recovered:
			s.log.recovered(r.name)
		}
		if refused {
			s.log.refused(o.failed)
		}
		if old != nil && old.from != r {
			s.log.moved(old.from.name, r.name)
		}
		if region := r.sole(); s.config.Report != nil && region != "" && (evidence == nil || o.failed.lost()) {
			_ = s.guarded("Report", func() { s.config.Report(region, evidence) })
		}
		if s.config.OnEvent != nil {
			_ = s.guarded("OnEvent", func() { s.config.OnEvent(event) })
		}
	}
}

// adopt puts a token in use: the first of the flight, or that of a region which comes before the one that was first. It
// returns the token that was in use. The caller holds mu.
func (s *search) adopt(o outcome) (old *Token) {
	old = s.current.Load()
	switch {
	case !s.landed:
		s.current.Store(o.token)
		s.behind = o.at
		s.land(o.token, nil)
	case s.token != nil && o.at < s.behind && old == s.token:
		s.current.Store(o.token)
	default:
		return nil
	}
	return old
}

// decide lands a flight that has come to its end without a token.
func (s *search) decide() {
	if s.landed {
		return
	}
	for at, open := range s.open {
		if open && at < s.behind {
			return // it may still have a token
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	if s.verdict == nil {
		_, s.verdict = s.plan(now, s.preferred, s.asked) // one that is remembered
	}
	switch {
	case s.closed:
		s.land(nil, &Error{Reason: Closed})
	case s.verdict != nil:
		s.land(nil, s.verdict)
		s.cancel()
	default:
		s.land(nil, s.dark(now))
	}
}

// land ends a flight for those who wait for it. The caller holds mu.
func (s *search) land(token *Token, err *Error) {
	s.landed = true
	s.token, s.err = token, err
	s.Source.flight = nil
	close(s.done)
}
