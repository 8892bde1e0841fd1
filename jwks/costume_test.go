package jwks_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// costume is what stands between the parts of a process: a decorator of each interface that a constructor takes.
type costume struct {
	source   func(jwks.Source) jwks.Source
	store    func(store.Trusted) store.Trusted
	revoker  func(verifier.Revocation) verifier.Revocation
	verifier func(judging) judging
	forgets  bool // the source forgets what is complete
}

// same decorates nothing.
func same[T any](v T) T { return v }

var plain = costume{
	source: same[jwks.Source], store: same[store.Trusted], revoker: same[verifier.Revocation],
	verifier: same[judging],
}

// forwarded passes everything on, by types that have no other method.
var forwarded = costume{
	source:   func(v jwks.Source) jwks.Source { return forwardSource{v} },
	store:    func(v store.Trusted) store.Trusted { return store.InsecureTrust(forwardStore{v}) },
	revoker:  func(v verifier.Revocation) verifier.Revocation { return forwardRevoker{v} },
	verifier: func(v judging) judging { return forwardVerifier{v} },
}

// forgetful passes everything on but what f forgets of each Result.
func forgetful(f func(*jwks.Result)) costume {
	c := forwarded
	c.forgets = true
	c.source = func(v jwks.Source) jwks.Source { return forgetSource{v, f} }
	return c
}

type forwardSource struct{ inner jwks.Source }

func (f forwardSource) Lookup(ctx context.Context, q jwks.Query) jwks.Result {
	return f.inner.Lookup(ctx, q)
}
func (f forwardSource) Changed() <-chan struct{} { return f.inner.Changed() }

type forgetSource struct {
	inner  jwks.Source
	forget func(*jwks.Result)
}

func (f forgetSource) Lookup(ctx context.Context, q jwks.Query) jwks.Result {
	r := f.inner.Lookup(ctx, q)
	f.forget(&r)
	return r
}

func (f forgetSource) Changed() <-chan struct{} { return f.inner.Changed() }

type forwardStore struct{ inner store.Store }

func (f forwardStore) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	return f.inner.Load(ctx, name, ifNot)
}

func (f forwardStore) Watch(ctx context.Context, name string, changed func()) error {
	return f.inner.Watch(ctx, name, changed)
}

func (f forwardStore) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	return f.inner.Save(ctx, name, data, ifRevision)
}

type forwardRevoker struct{ inner verifier.Revocation }

func (f forwardRevoker) Revoked(t *verifier.Token) (string, error) { return f.inner.Revoked(t) }
func (f forwardRevoker) Changed() <-chan struct{}                  { return f.inner.Changed() }

type forwardVerifier struct{ inner judging }

func (f forwardVerifier) Verify(ctx context.Context, raw string) (*verifier.Token, error) {
	return f.inner.Verify(ctx, raw)
}

func (f forwardVerifier) Recheck(ctx context.Context, t *verifier.Token) error {
	return f.inner.Recheck(ctx, t)
}
func (f forwardVerifier) Changed() <-chan struct{} { return f.inner.Changed() }

// Each row has the same answers if every interface is decorated.
func TestFailureTableThroughDecorators(t *testing.T) {
	t.Parallel()
	playAll(t, false, forwarded)
}

// A decorator of the source that forgets fields of the Result causes more answers that say that nobody can tell. It causes no
// other answer, least of all 401.
func TestFailureTableThroughForgetfulSources(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*jwks.Result){
		"Complete":     func(r *jwks.Result) { r.Complete = false },
		"all but Keys": func(r *jwks.Result) { *r = jwks.Result{Keys: r.Keys} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			playAll(t, false, forgetful(f))
		})
	}
}

// interfaces are the exported interfaces of the repository, and which test decorates each.
var interfaces = map[string]string{
	"jwks.Source": "costume", "store.Store": "costume", "store.Trusted": "costume", "verifier.Revocation": "costume",
	"middleware.Verifier": "costume",

	"fakeissuer.TB":      "of tests",
	"dynamostore.Client": "below store.Store: e2e/stores and the faults of module aws", "s3store.Client": "the same",
	"workload.Client": "machine tokens: its tests put a fake below a client of the SDK",
}

// Every exported interface is decorated, or does not concern keys and verification.
func TestEveryInterfaceIsDecorated(t *testing.T) {
	t.Parallel()
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel("..", path)
		if d.IsDir() && d.Name() == "internal" || d.IsDir() && slices.Contains([]string{"bench", "e2e", "cmd", "examples", "docs"}, strings.Split(rel, "/")[0]) {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if ok && spec.Name.IsExported() {
				if _, is := spec.Type.(*ast.InterfaceType); is {
					require.Contains(t, interfaces, file.Name.Name+"."+spec.Name.Name, "decorate it in costume, or say why not")
				}
			}
			return true
		})
		return nil
	}))
}
