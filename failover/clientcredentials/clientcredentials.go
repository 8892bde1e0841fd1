// Package clientcredentials has access tokens for a machine, by the client credentials grant (RFC 6749, section 4.4), from an
// authority that is deployed in more than one region: the loss of a region costs its callers a fraction of a second, and that
// of all regions nothing until the token at hand expires.
//
// A [Source] keeps one token for all of its callers. Where there is none, one flight fetches it, whoever asks: it goes on when
// callers leave, and asks the next region as well when the first is silent for 150 ms, or at once when it fails. When 80 % of a
// token's life has passed it is replaced in the background, while it serves.
//
// What a region says decides what comes next:
//
//   - An outage (no connection, no answer in time, status 5xx, 429 or 408, or an answer that is not one of OAuth) sends the
//     flight to the next region, and the silent one rests for a while. Regions with the same token URL are one here: an issuer
//     that moves a name from region to region, as Amazon Cognito does with custom and prefix domains, is asked once.
//     If no region answers, the token at hand serves until it expires; then callers get ErrUnavailable, and each region is
//     asked once a second.
//   - A verdict (invalid_client, invalid_scope and the like: RFC 6749, section 5.2) is believed: another region is not asked
//     for a better one. Callers get ErrRefused, and the region is asked again after 10 s, so that a secret which was put right
//     works soon.
//
// Region policies, such as the one of a failover.Controller, are heard by Config.Prefer and told by Config.Report. Adapters for
// golang.org/x/oauth2 and gRPC live in modules of their own, below this package.
package clientcredentials

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// errNotMade is the error of a Source that is nil or zero.
var errNotMade = errors.New("clientcredentials: the Source is nil or zero: make it with clientcredentials.New")

// made reports whether New has made s.
func (s *Source) made() bool { return s != nil && s.clock != nil }

// Source has the access tokens of one client. It is made by New, and safe for concurrent use. Methods of a nil or zero Source
// that return an error return one that names New.
type Source struct {
	config  Config
	log     logger
	clock   clock
	form    form
	regions []*region // the token endpoints, in the authority's order

	current  atomic.Pointer[Token]
	rejected atomic.Pointer[Token] // by a resource server; counts while it is the current one

	mu         sync.Mutex // guards what follows, the flight's fields and those of the regions; never held over I/O or a callback
	flight     *flight    // the one to join
	flying     map[*flight]struct{}
	rejectedAt instant
	panicked   bool    // code of others has panicked
	panickedAt instant // when that was last logged
	closed     bool
	work       sync.WaitGroup
}

// New returns a Source. It does no I/O and starts no goroutine, and reports everything that is wrong with c at once.
func New(c Config) (*Source, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Source{
		config: c, log: logger{c.Logger}, clock: systemClock(), form: c.form(), flying: map[*flight]struct{}{},
		regions: regions(c.Authority),
	}
	return s, nil
}

// Token returns an access token, from memory wherever one is at hand. Otherwise it waits for a region's answer, at most until
// ctx ends; the flight then goes on for the others. While a token that has not expired is at hand, but is about to or was
// rejected, it waits no longer than a second for a better one.
//
// The error is that of ctx, or an *Error, which is either ErrUnavailable or ErrRefused.
func (s *Source) Token(ctx context.Context) (*Token, error) {
	if !s.made() {
		return nil, errNotMade
	}
	preferred := s.preferred()
	if t := s.current.Load(); s.need(t, s.clock(), preferred) == nothing {
		return t, nil
	}
	t, f, err := s.board(preferred)
	switch {
	case err != nil:
		return s.settle(t, err)
	case f == nil:
		return t, nil
	}
	var enough <-chan time.Time // never, where there is nothing to fall back upon
	if t != nil && t.lives(s.clock()) {
		timer := time.NewTimer(min(betterWait, s.clock().left(t.got, t.life)/2))
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-f.done:
	case <-enough:
		return t, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f.token != nil {
		return f.token, nil
	}
	return s.settle(t, f.err)
}

// settle answers a caller for whom there is no new token: with the one at hand until it expires, unless a resource server has
// rejected it and the issuer refuses another, too.
func (s *Source) settle(t *Token, err *Error) (*Token, error) {
	if t == nil || !t.lives(s.clock()) || s.rejected.Load() == t && err.Reason == Refused {
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
func (s *Source) need(t *Token, now instant, preferred *region) need {
	switch {
	case t == nil || !t.lives(now):
		return another
	case s.rejected.Load() == t || now.since(t.got) >= t.life-t.margin():
		return better
	case now.since(t.got) >= t.renew || preferred != nil && preferred != t.from:
		return background
	}
	return nothing
}

// preferred is the region that Prefer names; nil where it names none.
func (s *Source) preferred() *region {
	if s.config.Prefer == nil {
		return nil
	}
	var name string
	_ = s.noted(guard.Call("Prefer", func() { name = s.config.Prefer() })) // it is the goroutine of the caller
	for _, r := range s.regions {
		if slices.Contains(r.names, name) {
			return r
		}
	}
	return nil
}

// Reject says that a resource server has refused t, by status 401: the next call of Token waits for another one. It reports
// whether there is, or will be asked for, a token other than t. It does so once for each token, and at most every 10 s, so that
// a server that refuses everything cannot have the issuers hammered. Where no other token can be had because every region is
// dark, t serves on until it expires: it may be the server that was wrong.
func (s *Source) Reject(t *Token) bool {
	if t == nil || !s.made() {
		return false
	}
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch last := s.rejected.Load(); {
	case s.current.Load() != t || last == t:
		return !s.closed
	case s.closed, last != nil && now.since(s.rejectedAt) < rejectEvery:
		return false
	}
	s.rejected.Store(t)
	s.rejectedAt = now
	return true
}

// Close ends the requests in progress and waits until they have ended. The token at hand goes on to serve until it expires;
// nothing is fetched any more. Close may be called more than once, and not from a callback. It returns nil.
func (s *Source) Close() error {
	if !s.made() {
		return errNotMade
	}
	s.mu.Lock()
	s.closed = true
	for f := range s.flying {
		f.cancel()
	}
	s.mu.Unlock()
	s.work.Wait()
	if s.config.ownClient {
		if t, ok := s.config.Client.Transport.(*http.Transport); ok {
			t.CloseIdleConnections()
		}
	}
	return nil
}
