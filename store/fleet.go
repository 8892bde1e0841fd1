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

// maxFleet is the maximum length of the name of a fleet, in bytes. The length is stored in one byte.
const maxFleet = 128

// checkFleet checks the name of a fleet: one line of text.
func checkFleet(fleet string) error {
	switch {
	case fleet == "":
		return errors.New("the fleet is empty: use one name, such as production, for all services and operators")
	case len(fleet) > maxFleet:
		return fmt.Errorf("the fleet has %d bytes; the maximum is %d", len(fleet), maxFleet)
	case !utf8.ValidString(fleet), strings.TrimSpace(fleet) != fleet,
		strings.ContainsFunc(fleet, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("the fleet must be one line of printable text without leading and trailing spaces")
	}
	return nil
}

// bound returns the start of the text that a signature or the encryption authenticates. The lengths separate its parts.
func bound(mark []byte, fleet, name string) []byte {
	text := slices.Clone(mark)
	for _, part := range []string{fleet, name} {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	return text
}

// envelope returns the start of a stored document: its mark, the length of the fleet in one byte, and the fleet.
func envelope(mark []byte, fleet string) []byte {
	return append(append(slices.Clone(mark), byte(len(fleet))), fleet...)
}

// openEnvelope splits a stored document. The fleet is not authenticated yet.
func openEnvelope(data, mark []byte) (fleet string, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(data, mark)
	if !ok || len(rest) == 0 || len(rest) < 1+int(rest[0]) {
		return "", nil, false
	}
	n := 1 + int(rest[0])
	return string(rest[1:n]), rest[n:], true
}

// otherFleet is the error for a document that a configured key made for another fleet.
func otherFleet(theirs, ours string) error {
	return fmt.Errorf("%w: it was written for the fleet %q, and this is the fleet %q: use the same fleet for all services and "+
		"operators that share documents (the fleet of store.Signed or store.Encrypted, "+
		"--fleet or $REGIONJWT_FLEET of the tool), "+
		"and a place or prefix of its own for each fleet", ErrNotAuthentic, theirs, ours)
}
