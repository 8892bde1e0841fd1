// Package store keeps small documents that must outlive a process, or be shared by a fleet: snapshots of key sets, revocation
// rules, the active region.
//
// A [Store] loads and saves whole documents, with a revision that keeps writers from undoing each other. [Dir] keeps them in
// a directory. [Sealed] and [Signed] make any other store fit for documents that are believed: sealed ones are written by every
// holder of a secret, signed ones by operators only. [Follow] tells of changes. Package storetest says whether an
// implementation keeps the contract.
//
// A store that is believed is a root of trust: who can write a key set into it can mint tokens. So package jwks takes only
// stores that are [Authentic].
package store

import (
	"context"
	"errors"
	"fmt"
)

// Bounds of documents and their names.
const (
	MaxName     = 512     // octets of a name
	MaxDocument = 4 << 20 // octets of a document
)

// The errors that every Store returns, wrapped or not.
var (
	// ErrNotFound: there is no document of that name.
	ErrNotFound = errors.New("document not found")
	// ErrConflict: the document is not at the revision that the writer last saw.
	ErrConflict = errors.New("document was changed by another writer")
	// ErrNotAuthentic: the document was not written by one who may.
	ErrNotAuthentic = errors.New("document is not authentic")
	// ErrTooLarge: the name or the document is longer than MaxName or MaxDocument.
	ErrTooLarge = errors.New("document or name is too large")
)

// Document is what a Store holds under a name.
type Document struct {
	Data     []byte
	Revision string // opaque; never empty
}

// Store holds documents by name. It is safe for concurrent use, by several processes where it is shared by them. Its
// methods return when ctx ends, with its error where it had ended before. A name has 1 to MaxName octets of any value, and a
// document at most MaxDocument; for others the error is ErrTooLarge. What is handed in and out is copied: neither side sees
// what the other does with its octets later.
type Store interface {
	// Load returns the document of that name, or ErrNotFound. Beside ErrNotAuthentic it may return a Document without data
	// that has a Revision, with which the document can be replaced.
	Load(ctx context.Context, name string) (Document, error)
	// Save replaces the document if it is still at ifRevision, where "" means that there is none yet, and returns its new
	// revision, or ErrConflict. A document is replaced as a whole or not at all.
	Save(ctx context.Context, name string, data []byte, ifRevision string) (revision string, err error)
}

// Authentic is implemented by stores that return only documents which somebody trusted wrote: because nobody else can write
// where they are kept, or because they are sealed.
type Authentic interface {
	Store
	// Authentic does nothing; it marks the type.
	Authentic()
}

// checkCall judges what every call is given.
func checkCall(ctx context.Context, name string, data []byte) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("a name has 1 to %d octets: %w", MaxName, ErrTooLarge)
	}
	if len(data) > MaxDocument {
		return ErrTooLarge
	}
	return ctx.Err()
}
