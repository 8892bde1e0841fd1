package authz

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"

	"github.com/regionjwt/regionjwt/verifier"
)

// The confirmation methods that this module can check, as members of the cnf claim (RFC 7800 section 3.1).
const (
	jwkThumbprint         = "jkt"      // DPoP: RFC 9449 section 6.1
	certificateThumbprint = "x5t#S256" // a client certificate: RFC 8705 section 3.1
)

// Confirmation lists the keys that a token is bound to; a field is "" if it is not bound in that way.
type Confirmation struct {
	JWK         string // the SHA-256 thumbprint of the key of DPoP proofs
	Certificate string // the SHA-256 thumbprint of a client certificate
}

// ConfirmationOf returns the keys that t is bound to. The error is a *verifier.Error with ReasonProofFailed: t is bound in a way
// that this module cannot check, or a member of cnf has the wrong type.
func ConfirmationOf(t *verifier.Token) (Confirmation, error) {
	claim := t.Claim("cnf")
	if claim == nil {
		return Confirmation{}, nil
	}
	members, ok := claim.(map[string]any)
	if !ok {
		return Confirmation{}, Unproven(t, errMember) // a member holds a number that float64 cannot
	}
	var c Confirmation
	for name, v := range members {
		s, _ := v.(string)
		switch {
		case name != jwkThumbprint && name != certificateThumbprint:
			return Confirmation{}, Unproven(t, errMethod)
		case s == "":
			return Confirmation{}, Unproven(t, errMember)
		case name == jwkThumbprint:
			c.JWK = s
		default:
			c.Certificate = s
		}
	}
	return c, nil
}

// Unproven returns the error of a token whose sender did not prove that it has the key. It is not about a DPoP proof.
func Unproven(t *verifier.Token, cause error) error {
	return rejection(t, verifier.ReasonProofFailed, cause)
}

// The causes. None holds a value of the token.
var (
	ErrDPoP        = errors.New("the token is bound by DPoP, which is not configured")
	errMethod      = errors.New("the token is bound in a way that is not supported")
	errMember      = errors.New("a member of cnf is not a string, or empty")
	errUnbound     = errors.New("the token is not bound to a certificate")
	errCertificate = errors.New("the connection has no client certificate")
	errOther       = errors.New("the token is bound to another certificate")
)

// CheckCertificate checks a token over a connection whose client proved the certificate that current returns, or nil (RFC 8705
// section 3). It calls current only if the token is bound to a certificate. required says that the token must be. The error is a
// *verifier.Error with ReasonProofFailed, or that of current.
func CheckCertificate(t *verifier.Token, c Confirmation, required bool, current func() (*x509.Certificate, error)) error {
	if c.Certificate == "" {
		if required {
			return Unproven(t, errUnbound)
		}
		return nil
	}
	certificate, err := current()
	switch {
	case err != nil:
		return err
	case certificate == nil:
		return Unproven(t, errCertificate)
	}
	sum := sha256.Sum256(certificate.Raw)
	proven := base64.RawURLEncoding.EncodeToString(sum[:])
	if subtle.ConstantTimeCompare([]byte(proven), []byte(c.Certificate)) != 1 {
		return Unproven(t, errOther)
	}
	return nil
}
