package verifier

import (
	"errors"
	"time"
)

// The categories of errors. Every *Error is exactly one of them, by errors.Is.
var (
	// ErrInvalid: the token is not to be accepted. HTTP 401, gRPC Unauthenticated.
	ErrInvalid = errors.New("token is invalid")
	// ErrUnavailable: whether the token is to be accepted could not be found out. HTTP 503, gRPC Unavailable.
	ErrUnavailable = errors.New("token cannot be verified now")
	// ErrRateLimited: whether the token is to be accepted was not found out, as too many tokens with unknown keys arrive. It
	// may be good. HTTP 429, gRPC ResourceExhausted.
	ErrRateLimited = errors.New("too many tokens with unknown keys")
	// ErrForbidden: the token is good but does not grant what was asked. HTTP 403, gRPC PermissionDenied.
	ErrForbidden = errors.New("token does not grant this")
)

// Reason is why a token was not accepted. The zero Reason is not one.
//
// The cheap checks come first, so a reason says what was found, not who sent it: anyone can make a token that names a
// trusted issuer and is expired.
type Reason int

// The reasons. Their values are API: a new one comes last. Those up to ReasonCheckFailed stand in the order of the checks.
const (
	ReasonTokenMissing                   Reason = iota + 1 // no token was presented
	ReasonBadRequest                                       // the request carries credentials in a way that is not allowed
	ReasonTooLarge                                         // longer than MaxTokenBytes
	ReasonMalformed                                        // not a compact JWS of strict JSON, or a claim of the wrong type
	ReasonAlgNotAllowed                                    // an algorithm that is not allowed here, or not the key's
	ReasonTypNotAllowed                                    // a typ that is not allowed here, or any cty
	ReasonUnknownIssuer                                    // no trusted authority lists the iss
	ReasonExpired                                          // exp has passed
	ReasonNotYetValid                                      // nbf or iat is in the future
	ReasonBadTokenUse                                      // another kind of token: an ID token for an access token
	ReasonBadAudience                                      // minted for somebody else: aud, client_id or azp
	ReasonUnknownKey                                       // no region that lists the iss publishes the kid
	ReasonKeysUnavailable                                  // the keys could not be had
	ReasonBadSignature                                     // the signature is not that of the key
	ReasonMissingClaim                                     // a required claim is absent or null
	ReasonTooOld                                           // issued longer ago than MaxAge
	ReasonRegionInactive                                   // the region policy refuses the regions that may have minted it
	ReasonRevoked                                          // a revocation rule matches
	ReasonRulesUnavailable                                 // the revocation rules are not known
	ReasonCheckFailed                                      // Policy.Check refused it
	ReasonInsufficientScope                                // a scope, group or other requirement is not met
	ReasonInsufficientUserAuthentication                   // the user must sign in again, or with stronger means: RFC 9470
	ReasonUnproved                                         // bound to a key that the sender has not proved: RFC 7800, RFC 8705
	ReasonInvalidProof                                     // a DPoP proof that does not fit the token or the request: RFC 9449
	ReasonNonceRequired                                    // a DPoP proof without the nonce of the server: RFC 9449, section 9
	ReasonProofUnavailable                                 // whether a proof was used before could not be found out
	ReasonUnknownKeyRateLimited                            // the kid is unknown, and too many unknown ones arrive to find out
	ReasonKeyNotAllowed                                    // the key is published, and not allowed: its size, or it is no secret
)

