// Package strictjson reads the JSON of tokens and key sets more strictly than RFC 8259 demands, so that two readers of
// one document can never see two different documents.
//
// A document is refused unless it is one object and all of it is valid UTF-8 without a byte order mark, its member names
// are unique at every level after unescaping, its escapes form no lone surrogate, and it nests at most MaxDepth levels.
// Names are compared byte for byte. Numbers are kept as text.
//
// One pass validates the whole document and lists the members of the outer object; inner values are walked on demand
// with [Value.Members] and [Value.Elements], which rely on that validation.
package strictjson

import (
	"errors"
	"iter"
	"strings"
)

// MaxDepth is how many levels of objects and arrays a document may nest; the outer object is the first.
const MaxDepth = 32

// The reasons for which a document is refused. They name the rule, never the input.
var (
	ErrSyntax    = errors.New("not strict JSON")
	ErrNotObject = errors.New("not a JSON object")
	ErrDepth     = errors.New("JSON nests too deep")
	ErrDuplicate = errors.New("duplicate JSON member")
	ErrEncoding  = errors.New("invalid UTF-8 or surrogate in JSON")
)

// Kind is the JSON type of a value.
type Kind uint8

// The JSON types. The zero Kind is that of an absent value.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// Value is one JSON value inside a validated document. It shares the document's memory. The zero Value is absent.
type Value struct {
	raw     string // from the first byte of the value to its last
	kind    Kind
	escaped bool // a String that holds at least one escape
}

// Kind reports the JSON type of v.
func (v Value) Kind() Kind { return v.kind }

// Clone returns v with a memory of its own.
func (v Value) Clone() Value {
	v.raw = strings.Clone(v.raw)
	return v
}

// Raw returns the text of v as it stands in the document.
func (v Value) Raw() string { return v.raw }

// Text returns the decoded text of a String, and "" for every other kind. It shares the document's memory unless the text holds
// an escape.
func (v Value) Text() string {
	if v.kind != String {
		return ""
	}
	inner := v.raw[1 : len(v.raw)-1]
	if !v.escaped {
		return inner
	}
	return unescape(inner)
}

// Is reports whether v is a String whose decoded text is s. It does not allocate unless the text holds an escape.
func (v Value) Is(s string) bool {
	if v.kind != String {
		return false
	}
	if inner := v.raw[1 : len(v.raw)-1]; !v.escaped {
		return inner == s
	}
	return v.Text() == s
}

// Member is one name and value of an object.
type Member struct {
	Name  string // decoded
	Value Value
}

// WithoutMark returns doc without the byte order mark with which some servers begin their documents. RFC 8259, section 8.1, lets
// a reader ignore it. Tokens have none.
func WithoutMark(doc []byte) string { return strings.TrimPrefix(string(doc), "\xEF\xBB\xBF") }

// Find returns the value of the member with exactly this name, or an absent Value.
func Find(members []Member, name string) Value {
	for i := range members {
		if members[i].Name == name {
			return members[i].Value
		}
	}
	return Value{}
}

// Parse validates doc and appends the members of its outer object to dst, in document order. Nothing is appended where
// an error is returned. The members share the memory of doc.
func Parse(dst []Member, doc string) ([]Member, error) { return new(Parser).Parse(dst, doc) }

// Parser parses one document after the other with the same working memory. The zero Parser is ready.
type Parser struct{ names []string }

// Parse is the function Parse.
func (p *Parser) Parse(dst []Member, doc string) ([]Member, error) {
	s := scanner{doc: doc, out: dst, names: p.names[:0]}
	err := s.document()
	if cap(s.names) <= 4*manyNames {
		clear(s.names[:cap(s.names)]) // not to hold the document
		p.names = s.names[:0]
	}
	if err != nil {
		return dst, err
	}
	return s.out, nil
}

// Members walks the members of an Object in document order; it yields nothing for other kinds.
func (v Value) Members() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		if v.kind != Object {
			return
		}
		w := walker{doc: v.raw, pos: 1}
		for {
			if c := w.next(); c == '}' {
				return
			}
			name := w.value()
			w.next() // the colon, as the document was validated
			w.pos++
			w.next()
			if !yield(Member{Name: name.Text(), Value: w.value()}) {
				return
			}
		}
	}
}

// Elements walks the elements of an Array in order; it yields nothing for other kinds.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.kind != Array {
			return
		}
		w := walker{doc: v.raw, pos: 1}
		for {
			if c := w.next(); c == ']' {
				return
			}
			if !yield(w.value()) {
				return
			}
		}
	}
}

// walker steps through the inside of a value that Parse has validated.
type walker struct {
	doc string
	pos int
}

// next skips white space and commas and returns the byte that follows.
func (w *walker) next() byte {
	for {
		switch c := w.doc[w.pos]; c {
		case ' ', '\t', '\r', '\n', ',':
			w.pos++
		default:
			return c
		}
	}
}

// value returns the value that starts at the current byte and steps behind it.
func (w *walker) value() Value {
	start := w.pos
	switch w.doc[start] {
	case '"':
		escaped := w.skipString()
		return Value{raw: w.doc[start:w.pos], kind: String, escaped: escaped}
	case '{', '[':
		kind := Object
		if w.doc[start] == '[' {
			kind = Array
		}
		depth := 0
		for {
			switch w.doc[w.pos] {
			case '"':
				w.skipString()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			w.pos++
			if depth == 0 {
				return Value{raw: w.doc[start:w.pos], kind: kind}
			}
		}
	}
	for w.pos < len(w.doc) && strings.IndexByte(" \t\r\n,]}", w.doc[w.pos]) < 0 {
		w.pos++
	}
	return Value{raw: w.doc[start:w.pos], kind: literalKind(w.doc[start])}
}

func (w *walker) skipString() (escaped bool) {
	for w.pos++; w.doc[w.pos] != '"'; w.pos++ {
		if w.doc[w.pos] == '\\' {
			escaped = true
			w.pos++
		}
	}
	w.pos++
	return escaped
}

func literalKind(first byte) Kind {
	switch first {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	}
	return Number
}
