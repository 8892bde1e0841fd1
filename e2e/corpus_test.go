package e2e_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// newSchema is Ajv with a schema of the conformance corpus.
func newSchema(t *testing.T, name string) ajv {
	t.Helper()
	require.NoError(t, installed())
	schema, err := os.ReadFile(filepath.Join("..", "conformance", "schema", name))
	require.NoError(t, err)
	p := launch(t, "idp", nil, "node", "schema.js")
	p.send(t, schema)
	return ajv{p}
}

// A validator of others takes every file of the conformance corpus, and rejects each with a member more or a member of another type.
func TestTheSchemasOfTheCorpus(t *testing.T) {
	t.Parallel()
	for schema, pattern := range map[string]string{
		"cases.json": "cases/*.json", "stories.json": "stories/*.json", "sets.json": "keys/sets.json", "private.json": "keys/private.json",
	} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			a := newSchema(t, schema)
			files, err := filepath.Glob(filepath.Join("..", "conformance", pattern))
			require.NoError(t, err)
			require.NotEmpty(t, files)
			for _, file := range files {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Empty(t, a.problems(t, text), file)
				for name, mutant := range spoiled(t, text) {
					require.NotEmpty(t, a.problems(t, mutant), "%s: %s", file, name)
				}
			}
		})
	}
}

// spoiled yields copies of a document with one change, of the document or its first case.
func spoiled(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	change := func(name string, f func(document, inner map[string]any)) {
		var d map[string]any
		require.NoError(t, json.Unmarshal(text, &d))
		inner := d
		for _, key := range slices.Sorted(maps.Keys(d)) {
			if list, ok := d[key].([]any); ok {
				inner, ok = list[0].(map[string]any)
				require.True(t, ok)
			}
		}
		f(d, inner)
		var err error
		all[name], err = json.Marshal(d)
		require.NoError(t, err)
	}
	change("a member more", func(d, _ map[string]any) { d["noSuchMember"] = 1 })
	change("no schema", func(d, _ map[string]any) { delete(d, "$schema") })
	change("a member more in the first", func(_, inner map[string]any) { inner["noSuchMember"] = "a" })
	change("another type", func(_, inner map[string]any) { inner["id"], inner["kid"], inner["sets"] = 1, 1, 1 })
	return all
}
