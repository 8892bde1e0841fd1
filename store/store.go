// Package store keeps small documents that must outlive a process, or that a fleet shares: snapshots of key sets, revocation
// rules, pinned regions.
//
// A [Store] loads and saves whole documents. Each document has a revision, so that concurrent writers do not overwrite each
// other's changes. [Dir] keeps documents in a directory, and the packages redisstore, dynamostore and s3store keep them in Redis,
// DynamoDB and S3. Package storetest checks whether an implementation fulfills the contract.
//
// A process that can write a key set can issue tokens, and one that can write rules can lock out every user. The other packages
// therefore accept only a [Trusted] store. [Signed] and [Encrypted] make a Trusted store of any Store: only operators can write
// signed documents, and every holder of the secret can write encrypted ones. Both bind documents to a fleet, so that documents of
// a staging environment are not accepted in production.
//
// Dir, Signed, Encrypted and [InsecureTrust] return no error. The constructor that gets the store returns an error for each
// problem with their arguments, and so do the methods of the store.
package store

import (
	"context"
	"errors"

	"github.com/regionjwt/regionjwt/internal/trust"
)

// The errors that every Store returns, wrapped or not.
var (
	// ErrNotFound says that there is no document of that name.
	ErrNotFound = errors.New("document not found")
	// ErrNotModified says that the document is still at the revision that the caller of Load has.
	ErrNotModified = errors.New("document not modified")
	// ErrConflict says that the document is not at the revision that the writer last saw.
	ErrConflict = errors.New("document was changed by another writer")
	// ErrNotAuthentic says that no authorized writer wrote the document: no configured key made it, it belongs to another fleet,
	// or others can write to the place where it is kept.
	ErrNotAuthentic = errors.New("document is not authentic")
)

// Store keeps documents by name. Its methods are safe for concurrent use, also by several processes that share the documents. A
// name has 1 to 512 bytes of any value, and a document has at most 4 MiB; for others every method returns an error.
//
// Methods return soon after ctx has ended, with an error that wraps that of ctx. If ctx ended before the call, they do nothing
// else. All other errors are the store's own, for example that it could not be reached; callers may try again.
type Store interface {
	// Load returns the latest document of that name and its revision, which is opaque and not empty, or ErrNotFound. If ifNot is
	// not empty and is the current revision, Load may return ErrNotModified instead, and no data. The caller owns data, which may
	// be nil for an empty document.
	//
	// With ErrNotAuthentic, Load returns no data, and may return the revision; with that revision the document can be replaced.
	// With every other error, data and revision are zero.
	Load(ctx context.Context, name, ifNot string) (data []byte, revision string, err error)
	// Save replaces the document if its revision is still ifRevision, and returns the new revision. Otherwise it returns
	// ErrConflict. If ifRevision is "", there must be no document of that name. A document is replaced completely or not at all.
	// Nil data is an empty document.
	//
	// The store does not keep or change data after Save has returned. After an error that is not one of this package, the
	// document may have been saved, or may be saved a little later; load it to find out.
	Save(ctx context.Context, name string, data []byte, ifRevision string) (revision string, err error)
	// Watch calls changed after the document of that name may have changed, until ctx ends. These calls are hints: they can come
	// without a change, late, once for several changes, or not at all. Callers must also poll. Watch calls changed from one
	// goroutine at a time and not after it has returned; changed must not block and must not be nil.
	//
	// Watch blocks, and always returns an error. When ctx ends, it returns soon with an error that wraps that of ctx, and leaves
	// no goroutine behind. Any other error, such as a lost connection, means that there are no more hints until Watch is called
	// again. A store without hints waits for ctx: <-ctx.Done(); return ctx.Err().
	Watch(ctx context.Context, name string, changed func()) error
}

// Trusted is a Store whose documents are known to come from an authorized writer. Load returns ErrNotAuthentic and no data for
// any other document. A Trusted store does not guarantee that a document is the latest one; readers must detect an old document.
//
// Dir, Encrypted, Signed and InsecureTrust make Trusted stores. A type that embeds one is not accepted by constructors; pass it
// to InsecureTrust.
type Trusted interface {
	Store
	trusted()
}

// InsecureTrust vouches for a plain Store: its documents are accepted although nothing proves who wrote them. Anyone who can
// write to s can then forge rules, pins and keys. Use it for tests, and for stores that check the origin of documents by other
// means.
func InsecureTrust(s Store) Trusted {
	i := &vouched{wrapper: wrap("InsecureTrust", s)}
	inner := trust.Of(s)
	i.info.Fleet, i.info.Keys = inner.Fleet, inner.Keys
	i.info.ReadOnly, i.info.Signer = inner.ReadOnly, inner.Signer
	return i
}

// vouched is a store that InsecureTrust made.
type vouched struct{ wrapper }

// Load implements Store.
func (v *vouched) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	if err := v.check(ctx, name, nil); err != nil {
		return nil, "", err
	}
	return v.inner.Load(ctx, name, ifNot)
}

// Save implements Store.
func (v *vouched) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := v.check(ctx, name, data); err != nil {
		return "", err
	}
	return v.inner.Save(ctx, name, data, ifRevision)
}
