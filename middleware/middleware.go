// Package middleware is for adapters: it reads a bearer token from a request, checks what a route requires, maps errors to what
// clients are told, and ends streams with their token. The adapters of this module, httpauth and grpcauth, are built on it, so
// an adapter for another transport can answer as they do.
package middleware

import (
	"context"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/verifier"
)

// Verifier verifies tokens. *verifier.Verifier and *regionjwt.Validator implement it. It must be safe for concurrent use.
type Verifier interface {
	// Verify returns the token, or a *verifier.Error. See verifier.Verifier.
	Verify(ctx context.Context, token string) (*verifier.Token, error)
	// Recheck checks a verified token again. See verifier.Verifier.
	Recheck(ctx context.Context, t *verifier.Token) error
	// Changed returns a channel that is closed when verified tokens should be rechecked, or nil if that is not announced.
	Changed() <-chan struct{}
}

// BearerToken returns the token of the Authorization values of a request (RFC 6750 section 2.1, RFC 9110 section 11.4). The error
// is a *verifier.Error: ReasonTokenMissing if there is no value, or one of another scheme; ReasonBadRequest if there are several
// values, or if what follows the scheme is not a token.
func BearerToken(authorization ...string) (string, error) {
	token, _, err := authz.Presented(authorization, authz.Bearer)
	if err != nil {
		return "", err
	}
	if !authz.IsToken(token) {
		return "", &verifier.Error{Reason: verifier.ReasonBadRequest}
	}
	return token, nil
}

// Check returns the first requirement that t does not meet, as a *verifier.Error: ReasonInsufficientScope, or
// ReasonInsufficientUserAuthentication if that is StepUp. If a function of RequirementFunc panics, or its error wraps
// verifier.ErrUnavailable or verifier.ErrRateLimited, it is ReasonCheckFailed of that category. If t is nil, the error is
// ReasonTokenMissing.
func Check(t *verifier.Token, reqs ...Requirement) error { return authz.Check(t, reqs) }
