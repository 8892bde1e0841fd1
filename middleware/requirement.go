package middleware

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/verifier"
)

// Requirement is what a route demands of a token beyond its validity. It is made by the functions of this package; the
// zero Requirement is met by no token.
type Requirement struct {
	check  func(*verifier.Token) error
	reason verifier.Reason // of a token that does not meet it; 0 stands for InsufficientScope
	scopes []string
	stepUp StepUpChallenge
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
				return errScope
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
		return errScope
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
// If check panics, the answer is Unavailable.
func Custom(check func(*verifier.Token) error) Requirement { return Requirement{check: check} }

// AccessTokenProfile demands the profile of RFC 9068, section 2: the header's typ is at+jwt, and iss, exp, aud, sub, client_id,
// iat and jti are there, the client as verifier.ClaimNames finds it. A token that is not of it is invalid for the route, so that
// the answer is 401. To demand it of every token of an authority, see verifier.Policy.Types and RequiredClaims.
func AccessTokenProfile() Requirement {
	return Requirement{reason: verifier.ReasonTypNotAllowed, check: func(t *verifier.Token) error {
		if t.Type() != "at+jwt" {
			return errors.New("typ is not at+jwt")
		}
		if t.Subject() == "" || t.ClientID() == "" || t.ID() == "" || t.IssuedAt().IsZero() {
			return errors.New("sub, client_id, iat or jti is lacking")
		}
		for range t.Audience() {
			return nil
		}
		return errors.New("aud is lacking")
	}}
}

// StepUpChallenge says how a user has to sign in: RFC 9470, section 3. A zero field demands nothing.
type StepUpChallenge struct {
	ACR    []string      // one of these authentication context classes, preferred first
	MaxAge time.Duration // since the user signed in; whole seconds
}

// StepUp demands that the user signed in as c says: acr is one of c.ACR, and auth_time not longer ago than c.MaxAge. now may
// be nil, which means time.Now. With neither given, no token will do.
func StepUp(c StepUpChallenge, now func() time.Time) Requirement {
	c.ACR = slices.Clone(c.ACR)
	if now == nil {
		now = time.Now
	}
	return Requirement{stepUp: c, reason: verifier.ReasonInsufficientUserAuthentication, check: func(t *verifier.Token) error {
		if len(c.ACR) == 0 && c.MaxAge <= 0 {
			return errNothing
		}
		if len(c.ACR) > 0 && !slices.Contains(c.ACR, t.ACR()) {
			return errors.New("acr is another one")
		}
		if c.MaxAge > 0 && (t.AuthTime().IsZero() || now().Sub(t.AuthTime()) > c.MaxAge) {
			return errors.New("the user signed in too long ago")
		}
		return nil
	}}
}

var (
	errNothing = errors.New("the requirement does not say what it demands")
	errScope   = errors.New("a scope is lacking")
)

// Require reports the first requirement that t does not meet, as a *verifier.Error: InsufficientScope, or InsufficientAuth or
// BadType where StepUp or AccessTokenProfile is not met, and TokenMissing where t is nil and something is required.
func Require(t *verifier.Token, requirements []Requirement) error {
	if t == nil && len(requirements) > 0 {
		return &verifier.Error{Reason: verifier.ReasonTokenMissing}
	}
	for i := range requirements {
		r := &requirements[i]
		err := errNothing
		if r.check != nil {
			if p := guard.Call("the requirement", func() { err = r.check(t) }); p != nil {
				return &verifier.Error{
					Reason: verifier.ReasonCheckFailed, Provider: t.Provider(), Region: t.Region(), RetryAfter: again,
					Err: fmt.Errorf("%w: %w", verifier.ErrUnavailable, p),
				}
			}
		}
		if err == nil {
			continue
		}
		reason := r.reason
		if reason == 0 {
			reason = verifier.ReasonInsufficientScope
		}
		return &verifier.Error{Reason: reason, Provider: t.Provider(), Region: t.Region(), Err: err}
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

// StepUpOf returns what requirements demand of the sign-in, for a challenge: the classes of the first that names some, and the
// shortest age.
func StepUpOf(requirements []Requirement) StepUpChallenge {
	var c StepUpChallenge
	for _, r := range requirements {
		if len(c.ACR) == 0 {
			c.ACR = r.stepUp.ACR
		}
		if age := r.stepUp.MaxAge; age > 0 && (c.MaxAge <= 0 || age < c.MaxAge) {
			c.MaxAge = age
		}
	}
	return c
}
