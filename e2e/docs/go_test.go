package docs_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// compiler type-checks blocks as the go command would, against the packages that given_test.go imports.
type compiler struct {
	fset     *token.FileSet
	importer types.Importer
	imports  map[string]string // what given_test.go imports: the clause by the name that it declares
	params   string            // of Given
}

func newCompiler(t *testing.T) *compiler {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-test", "-export", "-deps", "-f",
		"{{.ImportPath}} {{.Name}} {{.Export}}", ".").Output()
	require.NoError(t, err)
	exports, names := map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 {
			names[f[0]], exports[f[0]] = f[1], f[2]
		}
	}
	c := &compiler{fset: token.NewFileSet(), imports: map[string]string{}}
	c.importer = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) {
		file, ok := exports[path]
		if !ok {
			return nil, fmt.Errorf("given_test.go does not import %s", path)
		}
		return os.Open(file)
	})
	text, err := os.ReadFile("given_test.go")
	require.NoError(t, err)
	file, err := parser.ParseFile(c.fset, "given_test.go", text, 0)
	require.NoError(t, err)
	for _, i := range file.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		name := names[path]
		if i.Name != nil {
			name = i.Name.Name
		}
		c.imports[name] = name + " " + i.Path.Value
	}
	given, ok := file.Scope.Lookup("Given").Decl.(*ast.FuncDecl)
	require.True(t, ok)
	at := func(p token.Pos) int { return c.fset.Position(p).Offset }
	c.params = string(text[at(given.Type.Params.Opening)+1 : at(given.Type.Params.Closing)])
	return c
}

var (
	declaration = regexp.MustCompile(`^(func \w|func \(|type \w)`)
	field       = regexp.MustCompile(`^[A-Z]\w*: `)
	comments    = regexp.MustCompile(`^(//.*\n)+`)
)

// chunks splits a block where a line begins that is neither indented nor closes anything.
func chunks(b block) (parts []string, lines []int) {
	for i, line := range strings.SplitAfter(b.text, "\n") {
		if n := len(parts); n > 0 && (strings.TrimLeft(line, " \t\n})") != line || line == "" ||
			comments.ReplaceAllString(parts[n-1], "") == "") {
			parts[n-1] += line
			continue
		}
		parts, lines = append(parts, line), append(lines, b.line+i)
	}
	return parts, lines
}

// file returns b as a Go file, and whether it was one already. Otherwise its declarations stay what they are, and everything else
// becomes the body of Given.
func (c *compiler) file(b block) (text string, whole bool) {
	if strings.HasPrefix(comments.ReplaceAllString(b.text, ""), "package ") {
		return fmt.Sprintf("//line %s:%d\n%s", b.document, b.line, b.text), true
	}
	var imports, declarations, body strings.Builder
	parts, lines := chunks(b)
	for i, part := range parts {
		code := comments.ReplaceAllString(part, "")
		at := fmt.Sprintf("\n//line %s:%d\n", b.document, lines[i])
		e, err := parser.ParseExpr(code)
		_, call := e.(*ast.CallExpr)
		switch {
		case strings.HasPrefix(code, "import"):
			imports.WriteString(at + part)
		case declaration.MatchString(code):
			declarations.WriteString(at + part)
		case field.MatchString(code): // of the configuration that adapters are about
			body.WriteString("\n_ = httpauth.Config{" + at + part + "}")
		case err == nil && !call: // a value
			body.WriteString("\n_ =" + at + code)
		default:
			body.WriteString(at + part)
		}
	}
	own, err := parser.ParseFile(c.fset, "imports", "package p\n"+imports.String(), parser.ImportsOnly)
	text = imports.String()
	for name, clause := range c.imports {
		declared := err == nil && slices.ContainsFunc(own.Imports, func(i *ast.ImportSpec) bool {
			if i.Name != nil {
				return i.Name.Name == name
			}
			return strings.HasSuffix(clause, " "+i.Path.Value)
		})
		if used := regexp.MustCompile(`\b` + name + `\.`); !declared &&
			used.MatchString(declarations.String()+body.String()+c.params) {
			text = "import " + clause + "\n" + text
		}
	}
	return "package p\n" + text + declarations.String() + "\nfunc given(" + c.params + ") error {\n{" + body.String() +
		"\n}\nreturn nil\n}\n", false
}

// check returns the mistakes of b. What a part of a function does not use is no mistake.
func (c *compiler) check(b block) (mistakes []string) {
	text, whole := c.file(b)
	file, err := parser.ParseFile(c.fset, "block.go", text, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	config := types.Config{Importer: c.importer, Error: func(err error) {
		if e, ok := err.(types.Error); whole || !ok || !e.Soft {
			mistakes = append(mistakes, err.Error())
		}
	}}
	_, _ = config.Check("p", c.fset, []*ast.File{file}, nil)
	return mistakes
}

// Every Go block of the documents compiles.
func TestGoBlocks(t *testing.T) {
	t.Parallel()
	c := newCompiler(t)
	for _, b := range blocks(t, "go", 30) {
		if mistakes := c.check(b); len(mistakes) > 0 {
			text, _ := c.file(b)
			t.Errorf("%s does not compile:\n%s\n%s", b, strings.Join(mistakes, "\n"), text)
		}
	}
}

// TestGoBlocks would notice.
func TestBrokenGoBlocks(t *testing.T) {
	t.Parallel()
	c := newCompiler(t)
	for text, mistake := range map[string]string{
		"x := nowhere\n":                                    "x.md:7: undefined: nowhere",
		"if err := v.Run(ctx) {\n}\n":                       "x.md:7",
		"_, err := v.Verify(ctx, 7)\n":                      "cannot use 7",
		"v, err := regionjwt.New(regionjwt.Config{\n":       "x.md:9",
		"\n\nfunc f() int { return \"\" }\n":                "x.md:9: cannot use",
		"regionjwt.Config{Trusts: nil}\n":                   "unknown field Trusts",
		"WriteErrors: nil,\n":                               "unknown field WriteErrors",
		"import \"example.com/elsewhere\"\nelsewhere.F()\n": "given_test.go does not import example.com/elsewhere",
		"package main\n\nfunc main() { x := 1 }\n":          "x.md:9: declared and not used: x",
	} {
		mistakes := c.check(block{document: "x.md", language: "go", text: text, line: 7})
		require.NotEmpty(t, mistakes, text)
		require.Contains(t, mistakes[0], mistake)
	}
	require.Empty(t, c.check(block{document: "x.md", text: "t, err := v.Verify(ctx, raw)\nif err != nil {\n\treturn err\n}\n", line: 1}))
}

// The peers are those that bench measures, so that what the documents say of them is what was seen.
func TestPeersAreThoseOfTheBench(t *testing.T) {
	t.Parallel()
	ours, err := os.ReadFile(root + "/e2e/go.mod")
	require.NoError(t, err)
	theirs, err := os.ReadFile(root + "/bench/go.mod")
	require.NoError(t, err)
	for _, peer := range []string{
		"github.com/MicahParks/keyfunc/v3", "github.com/auth0/go-jwt-middleware/v3", "github.com/coreos/go-oidc/v3",
		"github.com/golang-jwt/jwt/v5",
	} {
		version := regexp.MustCompile(regexp.QuoteMeta(peer) + ` v[\d.]+`).Find(theirs)
		require.NotEmpty(t, version)
		require.True(t, bytes.Contains(ours, version), "%s", version)
	}
}
