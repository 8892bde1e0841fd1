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

// oldWords are words that make a reader stop: archaic, figurative, or not the term of the field. Each has a text that a line with
// it holds, as most lines hold none and expressions are slow.
var oldWords = func() map[string]*regexp.Regexp {
	all := map[string]*regexp.Regexp{}
	for text, word := range map[string]string{
		"of late":            `of late`,
		"whoever":            `whoever`,
		"octet for octet":    `octet for octet`,
		"told of":            `(is|are|was|were|been|be) told of`,
		"mend":               `mend(s|ed|ing)?`,
		"lack":               `lack(s|ing)?`,
		"stranger":           `strangers?`,
		"at hand":            `at hand`,
		"bad word":           `bad word`,
		"word on":            `word on`,
		"but for":            `but for`,
		"what is wrong with": `what is wrong with`,
		"in foreign hands":   `in foreign hands`,
		"by and by":          `by and by`,
		"lest":               `lest`,
		"break-glass":        `break-glass`,
		"octet":              `octets?`,
		"papers":             `papers`,
		"mint":               `mint(s|ed|ing)?`,
		"authorit":           `authorit(y|ies)`,
		"of old":             `of old`,
		"anew":               `anew`,
		"misspelt":           `misspelt`,
		"learnt":             `learnt`,
	} {
		all[text] = regexp.MustCompile(`(?i)\b(` + word + `)\b`)
	}
	return all
}()

// oldWord returns an old word of a line, or "".
func oldWord(line string) string {
	lower := strings.ToLower(line)
	for text, word := range oldWords {
		if strings.Contains(lower, text) {
			if found := word.FindString(line); found != "" {
				return found
			}
		}
	}
	return ""
}

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
			if word := oldWord(line); word != "" && !quoted.MatchString(line) {
				t.Errorf("%s:%d: %q", path, n, word)
			}
		}
		return nil
	}))
}
