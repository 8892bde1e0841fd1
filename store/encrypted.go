package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/regionjwt/regionjwt/internal/trust"
)

// minSecret is the minimum length of a fleet secret, in bytes.
const minSecret = 32

// encryptMark is the start of every encrypted document. It names the version of the format.
var encryptMark = []byte("regionjwt-seal-2\n")

// Encrypted returns a Store that encrypts documents with AES-256-GCM before it saves them to inner. The key is derived from the
// secret with HKDF-SHA256. For a document that was not encrypted with the secret, for this fleet and under the same name, Load
// returns ErrNotAuthentic. It does not detect an old document that was restored; its reader must.
//
// Every holder of the secret can write for all of them. So an encrypted store is not accepted for rules or pins that a fleet
// shares, unless InsecureTrust vouches for it. The secret has at least 32 random bytes. The fleet is described at [Signed].
func Encrypted(inner Store, fleet string, secret []byte) Trusted {
	e := &encrypted{wrapper: wrap("Encrypted", inner)}
	e.problem(checkFleet(fleet))
	if len(secret) < minSecret {
		e.problem(fmt.Errorf("the secret has %d bytes; the minimum is %d", len(secret), minSecret))
	}
	if len(e.info.Problems) > 0 {
		return e
	}
	fingerprint, err := hkdf.Key(sha256.New, secret, nil, "regionjwt store fingerprint", 16)
	if err == nil {
		e.aead, err = newAEAD(secret)
	}
	e.problem(err)
	e.info.Fleet, e.info.EveryoneWrites = fleet, true
	e.info.Keys = []trust.Key{{Fingerprint: hex.EncodeToString(fingerprint)}}
	return e
}

// newAEAD derives the key of documents from the secret.
func newAEAD(secret []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "regionjwt store seal", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

type encrypted struct {
	wrapper
	aead cipher.AEAD
}

// Load implements Store.
func (e *encrypted) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	if err := e.check(ctx, name, nil); err != nil {
		return nil, "", err
	}
	sealed, revision, err := e.inner.Load(ctx, name, ifNot)
	if err != nil {
		return nil, revision, err
	}
	fleet, ciphertext, ok := openEnvelope(sealed, encryptMark)
	if !ok {
		return nil, revision, fmt.Errorf("%w: it is not encrypted", ErrNotAuthentic)
	}
	data, err := e.aead.Open(nil, nil, ciphertext, bound(encryptMark, fleet, name))
	if err != nil {
		return nil, revision, fmt.Errorf("%w: it is not encrypted with the configured secret", ErrNotAuthentic)
	}
	if fleet != e.info.Fleet {
		return nil, revision, otherFleet(fleet, e.info.Fleet)
	}
	return data, revision, nil
}

// Save implements Store.
func (e *encrypted) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := e.check(ctx, name, data); err != nil {
		return "", err
	}
	fleet := e.info.Fleet
	sealed := e.aead.Seal(envelope(encryptMark, fleet), nil, data, bound(encryptMark, fleet, name))
	return e.inner.Save(ctx, name, sealed, ifRevision)
}
