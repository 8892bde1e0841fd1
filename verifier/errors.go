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

// The reasons. Their values are API: a new one comes last. Those up to CheckFailed stand in the order of the checks.
const (
	TokenMissing          Reason = iota + 1 // no token was presented
	BadRequest                              // the request carries credentials in a way that is not allowed
	TooLarge                                // longer than MaxTokenBytes
	Malformed                               // not a compact JWS of strict JSON, or a claim of the wrong type
	UnsupportedAlg                          // an algorithm that is not allowed here, or not the key's
	BadType                                 // a typ that is not allowed here, or any cty
	UnknownIssuer                           // no trusted authority lists the iss
	Expired                                 // exp has passed
	NotYetValid                             // nbf or iat is in the future
	BadTokenUse                             // another kind of token: an ID token for an access token, or the reverse
	BadAudience                             // minted for somebody else: aud, client_id or azp
	UnknownKey                              // no region that lists the iss publishes the kid
	KeysUnavailable                         // the keys could not be had
	BadSignature                            // the signature is not that of the key
	MissingClaim                            // a required claim is absent or null
	TooOld                                  // issued longer ago than MaxAge
	RegionInactive                          // the region policy refuses the regions that may have minted it
	Revoked                                 // a revocation rule matches
	RulesUnavailable                        // the revocation rules are not known
	CheckFailed                             // Trust.Check refused it
	InsufficientScope                       // a scope, group or other requirement is not met
	InsufficientAuth                        // the user must sign in again, or with stronger means: RFC 9470
	Unproved                                // bound to a key that the sender has not proved: RFC 7800, RFC 8705
	InvalidProof                            // a DPoP proof that does not fit the token or the request: RFC 9449
	NonceRequired                           // a DPoP proof without the nonce that the server gave out: RFC 9449, section 9
	ProofUnavailable                        // whether a proof was used before could not be found out
	UnknownKeyRateLimited                   // the kid is unknown, and too many unknown ones were asked for to find out more
	KeyNotAllowed                           // the key is published and must not be used: its size, or its private half is public
)

var reasons = [...]struct {
	label    string
	category error
}{
	TokenMissing:      {"token_missing", ErrInvalid},
	BadRequest:        {"bad_request", ErrInvalid},
	TooLarge:          {"too_large", ErrInvalid},
	Malformed:         {"malformed", ErrInvalid},
	UnsupportedAlg:    {"unsupported_alg", ErrInvalid},
	BadType:           {"bad_type", ErrInvalid},
	UnknownIssuer:     {"unknown_issuer", ErrInvalid},
	Expired:           {"expired", ErrInvalid},
	NotYetValid:       {"not_yet_valid", ErrInvalid},
	BadTokenUse:       {"bad_token_use", ErrInvalid},
	BadAudience:       {"bad_audience", ErrInvalid},
	UnknownKey:        {"unknown_key", ErrInvalid},
	KeysUnavailable:   {"keys_unavailable", ErrUnavailable},
	BadSignature:      {"bad_signature", ErrInvalid},
	MissingClaim:      {"missing_claim", ErrInvalid},
	TooOld:            {"too_old", ErrInvalid},
	RegionInactive:    {"region_inactive", ErrInvalid},
	Revoked:           {"revoked", ErrInvalid},
	RulesUnavailable:  {"rules_unavailable", ErrUnavailable},
	CheckFailed:       {"check_failed", ErrInvalid},
	InsufficientScope: {"insufficient_scope", ErrForbidden},
	InsufficientAuth:  {"insufficient_user_authentication", ErrInvalid},
	Unproved:          {"unproved", ErrInvalid},
	InvalidProof:      {"invalid_proof", ErrInvalid},
	NonceRequired:     {"nonce_required", ErrInvalid},
	ProofUnavailable:  {"proof_unavailable", ErrUnavailable},

	UnknownKeyRateLimited: {"unknown_key_rate_limited", ErrRateLimited},
	KeyNotAllowed:         {"key_not_allowed", ErrInvalid},
}

// String returns the stable label of r, fit for logs and metrics: "bad_signature".
func (r Reason) String() string {
	if r <= 0 || int(r) >= len(reasons) {
		return "unknown"
	}
	return reasons[r].label
}

// Error says why a token was not accepted. It holds only what was configured, and what Trust.Check or a source of keys or
// rules said; nothing else that a token said.
type Error struct {
	Reason     Reason
	Authority  string        // whose issuer the token names; "" where that is not known
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
	if e.Authority != "" {
		s += " (authority " + e.Authority + ")"
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
// category which the error of Trust.Check wraps: ErrUnavailable before ErrRateLimited before ErrForbidden, ErrInvalid by
// default. RegionInactive is ErrUnavailable where the error of the RegionPolicy wraps that, or says so by a method
// Unavailable() bool. A nil *Error is ErrUnavailable.
func (e *Error) Category() error {
	if e == nil {
		return ErrUnavailable // it says nothing about the token
	}
	if e.Reason <= 0 || int(e.Reason) >= len(reasons) {
		return ErrInvalid
	}
	asks := e.Reason == CheckFailed || e.Reason == RegionInactive
	if asks && errors.Is(e.Err, ErrUnavailable) {
		return ErrUnavailable
	}
	if e.Reason == RegionInactive {
		var says interface{ Unavailable() bool }
		if errors.As(e.Err, &says) && says.Unavailable() {
			return ErrUnavailable
		}
	}
	if e.Reason == CheckFailed && errors.Is(e.Err, ErrRateLimited) {
		return ErrRateLimited
	}
	if e.Reason == CheckFailed && errors.Is(e.Err, ErrForbidden) {
		return ErrForbidden
	}
	return reasons[e.Reason].category
}

// decides reports whether e is a verdict on the token.
func (e *Error) decides() bool { return !errors.Is(e, ErrUnavailable) && !errors.Is(e, ErrRateLimited) }

// ofKeys reports whether the key was not to be had.
func (e *Error) ofKeys() bool {
	return e.Reason == KeysUnavailable || e.Reason == UnknownKeyRateLimited
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
