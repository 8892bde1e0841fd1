package authz

import (
	"errors"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/verifier"
)

// Requirement is the inside of a middleware.Requirement. No token meets the zero Requirement.
type Requirement struct{ rule *rule }

type rule struct {
	check     func(*verifier.Token) error
	reason    verifier.Reason // of a token that does not meet it
	challenge Challenge
}

// requirement is a Requirement or a middleware.Requirement.
type requirement interface{ ~struct{ rule *rule } }

// Challenge says to a client what a token needs.
type Challenge struct {
	Scopes []string      // RFC 6750 section 3
	ACR    []string      // RFC 9470 section 3: authentication context classes, the preferred one first
	MaxAge time.Duration // RFC 9470 section 3: since the user signed in; 0 means no limit
}

// NewRequirement returns the requirement that check returns nil. reason is that of a token which does not meet it.
func NewRequirement(reason verifier.Reason, c Challenge, check func(*verifier.Token) error) Requirement {
	return Requirement{&rule{check: check, reason: reason, challenge: c}}
}

// IsZero reports whether no constructor has made r.
func IsZero[R requirement](r R) bool { return Requirement(r).rule == nil }

// ChallengeOf returns what all requirements demand: each scope once, the classes of the first requirement that names some, and
// the shortest age.
func ChallengeOf[R requirement](requirements []R) Challenge {
	var c Challenge
	for _, r := range requirements {
		r := Requirement(r)
		if r.rule == nil {
			continue
		}
		for _, s := range r.rule.challenge.Scopes {
			if !slices.Contains(c.Scopes, s) {
				c.Scopes = append(c.Scopes, s)
			}
		}
		if len(c.ACR) == 0 {
			c.ACR = r.rule.challenge.ACR
		}
		if age := r.rule.challenge.MaxAge; age > 0 && (c.MaxAge <= 0 || age < c.MaxAge) {
			c.MaxAge = age
		}
	}
	return c
}

// Again is the time after which a token is checked again if it could not be checked.
const Again = time.Second

var errZero = errors.New("the requirement was not made by a function of package middleware")

// Check returns the first requirement that t does not meet, as a *verifier.Error. If t is nil, that is ReasonTokenMissing.
func Check[R requirement](t *verifier.Token, requirements []R) error {
	if t == nil {
		return &verifier.Error{Reason: verifier.ReasonTokenMissing}
	}
	for _, r := range requirements {
		if err := Requirement(r).rule.unmet(t); err != nil {
			return err
		}
	}
	return nil
}

// unmet returns why t does not meet r, or nil.
func (r *rule) unmet(t *verifier.Token) error {
	if r == nil {
		return rejection(t, verifier.ReasonInsufficientScope, errZero)
	}
	var err error
	panicked := guard.Call("the requirement", func() { err = r.check(t) })
	if panicked == nil && err == nil {
		return nil
	}
	if panicked == nil {
		err = guard.Sound("the error of the requirement", err)
		if p, ok := err.(*guard.Panic); ok { //nolint:errorlint // it is what Sound returns
			panicked = p
		}
	}
	if panicked != nil {
		err = errors.Join(verifier.ErrUnavailable, panicked)
	}
	if errors.Is(err, verifier.ErrUnavailable) || errors.Is(err, verifier.ErrRateLimited) {
		e := rejection(t, verifier.ReasonCheckFailed, err)
		e.RetryAfter = Again
		return e
	}
	return rejection(t, r.reason, err)
}

func rejection(t *verifier.Token, reason verifier.Reason, cause error) *verifier.Error {
	return &verifier.Error{Reason: reason, Provider: t.Provider(), Region: t.Region(), Err: cause}
}
