// Package jose holds the cryptography of the library: the closed table of signature algorithms, the reading of public
// keys from a JSON Web Key Set (RFC 7517) and the check of a signature (RFC 7515, RFC 7518, RFC 8037, RFC 9964).
//
// There is no symmetric algorithm and no "none" in it, so no configuration can allow one.
package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"math/big"
)

// The algorithms of the closed table: RFC 7518, section 3.1; RFC 8037, section 3.1; RFC 9864, section 2.2; RFC 9964.
const (
	RS256 = "RS256"
	RS384 = "RS384"
	RS512 = "RS512"
	PS256 = "PS256"
	PS384 = "PS384"
	PS512 = "PS512"
	ES256 = "ES256"
	ES384 = "ES384"
	ES512 = "ES512"
	EdDSA = "EdDSA" // another name of Ed25519

	Ed25519 = "Ed25519"
	MLDSA44 = "ML-DSA-44"
	MLDSA65 = "ML-DSA-65"
	MLDSA87 = "ML-DSA-87"
)

// ErrSignature says that a signature does not match.
var ErrSignature = errors.New("signature does not match")

// ErrKeyType says that a key is not one for the algorithm.
var ErrKeyType = errors.New("key does not fit the algorithm")

type family uint8

const (
	pkcs1v15 family = iota + 1
	pss
	ecdsaFamily
	ed25519Family
	mldsaFamily
)

type algorithm struct {
	family family
	hash   crypto.Hash
	curve  string // ECDSA only

	publicSize, signatureSize int // ML-DSA only; in bytes
}

func lookup(alg string) (algorithm, bool) {
	switch alg {
	case RS256:
		return algorithm{family: pkcs1v15, hash: crypto.SHA256}, true
	case RS384:
		return algorithm{family: pkcs1v15, hash: crypto.SHA384}, true
	case RS512:
		return algorithm{family: pkcs1v15, hash: crypto.SHA512}, true
	case PS256:
		return algorithm{family: pss, hash: crypto.SHA256}, true
	case PS384:
		return algorithm{family: pss, hash: crypto.SHA384}, true
	case PS512:
		return algorithm{family: pss, hash: crypto.SHA512}, true
	case ES256:
		return algorithm{family: ecdsaFamily, hash: crypto.SHA256, curve: "P-256"}, true
	case ES384:
		return algorithm{family: ecdsaFamily, hash: crypto.SHA384, curve: "P-384"}, true
	case ES512:
		return algorithm{family: ecdsaFamily, hash: crypto.SHA512, curve: "P-521"}, true
	case Ed25519, EdDSA:
		return algorithm{family: ed25519Family}, true
	}
	return lookupMLDSA(alg)
}

// Canonical returns the name under which alg is compared: Ed25519 for EdDSA, which stands for no other curve here (RFC 9864,
// section 2.2), and otherwise alg.
//
// Some lists are read as texts: dpop_signing_alg_values_supported (RFC 9728, section 2) and algs of a challenge (RFC 9449,
// section 7.1). They keep the names as they are configured. A standard that compares alg as a text, such as that of the WIMSE
// workload proof token, compares it before it is canonical.
func Canonical(alg string) string {
	if alg == EdDSA {
		return Ed25519
	}
	return alg
}

// Known reports whether alg is in the closed table; names are compared byte for byte.
func Known(alg string) bool {
	_, ok := lookup(alg)
	return ok
}

// TypeFits reports whether keys of type kty (RFC 7518, section 6.1) can check signatures of alg.
func TypeFits(alg, kty string) bool {
	a, ok := lookup(alg)
	switch kty {
	case "RSA":
		return ok && (a.family == pkcs1v15 || a.family == pss)
	case "EC":
		return ok && a.family == ecdsaFamily
	case "OKP":
		return ok && a.family == ed25519Family
	case "AKP":
		return ok && a.family == mldsaFamily
	}
	return false
}

// Fits reports whether public may check signatures of alg: RSA keys of 2048 to 8192 bits for RS and PS, the one curve
// that each ES algorithm names, Ed25519 for Ed25519 and EdDSA, the one parameter set that each ML-DSA algorithm names.
func Fits(alg string, public crypto.PublicKey) bool {
	a, ok := lookup(alg)
	if !ok {
		return false
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		return (a.family == pkcs1v15 || a.family == pss) && checkRSA(k.N, big.NewInt(int64(k.E)), MostRSABits) == ""
	case *ecdsa.PublicKey:
		return a.family == ecdsaFamily && k.Curve != nil && k.Params().Name == a.curve
	case ed25519.PublicKey:
		return a.family == ed25519Family && len(k) == ed25519.PublicKeySize
	}
	return a.family == mldsaFamily && parameterSet(public) == alg
}

// Verify checks that signature is one of alg over input by the private half of public. It returns nil, ErrKeyType or
// ErrSignature. The length of the signature must be exact.
func Verify(alg string, public crypto.PublicKey, input, signature []byte) error {
	a, ok := lookup(alg)
	if !ok {
		return ErrKeyType
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		return a.verifyRSA(k, input, signature)
	case *ecdsa.PublicKey:
		return a.verifyECDSA(k, input, signature)
	case ed25519.PublicKey:
		if a.family != ed25519Family || len(k) != ed25519.PublicKeySize {
			return ErrKeyType
		}
		if len(signature) != ed25519.SignatureSize || !ed25519.Verify(k, input, signature) {
			return ErrSignature
		}
		return nil
	}
	if a.family != mldsaFamily || parameterSet(public) != alg {
		return ErrKeyType
	}
	if len(signature) != a.signatureSize || !verifyMLDSA(public, input, signature) {
		return ErrSignature
	}
	return nil
}

func (a algorithm) digest(input []byte) []byte {
	switch a.hash {
	case crypto.SHA256:
		sum := sha256.Sum256(input)
		return sum[:]
	case crypto.SHA384:
		sum := sha512.Sum384(input)
		return sum[:]
	default:
		sum := sha512.Sum512(input)
		return sum[:]
	}
}

func (a algorithm) verifyRSA(k *rsa.PublicKey, input, signature []byte) error {
	var err error
	if len(signature) != k.Size() {
		return ErrSignature
	}
	switch a.family {
	case pkcs1v15:
		err = rsa.VerifyPKCS1v15(k, a.hash, a.digest(input), signature)
	case pss: // the salt is as long as the hash: RFC 7518, section 3.5
		err = rsa.VerifyPSS(k, a.hash, a.digest(input), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	default:
		return ErrKeyType
	}
	if err != nil {
		return ErrSignature
	}
	return nil
}

// verifyECDSA takes the two halves R and S at the exact width of the curve: RFC 7518, section 3.4.
func (a algorithm) verifyECDSA(k *ecdsa.PublicKey, input, signature []byte) error {
	if a.family != ecdsaFamily || k.Curve == nil || k.Params().Name != a.curve {
		return ErrKeyType
	}
	width := coordinateWidth(k.Curve)
	if len(signature) != 2*width {
		return ErrSignature
	}
	r, s := new(big.Int).SetBytes(signature[:width]), new(big.Int).SetBytes(signature[width:])
	if !ecdsa.Verify(k, a.digest(input), r, s) {
		return ErrSignature
	}
	return nil
}

func coordinateWidth(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }
