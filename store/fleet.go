package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxFleet is the most octets that the name of a fleet has.
const MaxFleet = 128

// Scoped is implemented by the stores that Signed and Sealed return. A reader that keeps copies of documents in another place
// writes the scope beside each copy, and uses a copy only where Covers says so: what was believed in one fleet, or by a key that
// was given up since, is not believed here.
type Scoped interface {
	Trusted
	// Scope returns whose documents the store believes. It does no I/O, returns the same at each call, and is safe for
	// concurrent use. The caller may keep the slice, and may not change it.
	Scope() Scope
}

// Scope says whose documents a store believes. The zero Scope is that of a store that is not Scoped.
type Scope struct {
	Fleet string
	Keys  []string // fingerprints of the keys, in no particular order; they are not secret
}

// ScopeOf returns the Scope of s, and the zero Scope where s is not Scoped.
func ScopeOf(s Store) Scope {
	if scoped, ok := s.(Scoped); ok {
		return scoped.Scope()
	}
	return Scope{}
}

// Covers reports whether a copy that was made under other may be used under s: both are of one fleet, and s believes every key
// that was believed then.
func (s Scope) Covers(other Scope) bool {
	return s.Fleet == other.Fleet && (len(s.Keys) == 0) == (len(other.Keys) == 0) &&
		!slices.ContainsFunc(other.Keys, func(k string) bool { return !slices.Contains(s.Keys, k) })
}

// checkFleet judges the name of a fleet: one line of text.
func checkFleet(fleet string) error {
	switch {
	case fleet == "":
		return errors.New(
			"store: the fleet has no name: give the one that all its services and operators use, such as production")
	case len(fleet) > MaxFleet:
		return fmt.Errorf("store: the name of the fleet has %d octets, and may have %d", len(fleet), MaxFleet)
	case !utf8.ValidString(fleet), strings.TrimSpace(fleet) != fleet,
		strings.ContainsFunc(fleet, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("store: the name of the fleet is not a line of printable text, or begins or ends with a space")
	}
	return nil
}

// bound returns the beginning of what a signature or a seal is over. The lengths keep its parts apart.
func bound(mark []byte, fleet, name string) []byte {
	text := slices.Clone(mark)
	for _, part := range []string{fleet, name} {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	return text
}

// envelope begins a document that is kept: its mark, and in an octet and text the fleet.
func envelope(mark []byte, fleet string) []byte {
	return append(append(slices.Clone(mark), byte(len(fleet))), fleet...)
}

// openEnvelope takes the beginning of a document off that is kept. The fleet is what the document says of itself, and may be
// anything.
func openEnvelope(data, mark []byte) (fleet string, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(data, mark)
	if !ok || len(rest) == 0 || len(rest) < 1+int(rest[0]) {
		return "", nil, false
	}
	n := 1 + int(rest[0])
	return string(rest[1:n]), rest[n:], true
}

// otherFleet is the error of a document of another fleet that our keys made.
func otherFleet(theirs, ours string) error {
	return fmt.Errorf("%w: it was written for the fleet %q, and this is the fleet %q: give services and operators of one fleet "+
		"the same name (the fleet of store.Signed or store.Encrypted, -fleet or $REGIONJWT_FLEET of the tool), "+
		"and each fleet a place or prefix of its own", ErrNotAuthentic, theirs, ours)
}
