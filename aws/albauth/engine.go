package albauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/aws/albauth/internal/keys"
	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/keymaker"
	"github.com/regionjwt/regionjwt/internal/outages"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	maxWait    = 3 * time.Second // of a caller for an unknown key
	answerTime = time.Second     // that a request is given when it begins for a caller
	leastRetry = time.Second
	mostRetry  = time.Minute
	maxCallers = 65_536
)

// engine is the jwks.Source of a Verifier. Its issuers are load balancers, which have nothing in common but the HTTP client and
// the bound on the answers "unavailable".
type engine struct {
	signers map[string]*signer
	clock   clock.Clock
	log     *slog.Logger
	fetcher *fetcher
	outages outages.Budget
	callers atomic.Int64
	never   chan struct{} // keys never change
}

// signer is a load balancer, and what is known of its keys.
type signer struct {
	arn, region, url string

	mu       sync.Mutex // guards what follows
	state    keys.State[*held]
	changed  chan struct{} // closed and replaced when a request ends
	failure  string        // of the last request, or ""
	failures int           // in a row
}

// held is a key.
type held struct {
	id, thumbprint string
	key            *jwks.Key
	signer         *signer
	clock          clock.Clock
}

// Valid implements keymaker.Life.
func (h *held) Valid() bool {
	h.signer.mu.Lock()
	defer h.signer.mu.Unlock()
	k := h.signer.state.Find(h.id, h.clock())
	return k != nil && k.Value == h
}

// Age implements keymaker.Life.
func (h *held) Age() time.Duration {
	h.signer.mu.Lock()
	defer h.signer.mu.Unlock()
	now := h.clock()
	if k := h.signer.state.Find(h.id, now); k != nil && k.Value == h {
		return now.Since(k.Listed)
	}
	return keys.Kept
}

func newEngine(signers []*signer, client *http.Client, log *slog.Logger) *engine {
	e := &engine{
		signers: map[string]*signer{}, clock: clock.System(), log: log, fetcher: newFetcher(client), never: make(chan struct{}),
	}
	for _, s := range signers {
		s.changed = make(chan struct{})
		e.signers[s.arn] = s
	}
	return e
}

// Changed implements jwks.Source. No key is ever replaced, so the channel is never closed.
func (e *engine) Changed() <-chan struct{} { return e.never }

// Lookup implements jwks.Source. Query.Issuer is the ARN of a load balancer.
func (e *engine) Lookup(ctx context.Context, q jwks.Query) jwks.Result {
	s := e.signers[q.Issuer]
	if s == nil {
		return jwks.Result{Complete: true, Err: jwks.ErrUnknownIssuer}
	}
	r := e.lookup(ctx, s, &q)
	switch {
	case len(r.Keys) > 0 || q.CacheOnly:
		return r
	case r.Complete:
		e.outages.Other()
		return r
	}
	r.RetryAfter = min(max(r.RetryAfter, leastRetry), mostRetry)
	r.Limited = r.Limited || !e.outages.Take(e.clock(), e.usable)
	if r.Limited {
		e.outages.Other()
	}
	return r
}

// usable reports whether a load balancer has a key that has verified a token.
func (e *engine) usable(now clock.Time) bool {
	for _, s := range e.signers {
		s.mu.Lock()
		usable := s.state.Usable(now)
		s.mu.Unlock()
		if usable {
			return true
		}
	}
	return false
}

// prove notes that the key of a token has verified it.
func (e *engine) prove(t *verifier.Token) {
	for _, s := range e.signers {
		if s.region == t.Region() {
			s.prove(t.Key())
		}
	}
	e.outages.Again()
}

func (s *signer) prove(k *jwks.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.state.Held(k.ID()); h != nil && h.key == k {
		s.state.Prove(h.id, h)
	}
}

