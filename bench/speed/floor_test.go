package speed_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"
)

// raw is the bare check of a signature: no parsing, no claims.
type raw struct {
	alg              string
	public           crypto.PublicKey
	input, signature []byte
}

func newRaw(tb testing.TB, s *site, token string) raw {
	tb.Helper()
	input, signature := parts(tb, token)
	return raw{s.alg, s.keys[0].private.Public(), input, signature}
}

func (r *raw) ok() bool {
	switch k := r.public.(type) {
	case *rsa.PublicKey:
		sum := sha256.Sum256(r.input)
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], r.signature) == nil
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(r.input)
		return ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(r.signature[:32]), new(big.Int).SetBytes(r.signature[32:]))
	case ed25519.PublicKey:
		return ed25519.Verify(k, r.input, r.signature)
	}
	return false
}

// floorOf returns a function that checks the signatures of tokens in turn.
func floorOf(tb testing.TB, s *site, tokens []string) func() {
	tb.Helper()
	var checks ring[raw]
	for _, token := range tokens {
		checks.all = append(checks.all, newRaw(tb, s, token))
	}
	return func() {
		r := checks.next()
		if !r.ok() {
			tb.Fatal("the signature is bad")
		}
	}
}
