//go:build go1.27

package jose

import (
	"crypto"
	"crypto/mldsa"
	"sync"
)

func parametersOf(alg string) (p mldsa.Parameters, ok bool) {
	switch alg {
	case MLDSA44:
		return mldsa.MLDSA44(), true
	case MLDSA65:
		return mldsa.MLDSA65(), true
	case MLDSA87:
		return mldsa.MLDSA87(), true
	}
	return p, false
}

// supportsMLDSA reports whether ML-DSA can be used: version v1.0.0 of the FIPS 140-3 module does not have it.
var supportsMLDSA = sync.OnceValue(func() bool {
	a, _ := lookupMLDSA(MLDSA44)
	return newMLDSA(MLDSA44, make([]byte, a.publicSize)) != nil
})

// newMLDSA returns the key that pub encodes, which has the length of the algorithm, or nil if this process cannot use it.
func newMLDSA(alg string, pub []byte) crypto.PublicKey {
	p, ok := parametersOf(alg)
	if !ok {
		return nil
	}
	key, err := mldsa.NewPublicKey(p, pub)
	if err != nil {
		return nil
	}
	return key
}

// parameterSet returns the algorithm of an ML-DSA key, and "" for any other one.
func parameterSet(public crypto.PublicKey) string {
	if k, ok := public.(*mldsa.PublicKey); ok && k != nil {
		switch k.Parameters() {
		case mldsa.MLDSA44():
			return MLDSA44
		case mldsa.MLDSA65():
			return MLDSA65
		case mldsa.MLDSA87():
			return MLDSA87
		}
	}
	return ""
}

// publicMLDSA returns the encoding of FIPS 204, algorithm 22.
func publicMLDSA(public crypto.PublicKey) []byte { return public.(*mldsa.PublicKey).Bytes() }

// verifyMLDSA checks a signature with the empty context, which RFC 9964 demands.
func verifyMLDSA(public crypto.PublicKey, input, signature []byte) bool {
	return mldsa.Verify(public.(*mldsa.PublicKey), input, signature, nil) == nil
}
