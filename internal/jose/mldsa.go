package jose

import (
	"crypto"
	"errors"
	"fmt"
)

// ErrUnsupported says that an algorithm of the closed table cannot be used by this process.
var ErrUnsupported = errors.New("not supported by this build: it " +
	"needs Go 1.27, and in FIPS 140-3 mode a module of v1.26.0 or later")

// lookupMLDSA holds the lengths of FIPS 204, section 4, table 2. The names are those of RFC 9964.
func lookupMLDSA(alg string) (algorithm, bool) {
	switch alg {
	case MLDSA44:
		return algorithm{family: mldsaFamily, publicSize: 1312, signatureSize: 2420}, true
	case MLDSA65:
		return algorithm{family: mldsaFamily, publicSize: 1952, signatureSize: 3309}, true
	case MLDSA87:
		return algorithm{family: mldsaFamily, publicSize: 2592, signatureSize: 4627}, true
	}
	return algorithm{}, false
}

// Support returns nil if signatures of alg can be checked by this process, and otherwise an error that names alg.
func Support(alg string) error {
	a, ok := lookup(alg)
	switch {
	case !ok:
		return fmt.Errorf("%q is not supported: use RS256, PS256 or ES256, or those with 384 or 512; Ed25519 or EdDSA; "+
			"or, with Go 1.27, ML-DSA-44, -65 or -87", alg)
	case a.family == mldsaFamily && !supportsMLDSA():
		return fmt.Errorf("%q is %w", alg, ErrUnsupported)
	}
	return nil
}

// akp reads an ML-DSA key (RFC 9964). Its alg is required, since nothing else names the parameter set, and is part of its
// thumbprint. Every text of the right length is a key: FIPS 204, algorithm 23.
func (m *members) akp() (crypto.PublicKey, map[string]string, Skip) {
	alg := m.alg.Text()
	a, ok := lookupMLDSA(alg)
	switch {
	case alg == "":
		return nil, nil, SkipMalformed
	case !ok:
		return nil, nil, SkipAlgorithm
	}
	pub, ok := base64Bytes(m.pub)
	if !ok || len(pub) != a.publicSize {
		return nil, nil, SkipMalformed
	}
	public := newMLDSA(alg, pub)
	if public == nil {
		return nil, nil, SkipUnsupported
	}
	return public, map[string]string{"alg": alg, "kty": "AKP", "pub": encode(pub)}, ""
}
