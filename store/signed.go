package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Signing configures Signed. Public is required.
type Signing struct {
	// Public are the keys of those who may write. Several make it possible to exchange one.
	Public []ed25519.PublicKey
	// Private signs what is saved. Nil for those who only read: services. Its public half has to be among Public, or what was
	// saved could not be loaded again.
	Private ed25519.PrivateKey
}

// ErrNoPrivateKey is the error of Save where there is no private key to sign with.
var ErrNoPrivateKey = errors.New("there is no private key to sign the document with")

// signMark begins every signed document, and names the way in which it is signed.
var signMark = []byte("regionjwt-sign-1\n")

// Signed returns a Store that signs documents with Ed25519 before inner sees them, and refuses with ErrNotAuthentic what none of
// the keys has signed under the same name. So who can write to inner, but has no key, can delete documents and put old ones
// back, and nothing else; whoever reads them has to notice the latter, as package revocation does where it knows better already.
//
// The document is not hidden. Operators hold the private key, services the public one.
func Signed(inner Store, c Signing) (Authentic, error) {
	if inner == nil {
		return nil, errors.New("store: nothing to sign")
	}
	if len(c.Public) == 0 {
		return nil, errors.New("store: there is no public key to check signatures with")
	}
	s := &signed{forward: forward{inner}, private: slices.Clone(c.Private)}
	for i, k := range c.Public {
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("store: public key %d has %d octets, not %d", i, len(k), ed25519.PublicKeySize)
		}
		s.public = append(s.public, slices.Clone(k))
	}
	if c.Private != nil && len(c.Private) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("store: the private key has %d octets, not %d", len(c.Private), ed25519.PrivateKeySize)
	}
	if c.Private != nil && !slices.ContainsFunc(s.public, func(k ed25519.PublicKey) bool { return k.Equal(c.Private.Public()) }) {
		return nil, errors.New("store: the public half of the private key is not among the public keys")
	}
	return s, nil
}

type signed struct {
	forward
	public  []ed25519.PublicKey
	private ed25519.PrivateKey
}

// Authentic implements Authentic.
func (*signed) Authentic() {}

// signedText is what the signature is over. The length keeps name and data apart.
func signedText(name string, data []byte) []byte {
	text := slices.Concat(signMark, binary.BigEndian.AppendUint32(nil, uint32(len(name))))
	return slices.Concat(text, []byte(name), data)
}

// Load implements Store.
func (s *signed) Load(ctx context.Context, name string) (Document, error) {
	if err := checkCall(ctx, name, nil); err != nil {
		return Document{}, err
	}
	doc, err := s.inner.Load(ctx, name)
	if err != nil {
		return Document{}, err
	}
	rest, ok := bytes.CutPrefix(doc.Data, signMark)
	if !ok || len(rest) < ed25519.SignatureSize {
		return Document{Revision: doc.Revision}, fmt.Errorf("%w: it is not signed", ErrNotAuthentic)
	}
	signature, data := rest[:ed25519.SignatureSize], rest[ed25519.SignatureSize:]
	text := signedText(name, data)
	if !slices.ContainsFunc(s.public, func(k ed25519.PublicKey) bool { return ed25519.Verify(k, text, signature) }) {
		return Document{Revision: doc.Revision}, fmt.Errorf("%w: it is signed by none of the keys", ErrNotAuthentic)
	}
	return Document{Data: data, Revision: doc.Revision}, nil
}

// Save implements Store.
func (s *signed) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := checkCall(ctx, name, data); err != nil {
		return "", err
	}
	if s.private == nil {
		return "", fmt.Errorf("store: %w", ErrNoPrivateKey)
	}
	signature := ed25519.Sign(s.private, signedText(name, data))
	return s.inner.Save(ctx, name, slices.Concat(signMark, signature, data), ifRevision)
}
