package strictjson

import (
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// manyNames is the number of members of one object from which on their names are looked up in a map: below it, comparing
// each with each is faster and does not allocate; above it, the work must not grow with the square.
const manyNames = 24

// scanner validates a document in one pass and notes the members of its outer object.
type scanner struct {
	doc   string
	pos   int
	out   []Member // members of the outer object, behind whatever the caller had
	names []string // the names of every object that is still open, inner ones last
}

// document validates all of doc.
func (s *scanner) document() error {
	s.space()
	if s.pos >= len(s.doc) || s.doc[s.pos] != '{' {
		if s.pos < len(s.doc) && s.doc[s.pos] >= 0x80 {
			return ErrEncoding // a byte order mark, among others
		}
		return ErrNotObject
	}
	if err := s.object(1); err != nil {
		return err
	}
	s.space()
	if s.pos != len(s.doc) {
		return ErrSyntax
	}
	return nil
}

func (s *scanner) space() {
	for s.pos < len(s.doc) {
		switch s.doc[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// peek skips white space and returns the next byte, or 0 at the end: a NUL is never legal where peek is used.
func (s *scanner) peek() byte {
	if s.pos < len(s.doc) && s.doc[s.pos] > ' ' {
		return s.doc[s.pos] // mostly; the compiler inlines this
	}
	return s.peekBehindSpace()
}

func (s *scanner) peekBehindSpace() byte {
	s.space()
	return s.peekHere()
}

// value validates the value at the current byte.
func (s *scanner) value(depth int) (Value, error) {
	start := s.pos
	v := Value{}
	var err error
	switch c := s.peekHere(); {
	case c == '"':
		v.kind = String
		v.escaped, err = s.text()
	case c == '{':
		v.kind = Object
		err = s.object(depth + 1)
	case c == '[':
		v.kind = Array
		err = s.array(depth + 1)
	case c == '-' || (c >= '0' && c <= '9'):
		v.kind = Number
		err = s.number()
	case c == 't':
		v.kind = Bool
		err = s.literal("true")
	case c == 'f':
		v.kind = Bool
		err = s.literal("false")
	case c == 'n':
		v.kind = Null
		err = s.literal("null")
	default:
		return v, ErrSyntax
	}
	v.raw = s.doc[start:s.pos]
	return v, err
}

func (s *scanner) peekHere() byte {
	if s.pos < len(s.doc) {
		return s.doc[s.pos]
	}
	return 0
}

// object validates an object whose opening brace is the current byte. Depth 1 is the outer object.
func (s *scanner) object(depth int) error {
	if depth > MaxDepth {
		return ErrDepth
	}
	s.pos++
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	names := uniqueNames{scanner: s, outer: depth == 1, base: len(s.names)}
	if names.outer {
		names.base = len(s.out)
	}
	for {
		if s.peek() != '"' {
			return ErrSyntax
		}
		name, err := s.name()
		if err != nil {
			return err
		}
		if !names.add(name) {
			return ErrDuplicate
		}
		if s.peek() != ':' {
			return ErrSyntax
		}
		s.pos++
		s.peek()
		v, err := s.value(depth)
		if err != nil {
			return err
		}
		if names.outer {
			s.out = append(s.out, Member{Name: name, Value: v})
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			if !names.outer {
				s.names = s.names[:names.base]
			}
			return nil
		default:
			return ErrSyntax
		}
	}
}

// uniqueNames tells the names of the members of one object apart. Those of the outer object are in scanner.out, those of
// others in scanner.names.
type uniqueNames struct {
	scanner *scanner
	outer   bool
	base    int                 // of scanner.out or scanner.names
	filter  uint64              // has the bit of each name, so that most names need not be compared with others
	seen    map[string]struct{} // nil while the names are few
}

// add notes a name; false where the object has it already.
func (u *uniqueNames) add(name string) bool {
	if u.seen != nil || u.len() >= manyNames {
		return u.addToMany(name)
	}
	bit := filterBit(name)
	if u.filter&bit != 0 && u.has(name) {
		return false
	}
	u.filter |= bit
	if !u.outer {
		u.scanner.names = append(u.scanner.names, name)
	}
	return true
}

func (u *uniqueNames) len() int {
	if u.outer {
		return len(u.scanner.out) - u.base
	}
	return len(u.scanner.names) - u.base
}

func (u *uniqueNames) has(name string) bool {
	if !u.outer {
		return slices.Contains(u.scanner.names[u.base:], name)
	}
	members := u.scanner.out[u.base:]
	for i := range members {
		if members[i].Name == name {
			return true
		}
	}
	return false
}

// addToMany is add for an object of many members.
func (u *uniqueNames) addToMany(name string) bool {
	if u.seen == nil {
		u.seen = make(map[string]struct{}, 4*manyNames)
		if u.outer {
			for _, m := range u.scanner.out[u.base:] {
				u.seen[m.Name] = struct{}{}
			}
		} else {
			for _, n := range u.scanner.names[u.base:] {
				u.seen[n] = struct{}{}
			}
		}
	}
	_, twice := u.seen[name]
	u.seen[name] = struct{}{}
	return !twice
}

// filterBit returns one of 64 bits. With these factors the members of common tokens and keys have different bits.
func filterBit(name string) uint64 {
	if name == "" {
		return 1
	}
	return 1 << ((42*uint(len(name)) + 27*uint(name[0]) + 57*uint(name[len(name)-1])) & 63)
}

func (s *scanner) array(depth int) error {
	if depth > MaxDepth {
		return ErrDepth
	}
	s.pos++
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if s.peek() == '"' { // mostly: roles, groups, audiences
			if _, err := s.text(); err != nil {
				return err
			}
		} else if _, err := s.value(depth); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return ErrSyntax
		}
	}
}

func (s *scanner) name() (string, error) {
	start := s.pos
	escaped, err := s.text()
	switch {
	case err != nil:
		return "", err
	case !escaped:
		return s.doc[start+1 : s.pos-1], nil
	}
	return Value{raw: s.doc[start:s.pos], kind: String, escaped: escaped}.Text(), nil
}

// text validates a string whose opening quote is the current byte.
func (s *scanner) text() (escaped bool, err error) {
	doc, pos := s.doc, s.pos+1
	for pos <= len(doc)-8 {
		found := special(doc[pos : pos+8])
		if found == 0 {
			pos += 8
			continue
		}
		if pos += bits.TrailingZeros64(found) / 8; doc[pos] == '"' { // mostly
			s.pos = pos + 1
			return false, nil
		}
		break
	}
	s.pos = pos
	return s.rareText()
}

// special returns a number of which the lowest bit that is set lies in the first byte that does not stand for itself in a string:
// it is no ASCII, below a space, a quote or a backslash. s has 8 bytes.
func special(s string) uint64 {
	const each = 0x0101010101010101
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	// With 0x02 flipped, a quote and what is below a space are below 0x21. A borrow sets bits only above a special byte.
	return (x | (x ^ 0x02*each - 0x21*each) | (x ^ '\\'*each - each)) & (0x80 * each)
}

// rareText validates the rest of a string, near the end of the document or with bytes that do not stand for themselves.
func (s *scanner) rareText() (escaped bool, err error) {
	for {
		if s.plain(); s.pos >= len(s.doc) {
			return false, ErrSyntax
		}
		switch c := s.doc[s.pos]; {
		case c == '"':
			s.pos++
			return escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return false, err
			}
		case c < 0x20:
			return false, ErrSyntax
		default:
			r, n := utf8.DecodeRuneInString(s.doc[s.pos:])
			if r == utf8.RuneError && n == 1 {
				return false, ErrEncoding
			}
			s.pos += n
		}
	}
}

// plain steps over the bytes that stand for themselves in a string, eight at a time.
func (s *scanner) plain() {
	rest := s.doc[s.pos:]
	for len(rest) >= 8 {
		if found := special(rest[:8]); found != 0 {
			s.pos = len(s.doc) - len(rest) + bits.TrailingZeros64(found)/8
			return
		}
		rest = rest[8:]
	}
	for s.pos = len(s.doc) - len(rest); s.pos < len(s.doc); s.pos++ {
		if c := s.doc[s.pos]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return
		}
	}
}

// number validates the grammar of RFC 8259, section 6.
func (s *scanner) number() error {
	if s.doc[s.pos] == '-' {
		s.pos++
	}
	if s.peekHere() == '0' {
		s.pos++
	} else if !s.digits() {
		return ErrSyntax
	}
	if s.peekHere() == '.' {
		s.pos++
		if !s.digits() {
			return ErrSyntax
		}
	}
	if c := s.peekHere(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peekHere(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return ErrSyntax
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start, doc, pos := s.pos, s.doc, s.pos
	for pos < len(doc) && doc[pos] >= '0' && doc[pos] <= '9' {
		pos++
	}
	s.pos = pos
	return pos > start
}

func (s *scanner) literal(word string) error {
	if !strings.HasPrefix(s.doc[s.pos:], word) {
		return ErrSyntax
	}
	s.pos += len(word)
	return nil
}
