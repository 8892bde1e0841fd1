package configfile

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// duration is a time.Duration that the file writes as text: "90s", "15m", "24h".
type duration time.Duration

// place is where a struct was read from. A field of this type is filled by the decoder.
type place struct {
	line int
	path string
	node *node
}

// problem returns an error that says where it is.
func (p place) problem(format string, args ...any) error {
	where := p.path
	if where != "" {
		where += ": "
	}
	return &lineError{max(1, p.line), fmt.Errorf("%s%w", where, fmt.Errorf(format, args...))}
}

// lineError is a problem with a line of the file.
type lineError struct {
	line int
	err  error
}

// Error implements error.
func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

// Unwrap returns the error without the line.
func (e *lineError) Unwrap() error { return e.err }

// byLine sorts problems by their lines. Those without a line come last.
func byLine(problems []error) []error {
	line := func(err error) int {
		if e := (*lineError)(nil); errors.As(err, &e) {
			return e.line
		}
		return math.MaxInt
	}
	return slices.SortedStableFunc(slices.Values(problems), func(a, b error) int { return cmp.Compare(line(a), line(b)) })
}

// decoder fills structs from nodes, and collects every problem.
type decoder struct{ problems []error }

var (
	placeType    = reflect.TypeFor[place]()
	durationType = reflect.TypeFor[duration]()
)

// value fills v from n.
func (d *decoder) value(n *node, path string, v reflect.Value) {
	at := place{n.line, path, n}
	fail := func(format string, args ...any) { d.problems = append(d.problems, at.problem(format, args...)) }
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, path, v.Elem())
		return
	}
	if want := kindOf(v.Type()); n.kind != want {
		fail("%s is wanted, and %s was found", wantedText(v.Type(), want), n.kind)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, path, v)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, m := range n.members {
			element := reflect.New(v.Type().Elem()).Elem()
			d.value(m.value, join(path, m.name), element)
			v.SetMapIndex(reflect.ValueOf(m.name), element)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), len(n.elements), len(n.elements)))
		for i, e := range n.elements {
			d.value(e, path+"["+strconv.Itoa(i)+"]", v.Index(i))
		}
	case reflect.String:
		v.SetString(n.text)
	case reflect.Bool:
		v.SetBool(n.text == "true")
	case reflect.Uint64:
		i, err := strconv.ParseUint(n.text, 10, 64)
		if err != nil {
			fail("%s is not a whole number of 0 or more", n.text)
		}
		v.SetUint(i)
	case reflect.Int:
		i, err := strconv.ParseInt(n.text, 10, 32)
		if err != nil {
			fail("%s is not a whole number, or too large", n.text)
		}
		v.SetInt(i)
	default: // a duration
		t, err := time.ParseDuration(n.text)
		if err != nil {
			fail(`%q is not a duration such as "90s", "15m" or "24h"`, n.text)
		}
		v.SetInt(int64(t))
	}
}

// kindOf returns what JSON a type is written as.
func kindOf(t reflect.Type) kind {
	switch t.Kind() { //nolint:exhaustive // the types of document have no others
	case reflect.Struct, reflect.Map:
		return object
	case reflect.Slice:
		return array
	case reflect.String:
		return text
	case reflect.Bool:
		return boolean
	case reflect.Int64:
		return text // a duration
	}
	return number
}

func wantedText(t reflect.Type, k kind) string {
	if t == durationType {
		return `a duration in quotes, such as "15m",`
	}
	return string(k)
}

// field is a member that a struct may have.
type field struct {
	name     string
	required bool
	index    int
}

// fieldsOf lists the members of a struct, in their order.
func fieldsOf(t reflect.Type) (fields []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("json"); name != "" {
			fields = append(fields, field{name, f.Tag.Get("need") != "", i})
		}
	}
	return fields
}

func (d *decoder) object(n *node, path string, v reflect.Value) {
	fields := fieldsOf(v.Type())
	for i := range v.NumField() {
		if v.Field(i).Type() == placeType {
			v.Field(i).Set(reflect.ValueOf(place{n.line, path, n}))
		}
	}
	for _, m := range n.members {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == m.name })
		if i < 0 {
			at := place{m.line, join(path, m.name), nil}
			d.problems = append(d.problems, at.problem("there is no such member%s", suggest(m.name, fields)))
			continue
		}
		d.value(m.value, join(path, m.name), v.Field(fields[i].index))
		if to := v.Field(fields[i].index); to.Kind() == reflect.String && m.value.kind == text && m.value.text == "" {
			at := place{m.line, join(path, m.name), nil}
			d.problems = append(d.problems, at.problem("the text is empty: leave the member out, or give it a value"))
		}
	}
	for _, f := range fields {
		if f.required && n.find(f.name) == nil {
			d.problems = append(d.problems, place{n.line, path, n}.problem("%q is missing", f.name))
		}
	}
}

// suggest names the member that was probably meant, or lists all of them.
func suggest(name string, fields []field) string {
	nearest := slices.MinFunc(fields, func(a, b field) int { return cmp.Compare(distance(name, a.name), distance(name, b.name)) })
	if distance(name, nearest.name) <= 2 || strings.EqualFold(name, nearest.name) {
		return fmt.Sprintf(": did you mean %q?", nearest.name)
	}
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.name)
	}
	return ": the members here are " + strings.Join(names, ", ")
}

// distance is how many letters must be inserted, removed or exchanged to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
