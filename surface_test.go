package regionjwt_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxNames is how many exported names the packages below may have together: names of packages, methods and fields.
const maxNames = 530

var surface = []string{
	".", "issuer", "issuer/issuertest", "jwks", "verifier", "store", "revocation", "failover", "failover/clientcredentials",
	"middleware", "middleware/httpauth", "middleware/dpop", "middleware/statuspage", "middleware/grpcauth", "observe/audit",
	"observe/otel",
}

// The surface stays small: a new name serves a need that somebody has, and another one may go for it.
func TestTheSurfaceIsSmall(t *testing.T) {
	t.Parallel()
	total := 0
	for _, dir := range surface {
		n := exportedNames(t, dir)
		t.Logf("%4d %s", n, dir)
		total += n
	}
	t.Logf("%4d of %d", total, maxNames)
	require.LessOrEqual(t, total, maxNames)
}

// maxNamesOfAnAddition is how many exported names one package may have that serves few users.
const maxNamesOfAnAddition = 25

var additions = []string{
	"aws/dynamostore", "aws/s3store", "aws/lambdaauth", "aws/albauth", "aws/workload", "configfile", "failover/monitor",
	"revocation/sharedsignals", "revocation/sharedsignals/signalstest",
}

// So do packages that only some users need, each by itself.
func TestAdditionsAreSmall(t *testing.T) {
	t.Parallel()
	for _, dir := range additions {
		n := exportedNames(t, dir)
		t.Logf("%4d %s", n, dir)
		require.LessOrEqual(t, n, maxNamesOfAnAddition, dir)
	}
}

func exportedNames(t *testing.T, dir string) (n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, fs.ErrNotExist)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, "_windows.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range parsed.Decls {
			n += namesOf(d)
		}
	}
	return n
}

func namesOf(d ast.Decl) (n int) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type))) {
			n++
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				n += exported(s.Names)
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					n += 1 + members(s.Type)
				}
			}
		}
	}
	return n
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// members counts the exported fields or methods of a type, and the fields that a struct embeds.
func members(e ast.Expr) (n int) {
	var list *ast.FieldList
	switch e := e.(type) {
	case *ast.StructType:
		list = e.Fields
		for _, f := range list.List {
			if len(f.Names) == 0 {
				n++
			}
		}
	case *ast.InterfaceType:
		list = e.Methods
	default:
		return 0
	}
	for _, f := range list.List {
		n += exported(f.Names)
	}
	return n
}

func exported(names []*ast.Ident) (n int) {
	for _, name := range names {
		if name.IsExported() {
			n++
		}
	}
	return n
}