func (e *engine) lookup(ctx context.Context, s *signer, q *jwks.Query) jwks.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, known := e.inMemory(s, q); known {
		return r
	}
	switch {
	case len(q.Tried) > 0: // its only key has been tried
		return jwks.Result{Complete: true}
	case q.CacheOnly:
		return jwks.Result{RetryAfter: leastRetry}
	}
	arrived, ok := s.state.Arrive(q.KeyID, e.clock())
	if !ok {
		return jwks.Result{Limited: true}
	}
	defer s.state.Leave(q.KeyID)
	defer e.callers.Add(-1)
	if e.callers.Add(1) > maxCallers {
		return jwks.Result{Limited: true}
	}
	return e.wait(ctx, s, q, arrived)
}

// inMemory answers for a key that is known. The caller holds the mutex of s.
func (e *engine) inMemory(s *signer, q *jwks.Query) (r jwks.Result, known bool) {
	now := e.clock()
	k := s.state.Find(q.KeyID, now)
	if k == nil {
		return r, false
	}
	if !q.CacheOnly {
		if _, renew := s.state.Use(q.KeyID, now); renew != nil {
			go e.fetch(s, renew)
		}
	}
	r.Complete = true
	if !slices.Contains(q.Tried, k.Value.thumbprint) {
		r.Keys = []*jwks.Key{k.Value.key}
	}
	return r, true
}

// wait waits until the key is known, it is certain that there is none, nothing more can be found out in time, or ctx ends. The
// caller holds the mutex of s, which is released meanwhile.
func (e *engine) wait(ctx context.Context, s *signer, q *jwks.Query, arrived uint64) jwks.Result {
	deadline := e.clock().Add(maxWait)
	for {
		if r, known := e.inMemory(s, q); known {
			return r
		}
		if ctx.Err() != nil {
			return jwks.Result{Err: context.Cause(ctx)}
		}
		switch s.state.Look(q.KeyID, arrived) {
		case keys.Unknown:
			return jwks.Result{Complete: true}
		case keys.Unclear:
			_, after, _ := s.state.Wait(q.KeyID, e.clock())
			return jwks.Result{RetryAfter: after, Err: errors.New("the server of the keys: " + s.failure)}
		case keys.Open:
		}
		now := e.clock()
		for r := s.state.Begin(now); r != nil; r = s.state.Begin(now) {
			go e.fetch(s, r)
		}
		running, after, resting := s.state.Wait(q.KeyID, now)
		left := now.Until(deadline)
		switch {
		case left <= 0 && running:
			return jwks.Result{Err: errors.New("the server of the keys did not answer in time")}
		case !running && resting:
			return jwks.Result{RetryAfter: after, Err: errors.New("the server of the keys wants to be left alone")}
		case !running && after+answerTime > left:
			return jwks.Result{Limited: true, RetryAfter: after}
		}
		if running {
			after = left
		}
		s.sleep(ctx, max(after, time.Millisecond))
	}
}

// sleep releases the mutex until a request has ended, d has passed, or ctx ends.
func (s *signer) sleep(ctx context.Context, d time.Duration) {
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// fetch makes a request and notes what it found out.
func (e *engine) fetch(s *signer, r *keys.Request) {
	a := e.fetcher.get(s.url, r.ID)
	outcome := keys.Failed
	switch {
	case a.failure != "":
	case a.absent:
		outcome = keys.Absent
	default:
		outcome = keys.Found
	}
	s.mu.Lock()
	var value *held
	if outcome == keys.Found {
		if value = s.state.Held(r.ID); value == nil || value.thumbprint != a.key.Thumbprint.String() {
			value = e.hold(s, r.ID, a.key)
		}
	}
	s.state.End(r, outcome, value, a.retryAfter, e.clock())
	failures := s.failures
	if s.failure = a.failure; a.failure != "" {
		s.failures++
	} else {
		s.failures = 0
	}
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	switch {
	case a.failure != "" && failures == 0:
		e.log.Warn("key fetch failed", "url", s.url, "load_balancer", s.arn, "failure", a.failure)
	case a.failure == "" && failures > 0:
		e.log.Info("key fetch recovered", "url", s.url, "load_balancer", s.arn, "failures", failures)
	}
}

func (e *engine) hold(s *signer, id string, k *jose.Key) *held {
	h := &held{id: id, thumbprint: k.Thumbprint.String(), signer: s, clock: e.clock}
	h.key, _ = keymaker.Make(k, h).(*jwks.Key)
	return h
}
