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

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/internal/trust"
)

// signMark is the start of every signed document. It names the version of the format.
var signMark = []byte("regionjwt-sign-2\n")

// errNoPrivateKey is the error of Save if there is no private key.
var errNoPrivateKey = errors.New("store.Signed: there is no private key to sign the document with")

// Signed returns a Store that signs documents with Ed25519 before it saves them to inner. For a document that none of the public
// keys has signed, for this fleet and under the same name, Load returns ErrNotAuthentic. A process that can write to inner
// without a key can delete documents, restore old ones and withhold new ones; it cannot forge one. A reader must detect old
// documents, as package revocation does.
//
// The fleet is a name that all services and operators use that share documents, such as "production": 1 to 128 bytes of printable
// text. A document of another fleet is not accepted, even if one of the keys has signed it.
//
// Operators have the private key; services pass nil and cannot save. The public half of the private key must be among the public
// keys. Several public keys make it possible to rotate keys; a key with PublicKey.Documents counts for these documents only. The
// signature covers the fleet, the name of the document, the time of signing and the document, which is not encrypted.
func Signed(inner Store, fleet string, private ed25519.PrivateKey, public ...PublicKey) Trusted {
	s := &signed{wrapper: wrap("Signed", inner), private: slices.Clone(private)}
	s.problem(checkFleet(fleet))
	s.info.Fleet, s.info.ReadOnly, s.info.Signs = fleet, private == nil, true
	if len(public) == 0 {
		s.problem(errors.New("there is no public key"))
	}
	for i, k := range public {
		if len(k.Key) != ed25519.PublicKeySize {
			s.problem(fmt.Errorf("public key %d has %d bytes, not %d", i, len(k.Key), ed25519.PublicKeySize))
			continue
		}
		for _, name := range k.Documents {
			if name == "" || len(name) > document.MaxName {
				s.problem(fmt.Errorf(
					"public key %d is for a document whose name does not have 1 to %d bytes", i, document.MaxName))
			}
		}
		k = PublicKey{Key: slices.Clone(k.Key), Documents: slices.Clone(k.Documents)}
		s.public = append(s.public, k)
		sum := sha256.Sum256(k.Key)
		fingerprint := hex.EncodeToString(sum[:16])
		s.info.Keys = append(s.info.Keys, trust.Key{Fingerprint: fingerprint, Documents: k.Documents})
		if len(private) == ed25519.PrivateKeySize && isHalfOf(private)(k) {
			s.info.Signer = fingerprint
		}
	}
	if private != nil && len(private) != ed25519.PrivateKeySize {
		s.problem(fmt.Errorf("the private key has %d bytes, not %d", len(private), ed25519.PrivateKeySize))
	} else if private != nil && !slices.ContainsFunc(s.public, isHalfOf(private)) {
		s.problem(errors.New("the public half of the private key is not among the public keys"))
	}
	return s
}

// isHalfOf reports whether a key is the public half of private.
func isHalfOf(private ed25519.PrivateKey) func(PublicKey) bool {
	return func(k PublicKey) bool { return k.Key.Equal(private.Public()) }
}

// errOtherDocuments is the error of Save if readers would not accept the document.
var errOtherDocuments = errors.New("store.Signed: the key is for other documents; see PublicKey.Documents")

type signed struct {
	wrapper
	public   []PublicKey
	private  ed25519.PrivateKey
	verdicts seen.Set[error] // of documents of inner, so that verifying a document again costs one digest
}

const timeSize = 8 // bytes of the time of signing, in microseconds of Unix time

// signedText is the text that the signature covers.
func signedText(fleet, name string, at, data []byte) []byte {
	return slices.Concat(bound(signMark, fleet, name), at, data)
}

// Load implements Store.
func (s *signed) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	data, revision, _, err := s.LoadSigned(ctx, name, ifNot)
	return data, revision, err
}

// LoadSigned is Load for the packages of this project: it also returns when the document was signed.
func (s *signed) LoadSigned(ctx context.Context, name, ifNot string) (data []byte, revision string, at time.Time, err error) {
	if err := s.check(ctx, name, nil); err != nil {
		return nil, "", time.Time{}, err
	}
	text, revision, err := s.inner.Load(ctx, name, ifNot)
	if err != nil {
		return nil, revision, time.Time{}, err
	}
	digest := seen.Of(name, text)
	verdict, known := s.verdicts.Get(digest)
	if !known {
		verdict = s.verify(name, text)
		s.verdicts.Put(digest, verdict)
	}
	if verdict != nil {
		return nil, revision, time.Time{}, verdict
	}
	_, rest, _ := openEnvelope(text, signMark)
	at = time.UnixMicro(int64(binary.BigEndian.Uint64(rest[:timeSize])))
	return rest[timeSize+ed25519.SignatureSize:], revision, at, nil
}

// verify says why a document is not authentic, or returns nil.
func (s *signed) verify(name string, data []byte) error {
	fleet, rest, ok := openEnvelope(data, signMark)
	if !ok || len(rest) < timeSize+ed25519.SignatureSize {
		return fmt.Errorf("%w: it is not signed", ErrNotAuthentic)
	}
	at, rest := rest[:timeSize], rest[timeSize:]
	signature, text := rest[:ed25519.SignatureSize], signedText(fleet, name, at, rest[ed25519.SignatureSize:])
	var signer []PublicKey
	for _, k := range s.public {
		if ed25519.Verify(k.Key, text, signature) {
			signer = append(signer, k)
		}
	}
	switch {
	case len(signer) == 0:
		return fmt.Errorf("%w: it is not signed by a configured key", ErrNotAuthentic)
	case !slices.ContainsFunc(signer, isFor(name)):
		return fmt.Errorf("%w: the key that signed it is for other documents", ErrNotAuthentic)
	case fleet != s.info.Fleet:
		return otherFleet(fleet, s.info.Fleet)
	}
	return nil
}

// Save implements Store.
func (s *signed) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := s.check(ctx, name, data); err != nil {
		return "", err
	}
	if s.private == nil {
		return "", errNoPrivateKey
	}
	own, counts := isHalfOf(s.private), isFor(name)
	if !slices.ContainsFunc(s.public, func(k PublicKey) bool { return own(k) && counts(k) }) {
		return "", errOtherDocuments
	}
	fleet := s.info.Fleet
	at := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMicro()))
	signature := ed25519.Sign(s.private, signedText(fleet, name, at, data))
	return s.inner.Save(ctx, name, slices.Concat(envelope(signMark, fleet), at, signature, data), ifRevision)
}
