package main_test

import (
	"archive/zip"
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	release "github.com/regionjwt/regionjwt/internal/release"
)

const path = "github.com/regionjwt/regionjwt"

// check type-checks a file of a package.
func check(t *testing.T, text string) *types.Package {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", text, 0)
	require.NoError(t, err)
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	pkg, err := config.Check("example.com/p", fset, []*ast.File{f}, nil)
	require.NoError(t, err)
	return pkg
}

func TestFacts(t *testing.T) {
	t.Parallel()
	before := release.Facts(check(t, `package p
import "io"
const Limit = 5
const hidden = 6
var Err error
type Config struct { Out io.Writer; OnEvent func(name string); secret int }
type Source interface { Next(n int) (s string, err error); sealed() }
type Mode int
type Alias = Config
type T struct { io.Reader }
func (t *T) Do(a, b int, rest ...string) error { return nil }
func (T) hidden() {}
func New(c Config) (*T, error) { return nil, nil }
`))
	require.Equal(t, []string{
		"const Limit untyped int = 5",
		"func New(Config) (*T, error)",
		"method (*T) Do(int, int, ...string) error",
		"type Alias = Config",
		"type Config struct",
		"type Config struct, OnEvent func(string)",
		"type Config struct, Out io.Writer",
		"type Config struct, unexported fields",
		"type Mode int",
		"type Source interface",
		"type Source interface, Next(int) (string, error)",
		"type Source interface, unexported methods",
		"type T struct",
		"type T struct, embeds io.Reader",
		"var Err error",
	}, before)
}

func TestDifference(t *testing.T) {
	t.Parallel()
	require.Empty(t, release.Difference("a\nb\n", "a\nb\n"))
	require.Equal(t, []string{"+ c", "- b"}, release.Difference("a\nb\n", "a\nc\n"))
	require.NotEmpty(t, release.Difference("a\nb\n", "b\na\n"))
	require.NotEmpty(t, release.Difference("a\na\n", "a\n"))
}

// The hash of the zip is that which the go command gives a module: this one is of a module with one file.
func TestZip(t *testing.T) {
	t.Parallel()
	files := []release.File{{"LICENSE", "license"}, {"go.mod", "module m\n"}}
	first, err := release.Pack("example.com/m", "v1.0.0", files)
	require.NoError(t, err)
	second, err := release.Pack("example.com/m", "v1.0.0", files)
	require.NoError(t, err)
	require.Equal(t, first, second)
	files[0].Data += "."
	other, err := release.Pack("example.com/m", "v1.0.0", files)
	require.NoError(t, err)
	require.NotEqual(t, first, other)

	r, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	require.NoError(t, err)
	require.Equal(t, "example.com/m@v1.0.0/LICENSE", r.File[0].Name)
	f, err := r.File[1].Open()
	require.NoError(t, err)
	text, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "module m\n", string(text))
	require.NotEqual(t, release.Hash("m", "v1", files[:1]), release.Hash("m", "v2", files[:1]))
}

func TestParseMod(t *testing.T) {
	t.Parallel()
	p, line, requires, replaces := release.ParseMod(`module example.com/m // a module
go 1.25.0
require example.com/a v1.0.0
require (
	example.com/b v1.2.0
	example.com/c v0.1.0 // indirect
)
replace example.com/a => ../a
replace (
	example.com/b v1.2.0 => ../b
)
`)
	require.Equal(t, "example.com/m", p)
	require.Equal(t, "1.25.0", line)
	require.Equal(t, map[string]string{"example.com/a": "v1.0.0", "example.com/b": "v1.2.0", "example.com/c": "v0.1.0"}, requires)
	require.Equal(t, []string{"example.com/a", "example.com/b"}, replaces)
}

