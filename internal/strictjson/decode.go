package strictjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"unicode"
)

// Unmarshal decodes doc, which Parse must have accepted, as encoding/json does, except for two things. A member fills a struct
// field only where its name equals the field's name byte for byte, at every level: encoding/json alone also takes a name that
// differs in case (or by the long s and the Kelvin sign), so that "ISS" could speak for "iss". And what into points to is
// replaced as a whole, not merged with: encoding/json would follow pointers in interfaces that nobody can see from the type.
//
// A struct with a tag whose name has other characters than encoding/json documents is filled with nothing, as Go versions read
// such a name differently. A type with an UnmarshalJSON or UnmarshalText of its own is handed its value as it stands.
func Unmarshal(doc string, into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return &json.InvalidUnmarshalError{Type: reflect.TypeOf(into)}
	}
	if unmarshalsItself(target.Type()) {
		return json.Unmarshal([]byte(doc), into)
	}
	w := walker{doc: doc}
	w.next()
	fresh := reflect.New(target.Type().Elem())
	pruned := appendPruned(make([]byte, 0, len(doc)), w.value(), fresh.Type())
	if err := json.Unmarshal(pruned, fresh.Interface()); err != nil {
		return err
	}
	target.Elem().Set(fresh.Elem())
	return nil
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func unmarshalsItself(t reflect.Type) bool {
	return t.Implements(jsonUnmarshaler) || t.Implements(textUnmarshaler)
}

// appendPruned appends v less the members that no field of t, at their place, names exactly. Like encoding/json it has a value
// of a named type, or behind a pointer, unmarshal itself. An unnamed struct that embeds one which could is pruned: encoding/json
// fills it by field before Go 1.27 and has it unmarshal itself since, and either way sees exact names only.
func appendPruned(dst []byte, v Value, t reflect.Type) []byte {
	if t.Kind() != reflect.Pointer && t.Name() != "" && unmarshalsItself(reflect.PointerTo(t)) {
		return append(dst, v.raw...)
	}
	for t.Kind() == reflect.Pointer {
		if unmarshalsItself(t) {
			return append(dst, v.raw...)
		}
		t = t.Elem()
	}
	switch {
	case v.kind == Object && t.Kind() == reflect.Struct:
		fields := fieldsOf(t)
		return appendMembers(dst, v, func(name string) (reflect.Type, bool) {
			f, ok := fields[name]
			return f, ok
		})
	case v.kind == Object && t.Kind() == reflect.Map:
		return appendMembers(dst, v, func(string) (reflect.Type, bool) { return t.Elem(), true })
	case v.kind == Array && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		dst = append(dst, '[')
		comma := false
		for e := range v.Elements() {
			if comma {
				dst = append(dst, ',')
			}
			comma = true
			dst = appendPruned(dst, e, t.Elem())
		}
		return append(dst, ']')
	}
	return append(dst, v.raw...)
}

func appendMembers(dst []byte, v Value, keep func(name string) (reflect.Type, bool)) []byte {
	dst = append(dst, '{')
	comma := false
	for m := range v.Members() {
		t, ok := keep(m.Name)
		if !ok {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		quoted, _ := json.Marshal(m.Name) // a valid UTF-8 string always marshals
		dst = append(append(dst, quoted...), ':')
		dst = appendPruned(dst, m.Value, t)
	}
	return append(dst, '}')
}

// fieldTables remembers the fields of each struct type; it holds as many entries as the program has such types.
var fieldTables sync.Map // reflect.Type to map[string]reflect.Type

func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if f, ok := fieldTables.Load(t); ok {
		return f.(map[string]reflect.Type)
	}
	f := collectFields(t)
	fieldTables.Store(t, f)
	return f
}

// collectFields lists the names under which encoding/json would fill fields of t, by its rules: embedded structs are
// looked through level by level, a name on an upper level hides those below, and of several on one level a tagged one
// counts, or none.
func collectFields(t reflect.Type) map[string]reflect.Type {
	type found struct {
		t      reflect.Type
		tagged bool
		n      int
	}
	result := map[string]reflect.Type{}
	hidden := map[string]bool{}
	visited := map[reflect.Type]bool{}
	for level, times := []reflect.Type{t}, map[reflect.Type]int{}; len(level) > 0; {
		var next []reflect.Type
		nextTimes := map[reflect.Type]int{}
		here := map[string]*found{}
		for _, s := range level {
			if visited[s] {
				continue
			}
			visited[s] = true
			for i := range s.NumField() {
				f := s.Field(i)
				name, tagged, inner := fieldName(f)
				if name == doubtful {
					return nil
				}
				if inner != nil {
					next = append(next, inner)
					nextTimes[inner]++
					continue
				}
				if name == "" {
					continue
				}
				n := max(1, times[s]) // a struct embedded twice on one level is ambiguous with itself
				switch old := here[name]; {
				case old == nil:
					here[name] = &found{t: f.Type, tagged: tagged, n: n}
				case tagged == old.tagged:
					old.n += n
				case tagged:
					*old = found{t: f.Type, tagged: true, n: n}
				}
			}
		}
		for name, f := range here {
			if !hidden[name] && f.n == 1 {
				result[name] = f.t
			}
			hidden[name] = true
		}
		level, times = next, nextTimes
	}
	return result
}

// fieldName tells under which name encoding/json fills f, whether a tag gave it, or which struct it looks through.
// Neither is set for a field that it leaves alone.
func fieldName(f reflect.StructField) (name string, tagged bool, inner reflect.Type) {
	tag := f.Tag.Get("json")
	if tag == "-" {
		return "", false, nil
	}
	name, _, _ = strings.Cut(tag, ",")
	if name != "" && !validName(name) {
		return doubtful, true, nil
	}
	if f.Anonymous {
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if !f.IsExported() && t.Kind() != reflect.Struct {
			return "", false, nil
		}
		if name == "" && t.Kind() == reflect.Struct {
			return "", false, t
		}
	} else if !f.IsExported() {
		return "", false, nil
	}
	if name != "" {
		return name, true, nil
	}
	return f.Name, false, nil
}

// doubtful stands for a name that encoding/json ignores before Go 1.27 and takes since. No tag can give it.
const doubtful = "\x00"

// validName reports whether every encoding/json takes name from a tag.
func validName(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return name != ""
}
