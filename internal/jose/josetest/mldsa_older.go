//go:build !go1.27

package josetest

import (
	"crypto"
	"fmt"
)

func newMLDSA(alg string) (crypto.Signer, error) {
	return nil, fmt.Errorf("no key can be made for algorithm %q with this version of Go", alg)
}
