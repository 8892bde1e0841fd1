package configfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// kind is the type of a JSON value.
type kind string

const (
	object  kind = "an object"
	array   kind = "an array"
	text    kind = "a string"
	number  kind = "a number"
	boolean kind = "true or false"
	null    kind = "null"
)

// node is a value of the file, and where it is.
type node struct {
	line     int
	kind     kind
	text     string // of a string, a number or a bool
	members  []member
	elements []*node
}

type member struct {
	name  string
	line  int
	value *node
}

// reader reads JSON into nodes.
type reader struct {
	doc     []byte
	decoder *json.Decoder
	breaks  []int // where the lines end
}

// read reads a document, which is one object. It reports every name that an object has twice, but only the first thing that is
// not JSON.
func read(doc []byte) (*node, []error) {
	doc = []byte(strictjson.WithoutMark(doc))
	r := &reader{doc: doc}
	for i, c := range doc {
		if c == '\n' {
			r.breaks = append(r.breaks, i)
		}
	}
	if !utf8.Valid(doc) {
		valid := 0
		for valid < len(doc) {
			c, n := utf8.DecodeRune(doc[valid:])
			if c == utf8.RuneError && n == 1 {
				break
			}
			valid += n
		}
		return nil, []error{fmt.Errorf("line %d: not UTF-8", r.line(valid))}
	}
	r.decoder = json.NewDecoder(bytes.NewReader(doc)) //nolint:forbidigo // it reads tokens, and fills no field by a name
	r.decoder.UseNumber()
	var twice []error
	root, err := r.value(0, &twice)
	if err == nil && root.kind != object {
		err = fmt.Errorf("line %d: the file must hold one JSON object", root.line)
	}
	if err == nil {
		if _, more := r.decoder.Token(); !errors.Is(more, io.EOF) {
			err = fmt.Errorf("line %d: something follows the JSON object", r.here())
		}
	}
	if err == nil && len(twice) == 0 {
		_, err = strictjson.Parse(nil, string(doc)) // what encoding/json lets pass
	}
	if err != nil {
		return nil, []error{err}
	}
	return root, twice
}

func (r *reader) line(offset int) int {
	i, _ := slices.BinarySearch(r.breaks, offset)
	return i + 1
}

// here is the line of the token that was read last.
func (r *reader) here() int { return r.line(max(0, int(r.decoder.InputOffset())-1)) }

// next is the line of what follows the token that was read last.
func (r *reader) next() int {
	at := int(r.decoder.InputOffset())
	for at < len(r.doc) && strings.IndexByte(" \t\r\n,:", r.doc[at]) >= 0 {
		at++
	}
	return r.line(at)
}

func (r *reader) token() (json.Token, error) {
	t, err := r.decoder.Token()
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax) && !strings.HasPrefix(syntax.Error(), "unexpected end"): // that is an early end from Go 1.27 on
		return nil, fmt.Errorf("line %d: not JSON: %w", max(r.line(max(0, int(syntax.Offset)-1)), r.next()), err)
	case syntax != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("line %d: the JSON ends too early", r.line(len(r.doc)-1))
	case err != nil:
		return nil, fmt.Errorf("line %d: not JSON: %w", r.here(), err)
	}
	return t, nil
}

func (r *reader) value(depth int, twice *[]error) (*node, error) {
	t, err := r.token()
	if err != nil {
		return nil, err
	}
	n := &node{line: r.here()}
	switch t := t.(type) {
	case json.Delim:
		if depth >= strictjson.MaxDepth {
			return nil, fmt.Errorf("line %d: the JSON nests too deep", n.line)
		}
		n.kind = object
		if t == '[' {
			n.kind = array
		}
		return n, r.inside(n, depth, twice)
	case string:
		n.kind, n.text = text, t
	case json.Number:
		n.kind, n.text = number, t.String()
	case bool:
		n.kind, n.text = boolean, strconv.FormatBool(t)
	default:
		n.kind = null
	}
	return n, nil
}

// inside reads the members or elements of n, and its end.
func (r *reader) inside(n *node, depth int, twice *[]error) error {
	for r.decoder.More() {
		if n.kind == array {
			element, err := r.value(depth+1, twice)
			if err != nil {
				return err
			}
			n.elements = append(n.elements, element)
			continue
		}
		t, err := r.token()
		if err != nil {
			return err
		}
		m := member{line: r.here()}
		m.name, _ = t.(string)
		if slices.ContainsFunc(n.members, func(other member) bool { return other.name == m.name }) {
			*twice = append(*twice, &lineError{m.line, fmt.Errorf("the member %q is there twice", m.name)})
		}
		if m.value, err = r.value(depth+1, twice); err != nil {
			return err
		}
		n.members = append(n.members, m)
	}
	_, err := r.token()
	return err
}

// describe writes what n says, whatever the order of members and the layout.
func (n *node) describe(b *strings.Builder) {
	if n == nil {
		return
	}
	switch n.kind {
	case object:
		b.WriteByte('{')
		byName := func(a, b member) int { return strings.Compare(a.name, b.name) }
		for _, m := range slices.SortedFunc(slices.Values(n.members), byName) {
			b.WriteString(strconv.Quote(m.name) + ":")
			m.value.describe(b)
		}
		b.WriteByte('}')
	case array:
		b.WriteByte('[')
		for _, e := range n.elements {
			e.describe(b)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	default:
		b.WriteString(string(n.kind) + strconv.Quote(n.text))
	}
}

// description is what n says, as one text; "" if there is no n.
func (n *node) description() string {
	var b strings.Builder
	n.describe(&b)
	return b.String()
}

// find returns a member, or nil.
func (n *node) find(name string) *node {
	if n == nil {
		return nil
	}
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// differences lists the paths of members that are not the same in a and b. Arrays differ as a whole.
func differences(path string, a, b *node) (paths []string) {
	if a.description() == b.description() {
		return nil
	}
	if a == nil || b == nil || a.kind != object || b.kind != object {
		return []string{path}
	}
	names := map[string]bool{}
	for _, m := range slices.Concat(a.members, b.members) {
		names[m.name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		paths = append(paths, differences(join(path, name), a.find(name), b.find(name))...)
	}
	return paths
}

// join is the path of a member.
func join(path, name string) string {
	switch {
	case strings.ContainsFunc(name, func(c rune) bool { return !strings.ContainsRune("$_-", c) && !isAlnum(c) }) || name == "":
		return path + "[" + strconv.Quote(name) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

func isAlnum(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
