package middleware

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/verifier"
)

// Requirement is what a route demands of a valid token. The functions of this package make it. They panic if no token could meet
// the requirement, so call them at start, not while a request is served. No token meets the zero Requirement.
type Requirement authz.Requirement

// Scopes requires all of the scopes. It panics if there is none, or if one is not a scope of RFC 6749 section 3.3: empty, or with
// a space, a quotation mark, a backslash or a character that is not printable ASCII.
func Scopes(scopes ...string) Requirement {
	scopes = scopesOf("Scopes", scopes)
	return scopeRequirement(scopes, func(t *verifier.Token) error {
		for _, s := range scopes {
			if !t.HasScope(s) {
				return errScope
			}
		}
		return nil
	})
}

// AnyScope requires at least one of the scopes: "orders", for example, if it includes "orders/read". Challenges name the
// first one only, so that clients ask for no more than that. It panics as Scopes does.
func AnyScope(scopes ...string) Requirement {
	scopes = scopesOf("AnyScope", scopes)
	return scopeRequirement(scopes[:1], func(t *verifier.Token) error {
		if slices.ContainsFunc(scopes, t.HasScope) {
			return nil
		}
		return errScope
	})
}

func scopeRequirement(scopes []string, check func(*verifier.Token) error) Requirement {
	return Requirement(authz.NewRequirement(verifier.ReasonInsufficientScope, authz.Challenge{Scopes: scopes}, check))
}

// AnyGroup requires at least one of the groups or roles; see verifier.Policy.GroupClaims. It panics if there is none, or if one
// is empty.
func AnyGroup(groups ...string) Requirement {
	groups = namesOf("AnyGroup", "group", groups)
	return plain(func(t *verifier.Token) error {
		if slices.ContainsFunc(groups, t.HasGroup) {
			return nil
		}
		return errGroup
	})
}

// Clients requires that the token was issued to one of the clients; see verifier.Policy.ClientIDClaims. It panics if there is
// none, or if one is empty.
func Clients(ids ...string) Requirement {
	ids = namesOf("Clients", "client", ids)
	return plain(func(t *verifier.Token) error {
		if slices.Contains(ids, t.ClientID()) {
			return nil
		}
		return errClient
	})
}

// Actors requires that one of the subjects is the current actor of the token: an agent, or a service that calls for a user (RFC
// 8693 section 4.1). The issuer of the actor must be one of the token's provider, in any of its regions. Earlier actors are not
// looked at, and neither is may_act.
// Actors panics if there is no subject, or if one is empty.
func Actors(subjects ...string) Requirement {
	subjects = namesOf("Actors", "subject", subjects)
	return plain(func(t *verifier.Token) error {
		if a := t.Actor(); a != nil && a.Provider != "" && slices.Contains(subjects, a.Subject) {
			return nil
		}
		return errActor
	})
}

// NoActor requires that nobody acts for the subject of the token: it has no act claim (RFC 8693 section 4.1). A token that was
// issued for impersonation has none either.
func NoActor() Requirement {
	return plain(func(t *verifier.Token) error {
		if t.Actor() == nil {
			return nil
		}
		return errActs
	})
}

// RequirementFunc requires that check returns nil. Any other error rejects the request with 403 insufficient_scope, unless it
// wraps verifier.ErrUnavailable (503) or verifier.ErrRateLimited (429); a panic is 503. The error is never sent to clients. check
// must be safe for concurrent use. RequirementFunc panics if check is nil.
func RequirementFunc(check func(*verifier.Token) error) Requirement {
	if check == nil {
		misuse("RequirementFunc", "check is nil")
	}
	return plain(check)
}

func plain(check func(*verifier.Token) error) Requirement {
	return Requirement(authz.NewRequirement(verifier.ReasonInsufficientScope, authz.Challenge{}, check))
}

// StepUp requires that the user signed in at most maxAge ago, by the auth_time claim, if maxAge is not 0, and with one of the
// authentication context classes, by the acr claim, if there are any: the preferred one first (RFC 9470). The answer to another
// token is 401 insufficient_user_authentication. StepUp panics if it would require nothing, if maxAge is negative or not whole
// seconds, or if a class is empty or contains a space, a quotation mark, a backslash or a character that is not printable ASCII.
func StepUp(maxAge time.Duration, acr ...string) Requirement {
	acr = slices.Clone(acr)
	switch {
	case maxAge == 0 && len(acr) == 0:
		misuse("StepUp", "neither maxAge nor a class is set")
	case maxAge < 0 || maxAge%time.Second != 0:
		misuse("StepUp", "maxAge is negative or not whole seconds")
	case !allWords(acr):
		misuse("StepUp", "a class is empty or has a character that is not allowed")
	}
	c := authz.Challenge{ACR: acr, MaxAge: maxAge}
	check := func(t *verifier.Token) error {
		if len(acr) > 0 && !slices.Contains(acr, classOf(t)) {
			return errClass
		}
		if maxAge == 0 {
			return nil
		}
		if at := authTime(t); at.IsZero() || time.Since(at) > maxAge || time.Until(at) > limit.MaxLeeway {
			return errAuthTime
		}
		return nil
	}
	return Requirement(authz.NewRequirement(verifier.ReasonInsufficientUserAuthentication, c, check))
}

var (
	errScope    = errors.New("a required scope is missing")
	errGroup    = errors.New("a required group is missing")
	errClient   = errors.New("the token was issued to another client")
	errActor    = errors.New("the current actor is missing or another one")
	errActs     = errors.New("somebody acts for the subject of the token")
	errClass    = errors.New("acr is missing or another one")
	errAuthTime = errors.New("auth_time is missing, too long ago or in the future")
)

// misuse panics when a requirement is made, not when a request is served.
func misuse(function, problem string) {
	panic("middleware: " + function + ": " + problem) //nolint:forbidigo // see above
}

// scopesOf returns a copy of the scopes of a function, or panics.
func scopesOf(function string, scopes []string) []string {
	if len(scopes) == 0 {
		misuse(function, "no scope")
	}
	if !allWords(scopes) {
		misuse(function, "a scope is empty or has a character that is not allowed, such as a space")
	}
	return slices.Clone(scopes)
}

// namesOf returns a copy of the names of a function, or panics.
func namesOf(function, what string, names []string) []string {
	if len(names) == 0 {
		misuse(function, "no "+what)
	}
	if slices.Contains(names, "") {
		misuse(function, "a "+what+" is empty")
	}
	return slices.Clone(names)
}

// allWords reports whether each text is a scope-token of RFC 6749 section 3.3, which needs no escape in a challenge.
func allWords(texts []string) bool {
	for _, s := range texts {
		if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
			return false
		}
	}
	return true
}

// classOf returns the authentication context class (OpenID Connect Core section 2), or "".
func classOf(t *verifier.Token) string {
	s, _ := t.Claim("acr").(string)
	return s
}

// authTime returns when the user signed in, or the zero time.
func authTime(t *verifier.Token) time.Time {
	claims, _ := verifier.ClaimsOf[struct {
		At json.RawMessage `json:"auth_time"`
	}](t)
	at, _ := jose.NumericDate(string(claims.At))
	return at
}
