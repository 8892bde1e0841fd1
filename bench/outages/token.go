package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"sync"
	"time"
)

// key is a signing key under a kid.
type key struct {
	id      string
	private *rsa.PrivateKey
}

// ringSize is how many different RSA keys there are; they are reused under other kids.
const ringSize = 4

// ring makes the RSA keys, once.
var ring = sync.OnceValues(func() (keys [ringSize]*rsa.PrivateKey, err error) {
	for i := range keys {
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// randomText returns 16 random bytes in base64url.
func randomText() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return b64(b)
}

// jwk is the public key as a JWK.
func (k key) jwk() map[string]any {
	return map[string]any{
		"kty": "RSA", "kid": k.id, "use": "sig", "alg": "RS256",
		"n": b64(k.private.N.Bytes()), "e": b64(big.NewInt(int64(k.private.E)).Bytes()),
	}
}

// marshal encodes what always can be.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}

// sign makes a token of a header, to which alg and kid are added, and a payload.
func (k key) sign(header map[string]any, payload []byte) string {
	h := map[string]any{"alg": "RS256", "kid": k.id}
	maps.Copy(h, header)
	input := b64(marshal(h)) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, k.private, crypto.SHA256, sum[:])
	if err != nil {
		return ""
	}
	return input + "." + b64(signature)
}

// forge makes a token whose signature nobody made.
func forge(kid, iss string) string {
	signature := make([]byte, 256)
	_, _ = rand.Read(signature[1:]) // never fails; the first byte keeps it below the modulus
	input := b64(marshal(map[string]any{"alg": "RS256", "kid": kid})) + "." + b64(marshal(claims(iss)))
	return input + "." + b64(signature)
}

// claims is what a good token of iss says.
func claims(iss string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": iss, "aud": audience, "sub": "alice", "jti": randomText(), "client_id": "client",
		"iat": now.Add(-time.Minute).Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}
