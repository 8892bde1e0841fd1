package middleware

import (
	"context"
	"errors"
	"strings"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/verifier"
)

// Bearer returns the token of the Authorization values of a request (RFC 6750, section 2.1; RFC 9110, section 11.4). The
// error is a *verifier.Error: TokenMissing where there is none, or one of another scheme; BadRequest where there are
// several, or what follows the scheme is not a token.
func Bearer(authorization []string) (string, error) { return Credentials(authorization, "Bearer") }

// Credentials is Bearer for another scheme, such as DPoP (RFC 9449, section 7.1). Schemes are compared without regard to case.
func Credentials(authorization []string, scheme string) (string, error) {
	token, err := Presented(authorization, scheme)
	if err == nil && !IsToken(token) {
		return "", &verifier.Error{Reason: verifier.BadRequest}
	}
	return token, err
}

// Presented is Credentials for those who hand what it returns to Verify of this package at once: it only looks whether it is one
// word, as that looks at each octet anyway.
func Presented(authorization []string, scheme string) (string, error) {
	if len(authorization) > 1 {
		return "", &verifier.Error{Reason: verifier.BadRequest}
	}
	if len(authorization) == 0 {
		return "", &verifier.Error{Reason: verifier.TokenMissing}
	}
	got, token, found := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(got, scheme) {
		return "", &verifier.Error{Reason: verifier.TokenMissing}
	}
	token = strings.TrimLeft(token, " ")
	if !found || !isWord(token) {
		return "", &verifier.Error{Reason: verifier.BadRequest}
	}
	return token, nil
}

// isWord reports whether s could be a token, at a glance.
func isWord(s string) bool {
	return s != "" && len(s) <= maxCredentials && strings.IndexByte(s, ' ') < 0 && strings.IndexByte(s, ',') < 0
}

// Verify has v verify a token that was presented. What cannot be a token at all, and v therefore calls Malformed, is a BadRequest
// (RFC 6750, section 3.1). A Verifier that returns neither a token nor an error is at fault, and nobody is let in.
// The error of a Verifier that panics is classified as Unavailable.
func Verify(ctx context.Context, v Verifier, presented string) (*verifier.Token, error) {
	if v == nil {
		return nil, errNoVerifier
	}
	var token *verifier.Token
	var err error
	if p := guard.Call("the Verifier", func() { token, err = v.Verify(ctx, presented) }); p != nil {
		return nil, p
	}
	if err != nil {
		if _, ours := err.(*verifier.Error); !ours { //nolint:errorlint // its methods do not panic
			err = guard.Sound("the error of the Verifier", err)
		}
		if e := asError(err); e != nil && e.Reason == verifier.Malformed && !IsToken(presented) {
			return nil, &verifier.Error{Reason: verifier.BadRequest}
		}
		return nil, err
	}
	if token == nil {
		return nil, errNoToken
	}
	return token, nil
}

var errNoVerifier = errors.New("middleware: the Verifier is nil")

var errNoToken = errors.New("middleware: the verifier returned neither a token nor an error")

// maxCredentials is the length from which on credentials are not looked through: a Verifier takes no longer ones.
const maxCredentials = 1 << 20

// IsToken reports whether s could be a token: one token68 (RFC 9110, section 11.2) of at most 1 MiB.
func IsToken(s string) bool {
	if len(s) > maxCredentials {
		return false
	}
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if !token68[s[i]] {
			return false
		}
	}
	return s != ""
}

// token68 holds the octets that a token may have, but for the padding.
var token68 = func() (table [256]bool) {
	const legal = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	for i := range legal {
		table[legal[i]] = true
	}
	return table
}()