var reasons = [...]struct {
	label    string
	category error
}{
	ReasonTokenMissing:                   {"token_missing", ErrInvalid},
	ReasonBadRequest:                     {"bad_request", ErrInvalid},
	ReasonTooLarge:                       {"too_large", ErrInvalid},
	ReasonMalformed:                      {"malformed", ErrInvalid},
	ReasonAlgNotAllowed:                  {"unsupported_alg", ErrInvalid},
	ReasonTypNotAllowed:                  {"bad_type", ErrInvalid},
	ReasonUnknownIssuer:                  {"unknown_issuer", ErrInvalid},
	ReasonExpired:                        {"expired", ErrInvalid},
	ReasonNotYetValid:                    {"not_yet_valid", ErrInvalid},
	ReasonBadTokenUse:                    {"bad_token_use", ErrInvalid},
	ReasonBadAudience:                    {"bad_audience", ErrInvalid},
	ReasonUnknownKey:                     {"unknown_key", ErrInvalid},
	ReasonKeysUnavailable:                {"keys_unavailable", ErrUnavailable},
	ReasonBadSignature:                   {"bad_signature", ErrInvalid},
	ReasonMissingClaim:                   {"missing_claim", ErrInvalid},
	ReasonTooOld:                         {"too_old", ErrInvalid},
	ReasonRegionInactive:                 {"region_inactive", ErrInvalid},
	ReasonRevoked:                        {"revoked", ErrInvalid},
	ReasonRulesUnavailable:               {"rules_unavailable", ErrUnavailable},
	ReasonCheckFailed:                    {"check_failed", ErrInvalid},
	ReasonInsufficientScope:              {"insufficient_scope", ErrForbidden},
	ReasonInsufficientUserAuthentication: {"insufficient_user_authentication", ErrInvalid},
	ReasonUnproved:                       {"unproved", ErrInvalid},
	ReasonInvalidProof:                   {"invalid_proof", ErrInvalid},
	ReasonNonceRequired:                  {"nonce_required", ErrInvalid},
	ReasonProofUnavailable:               {"proof_unavailable", ErrUnavailable},

	ReasonUnknownKeyRateLimited: {"unknown_key_rate_limited", ErrRateLimited},
	ReasonKeyNotAllowed:         {"key_not_allowed", ErrInvalid},
}

// String returns the stable label of r, fit for logs and metrics: "bad_signature".
func (r Reason) String() string {
	if r <= 0 || int(r) >= len(reasons) {
		return "unknown"
	}
	return reasons[r].label
}

// Error says why a token was not accepted. It holds only what was configured, and what Policy.Check or a source of keys or
// rules said; nothing else that a token said.
type Error struct {
	Reason     Reason
	Provider   string        // whose issuer the token names; "" where that is not known
	Region     string        // the only region that lists the issuer, or whose key it is; "" where there are several
	RetryAfter time.Duration // when asking again may help; 0 unless ErrUnavailable or ErrRateLimited
	Err        error         // the cause, where there is more to say; never written to clients
}

// Error returns the reason, the authority and the cause.
func (e *Error) Error() string {
	if e == nil {
		return "token not accepted: nil *verifier.Error"
	}
	s := "token not accepted: " + e.Reason.String()
	if e.Provider != "" {
		s += " (authority " + e.Provider + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause, less the categories that it may wrap: an *Error has exactly one.
func (e *Error) Unwrap() error {
	if e == nil || e.Err == nil {
		return nil
	}
	return cause{e.Err}
}

// Is reports whether target is the category of e.
func (e *Error) Is(target error) bool { return target == e.Category() }

// Category is the one of ErrInvalid, ErrUnavailable, ErrRateLimited and ErrForbidden that e is. That of CheckFailed is the
// category which the error of Policy.Check wraps: ErrUnavailable before ErrRateLimited before ErrForbidden, ErrInvalid by
// default. RegionInactive is ErrUnavailable where the error of the RegionPolicy wraps that, or says so by a method
// Unavailable() bool. A nil *Error is ErrUnavailable.
func (e *Error) Category() error {
	if e == nil {
		return ErrUnavailable // it says nothing about the token
	}
	if e.Reason <= 0 || int(e.Reason) >= len(reasons) {
		return ErrInvalid
	}
	asks := e.Reason == ReasonCheckFailed || e.Reason == ReasonRegionInactive
	if asks && errors.Is(e.Err, ErrUnavailable) {
		return ErrUnavailable
	}
	if e.Reason == ReasonRegionInactive {
		var says interface{ Unavailable() bool }
		if errors.As(e.Err, &says) && says.Unavailable() {
			return ErrUnavailable
		}
	}
	if e.Reason == ReasonCheckFailed && errors.Is(e.Err, ErrRateLimited) {
		return ErrRateLimited
	}
	if e.Reason == ReasonCheckFailed && errors.Is(e.Err, ErrForbidden) {
		return ErrForbidden
	}
	return reasons[e.Reason].category
}

// decides reports whether e is a verdict on the token.
func (e *Error) decides() bool { return !errors.Is(e, ErrUnavailable) && !errors.Is(e, ErrRateLimited) }

// ofKeys reports whether the key was not to be had.
func (e *Error) ofKeys() bool {
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
		return false // the *Error that holds the cause is the one that counts
	}
	return errors.As(c.err, target)
}
