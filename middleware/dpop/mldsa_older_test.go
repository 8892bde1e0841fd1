//go:build !go1.27

package dpop_test

import (
	"crypto"
	"errors"
)

func newMLDSA(alg string) (crypto.Signer, error) {
	return nil, errors.New("there are no keys for " + alg)
}

func publicMLDSA(crypto.PublicKey) []byte { return nil }
