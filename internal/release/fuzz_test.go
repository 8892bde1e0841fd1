package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// make fuzz runs each fuzz target of the repository: go test ends well where it finds no target of that name.
func TestMakeFuzzRunsEveryTarget(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	_, list, _ := strings.Cut(string(makefile), "\nFUZZ := ")
	list, _, _ = strings.Cut(list, "\n\n")
	listed := strings.Fields(strings.ReplaceAll(list, "\\\n", " "))

	var there []string
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	require.NoError(t, filepath.WalkDir("../..", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() != ".." && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case !strings.HasSuffix(file, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(file)
		for _, m := range target.FindAllStringSubmatch(string(text), -1) {
			there = append(there, "./"+filepath.ToSlash(strings.TrimPrefix(filepath.Dir(file), "../../"))+":"+m[1])
		}
		return err
	}))
	slices.Sort(listed)
	slices.Sort(there)
	require.Equal(t, there, listed)
}
