// Package josetest makes keys and signs tokens, right and wrong ones, for tests and for the test kit. It is not linked
// into programs that only verify.
package josetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// Signer is a private key with its name and algorithm.
type Signer struct {
	ID, Algorithm string
	private       crypto.Signer
}

// NewSigner makes a fresh key for alg, one of jose's algorithms, under a random kid of Cognito's form.
func NewSigner(alg string) (*Signer, error) {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	s := &Signer{ID: base64.StdEncoding.EncodeToString(id), Algorithm: alg}
	var err error
	switch alg {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		s.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		s.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		s.private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		s.private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "Ed25519", "EdDSA":
		_, s.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		s.private, err = newMLDSA(alg)
	}
	return s, err
}

// SignerOf returns a Signer for a key that alg fits. Its kid is the thumbprint of the key (RFC 7638), which does not change.
func SignerOf(key crypto.Signer, alg string) (*Signer, error) {
	if !jose.Fits(alg, key.Public()) {
		return nil, fmt.Errorf("the algorithm %q does not fit the key", alg)
	}
	s := &Signer{Algorithm: alg, private: key}
	k, err := jwk.FromRaw(s.Public())
	if err != nil {
		return nil, err
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	s.ID = base64.RawURLEncoding.EncodeToString(sum)
	return s, err
}

// Public returns the public key.
func (s *Signer) Public() crypto.PublicKey { return s.private.Public() }

// JWK returns the public key as the members of a JWK.
func (s *Signer) JWK() (map[string]any, error) {
	text, err := s.publicJWK()
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	members["kid"], members["alg"], members["use"] = s.ID, s.Algorithm, "sig"
	return members, nil
}

// publicJWK has jwx write the key, as far as it knows its type.
func (s *Signer) publicJWK() ([]byte, error) {
	if (&jose.Key{Public: s.Public()}).Type() == "AKP" {
		return (&jose.Key{Public: s.Public()}).JWK()
	}
	k, err := jwk.FromRaw(s.Public())
	if err != nil {
		return nil, err
	}
	return json.Marshal(k)
}

// Sign returns the compact JWS of header and payload as they are given, signed by the algorithm of s.
func (s *Signer) Sign(header, payload []byte) (string, error) {
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := s.signature([]byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func (s *Signer) signature(input []byte) ([]byte, error) {
	switch s.private.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey:
	default: // Ed25519, whose new name jwx does not know, and ML-DSA, which it does not know
		return s.private.Sign(rand.Reader, input, crypto.Hash(0))
	}
	signer, err := jws.NewSigner(jwa.SignatureAlgorithm(s.Algorithm))
	if err != nil {
		return nil, err
	}
	return signer.Sign(input, s.private)
}

// Set returns the JWK set of the public keys.
func Set(signers ...*Signer) ([]byte, error) {
	keys := make([]map[string]any, 0, len(signers))
	for _, s := range signers {
		k, err := s.JWK()
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return json.Marshal(map[string]any{"keys": keys})
}
