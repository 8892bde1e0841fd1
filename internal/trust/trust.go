// Package trust describes the trusted stores of package store to the other packages of this project: the problems with their
// arguments, and whose documents they accept.
package trust

import (
	"errors"
	"fmt"
	"slices"

	"github.com/regionjwt/regionjwt/internal/nils"
)

// Info describes a trusted store.
type Info struct {
	Problems []error // every problem with the arguments that the store was made with
	Scope    Scope
}

// Scope says whose documents a store accepts. The zero Scope is that of a store without a fleet. A reader that keeps local copies
// of documents writes the scope beside each copy, and uses a copy only if Covers reports true.
type Scope struct {
	Fleet string
	Keys  []string // fingerprints of the keys, in no particular order; they are not secret
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
