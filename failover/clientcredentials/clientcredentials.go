// Package clientcredentials provides access tokens to a machine, by the client credentials grant (RFC 6749, section 4.4), from a
// provider that is deployed in more than one region: the loss of a region costs callers a fraction of a second, and the loss of
// all regions nothing until the token in memory expires.
//
// A [TokenSource] keeps one token for all of its callers. If there is none, one round of requests fetches it, however many ask:
// it goes on when callers leave, and asks the next region as well when the first does not answer for 150 ms, or at once when it
// fails. When 80 % of a token's life has passed it is replaced in the background, while it is in use.
//
// The answer of a region decides what comes next:
//
//   - After an outage (no connection, no answer in 5 seconds, status 5xx, 429 or 408, or an answer that is not one of OAuth) the
//     next region is asked, and the one that failed is not asked for 5 seconds, doubling up to a minute, or as long as
//     Retry-After says. Regions with the same token URL are one here: a provider that moves a name from region to
//     region, as Amazon Cognito does with custom and prefix domains, is asked once. If no region answers, the token in memory
//     is used until it expires; then callers get ErrUnavailable, and each region is asked once a second.
//   - A rejection (invalid_client, invalid_scope and the like: RFC 6749, section 5.2) is final: another region is not asked for
//     a better answer. Callers get ErrRejected, and the region is asked again after 10 s, so that a corrected secret works soon.
//
// Config.Failover connects a TokenSource to a failover.Controller. [TokenSource.Transport] adds tokens to HTTP requests; for
// golang.org/x/oauth2, e2e/oauth2 has an example.
package clientcredentials

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
)

// errNotMade is the error of a TokenSource that is nil or zero.
var errNotMade = errors.New("clientcredentials: the TokenSource is nil or zero: make it with clientcredentials.New")

// made reports whether New has made s.
func (s *TokenSource) made() bool { return s != nil && s.clock != nil }

// TokenSource provides the access tokens of one client. New makes it. It is safe for concurrent use, and keeps no goroutine while
// no request is in progress. Methods of a nil or zero TokenSource that return an error return one that names New.
type TokenSource struct {
	config  Config
	clock   clock.Clock
	tools   tools
	form    url.Values
	regions []*region    // the token endpoints, in the order of the provider
	parent  *TokenSource // of which this one is a part, for one exchange

	current  atomic.Pointer[Token]
	rejected atomic.Pointer[Token] // by a resource server; counts while it is the current one

	mu         sync.Mutex // guards what follows, the round's fields and those of the regions; never held during I/O or a callback
	round      *round     // the one to join
	rejectedAt clock.Time
	panicked   bool       // code of others has panicked
	panickedAt clock.Time // when that was last logged

	work sync.WaitGroup // requests in progress
}

// tools are what a TokenSource and those of its exchanges share.
type tools struct {
	client      *http.Client
	certificate bool // the client may have one
	log         logger
	prover      *prover // nil for bearer tokens
	watch       *watch
}

// Token returns an access token, from memory if there is one. Otherwise it waits for the answer of a region, at most until ctx
// ends; the request then goes on for the other callers. While there is a token that has not expired, but is about to or was
// rejected by a resource server, Token waits no longer than a second for a better one.
//
// The error is that of ctx, or wraps ErrUnavailable or ErrRejected. Its text has names of regions, labels of failures, status
// codes and error codes of OAuth, and nothing else that a server said.
func (s *TokenSource) Token(ctx context.Context) (*Token, error) {
	if !s.made() {
		return nil, errNotMade
	}
	preferred := s.preferred()
	if t := s.current.Load(); s.need(t, s.clock(), preferred) == nothing {
		return t, nil
	}
	t, r, err := s.join(preferred)
	switch {
	case err != nil:
		return s.settle(t, err)
	case r == nil:
		return t, nil
	}
	var enough <-chan time.Time // never, if there is no token to fall back on
	if t != nil && t.lives(s.clock()) {
		timer := time.NewTimer(min(betterWait, left(s.clock(), t.got, t.life)/2))
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-r.done:
	case <-enough:
		return t, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.token != nil {
		return r.token, nil
	}
	return s.settle(t, r.err)
}

// settle answers a caller for whom there is no new token: with the one in memory until it expires, unless a resource server has
// rejected it and the provider rejects the request for another one, too.
func (s *TokenSource) settle(t *Token, err *tokenError) (*Token, error) {
	if t == nil || !t.lives(s.clock()) || s.rejected.Load() == t && err.failure == rejected {
		return nil, err
	}
	return t, nil
}

// need is what a call has to do.
type need int

const (
	nothing    need = iota // the token is good
	background             // the token is good, and is to be replaced
	better                 // the token lives, but is about to expire or was rejected
	another                // there is no token that lives
)

// need reports what a call at now has to do about t.
func (s *TokenSource) need(t *Token, now clock.Time, preferred *region) need {
	switch {
	case t == nil || !t.lives(now):
		return another
	case s.rejected.Load() == t || now.Since(t.got) >= t.life-t.margin():
		return better
	case now.Since(t.got) >= t.renew || preferred != nil && preferred != t.from:
		return background
	}
	return nothing
}

// preferred is the active region of the Controller; nil if it has no TokenURL, or there is no Controller.
func (s *TokenSource) preferred() *region {
	if s.config.Failover == nil {
		return nil
	}
	active := s.config.Failover.Active()
	for _, r := range s.regions {
		if slices.Contains(r.names, active) {
			return r
		}
	}
	return nil
}

// Invalidate tells s that a resource server has rejected t, with status 401: the next call of Token waits for another token.
// It reports whether there is a token other than t, or one will be requested. That happens once for each token, and at most every
// 10 s, so that a server which rejects everything cannot cause many requests. If no other token can be had because no region
// answers, t stays in use until it expires: the server may be wrong.
func (s *TokenSource) Invalidate(t *Token) bool {
	if t == nil || !s.made() {
		return false
	}
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch last := s.rejected.Load(); {
	case s.current.Load() != t || last == t:
		return true
	case last != nil && now.Since(s.rejectedAt) < replaceEvery:
		return false
	}
	s.rejected.Store(t)
	s.rejectedAt = now
	return true
}
