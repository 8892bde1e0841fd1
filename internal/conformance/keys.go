package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
)

// key is a private key, which everyone knows.
type key struct {
	jwk  jwk
	once sync.Once // guards what follows
	rsa  *rsa.PrivateKey
	ec   *ecdsa.PrivateKey
	ed   ed25519.PrivateKey
}

type jwk struct {
	Kid string `json:"kid"`
	Kty string `json:"kty"`
	Crv string `json:"crv,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	D   string `json:"d"`
	P   string `json:"p,omitempty"`
	Q   string `json:"q,omitempty"`
	DP  string `json:"dp,omitempty"`
	DQ  string `json:"dq,omitempty"`
	QI  string `json:"qi,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

func (c *Corpus) readKeys(file string) error {
	var f struct {
		Schema string `json:"$schema"`
		Keys   []jwk  `json:"keys"`
	}
	if err := read(file, &f); err != nil {
		return err
	}
	c.keys = map[string]*key{}
	for _, j := range f.Keys {
		if c.keys[j.Kid] != nil {
			return fmt.Errorf("%s: %s %w", file, j.Kid, errTwice)
		}
		c.keys[j.Kid] = &key{jwk: j}
	}
	return nil
}

func number(text string) *big.Int {
	b, _ := base64.RawURLEncoding.DecodeString(text) // the tests look at every key
	return new(big.Int).SetBytes(b)
}

// ready makes the key ready to sign, once.
func (k *key) ready() *key {
	k.once.Do(k.parse)
	return k
}

func (k *key) parse() {
	j := k.jwk
	switch j.Kty {
	case "RSA":
		k.rsa = &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: number(j.N), E: int(number(j.E).Int64())}, D: number(j.D),
			Primes: []*big.Int{number(j.P), number(j.Q)},
		}
		k.rsa.Precompute()
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[j.Crv]
		d := number(j.D)
		k.ec, _ = ecdsa.ParseRawPrivateKey(curve, d.FillBytes(make([]byte, (curve.Params().BitSize+7)/8)))
	case "OKP":
		k.ed = ed25519.NewKeyFromSeed(number(j.D).FillBytes(make([]byte, ed25519.SeedSize)))
	}
}

// public returns the members of the public JWK under another kid.
func (k *key) public(kid string) map[string]any {
	all := map[string]any{"kid": kid, "kty": k.jwk.Kty, "use": "sig", "alg": k.alg()}
	for name, value := range map[string]string{"crv": k.jwk.Crv, "n": k.jwk.N, "e": k.jwk.E, "x": k.jwk.X, "y": k.jwk.Y} {
		if value != "" {
			all[name] = value
		}
	}
	return all
}

// alg is the algorithm of a key whose token does not say another.
func (k *key) alg() string {
	return map[string]string{"": "RS256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}[k.jwk.Crv]
}

// sum hashes as an algorithm does.
func sum(alg string, input []byte) (crypto.Hash, []byte) {
	switch {
	case strings.HasSuffix(alg, "384"):
		d := sha512.Sum384(input)
		return crypto.SHA384, d[:]
	case strings.HasSuffix(alg, "512"):
		d := sha512.Sum512(input)
		return crypto.SHA512, d[:]
	}
	d := sha256.Sum256(input)
	return crypto.SHA256, d[:]
}

var errNoKey = errors.New("no key for it")

func (k *key) sign(s *Sign, input []byte) ([]byte, error) {
	k.ready()
	h, digest := sum(s.Alg, input)
	switch {
	case k.rsa != nil && strings.HasPrefix(s.Alg, "PS"):
		return rsa.SignPSS(rand.Reader, k.rsa, h, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case k.rsa != nil:
		return rsa.SignPKCS1v15(nil, k.rsa, h, digest)
	case k.ec != nil:
		r, t, err := ecdsa.Sign(rand.Reader, k.ec, digest)
		if err != nil {
			return nil, err
		}
		half := (k.ec.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, half)), t.FillBytes(make([]byte, half))...), nil
	case k.ed != nil:
		return ed25519.Sign(k.ed, input), nil
	}
	return nil, fmt.Errorf("%s: %w", s.Key, errNoKey)
}
