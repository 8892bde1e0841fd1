package verifier

import (
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/internal/verdict"
)

// The categories of errors. Every *Error is exactly one of them, by errors.Is.
var (
	// ErrInvalid: the token is bad. HTTP 401, gRPC Unauthenticated.
	ErrInvalid = errors.New("token is invalid")
	// ErrForbidden: the token is good but does not grant what was asked. HTTP 403, gRPC PermissionDenied.
	ErrForbidden = errors.New("token does not grant this")
	// ErrUnavailable: it could not be found out whether the token is good. HTTP 503, gRPC Unavailable.
	ErrUnavailable = verdict.ErrUnavailable
	// ErrRateLimited: it was not found out whether the token is good, as too many tokens with unknown keys arrive. HTTP 429,
	// gRPC ResourceExhausted.
	ErrRateLimited = errors.New("too many tokens with unknown keys")
)

// Reason says why a token was rejected, as a stable label for programs, logs and metrics. The cheap checks come first, so a
// reason says what was found, not who sent the token: anyone can make a token that names a configured issuer and is expired.
type Reason string

// The reasons. Verify gives those from ReasonMalformed to ReasonCheckFailed.
const (
	ReasonTokenMissing          Reason = "token_missing"            // no token was presented
	ReasonBadRequest            Reason = "bad_request"              // the request has credentials in a way that is not allowed
	ReasonMalformed             Reason = "malformed"                // no compact JWS of strict JSON, or too long
	ReasonUnknownIssuer         Reason = "unknown_issuer"           // no configured provider lists the iss
	ReasonAlgNotAllowed         Reason = "alg_not_allowed"          // the policy does not allow the alg
	ReasonTypNotAllowed         Reason = "typ_not_allowed"          // the policy does not allow the typ, or there is a cty
	ReasonExpired               Reason = "expired"                  // exp has passed
	ReasonNotYetValid           Reason = "not_yet_valid"            // nbf or iat is in the future
	ReasonBadAudience           Reason = "bad_audience"             // for another audience, or another kind of token
	ReasonUnknownKey            Reason = "unknown_key"              // no region that lists the iss publishes the kid
	ReasonKeyNotAllowed         Reason = "key_not_allowed"          // the key is too small or large, or its private half is known
	ReasonKeysUnavailable       Reason = "keys_unavailable"         // the keys could not be fetched
	ReasonUnknownKeyRateLimited Reason = "unknown_key_rate_limited" // the kid is unknown, as those of too many tokens are
	ReasonBadSignature          Reason = "bad_signature"            // no key of that kid verifies the signature
	ReasonMissingClaim          Reason = "missing_claim"            // a required claim is absent or null
	ReasonTooOld                Reason = "too_old"                  // MaxAge has passed; Detail exp: MaxLifetime is exceeded
	ReasonRegionInactive        Reason = "region_inactive"          // the region policy rejects its regions
	ReasonRevoked               Reason = "revoked"                  // a revocation rule matches
	ReasonRulesUnavailable      Reason = "rules_unavailable"        // the revocation rules are not known
	ReasonCheckFailed           Reason = "check_failed"             // Policy.Check rejected it
	ReasonInsufficientScope     Reason = "insufficient_scope"       // a scope, group or other requirement is not met
	// ReasonInsufficientUserAuthentication: the user must sign in again, or with a stronger method (RFC 9470).
	ReasonInsufficientUserAuthentication Reason = "insufficient_user_authentication"
	// ReasonProofFailed: the token is bound to a key (RFC 7800), and the sender did not prove that it has the key (RFC 8705,
	// RFC 9449).
	ReasonProofFailed      Reason = "proof_failed"
	ReasonNonceRequired    Reason = "nonce_required"    // the DPoP proof does not have the nonce of this server
	ReasonProofUnavailable Reason = "proof_unavailable" // it could not be found out whether the DPoP proof was used before
)

// categories holds the reasons that are not ErrInvalid.
var categories = map[Reason]error{
	ReasonKeysUnavailable:       ErrUnavailable,
	ReasonRulesUnavailable:      ErrUnavailable,
	ReasonUnknownKeyRateLimited: ErrRateLimited,
	ReasonInsufficientScope:     ErrForbidden,
	ReasonProofUnavailable:      ErrUnavailable,
}

// Error says why a token was rejected. It holds only what was configured, and what Policy.Check or a source of keys or rules
// returned: never a value that only the token has.
type Error struct {
	Reason     Reason
	Provider   string        // the ID of the provider that lists the token's iss, or "" if none does
	Region     string        // the region that issued the token, or "" if several regions are possible
	Detail     string        // the claim, header parameter, member or rule ID that decided, or ""
	RetryAfter time.Duration // when it may help to try again; 0 unless ErrUnavailable or ErrRateLimited
	Err        error         // the cause, or nil; it is never sent to clients
}

// Error returns the reason, the detail, the provider and the cause.
func (e *Error) Error() string {
	if e == nil {
		return "token rejected: nil *verifier.Error"
	}
	s := "token rejected: " + string(e.Reason)
	if e.Reason == "" {
		s += "no reason"
	}
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	if e.Provider != "" {
		s += ", provider " + e.Provider
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause, without the categories that it may wrap: an *Error has exactly one.
func (e *Error) Unwrap() error {
	if e == nil || e.Err == nil {
		return nil
	}
	return cause{e.Err}
}

// Is reports whether target is the category of e: ErrInvalid, ErrForbidden, ErrUnavailable or ErrRateLimited. The category of
// ReasonCheckFailed is the one that the error of Policy.Check wraps: ErrUnavailable before ErrRateLimited before ErrForbidden,
// and ErrInvalid by default. ReasonRegionInactive is ErrUnavailable if the error of Policy.RegionPolicy wraps that. A nil *Error
// is ErrUnavailable: it says nothing about the token.
func (e *Error) Is(target error) bool { return target == e.category() }

func (e *Error) category() error {
	if e == nil {
		return ErrUnavailable
	}
	if e.Reason == ReasonCheckFailed || e.Reason == ReasonRegionInactive {
		for _, c := range [...]error{ErrUnavailable, ErrRateLimited, ErrForbidden} {
			if errors.Is(e.Err, c) {
				return c
			}
			if e.Reason == ReasonRegionInactive {
				break
			}
		}
	}
	if c := categories[e.Reason]; c != nil {
		return c
	}
	return ErrInvalid
}

// decides reports whether e is a verdict on the token.
func (e *Error) decides() bool { return !errors.Is(e, ErrUnavailable) && !errors.Is(e, ErrRateLimited) }

// keysMissing reports whether the key could not be fetched.
func (e *Error) keysMissing() bool {
	return e.Reason == ReasonKeysUnavailable || e.Reason == ReasonUnknownKeyRateLimited
}

// cause hides the categories of an error.
type cause struct{ err error }

func (c cause) Error() string { return c.err.Error() }

func (c cause) Is(target error) bool {
	return target != ErrInvalid && target != ErrUnavailable && target != ErrForbidden && target != ErrRateLimited &&
		errors.Is(c.err, target)
}

func (c cause) As(target any) bool {
	if _, ok := target.(**Error); ok {
		return false // the *Error that holds the cause is the one to look at
	}
	return errors.As(c.err, target)
}
