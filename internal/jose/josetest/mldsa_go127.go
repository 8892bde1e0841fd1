//go:build go1.27

package josetest

import (
	"crypto"
	"crypto/mldsa"
	"fmt"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// newMLDSA makes a fresh key.
func newMLDSA(alg string) (crypto.Signer, error) {
	p, ok := map[string]mldsa.Parameters{
		jose.MLDSA44: mldsa.MLDSA44(), jose.MLDSA65: mldsa.MLDSA65(), jose.MLDSA87: mldsa.MLDSA87(),
	}[alg]
	if !ok {
		return nil, fmt.Errorf("no key can be made for algorithm %q", alg)
	}
	return mldsa.GenerateKey(p)
}