// repository makes a small one: a root module, and one below it that requires and replaces it.
func repository(t *testing.T) (dir string, write func(name, text string)) {
	t.Helper()
	dir = t.TempDir()
	write = func(name, text string) {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o750))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
	write("LICENSE", "license")
	write("CHANGELOG.md", "# Changelog\n\n## [0.1.0] - 2000-01-01\n")
	write("go.mod", "module "+path+"\n\ngo 1.25.0\n")
	write("go.sum", "")
	write("part/part.go", "// Package part is a part.\npackage part\n\n// Answer is the answer.\nconst Answer = 42\n")
	write("part/part_test.go", "package part_test\n\nfunc Example() {\n\tprint()\n\t// Output:\n}\n")
	write("adapter/go.mod", "module "+path+"/adapter\n\ngo 1.25.0\n\nrequire "+path+" v0.0.0\n\nreplace "+path+" => ../\n")
	write("adapter/go.sum", "")
	write("adapter/adapter.go", "// Package adapter adapts.\npackage adapter\n\nimport \""+path+
		"/part\"\n\n// Question has an answer.\nconst Question = part.Answer\n")
	write("adapter/adapter_test.go", "package adapter_test\n\nfunc Example() {\n\tprint()\n\t// Output:\n}\n")
	git(t, dir, "init", "-q")
	return dir, write
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	args = append([]string{"-c", "user.name=test", "-c", "user.email=test@example.com"}, args...)
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestAPIIsCompared(t *testing.T) {
	t.Parallel()
	dir, write := repository(t)
	_, err := release.Run(t.Context(), dir, "api", false, "")
	require.Error(t, err, "there is no list yet")
	_, err = release.Run(t.Context(), dir, "api", true, "")
	require.NoError(t, err)
	_, err = release.Run(t.Context(), dir, "api", false, "")
	require.NoError(t, err)
	write("part/part.go", "// Package part is a part.\npackage part\n\n// Answer is the answer.\nconst Answer = 43\n")
	out, err := release.Run(t.Context(), dir, "api", false, "")
	require.Error(t, err)
	require.Contains(t, out, "- part: const Answer untyped int = 42\n")
	require.Contains(t, out, "+ part: const Answer untyped int = 43\n")
}

func TestPapersAreRequired(t *testing.T) {
	t.Parallel()
	dir, write := repository(t)
	_, err := release.Run(t.Context(), dir, "examples", false, "")
	require.NoError(t, err)
	for name, text := range map[string]string{
		"part/part.go":      "package part\n\n// Answer is the answer.\nconst Answer = 42\n",
		"part/bare.go":      "package part\n\nfunc Bare() {}\n",
		"part/part_test.go": "package part_test\n\nfunc Example() {}\n",
	} {
		before, _ := os.ReadFile(filepath.Join(dir, name))
		write(name, text)
		_, err := release.Run(t.Context(), dir, "examples", false, "")
		require.Error(t, err, name)
		write(name, string(before))
		if len(before) == 0 {
			require.NoError(t, os.Remove(filepath.Join(dir, name)))
		}
	}
	_, err = release.Run(t.Context(), dir, "examples", false, "")
	require.NoError(t, err)
}

