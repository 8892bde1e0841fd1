// Package store keeps small documents that must outlive a process, or be shared by a fleet: snapshots of key sets, revocation
// rules, the active region.
//
// A [Store] loads and saves whole documents, with a revision that keeps writers from undoing each other. [Dir] keeps them in
// a directory. [Encrypted] and [Signed] make any other store fit for documents that are believed: sealed ones are written by every
// holder of a secret, signed ones by operators only. Both bind documents to a fleet, so that staging's cannot be replayed in
// production. [Follow] reports changes. Package storetest checks whether an implementation keeps the contract.
//
// A store that is believed is a root of trust: a process that can write a key set into it can mint tokens. So package jwks takes
// only stores that are [Trusted].
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
	// ErrNotAuthentic: the document was not written by one who may write it here: no key that is trusted made it, or it is of
	// another fleet, or others can write where it is kept.
	ErrNotAuthentic = errors.New("document is not authentic")
	// ErrTooLarge: the name is empty, or the name or the document is longer than MaxName or MaxDocument.
	ErrTooLarge = errors.New("document or name is too large")
)

// Document is what a Store holds under a name. The zero Document is none.
type Document struct {
	// Data is the document. Nil and an empty slice are the same: a document of no octets.
	Data []byte
	// Revision changes when the document is saved. It is opaque, and never empty where there is a document. It is for Save: what
	// a document holds decides whether it is the same, and not its revision.
	Revision string
}

// Store holds documents by name. Its methods are safe for concurrent use, by several processes where they share the documents. A
// name has 1 to MaxName octets of any value, and a document at most MaxDocument; for others the error is ErrTooLarge.
//
// Methods return soon after ctx has ended, with an error that wraps that of ctx; where ctx had ended before, they do
// nothing else. Other errors than those of this package are the store's own: it could not be reached, for example.
// Callers may try again.
type Store interface {
	// Load returns the document of that name as it was saved last, or ErrNotFound. The caller owns Document.Data: the store
	// neither keeps nor changes it.
	//
	// Where it returns ErrNotAuthentic, it may return a Document that has a Revision and no Data. With that Revision the document
	// can be replaced. With all other errors the Document is zero.
	Load(ctx context.Context, name string) (Document, error)
	// Save replaces the document if it is still at ifRevision, and returns its new revision, which is not empty. Otherwise the
	// error is ErrConflict. If ifRevision is "", there must be no document of that name. A document is replaced as a whole or not
	// at all. Nil data is an empty document.
	//
	// The store does not keep data after Save has returned, and does not change it. After an error that is not one of
	// this package the document may have been saved, or be saved a little later: load it to see.
	Save(ctx context.Context, name string, data []byte, ifRevision string) (revision string, err error)
}

// Trusted is implemented by stores that return only documents which somebody trusted wrote: nobody else can write where they
// are kept, or they are signed or sealed. For any other document Load returns ErrNotAuthentic, and none of its data. It does not
// promise that a document is the newest one: a reader must notice by itself that an old one was put back.
type Trusted interface {
	Store
	// Authentic does nothing; it marks the type. It is never called.
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
