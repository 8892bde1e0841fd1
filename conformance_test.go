package regionjwt_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	testName    = regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w*`)
	testPackage = regexp.MustCompile("^`([a-z0-9/]+)` ")
)

// Every clause of docs/conformance.md names a test that guards it, and every test that it names exists in its package.
func TestConformanceTables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/conformance.md")
	require.NoError(t, err)
	rows, headings, column := 0, 0, -1
	sources := map[string]string{}
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		switch {
		case strings.HasPrefix(line, "## "):
			headings, column = headings+1, -1
		case len(cells) < 4 || strings.HasPrefix(line, "|---"):
		case column < 0: // the head of a table
			for i, cell := range cells {
				if strings.TrimSpace(cell) == "tests" {
					column = i
				}
			}
			require.Positive(t, column, line)
		default:
			rows++
			require.Len(t, cells, column+3, line)
			for part := range strings.SplitSeq(strings.TrimSpace(cells[column]), "; ") {
				where := testPackage.FindStringSubmatch(part)
				require.NotNil(t, where, "%q names no package", part)
				names := testName.FindAllString(part, -1)
				require.Len(t, strings.Split(part, ", "), len(names), "%q", part)
				if _, ok := sources[where[1]]; !ok {
					sources[where[1]] = testsOf(t, where[1])
				}
				for _, name := range names {
					require.Contains(t, sources[where[1]], "\nfunc "+name+"(", "%s, in: %s", where[1], line)
				}
			}
		}
	}
	require.Equal(t, 8, headings)
	require.Greater(t, rows, 70)
}

// testsOf returns the text of the test files of a package.
func testsOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*_test.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, dir)
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		all.Write(text)
	}
	return all.String()
}
