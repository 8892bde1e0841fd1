package authz

import (
	"strings"

	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/verifier"
)

// maxCredentials is the length of the longest text that is taken for a token, in bytes. No Verifier accepts longer ones.
const maxCredentials = limit.MaxTokenBytes

// The schemes of the Authorization header.
const (
	Bearer = "Bearer" // RFC 6750 section 2.1
	DPoP   = "DPoP"   // RFC 9449 section 7.1
)

// Presented returns the token of the Authorization values of a request, and the scheme that it has, as schemes spells it (RFC
// 6750 section 2.1, RFC 9110 section 11.4). Schemes are compared without regard to case. The error is a *verifier.Error:
// ReasonTokenMissing if there is no value, or one of another scheme; ReasonBadRequest if there are several values, or if what
// follows the scheme is not a token.
//
// It checks only that the token is one word. Verify checks the rest, so that valid tokens are read once.
func Presented(authorization []string, schemes ...string) (token, scheme string, err error) {
	if len(authorization) > 1 {
		return "", "", &verifier.Error{Reason: verifier.ReasonBadRequest}
	}
	if len(authorization) == 0 {
		return "", "", &verifier.Error{Reason: verifier.ReasonTokenMissing}
	}
	got, token, found := strings.Cut(authorization[0], " ")
	for _, s := range schemes {
		if strings.EqualFold(got, s) {
			scheme = s
		}
	}
	if scheme == "" {
		return "", "", &verifier.Error{Reason: verifier.ReasonTokenMissing}
	}
	token = strings.TrimLeft(token, " ")
	if !found || !isWord(token) {
		return "", "", &verifier.Error{Reason: verifier.ReasonBadRequest}
	}
	return token, scheme, nil
}

// isWord reports whether s is one word that is not too long.
func isWord(s string) bool {
	return s != "" && len(s) <= maxCredentials && strings.IndexByte(s, ' ') < 0 && strings.IndexByte(s, ',') < 0
}

// IsToken reports whether s could be a token: one token68 (RFC 9110 section 11.2) of at most 1 MiB.
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

// token68 holds the characters of a token, without the padding.
var token68 = func() (table [256]bool) {
	const legal = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	for i := range legal {
		table[legal[i]] = true
	}
	return table
}()
