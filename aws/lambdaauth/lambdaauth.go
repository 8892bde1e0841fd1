// Package lambdaauth makes Lambda authorizers for Amazon API Gateway: for REST APIs of type TOKEN and REQUEST, and for HTTP APIs
// with the payload formats 1.0 and 2.0. One [Authorizer] serves all of them: it recognizes the event by its members. Its method
// Invoke is that of lambda.Handler of aws-lambda-go, which this package does not import:
//
//	lambda.Start(authorizer)
//
// # Answers
//
//	                         REST API                  HTTP API
//	the token is good        Allow                     Allow, or isAuthorized true
//	a requirement is not met Deny: 403                 Deny, or isAuthorized false: 403
//	no token, or a bad one   error "Unauthorized": 401 Deny, or isAuthorized false: 403
//	it cannot be found out   error: 500                error: 500
//
// An authorizer cannot answer with 503. The gateway responses AUTHORIZER_FAILURE and AUTHORIZER_CONFIGURATION_ERROR of a REST API
// can have the status 503 and a header Retry-After; an HTTP API answers with 500. An HTTP API answers with 401 only if its
// identity source is missing: then the function is not called.
//
// # The cache of API Gateway
//
// API Gateway keeps an Allow or a Deny: by default 300 seconds in a REST API, and not at all in an HTTP API. For that time
// what is allowed outlives exp and every revocation rule. Set the time (authorizerResultTtlInSeconds) to 0, where a token
// that was verified before costs little in a running function, or to at most 60. "regionjwt check --authorizer-cache" reminds
// of it.
//
// That it cannot be found out is never kept, because an error is no answer. An answer depends on the token alone, not on the
// method, and its policy is for all methods. The key of the cache are the identity sources of the API. The header Authorization
// must be one of them, or else the answer about one sender's token would be used for another sender. Events that list identity
// sources without it get an error. In a REST API of type REQUEST, the event does not tell: take care to name the header there.
//
// Tokens that are bound to a key (RFC 7800) are rejected, because the cache would answer a sender who has only the token.
//
// # Frozen processes
//
// Between two events the process is frozen, with all that runs in the background; do not call Run of the Validator. Keys age by
// the wall clock. If a refresh of the keys for a good token is overdue, Invoke waits for it, at most for Config.Wait and once a
// minute, and judges the token again. Revocation rules are loaded before a token is judged, if they were not in the last second,
// for as long at most; if no store answers, the rules that are known stay in effect.
package lambdaauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures an Authorizer. The zero value of every field is the default.
type Config struct {
	// Requirements are what a token must meet. None means that every valid token is allowed.
	Requirements []middleware.Requirement

	// IAMPolicies says that an HTTP API with the payload format 2.0 wants IAM policies, as it does unless simple responses are
	// enabled for the authorizer.
	IAMPolicies bool

	// Context returns what the API hands to its integrations: strings, numbers and bools by name. Nil means provider, subject,
	// client_id, issuer and region. A panic, and a value of another type, make the answer an error.
	Context func(*verifier.Token) map[string]any

	// Wait is how long at most an event waits for a refresh of keys, and for revocation rules. 0 means 500 ms; the most is 5 s. A
	// negative value means that nothing is waited for, and revocation rules are not loaded.
	Wait time.Duration
}

const (
	defaultWait = 500 * time.Millisecond
	maxWait     = 5 * time.Second
	rulesEvery  = time.Second
	waitEvery   = time.Minute // for keys that are overdue: in an outage, most tokens are judged at once
	lookEvery   = 5 * time.Millisecond
)

// Authorizer answers the events of API Gateway. It is safe for concurrent use.
type Authorizer struct {
	verifier  middleware.Verifier // the Validator, except in tests
	validator *regionjwt.Validator
	config    Config
	clock     clock.Clock

	mu     sync.Mutex // guards what follows
	loaded clock.Time // when the rules were last asked for
	waited clock.Time // when keys were last waited for
}

