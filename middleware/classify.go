package middleware

import (
	"errors"
	"net/http"
	"time"

	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/verifier"
)

// ofReason lists the reasons whose answer is not that of their category.
var ofReason = map[verifier.Reason]struct {
	status int
	code   string
}{
	verifier.ReasonTokenMissing:                   {http.StatusUnauthorized, "token_missing"},
	verifier.ReasonBadRequest:                     {http.StatusBadRequest, "invalid_request"},
	verifier.ReasonInsufficientUserAuthentication: {http.StatusUnauthorized, "insufficient_user_authentication"},
	verifier.ReasonNonceRequired:                  {http.StatusUnauthorized, "use_dpop_nonce"},
}

// Classify maps an error of a Verifier, of Check or of package dpop to what to tell the client: an HTTP status, an error code,
// and after what time to try again. Nothing else of err may be sent. The list is complete:
//
//	400  invalid_request                   credentials are presented in a way that is not allowed
//	401  token_missing                     no credentials: a challenge without an error code (RFC 6750 section 3.1)
//	401  invalid_token                     the token is not valid
//	401  insufficient_user_authentication  the user must sign in again, or with a stronger method (RFC 9470)
//	401  invalid_dpop_proof                the DPoP proof is missing or not valid (RFC 9449 section 7.1)
//	401  use_dpop_nonce                    the DPoP proof needs the nonce of this server (RFC 9449 section 9)
//	403  insufficient_scope                the token does not grant this
//	429  rate_limited                      too many tokens with unknown keys arrive to find out
//	503  temporarily_unavailable           it could not be found out whether the token is valid
//
// retryAfter is at least 1 second for 429 and 503, and otherwise 0. Any other error, and nil, is 503: it says nothing about the
// token.
func Classify(err error) (status int, code string, retryAfter time.Duration) {
	if e := authz.AsError(err); e != nil {
		if e.Reason == verifier.ReasonProofFailed && e.Detail == "dpop" {
			return http.StatusUnauthorized, "invalid_dpop_proof", 0
		}
		if answer, ok := ofReason[e.Reason]; ok {
			return answer.status, answer.code, 0
		}
		retryAfter = e.RetryAfter
	}
	switch {
	case errors.Is(err, verifier.ErrUnavailable):
	case errors.Is(err, verifier.ErrRateLimited):
		return http.StatusTooManyRequests, "rate_limited", max(retryAfter, time.Second)
	case errors.Is(err, verifier.ErrForbidden):
		return http.StatusForbidden, "insufficient_scope", 0
	case errors.Is(err, verifier.ErrInvalid):
		return http.StatusUnauthorized, "invalid_token", 0
	}
	return http.StatusServiceUnavailable, "temporarily_unavailable", max(retryAfter, time.Second)
}
