package middleware

import (
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/verifier"
)

// Outcome is what a client is told of an error.
type Outcome int

// The outcomes. Unavailable is the zero Outcome: what is not understood is not the client's fault.
const (
	Unavailable Outcome = iota // cannot tell: HTTP 503, gRPC Unavailable
	Missing                    // no credentials: HTTP 401 with a bare challenge, gRPC Unauthenticated
	BadRequest                 // credentials in a way that is not allowed: HTTP 400, gRPC InvalidArgument
	Invalid                    // a bad token: HTTP 401, gRPC Unauthenticated
	Forbidden                  // a good token that does not grant this: HTTP 403, gRPC PermissionDenied
	NeedStepUp                 // sign in again, or with stronger means: HTTP 401 (RFC 9470), gRPC Unauthenticated
	BadProof                   // a DPoP proof that does not fit: HTTP 401 (RFC 9449), gRPC Unauthenticated
	NeedNonce                  // a DPoP proof that lacks the server's nonce: HTTP 401 (RFC 9449), gRPC Unauthenticated
	RateLimited                // not found out, as too many unknown keys are asked for: HTTP 429, gRPC ResourceExhausted
)

var outcomes = [...]string{
	Unavailable: "temporarily_unavailable",
	Missing:     "token_missing",
	BadRequest:  "invalid_request",
	Invalid:     "invalid_token",
	Forbidden:   "insufficient_scope",
	NeedStepUp:  "insufficient_user_authentication",
	BadProof:    "invalid_dpop_proof",
	NeedNonce:   "use_dpop_nonce",
	RateLimited: "rate_limited",
}

// String returns the public reason: the error codes of RFC 6750, RFC 9449 and RFC 9470, "temporarily_unavailable",
// "rate_limited" and "token_missing". The list is closed, and all that clients are told.
func (o Outcome) String() string {
	if o < 0 || int(o) >= len(outcomes) {
		return outcomes[Unavailable]
	}
	return outcomes[o]
}

// ofReason lists the reasons whose outcome is not that of their category.
var ofReason = map[verifier.Reason]Outcome{
	verifier.ReasonTokenMissing:                   Missing,
	verifier.ReasonBadRequest:                     BadRequest,
	verifier.ReasonInsufficientUserAuthentication: NeedStepUp,
	verifier.ReasonInvalidProof:                   BadProof,
	verifier.ReasonNonceRequired:                  NeedNonce,
}

// Classify returns what to tell a client of err, and for Unavailable and RateLimited after what time to ask again: at least a
// second.
func Classify(err error) (o Outcome, retryAfter time.Duration) {
	if e := asError(err); e != nil {
		if o, ok := ofReason[e.Reason]; ok {
			return o, 0
		}
		retryAfter = e.RetryAfter
	}
	switch {
	case errors.Is(err, verifier.ErrUnavailable):
	case errors.Is(err, verifier.ErrRateLimited):
		return RateLimited, max(retryAfter, time.Second)
	case errors.Is(err, verifier.ErrForbidden):
		return Forbidden, 0
	case errors.Is(err, verifier.ErrInvalid):
		return Invalid, 0
	}
	return Unavailable, max(retryAfter, time.Second)
}

// asError returns the *verifier.Error in err, or nil.
func asError(err error) *verifier.Error {
	var e *verifier.Error
	_ = errors.As(err, &e)
	return e
}