// New returns an Authorizer, or every problem with its arguments.
func New(v *regionjwt.Validator, c Config) (*Authorizer, error) {
	var errs []error
	if v == nil || v.Status().Keys == nil {
		errs = append(errs, errors.New("lambdaauth: the Validator is nil or zero: make it with regionjwt.New"))
	}
	if slices.ContainsFunc(c.Requirements, authz.IsZero) {
		errs = append(errs, errors.New("lambdaauth: a Requirement was not made by a function of package middleware"))
	}
	if c.Wait > maxWait {
		errs = append(errs, fmt.Errorf("lambdaauth: Wait is %v: the most is %v", c.Wait, maxWait))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.Requirements, c.Wait = slices.Clone(c.Requirements), cmp.Or(c.Wait, defaultWait)
	return &Authorizer{verifier: v, validator: v, config: c, clock: clock.System()}, nil
}

// The errors of Invoke. API Gateway answers the first one with 401 in a REST API, and any other with 500.
var (
	errUnauthorized = errors.New("Unauthorized")
	errEvent        = errors.New("lambdaauth: the event is not one of an authorizer for API Gateway")
	errIdentity     = errors.New("lambdaauth: the header Authorization is no identity source of the API: " +
		"its cache would give one sender's answer to another")
	errNotMade = errors.New("lambdaauth: the Authorizer was not made by lambdaauth.New")
)

// Invoke answers one event. Its error is "Unauthorized", or says that the token could not be judged; it holds nothing of the
// token.
func (a *Authorizer) Invoke(ctx context.Context, payload []byte) (answer []byte, err error) {
	if a == nil || a.verifier == nil {
		return nil, errNotMade
	}
	if p := guard.Call("the authorizer", func() { answer, err = a.invoke(ctx, payload) }); p != nil {
		return nil, p
	}
	return answer, err
}

func (a *Authorizer) invoke(ctx context.Context, payload []byte) ([]byte, error) {
	e, err := parse(payload)
	if err != nil {
		return nil, err
	}
	token, err := a.judge(ctx, e)
	if errors.Is(err, errIdentity) {
		return nil, err
	}
	if err != nil {
		status, code, _ := middleware.Classify(err)
		switch {
		case status == 429 || status >= 500:
			return nil, errors.New("lambdaauth: " + code) // never an answer, which would be kept
		case status != 403 && e.kind.rest():
			return nil, errUnauthorized
		}
		return a.encode(e, nil)
	}
	return a.encode(e, token)
}

// judge returns the token of an event, if it is good and meets the requirements.
func (a *Authorizer) judge(ctx context.Context, e *event) (*verifier.Token, error) {
	raw, _, err := authz.Presented(e.authorization, authz.Bearer)
	if err != nil {
		return nil, err
	}
	if e.identity != nil && !slices.Contains(e.identity, e.authorization[0]) {
		return nil, errIdentity
	}
	a.loadRules(ctx)
	before := a.rows()
	token, err := authz.Verify(ctx, a.verifier, raw)
	if err == nil && a.refreshed(ctx, token, before) {
		token, err = authz.Verify(ctx, a.verifier, raw)
	}
	if err != nil {
		return nil, err
	}
	bound, err := authz.ConfirmationOf(token)
	if err != nil {
		return nil, err
	}
	if bound != (authz.Confirmation{}) {
		return nil, authz.Unproven(token, errBound)
	}
	return token, authz.Check(token, a.config.Requirements)
}

var errBound = errors.New("the token is bound to a key, and the cache of API Gateway would not ask for the proof")

// due reports whether at is longer ago than every, and then sets it to now.
func (a *Authorizer) due(at *clock.Time, every time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock()
	if a.config.Wait < 0 || !at.IsZero() && now.Since(*at) < every {
		return false
	}
	*at = now
	return true
}

// loadRules loads the revocation rules, if they were not in the last second.
func (a *Authorizer) loadRules(ctx context.Context) {
	rules := a.validator.Revocation()
	if rules == nil || !a.due(&a.loaded, rulesEvery) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.config.Wait)
	defer cancel()
	_ = rules.Load(ctx) // what is known stays in effect, and the List logs the problem
}

// rows are the states of the JWKS URLs.
func (a *Authorizer) rows() []jwks.Status { return a.validator.Status().Keys }

// refreshed waits for the refresh of keys that may have signed the token, which using them has started, and reports whether it
// had to. before are the states of the JWKS URLs before the keys were used.
func (a *Authorizer) refreshed(ctx context.Context, t *verifier.Token, before []jwks.Status) bool {
	was, overdue := answered(t, before)
	if !overdue || !a.due(&a.waited, waitEvery) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, a.config.Wait)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if now, _ := answered(t, a.rows()); now.After(was) {
			return true
		}
		select {
		case <-ctx.Done():
			return true
		case <-look.C:
		}
	}
}

// answered returns when a JWKS URL of the regions that may have issued a token has answered last, and whether a refresh is
// overdue at each of them that has answered.
func answered(t *verifier.Token, rows []jwks.Status) (last time.Time, overdue bool) {
	regions, fresh := t.Regions(), false
	for _, row := range rows {
		if row.Provider != t.Provider() || !slices.Contains(regions, row.Region) {
			continue
		}
		fresh = fresh || row.State == label.Fresh
		overdue = overdue || row.State == label.Stale || row.State == label.Snapshot
		if row.LastSuccess.After(last) {
			last = row.LastSuccess
		}
	}
	return last, overdue && !fresh
}
