package regionjwt_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// constructors are the functions New of this module, each with arguments that are right.
func constructors(t *testing.T) map[string][]any {
	t.Helper()
	policies := manyTrusts(1)
	provider := policies[0].Provider
	machine := provider
	machine.Regions = []issuer.Region{{Name: "eu", Issuers: []string{"https://a.example"}, TokenURL: "https://a.example/token"}}
	keys, err := jwks.New([]issuer.Provider{provider}, jwks.Config{})
	require.NoError(t, err)
	v, err := verifier.New(policies, keys, verifier.Config{})
	require.NoError(t, err)
	return map[string][]any{
		".":          {regionjwt.New, regionjwt.Config{Policies: policies, Revocation: &revocation.Config{}}},
		"jwks":       {jwks.New, []issuer.Provider{provider}, jwks.Config{}},
		"verifier":   {verifier.New, policies, keys, verifier.Config{}},
		"revocation": {revocation.New, revocation.Config{}},
		"failover":   {failover.New, provider, failover.Config{}},
		"failover/clientcredentials": {clientcredentials.New, machine, clientcredentials.Config{
			Credentials: clientcredentials.Credentials{ClientID: "a", Secret: "b"},
		}},
		"middleware/httpauth": {httpauth.New, v, httpauth.Config{}},
		"middleware/dpop":     {dpop.New, dpop.Config{}},
		"observe/audit":       {audit.New, slog.NewTextHandler(io.Discard, nil), audit.Config{}},
	}
}

// typedNils are values that are nil, or as good as nil, by the type of the parameter or field that takes them.
var typedNils = map[reflect.Type]any{
	reflect.TypeFor[jwks.Source]():                   (*jwks.Cache)(nil),
	reflect.TypeFor[verifier.Revocation]():           (*revocation.List)(nil),
	reflect.TypeFor[middleware.Verifier]():           (*verifier.Verifier)(nil),
	reflect.TypeFor[store.Trusted]():                 (*nilStore)(nil),
	reflect.TypeFor[slog.Handler]():                  (*slog.TextHandler)(nil),
	reflect.TypeFor[*slog.Logger]():                  new(slog.Logger),
	reflect.TypeFor[*http.Client]():                  &http.Client{Transport: (*http.Transport)(nil)},
	reflect.TypeFor[*failover.Controller]():          new(failover.Controller),
	reflect.TypeFor[*dpop.Checker]():                 new(dpop.Checker),
	reflect.TypeFor[func(jwks.Source) jwks.Source](): func(jwks.Source) jwks.Source { return nil },
}

// Every constructor rejects nil and what is as good as nil, in each parameter and in each field of its Config, however deep, with
// an error that names what is wrong.
func TestConstructorsRejectNilsEverywhere(t *testing.T) {
	t.Parallel()
	tried := 0
	for name, c := range constructors(t) {
		f, good := reflect.ValueOf(c[0]), c[1:]
		_, err := construct(f, good)
		require.NoError(t, err, name)
		for i, arg := range good {
			parameter := f.Type().In(i)
			if bad, ok := typedNils[parameter]; ok {
				for _, v := range []reflect.Value{reflect.Zero(parameter), reflect.ValueOf(bad)} {
					requireRejected(t, fmt.Sprintf("%s: parameter %d", name, i), f, replaced(good, i, v.Interface()))
					tried++
				}
				continue
			}
			if parameter.Kind() != reflect.Struct {
				continue
			}
			for _, path := range nilable(parameter, nil) {
				changed := reflect.New(parameter).Elem()
				changed.Set(reflect.ValueOf(arg))
				field := reach(changed, path)
				field.Set(reflect.ValueOf(typedNils[field.Type()]))
				requireRejected(t, fmt.Sprintf("%s: %s", name, parameter.FieldByIndex(path[:1]).Name), f, replaced(good, i, changed.Interface()))
				tried++
			}
		}
	}
	require.Greater(t, tried, 25)
}

// construct calls a constructor.
func construct(f reflect.Value, args []any) (made reflect.Value, err error) {
	in := make([]reflect.Value, 0, len(args))
	for i, a := range args {
		if a == nil {
			in = append(in, reflect.Zero(f.Type().In(i)))
			continue
		}
		in = append(in, reflect.ValueOf(a))
	}
	out := f.Call(in)
	err, _ = reflect.TypeAssert[error](out[1])
	return out[0], err
}

func requireRejected(t *testing.T, what string, f reflect.Value, args []any) {
	t.Helper()
	made, err := construct(f, args)
	require.Error(t, err, what)
	require.True(t, made.IsNil(), what)
	require.Contains(t, err.Error(), ": ", what)
}

func replaced(args []any, i int, with any) []any {
	changed := append([]any(nil), args...)
	changed[i] = with
	return changed
}

// nilable lists the paths to the fields of a Config that typedNils has a value for.
func nilable(of reflect.Type, path []int) (paths [][]int) {
	for i := range of.NumField() {
		field := of.Field(i)
		here := append(append([]int(nil), path...), i)
		inner := field.Type
		if inner.Kind() == reflect.Pointer && inner.Elem() == reflect.TypeFor[revocation.Config]() {
			inner = inner.Elem()
		}
		switch _, ok := typedNils[field.Type]; {
		case !field.IsExported():
		case ok:
			paths = append(paths, here)
		case inner.Kind() == reflect.Struct && strings.Contains(inner.PkgPath(), "regionjwt"):
			paths = append(paths, nilable(inner, here)...)
		}
	}
	return paths
}

// reach returns the field of that path. A struct behind a pointer is copied first.
func reach(v reflect.Value, path []int) reflect.Value {
	for _, i := range path {
		if v.Kind() == reflect.Pointer {
			inner := reflect.New(v.Type().Elem())
			if !v.IsNil() {
				inner.Elem().Set(v.Elem())
			}
			v.Set(inner)
			v = inner.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// No function New is forgotten above.
func TestEveryConstructorIsTried(t *testing.T) {
	t.Parallel()
	known := constructors(t)
	for _, dir := range surface {
		if dir == "middleware/grpcauth" || dir == "issuer/issuertest" { // another module; takes a test
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, d := range parsed.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "New" {
					require.Contains(t, known, dir)
				}
			}
		}
	}
}
