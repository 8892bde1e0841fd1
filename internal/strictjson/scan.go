package strictjson

import (
	"bytes"
	"unicode/utf8"
)

// manyNames is the number of members of one object from which on their names are looked up in a map: below it, comparing
// each with each is faster and does not allocate; above it, the work must not grow with the square.
const manyNames = 24

// scanner validates a document in one pass and notes the members of its outer object.
type scanner struct {
	doc   []byte
	pos   int
	out   []Member // members of the outer object, behind whatever the caller had
	names [][]byte // the names of every object that is still open, inner ones last
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

// peek skips white space and returns the next octet, or 0 at the end: a NUL is never legal where peek is used.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.doc) {
		return s.doc[s.pos]
	}
	return 0
}

// value validates the value at the current octet.
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

// object validates an object whose opening brace is the current octet. Depth 1 is the outer object.
func (s *scanner) object(depth int) error {
	if depth > MaxDepth {
		return ErrDepth
	}
	s.pos++
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	base := len(s.names)
	var seen map[string]struct{}
	for {
		if s.peek() != '"' {
			return ErrSyntax
		}
		name, err := s.name()
		if err != nil {
			return err
		}
		if seen, err = s.unique(base, name, seen); err != nil {
			return err
		}
		if s.peek() != ':' {
			return ErrSyntax
		}
		s.pos++
		s.space()
		v, err := s.value(depth)
		if err != nil {
			return err
		}
		if depth == 1 {
			s.out = append(s.out, Member{Name: name, Value: v})
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			s.names = s.names[:base]
			return nil
		default:
			return ErrSyntax
		}
	}
}

// unique notes the name of a member of the object whose names start at base, and refuses one that it has already.
func (s *scanner) unique(base int, name []byte, seen map[string]struct{}) (map[string]struct{}, error) {
	open := s.names[base:]
	if seen == nil && len(open) >= manyNames {
		seen = make(map[string]struct{}, 4*manyNames)
		for _, n := range open {
			seen[string(n)] = struct{}{}
		}
	}
	if seen != nil {
		if _, ok := seen[string(name)]; ok {
			return seen, ErrDuplicate
		}
		seen[string(name)] = struct{}{}
		return seen, nil
	}
	for _, n := range open {
		if bytes.Equal(n, name) {
			return nil, ErrDuplicate
		}
	}
	s.names = append(s.names, name)
	return nil, nil
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
		s.space()
		if _, err := s.value(depth); err != nil {
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

func (s *scanner) name() ([]byte, error) {
	start := s.pos
	escaped, err := s.text()
	if err != nil {
		return nil, err
	}
	return decodedName(Value{raw: s.doc[start:s.pos], kind: String, escaped: escaped}), nil
}

// text validates a string whose opening quote is the current octet.
func (s *scanner) text() (escaped bool, err error) {
	s.pos++
	for s.pos < len(s.doc) {
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
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, n := utf8.DecodeRune(s.doc[s.pos:])
			if r == utf8.RuneError && n == 1 {
				return false, ErrEncoding
			}
			s.pos += n
		}
	}
	return false, ErrSyntax
}

// escape validates the escape at the current backslash; a surrogate counts only as the high half of a pair.
func (s *scanner) escape() error {
	if s.pos+1 >= len(s.doc) {
		return ErrSyntax
	}
	switch s.doc[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
	default:
		return ErrSyntax
	}
	r, ok := hex4(s.doc[s.pos+2:])
	if !ok {
		return ErrSyntax
	}
	s.pos += 6
	if r < 0xD800 || r > 0xDFFF {
		return nil
	}
	if r > 0xDBFF || len(s.doc)-s.pos < 6 || s.doc[s.pos] != '\\' || s.doc[s.pos+1] != 'u' {
		return ErrEncoding
	}
	low, ok := hex4(s.doc[s.pos+2:])
	if !ok {
		return ErrSyntax
	}
	if low < 0xDC00 || low > 0xDFFF {
		return ErrEncoding
	}
	s.pos += 6
	return nil
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
	start := s.pos
	for s.pos < len(s.doc) && s.doc[s.pos] >= '0' && s.doc[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.doc[s.pos:], []byte(word)) {
		return ErrSyntax
	}
	s.pos += len(word)
	return nil
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape appends the decoded form of the inside of a validated string.
func unescape(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		if src[i] != '\\' {
			dst = append(dst, src[i])
			i++
			continue
		}
		switch c := src[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(src[i+2:])
			if r >= 0xD800 && r <= 0xDBFF {
				low, _ := hex4(src[i+8:])
				r = 0x10000 + (r-0xD800)<<10 + (low - 0xDC00)
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			i += 4
		default:
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}
