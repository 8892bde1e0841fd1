package docs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const root = "../.." // of the repository

// document is a Markdown file.
type document struct {
	path   string // from the root
	blocks []block
	prose  string // without blocks
}

// block is what stands between two fences.
type block struct {
	document, language, text string
	line                     int // of its first line in the document
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.document, b.line) }

// documents reads every document of the repository.
func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		all = append(all, parse(name, string(text)))
		return err
	}))
	require.GreaterOrEqual(t, len(all), 18)
	return all
}

func parse(path, text string) document {
	p := document{path: path}
	var inside *block
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && inside == nil:
			inside = &block{document: path, language: fence, line: i + 2}
		case isFence:
			p.blocks = append(p.blocks, *inside)
			inside = nil
		case inside != nil:
			inside.text += line + "\n"
		default:
			p.prose += line + "\n"
		}
	}
	if inside != nil {
		p.blocks = append(p.blocks, block{document: path, language: "without an end", line: inside.line})
	}
	return p
}

// isForUsers reports whether p is about how to use the library as it is now.
func (p document) isForUsers() bool {
	dir := filepath.Dir(p.path)
	return (dir == "." || dir == "docs") && p.path != "CHANGELOG.md"
}

// blocks returns those of a language in the documents that users read, at least so many.
func blocks(t *testing.T, language string, least int) []block {
	t.Helper()
	var found []block
	for _, p := range documents(t) {
		if !p.isForUsers() {
			continue
		}
		for _, b := range p.blocks {
			if b.language == language {
				found = append(found, b)
			}
		}
	}
	require.GreaterOrEqual(t, len(found), least, "blocks of %s", language)
	return found
}

// Every block says what it is, so that none escapes the other tests.
func TestLanguages(t *testing.T) {
	t.Parallel()
	for _, p := range documents(t) {
		for _, b := range p.blocks {
			require.Contains(t, []string{"", "go", "sh", "js", "json", "python", "yaml", "mermaid", "text"}, b.language, b.String())
			if b.language == "" {
				require.NotRegexp(t, `:=|\$ |regionjwt [a-z]+ -|func `, b.text, "%s looks like code, and names no language", b)
			}
		}
	}
}

// Python blocks can be parsed.
func TestPython(t *testing.T) {
	t.Parallel()
	n := 0
	for _, p := range documents(t) {
		for _, b := range p.blocks {
			if b.language != "python" {
				continue
			}
			n++
			cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import ast, sys; ast.parse(sys.stdin.read())")
			cmd.Stdin = strings.NewReader(b.text)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s: %s", b, out)
		}
	}
	require.Positive(t, n)
}

func TestYAMLAndJSON(t *testing.T) {
	t.Parallel()
	for _, b := range blocks(t, "yaml", 1) {
		decoder := yaml.NewDecoder(strings.NewReader(b.text))
		var into map[string]any
		require.NoError(t, decoder.Decode(&into), b.String())
		require.NotEmpty(t, into, b.String())
	}
	for _, b := range blocks(t, "json", 0) {
		require.True(t, json.Valid([]byte(b.text)), b.String())
	}
}

// What stands for others in JavaScript is at least JavaScript, as far as this machine can say.
func TestScripts(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	for i, b := range blocks(t, "js", 1) {
		if err != nil {
			t.Logf("%s is not checked: there is no node", b)
			continue
		}
		file := filepath.Join(t.TempDir(), fmt.Sprintf("block%d.mjs", i))
		require.NoError(t, os.WriteFile(file, []byte(b.text), 0o600))
		out, err := exec.CommandContext(t.Context(), node, "--check", file).CombinedOutput()
		require.NoError(t, err, "%s: %s", b, out)
	}
}

var link = regexp.MustCompile(`\]\(([^()\s]+)\)`)

// Every link within the repository leads to a file that exists, and to a heading that it has.
func TestLinks(t *testing.T) {
	t.Parallel()
	headings := map[string]map[string]bool{}
	all := documents(t)
	for _, p := range all {
		headings[p.path] = anchors(p.prose)
	}
	require.True(t, headings["docs/break-glass.md"]["when-the-tool-says-no"])
	followed := 0
	for _, p := range all {
		for _, m := range link.FindAllStringSubmatch(p.prose, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := p.path
			if path != "" {
				target = filepath.Join(filepath.Dir(p.path), path)
			}
			_, err := os.Stat(filepath.Join(root, target))
			require.NoError(t, err, "%s links to %s", p.path, m[1])
			if anchor != "" {
				require.True(t, headings[target][anchor], "%s links to %s, which has no such heading", p.path, m[1])
				followed++
			}
		}
	}
	require.GreaterOrEqual(t, followed, 5)
}

// anchors returns the names that forges give to the headings of a text.
func anchors(prose string) map[string]bool {
	names := map[string]bool{}
	for line := range strings.Lines(prose) {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ' || r == '-':
				return '-'
			case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(heading))
		unique := name
		for i := 1; names[unique]; i++ {
			unique = fmt.Sprintf("%s-%d", name, i)
		}
		names[unique] = true
	}
	return names
}

// The index names every document beside it.
func TestIndex(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile(root + "/docs/README.md")
	require.NoError(t, err)
	found, err := filepath.Glob(root + "/docs/*.md")
	require.NoError(t, err)
	for _, path := range found {
		if name := filepath.Base(path); name != "README.md" {
			require.True(t, bytes.Contains(index, []byte("("+name+")")), "docs/README.md does not name %s", name)
		}
	}
}