// A module that leans on its replace directive is found out: here it uses what the root, as it is published, does not have.
func TestModulesAreUsedWithoutReplace(t *testing.T) {
	t.Parallel()
	dir, write := repository(t)
	out, err := release.Run(t.Context(), dir, "modules", false, "")
	require.NoError(t, err, out)
	require.Contains(t, out, path+"/adapter: can be got and built, h1:")

	write(".gitignore", "generated.go\n")
	write("part/generated.go", "package part\n\nconst More = 1\n")
	write("adapter/adapter.go", "// Package adapter adapts.\npackage adapter\n\nimport \""+path+"/part\"\n\nconst Question = part.More\n")
	_, err = release.Run(t.Context(), dir, "modules", false, "")
	require.ErrorContains(t, err, "undefined: part.More")
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	dir, _ := repository(t)
	for _, version := range []string{"", "0.1.0", "v0.1", "v0.2.0"} { // of the last the changelog says nothing
		_, err := release.Run(t.Context(), dir, "prepare", false, version)
		require.Error(t, err, version)
	}
	out, err := release.Run(t.Context(), dir, "prepare", false, "v0.1.0")
	require.NoError(t, err)
	require.Contains(t, out, "git tag v0.1.0 # h1:")
	require.Contains(t, out, "git tag adapter/v0.1.0 # h1:")
	text, err := os.ReadFile(filepath.Join(dir, "adapter", "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(text), "require "+path+" v0.1.0")
	require.NotContains(t, string(text), "replace")
	sums, err := os.ReadFile(filepath.Join(dir, "adapter", "go.sum"))
	require.NoError(t, err)
	require.Contains(t, string(sums), path+" v0.1.0 "+strings.Fields(out)[4])
}

func TestInternal(t *testing.T) {
	t.Parallel()
	require.True(t, release.Internal(path+"/internal/jose"))
	require.True(t, release.Internal(path+"/examples/outage"))
	require.False(t, release.Internal(path+"/jwks"))
}

var (
	pinned   = regexp.MustCompile(`^ +- uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	granted  = regexp.MustCompile(`permissions: *[^ ]|[a-z-]+["']?: *["']?(write|write-all)\b`)
	signs    = regexp.MustCompile(`^      (id-token|attestations): write$`)
	reaching = regexp.MustCompile(`pull_request_target|workflow_run|secrets|github\.(event\.|head_ref|token)`)
	made     = regexp.MustCompile(`\bmake((?: +[^\s&|;]+)+)`)
)

// wrong returns the mistakes of a hosted workflow, of which targets are those of the Makefile.
func wrong(text string, targets []string) (found []string) {
	if !strings.Contains(text, "\npermissions:\n  contents: read\n") {
		found = append(found, "does not say that tokens can only read")
	}
	checkouts := strings.Count(text, "actions/checkout@")
	if strings.Count(text, "persist-credentials: false") != checkouts {
		found = append(found, "leaves a token behind in a checkout")
	}
	for _, job := range regexp.MustCompile(`(?m)^  [\w-]+:`).Split(text, -1) {
		if strings.Contains(job, ": write\n") && regexp.MustCompile(`(?m)^ +(- )?run:`).MatchString(job) {
			found = append(found, "runs code where it can sign")
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.Contains(line, "uses") && !pinned.MatchString(line) {
			found = append(found, "runs what can move: "+line)
		}
		line, _, _ = strings.Cut(line, " #")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if !signs.MatchString(line) && granted.MatchString(line) || reaching.MatchString(line) {
			found = append(found, "reaches for too much: "+line)
		}
		for _, call := range made.FindAllStringSubmatch(line, -1) {
			for target := range strings.FieldsSeq(call[1]) {
				if !strings.Contains(target, "=") && !slices.Contains(targets, target+":") {
					found = append(found, "makes what there is not: "+target)
				}
			}
		}
	}
	return found
}

// Hosted workflows run actions at commits that cannot move, with tokens that can only read, or sign where no code of ours runs,
// and make what the Makefile has.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../.github/workflows/*")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 2)
	var targets []string
	for _, name := range []string{"../../Makefile", "../../release.mk"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		targets = append(targets, regexp.MustCompile(`(?m)^[a-z0-9-]+:`).FindAllString(string(text), -1)...)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.YAMLEq(t, string(text), string(text), name) //nolint:testifylint // it parses
		require.Empty(t, wrong(string(text), targets), name)
		require.Regexp(t, made, string(text), name)
	}
}

func TestWrongWorkflowsAreFound(t *testing.T) {
	t.Parallel()
	const good = "on: push\npermissions:\n  contents: read\njobs:\n  a:\n    runs-on: x\n    steps:\n" +
		"      - uses: actions/checkout@0123456789012345678901234567890123456789 # v1.2.3\n" +
		"        with:\n          persist-credentials: false\n      - run: sudo true && make test lint A=b\n"
	require.Empty(t, wrong(good, []string{"test:", "lint:"}))
	require.NotEmpty(t, wrong(good, []string{"test:"}))
	signing := strings.Replace(good, "    runs-on: x", "    runs-on: x\n    permissions:\n      id-token: write", 1)
	require.NotEmpty(t, wrong(signing, []string{"test:", "lint:"}))
	require.Empty(t, wrong(strings.Split(signing, "      - run")[0], []string{"test:", "lint:"}), "a job that runs actions only")
	for old, now := range map[string]string{
		"0123456789012345678901234567890123456789 # v1.2.3": "v1",
		" # v1.2.3":                     "",
		"permissions:":                  "other:",
		"    runs-on: x":                "    permissions: write-all",
		"    runs-on":                   "    permissions:\n      \"packages\": \"write\" # to publish\n    runs-on",
		"          persist-credentials": "          other",
		"on: push":                      "on: pull_request_target",
		"sudo true":                     "echo ${{ secrets.KEY }}",
		"make test":                     "make -k test",
		"- run: ":                       "- run: |\n          make other; ",
	} {
		require.Contains(t, good, old)
		require.NotEmpty(t, wrong(strings.Replace(good, old, now, 1), []string{"test:", "lint:"}), now)
	}
}
