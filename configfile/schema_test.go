package configfile_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/configfile"
)

var update = flag.Bool("update", false, "write the members of schema.json again; descriptions are kept")

// written are the parts of a schema that people write, and the types do not say.
var written = []string{"description", "oneOf", "minProperties", "maxProperties", "minItems", "enum", "pattern", "examples", "minimum"}

// schemas makes the schemas of types.
type schemas map[string]any

func (s schemas) of(t reflect.Type) map[string]any {
	switch {
	case t == configfile.Duration:
		s["duration"] = map[string]any{"type": "string"}
		return map[string]any{"$ref": "#/$defs/duration"}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t.Kind() == reflect.Struct:
		name := t.Name()
		if _, there := s[name]; !there {
			s[name] = nil // it may contain itself
			s[name] = s.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + name}
	case t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case t.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	}
	return map[string]any{"type": "integer"}
}

func (s schemas) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []any{}
	for f := range fields(t) {
		name := f.Tag.Get("json")
		properties[name] = s.of(f.Type)
		if f.Tag.Get("need") != "" {
			required = append(required, name)
		}
	}
	o := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

// fields yields the members of a struct of the document.
func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("json") != "" && !yield(f) {
				return
			}
		}
	}
}

// whole is the schema of the document.
func whole() map[string]any {
	s := schemas{}
	root := s.object(configfile.Document)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Configuration of regionjwt"
	root["$defs"] = map[string]any(s)
	return root
}

// copyWritten copies what people have written from one schema to another.
func copyWritten(from, to map[string]any) {
	for _, name := range written {
		if v, ok := from[name]; ok {
			to[name] = v
		}
	}
	for name, v := range to {
		a, ok1 := from[name].(map[string]any)
		b, ok2 := v.(map[string]any)
		if ok1 && ok2 {
			copyWritten(a, b)
		}
	}
}

// The schema has every member that the file may have, with its type, and no other; and it says what each means.
func TestTheSchemaIsThatOfTheTypes(t *testing.T) {
	t.Parallel()
	var got map[string]any
	require.NoError(t, json.Unmarshal(configfile.Schema(), &got))
	want := whole()
	copyWritten(got, want)
	if *update {
		text, err := json.MarshalIndent(want, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("schema.json", append(text, '\n'), 0o600))
	}
	require.Equal(t, want, got)
	objects := map[string]any{"": got}
	maps.Copy(objects, got["$defs"].(map[string]any))
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		properties, _ := objects[name].(map[string]any)["properties"].(map[string]any)
		for member, v := range properties {
			text, _ := v.(map[string]any)["description"].(string)
			require.True(t, strings.HasSuffix(text, "."), "%s.%s has no description", name, member)
		}
	}
}
