//go:build !go1.27

package speed_test

import (
	"crypto"
	"fmt"
)

// The standard library has no ML-DSA before Go 1.27.
var mldsaAlgorithms []string

func newMLDSA(alg string) (crypto.Signer, error) {
	return nil, fmt.Errorf("there are no keys for %s", alg)
}

func publicMLDSA(crypto.PublicKey) []byte { return nil }
