//go:build go1.27

package dpop_test

import (
	"crypto"
	"crypto/mldsa"
)

func newMLDSA(alg string) (crypto.Signer, error) {
	return mldsa.GenerateKey(map[string]mldsa.Parameters{
		"ML-DSA-44": mldsa.MLDSA44(), "ML-DSA-65": mldsa.MLDSA65(), "ML-DSA-87": mldsa.MLDSA87(),
	}[alg])
}

func publicMLDSA(k crypto.PublicKey) []byte { return k.(*mldsa.PublicKey).Bytes() }
