// Package trust describes the trusted stores of package store to the other packages of this project: the problems with their
// arguments, whose documents they accept, and when a document was signed.
package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/nils"
)

// Info describes a trusted store.
type Info struct {
	Problems []error // every problem with the arguments that the store was made with
	Path     string  // of a directory, also of one that another store keeps its documents in
	Fleet    string
	Keys     []Key
	// EveryoneWrites says that every process that can read the documents has what it takes to write them.
	EveryoneWrites bool
	// ReadOnly says that this process cannot write documents.
	ReadOnly bool
	// Signer is the fingerprint of the key that signs what this process writes, or "".
	Signer string
	// Signs says that Load tells when a document was signed.
	Signs bool
}

// Key is a key whose documents a store accepts.
type Key struct {
	Fingerprint string   // not secret
	Documents   []string // the documents for which the key counts; none means all
}

// Scope says whose documents a store accepts. The zero Scope is that of a store without a fleet. A reader that keeps local copies
// of documents writes the scope beside each copy, and uses a copy only if Covers reports true.
type Scope struct {
	Fleet string
	Keys  []string // fingerprints of the keys, in no particular order; they are not secret
}

// Scope returns the scope of the documents of that name.
func (i Info) Scope(name string) Scope {
	s := Scope{Fleet: i.Fleet}
	for _, k := range i.Keys {
		if len(k.Documents) == 0 || slices.Contains(k.Documents, name) {
			s.Keys = append(s.Keys, k.Fingerprint)
		}
	}
	return s
}

// Writes reports whether this process has what it takes to write a document of that name.
func (i Info) Writes(name string) bool {
	return !i.ReadOnly && (i.Signer == "" || slices.Contains(i.Scope(name).Keys, i.Signer))
}

// Sealed reports whether store.Signed or store.Encrypted wrote the data, in any version of their formats.
func Sealed(data []byte) bool {
	return bytes.HasPrefix(data, []byte("regionjwt-sign-")) || bytes.HasPrefix(data, []byte("regionjwt-seal-"))
}

// described is implemented by the trusted stores of package store.
type described interface{ TrustInfo() Info }

// Of returns the description of a store, and the zero Info if it has none.
func Of(store any) Info {
	if d, ok := store.(described); ok && !nils.Is(store) {
		return d.TrustInfo()
	}
	return Info{}
}

// loader is the part of a store that loads documents.
type loader interface {
	Load(ctx context.Context, name, ifNot string) (data []byte, revision string, err error)
}

// signedLoader is implemented by a store that tells when a document was signed.
type signedLoader interface {
	LoadSigned(ctx context.Context, name, ifNot string) (data []byte, revision string, at time.Time, err error)
}

// Load calls Load of a store. It also returns when the document was signed, or the zero time if the store does not tell.
func Load(ctx context.Context, store loader, name, ifNot string) (data []byte, revision string, at time.Time, err error) {
	if s, ok := store.(signedLoader); ok {
		return s.LoadSigned(ctx, name, ifNot)
	}
	data, revision, err = store.Load(ctx, name, ifNot)
	return data, revision, time.Time{}, err
}

// Check returns every problem with a store that was given as the field of a configuration. A nil store has none.
func Check(field string, store any) (problems []error) {
	if store == nil {
		return nil
	}
	if nils.Typed(store) {
		return []error{fmt.Errorf("%s is a nil pointer", field)}
	}
	d, ok := store.(described)
	if !ok {
		return []error{errors.New(field + " wraps a trusted store: pass the wrapper to store.InsecureTrust")}
	}
	for _, p := range d.TrustInfo().Problems {
		problems = append(problems, fmt.Errorf("%s: %w", field, p))
	}
	return problems
}

// Covers reports whether a copy that was made under other may be used under s: both are of one fleet, and s accepts every key
// that other accepted.
func (s Scope) Covers(other Scope) bool {
	return s.Fleet == other.Fleet && (len(s.Keys) == 0) == (len(other.Keys) == 0) &&
		!slices.ContainsFunc(other.Keys, func(k string) bool { return !slices.Contains(s.Keys, k) })
}
