package store

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/seen"
)

// Signing configures Signed. Public is required.
type Signing struct {
	// Public are the keys of those who may write. Several make it possible to exchange one.
	Public []ed25519.PublicKey
	// Private signs what is saved. Nil for those who only read: services. Its public half must be among Public, or what was
	// saved could not be loaded again.
	Private ed25519.PrivateKey
}

// ErrNoPrivateKey is the error of Save where there is no private key to sign with.
var ErrNoPrivateKey = errors.New("there is no private key to sign the document with")

// signMark begins every signed document, and names the way in which it is signed.
var signMark = []byte("regionjwt-sign-2\n")

// Signed returns a Store that signs documents with Ed25519 before inner sees them. It refuses with ErrNotAuthentic what none of
// the keys has signed for this fleet under the same name. So a process that can write to inner, but has no key, can delete
// documents, put old ones back and withhold new ones, and nothing else. A reader must notice old documents itself, as package
// revocation does where it knows better already.
//
// The fleet is a name for all services and operators that share documents, such as "production": 1 to 128 octets of printable
// text. A document of another fleet is refused although a key of this one has signed it; the error says which fleet it is of.
//
// The signature covers the fleet, the name of the document, the time of signing and the document. The document is not hidden.
// Operators hold the private key, services the public one. The error of Signed joins everything that is wrong with its arguments.
func Signed(inner Store, fleet string, c Signing) (Trusted, error) {
	var errs []error
	if nils.Is(inner) {
		errs = append(errs, errors.New("store: Signed has no store to keep documents in"))
	}
	errs = append(errs, checkFleet(fleet))
	if len(c.Public) == 0 {
		errs = append(errs, errors.New("store: there is no public key to check signatures with"))
	}
	s := &signed{forward: forward{inner}, scope: Scope{Fleet: fleet}, private: slices.Clone(c.Private)}
	for i, k := range c.Public {
		if len(k) != ed25519.PublicKeySize {
			errs = append(errs, fmt.Errorf("store: public key %d has %d octets, not %d", i, len(k), ed25519.PublicKeySize))
			continue
		}
		s.public = append(s.public, slices.Clone(k))
		sum := sha256.Sum256(k)
		s.scope.Keys = append(s.scope.Keys, hex.EncodeToString(sum[:16]))
	}
	if c.Private != nil && len(c.Private) != ed25519.PrivateKeySize {
		errs = append(errs, fmt.Errorf("store: the private key has %d octets, not %d", len(c.Private), ed25519.PrivateKeySize))
	} else if c.Private != nil && !slices.ContainsFunc(s.public, isHalfOf(c.Private)) {
		errs = append(errs, errors.New("store: the public half of the private key is not among the public keys"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// isHalfOf reports whether a key is the public half of private.
func isHalfOf(private ed25519.PrivateKey) func(ed25519.PublicKey) bool {
	return func(k ed25519.PublicKey) bool { return k.Equal(private.Public()) }
}

type signed struct {
	forward
	scope   Scope
	public  []ed25519.PublicKey
	private ed25519.PrivateKey
	judged  seen.Set[error] // verdicts on what inner returned, so that a document that comes again costs one digest
}

// Authentic implements Authentic.
func (*signed) Authentic() {}

// Scope implements Scoped.
func (s *signed) Scope() Scope { return s.scope }

const timeSize = 8 // octets of the time of signing, in microseconds of Unix time

// signedText is what the signature is over.
func signedText(fleet, name string, at, data []byte) []byte {
	return slices.Concat(bound(signMark, fleet, name), at, data)
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
	digest := seen.Of(name, doc.Data)
	verdict, known := s.judged.Get(digest)
	if !known {
		verdict = s.judge(name, doc.Data)
		s.judged.Put(digest, verdict)
	}
	if verdict != nil {
		return Document{Revision: doc.Revision}, verdict
	}
	_, rest, _ := openEnvelope(doc.Data, signMark)
	return Document{Data: rest[timeSize+ed25519.SignatureSize:], Revision: doc.Revision}, nil
}

// judge says why a document is not authentic, or nil.
func (s *signed) judge(name string, data []byte) error {
	fleet, rest, ok := openEnvelope(data, signMark)
	if !ok || len(rest) < timeSize+ed25519.SignatureSize {
		return fmt.Errorf("%w: it is not signed", ErrNotAuthentic)
	}
	at, rest := rest[:timeSize], rest[timeSize:]
	signature, text := rest[:ed25519.SignatureSize], signedText(fleet, name, at, rest[ed25519.SignatureSize:])
	if !slices.ContainsFunc(s.public, func(k ed25519.PublicKey) bool { return ed25519.Verify(k, text, signature) }) {
		return fmt.Errorf("%w: it is signed by none of the keys", ErrNotAuthentic)
	}
	if fleet != s.scope.Fleet {
		return otherFleet(fleet, s.scope.Fleet)
	}
	return nil
}

// Save implements Store.
func (s *signed) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := checkCall(ctx, name, data); err != nil {
		return "", err
	}
	if s.private == nil {
		return "", fmt.Errorf("store: %w", ErrNoPrivateKey)
	}
	at := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMicro()))
	signature := ed25519.Sign(s.private, signedText(s.scope.Fleet, name, at, data))
	return s.inner.Save(ctx, name, slices.Concat(envelope(signMark, s.scope.Fleet), at, signature, data), ifRevision)
}
