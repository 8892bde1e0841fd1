package regionjwt_test

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

// oldWords are words that make a reader stop: archaic, figurative, or not the term of the field.
var oldWords = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
	`of late`, `whoever`, `octet for octet`, `(is|are|was|were|been|be) told of`, `mend(s|ed|ing)?`, `lacks?`, `lacking`, `strangers?`,
	`at hand`, `bad word`, `word on`, `but for`, `what is wrong with`, `in foreign hands`, `by and by`, `lest`, `break-glass`,
	`octets?`, `papers`, `mint(s|ed|ing)?`, `authorit(y|ies)`, `of old`, `anew`, `misspelt`, `learnt`,
}, "|") + `)\b`)

// quoted are places where such a word is right.
var quoted = regexp.MustCompile(`(?i)certificate authorit|certification authorit|:authority|x-authority|WithAuthority|` +
	`url\.Authority|userinfo|authority component|octet-stream|octet sequence|OctetString|"authority"|octet string`)

// Sentences are read once.
func TestWordsOfToday(t *testing.T) {
	t.Parallel()
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".tools", "testdata", "node_modules"}, name):
			return fs.SkipDir
		case d.IsDir(), path == "words_test.go", path == "CHANGELOG.md", !slices.Contains([]string{".go", ".md"}, filepath.Ext(name)):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			line = strings.ReplaceAll(line, "break-glass.md", "") // a file
			if word := oldWords.FindString(line); word != "" && !quoted.MatchString(line) {
				t.Errorf("%s:%d: %q", path, n, word)
			}
		}
		return nil
	}))
}
