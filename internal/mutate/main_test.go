package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The list must keep up with the code. This does not run the tests that the rules name.
func TestRulesFitTheCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("rules.txt")
	require.NoError(t, err)
	rules, err := parse(string(text))
	require.NoError(t, err)
	require.NotEmpty(t, rules)
	root := filepath.Join("..", "..")
	names := map[string]bool{}
	for _, r := range rules {
		require.False(t, names[r.name], "two rules are named %q", r.name)
		names[r.name] = true
		source, err := os.ReadFile(filepath.Join(root, r.file))
		require.NoError(t, err, r.name)
		mutant, err := r.mutant(source)
		require.NoError(t, err, r.name)
		require.NotEqual(t, string(source), string(mutant), r.name)
		_, err = parser.ParseFile(token.NewFileSet(), r.file, mutant, parser.SkipObjectResolution)
		require.NoError(t, err, "without the rule %q", r.name)
	}
}
