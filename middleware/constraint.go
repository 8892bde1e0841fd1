package middleware

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/regionjwt/regionjwt/verifier"
)

// Mode says what is done with sender-constrained tokens: those whose cnf claim names a key that the sender has to prove
// (RFC 7800).
type Mode int

// The modes.
const (
	// Off: every token is a bearer token, and its cnf is not looked at.
	Off Mode = iota
	// Accepted: a token that is bound has to be proved; one that is not bound passes without.
	Accepted
	// Required: a token that is not bound is refused.
	Required
)

// Methods of confirmation, as members of the cnf claim.
const (
	JWKThumbprint         = "jkt"      // DPoP: RFC 9449, section 6.1
	CertificateThumbprint = "x5t#S256" // a client certificate: RFC 8705, section 3.1
)

// CheckCertificate reports whether t may be used over a connection whose client proved the certificate, which is nil where
// there is none: RFC 8705, section 3. The error is a *verifier.Error with Unproved.
func CheckCertificate(t *verifier.Token, certificate *x509.Certificate, mode Mode) error {
	if mode == Off {
		return nil
	}
	bound, err := t.Confirmation(CertificateThumbprint)
	switch {
	case err != nil:
	case bound == "" && mode == Required:
		err = errors.New("the token is not bound to a certificate")
	case bound == "":
		return nil
	case certificate == nil:
		err = errors.New("the connection has no client certificate")
	default:
		sum := sha256.Sum256(certificate.Raw)
		if base64.RawURLEncoding.EncodeToString(sum[:]) == bound {
			return nil
		}
		err = errors.New("the token is bound to another certificate")
	}
	return &verifier.Error{Reason: verifier.ReasonUnproved, Provider: t.Provider(), Region: t.Region(), Err: err}
}

// CheckConfirmation reports whether every key that t is bound to is one that a supported method proves. A token that is bound
// in another way cannot be proved here. The error is a *verifier.Error with Unproved.
func CheckConfirmation(t *verifier.Token, supported ...string) error {
	methods, err := t.Confirmations()
	for _, m := range methods {
		if !slices.Contains(supported, m) {
			err = errors.New("the token is bound in a way that is not supported here")
		}
	}
	if err != nil {
		return &verifier.Error{Reason: verifier.ReasonUnproved, Provider: t.Provider(), Region: t.Region(), Err: err}
	}
	return nil
}
