package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// MinSecret is the least length of a fleet secret, in octets.
const MinSecret = 32

// sealMark begins every sealed document, and names the way in which it is sealed.
var sealMark = []byte("regionjwt-seal-1\n")

// Sealed returns a Store that seals documents with a secret before inner sees them (AES-256-GCM, with a key derived by
// HKDF-SHA256), and refuses with ErrNotAuthentic what was not sealed with it under the same name. An old document that is put
// back is not noticed here; whoever reads it judges its age.
//
// Every holder of the secret can write for all of them. It has at least 32 random octets.
func Sealed(inner Store, secret []byte) (Authentic, error) {
	if inner == nil {
		return nil, errors.New("store: nothing to seal")
	}
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("store: the secret has %d octets, and needs %d", len(secret), MinSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "regionjwt store seal", 32)
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
	return &sealed{forward: forward{inner}, aead: aead}, nil
}

type sealed struct {
	forward
	aead cipher.AEAD
}

// Authentic implements Authentic.
func (*sealed) Authentic() {}

// Load implements Store.
func (s *sealed) Load(ctx context.Context, name string) (Document, error) {
	if err := checkCall(ctx, name, nil); err != nil {
		return Document{}, err
	}
	doc, err := s.inner.Load(ctx, name)
	if err != nil {
		return Document{}, err
	}
	ciphertext, ok := bytes.CutPrefix(doc.Data, sealMark)
	if !ok {
		return Document{Revision: doc.Revision}, fmt.Errorf("%w: it is not sealed", ErrNotAuthentic)
	}
	data, err := s.aead.Open(nil, nil, ciphertext, []byte(name))
	if err != nil {
		return Document{Revision: doc.Revision}, fmt.Errorf("%w: its seal is not ours", ErrNotAuthentic)
	}
	return Document{Data: data, Revision: doc.Revision}, nil
}

// Save implements Store.
func (s *sealed) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := checkCall(ctx, name, data); err != nil {
		return "", err
	}
	out := bytes.Clone(sealMark)
	return s.inner.Save(ctx, name, s.aead.Seal(out, nil, data, []byte(name)), ifRevision)
}
