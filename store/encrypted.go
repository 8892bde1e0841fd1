package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt/internal/nils"
)

// MinSecret is the least length of a fleet secret, in octets.
const MinSecret = 32

// sealMark begins every sealed document, and names the way in which it is sealed.
var sealMark = []byte("regionjwt-seal-2\n")

// Encrypted returns a Store that seals documents with a secret before inner sees them (AES-256-GCM, with a key derived by
// HKDF-SHA256). It refuses with ErrNotAuthentic what was not sealed with the secret for this fleet under the same name. An old
// document that is put back is not noticed here; its reader must judge its age.
//
// Every holder of the secret can write for all of them. The secret has at least 32 random octets. The fleet is as in Signed. The
// error of Encrypted joins everything that is wrong with its arguments.
func Encrypted(inner Store, fleet string, secret []byte) (Trusted, error) {
	var errs []error
	if nils.Is(inner) {
		errs = append(errs, errors.New("store: Sealed has no store to keep documents in"))
	}
	errs = append(errs, checkFleet(fleet))
	if len(secret) < MinSecret {
		errs = append(errs, fmt.Errorf("store: the secret has %d octets, and needs %d", len(secret), MinSecret))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "regionjwt store seal", 32)
	if err != nil {
		return nil, err
	}
	fingerprint, err := hkdf.Key(sha256.New, secret, nil, "regionjwt store fingerprint", 16)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	scope := Scope{Fleet: fleet, Keys: []string{hex.EncodeToString(fingerprint)}}
	return &sealed{forward: forward{inner}, scope: scope, aead: aead}, nil
}

type sealed struct {
	forward
	scope Scope
	aead  cipher.AEAD
}

// Authentic implements Authentic.
func (*sealed) Authentic() {}

// Scope implements Scoped.
func (s *sealed) Scope() Scope { return s.scope }

// Load implements Store.
func (s *sealed) Load(ctx context.Context, name string) (Document, error) {
	if err := checkCall(ctx, name, nil); err != nil {
		return Document{}, err
	}
	doc, err := s.inner.Load(ctx, name)
	if err != nil {
		return Document{}, err
	}
	fleet, ciphertext, ok := openEnvelope(doc.Data, sealMark)
	if !ok {
		return Document{Revision: doc.Revision}, fmt.Errorf("%w: it is not sealed", ErrNotAuthentic)
	}
	data, err := s.aead.Open(nil, nil, ciphertext, bound(sealMark, fleet, name))
	if err != nil {
		return Document{Revision: doc.Revision}, fmt.Errorf("%w: its seal is not ours", ErrNotAuthentic)
	}
	if fleet != s.scope.Fleet {
		return Document{Revision: doc.Revision}, otherFleet(fleet, s.scope.Fleet)
	}
	return Document{Data: data, Revision: doc.Revision}, nil
}

// Save implements Store.
func (s *sealed) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := checkCall(ctx, name, data); err != nil {
		return "", err
	}
	out := envelope(sealMark, s.scope.Fleet)
	return s.inner.Save(ctx, name, s.aead.Seal(out, nil, data, bound(sealMark, s.scope.Fleet, name)), ifRevision)
}
