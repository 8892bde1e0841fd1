// Package middleware holds what the adapters for HTTP and other transports share, so that they answer alike: the
// extraction of a bearer token, the requirements of a route, and the classification of errors.
package middleware

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/verifier"
)

// Verifier verifies tokens: a *verifier.Verifier or a *regionjwt.Validator.
type Verifier interface {
	Verify(ctx context.Context, raw string) (*verifier.Token, error)
}

// Bearer returns the token of the Authorization values of a request (RFC 6750, section 2.1; RFC 9110, section 11.4). The
// error is a *verifier.Error: TokenMissing where there is none, or one of another scheme; BadRequest where there are
// several, or what follows the scheme is not one word.
func Bearer(authorization []string) (string, error) {
	if len(authorization) > 1 {
		return "", &verifier.Error{Reason: verifier.BadRequest}
	}
	if len(authorization) == 0 {
		return "", &verifier.Error{Reason: verifier.TokenMissing}
	}
	scheme, token, found := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &verifier.Error{Reason: verifier.TokenMissing}
	}
	token = strings.TrimLeft(token, " ")
	if !found || token == "" || strings.ContainsAny(token, " \t,") {
		return "", &verifier.Error{Reason: verifier.BadRequest}
	}
	return token, nil
}

// Requirement is what a route demands of a token beyond its validity. It is made by the functions of this package; the
// zero Requirement is met by no token.
type Requirement struct {
	check  func(*verifier.Token) error
	scopes []string
}

// Scopes demands all of these scopes; with none given, no token will do.
func Scopes(all ...string) Requirement {
	all = slices.Clone(all)
	return Requirement{scopes: all, check: func(t *verifier.Token) error {
		if len(all) == 0 {
			return errNothing
		}
		for _, s := range all {
			if !t.HasScope(s) {
				return errors.New("a scope is lacking")
			}
		}
		return nil
	}}
}

// AnyScope demands at least one of these scopes; with none given, no token will do.
func AnyScope(scopes ...string) Requirement {
	scopes = slices.Clone(scopes)
	return Requirement{scopes: scopes, check: func(t *verifier.Token) error {
		if slices.ContainsFunc(scopes, t.HasScope) {
			return nil
		}
		return errors.New("a scope is lacking")
	}}
}

// Groups demands at least one of these groups; with none given, no token will do.
func Groups(groups ...string) Requirement {
	groups = slices.Clone(groups)
	return Requirement{check: func(t *verifier.Token) error {
		if slices.ContainsFunc(groups, t.HasGroup) {
			return nil
		}
		return errors.New("a group is lacking")
	}}
}

// Clients demands that the token was minted for one of these clients; with none given, no token will do.
func Clients(ids ...string) Requirement {
	ids = slices.Clone(ids)
	return Requirement{check: func(t *verifier.Token) error {
		if t.ClientID() != "" && slices.Contains(ids, t.ClientID()) {
			return nil
		}
		return errors.New("the client is another one")
	}}
}

// Custom demands what check does; with a nil check, no token will do. Its error is never written to clients.
func Custom(check func(*verifier.Token) error) Requirement { return Requirement{check: check} }

var errNothing = errors.New("the requirement does not say what it demands")

// Require reports the first requirement that t does not meet, as a *verifier.Error with InsufficientScope.
func Require(t *verifier.Token, requirements []Requirement) error {
	for _, r := range requirements {
		err := errNothing
		if r.check != nil {
			err = r.check(t)
		}
		if err != nil {
			return &verifier.Error{Reason: verifier.InsufficientScope, Authority: t.Authority(), Region: t.Region(), Err: err}
		}
	}
	return nil
}

// ScopesOf lists the scopes that requirements name, for a challenge, each once.
func ScopesOf(requirements []Requirement) []string {
	var all []string
	for _, r := range requirements {
		for _, s := range r.scopes {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// Outcome is what a client is told of an error.
type Outcome int

// The outcomes. Unavailable is the zero Outcome: what is not understood is not the client's fault.
const (
	Unavailable Outcome = iota // cannot tell: HTTP 503, gRPC Unavailable
	Missing                    // no credentials: HTTP 401 with a bare challenge, gRPC Unauthenticated
	BadRequest                 // credentials in a way that is not allowed: HTTP 400, gRPC InvalidArgument
	Invalid                    // a bad token: HTTP 401 invalid_token, gRPC Unauthenticated
	Forbidden                  // a good token that does not grant this: HTTP 403, gRPC PermissionDenied
)

// Classify returns what to tell a client of err, and for Unavailable when asking again may help, at least a second.
func Classify(err error) (o Outcome, retryAfter time.Duration) {
	var e *verifier.Error
	if errors.As(err, &e) {
		retryAfter = e.RetryAfter
		if e.Reason == verifier.TokenMissing {
			return Missing, 0
		}
		if e.Reason == verifier.BadRequest {
			return BadRequest, 0
		}
	}
	switch {
	case errors.Is(err, verifier.ErrUnavailable):
	case errors.Is(err, verifier.ErrForbidden):
		return Forbidden, 0
	case errors.Is(err, verifier.ErrInvalid):
		return Invalid, 0
	}
	return Unavailable, max(retryAfter, time.Second)
}
