package httpauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

type verifierFunc func(context.Context, string) (*verifier.Token, error)

func (f verifierFunc) Verify(ctx context.Context, raw string) (*verifier.Token, error) {
	return f(ctx, raw)
}
func (verifierFunc) Recheck(context.Context, *verifier.Token) error { return nil }
func (verifierFunc) Changed() <-chan struct{}                       { return nil }

var noVerifiers = map[string]middleware.Verifier{
	"nothing":         nil,
	"a nil Verifier":  (*verifier.Verifier)(nil),
	"a nil Validator": (*regionjwt.Validator)(nil),
	"a nil function":  verifierFunc(nil),
	"a nil map":       verdicts(nil),
}

func TestNewRejectsNil(t *testing.T) {
	t.Parallel()
	for name, v := range noVerifiers {
		_, err := httpauth.New(v, httpauth.Config{RequireDPoP: true})
		require.ErrorContains(t, err, "httpauth: New: the Verifier is nil", name)
		require.ErrorContains(t, err, "RequireDPoP", name, "every problem at once")
	}
	_, err := httpauth.New(known, httpauth.Config{DPoP: new(dpop.Checker)})
	require.ErrorContains(t, err, "httpauth: DPoP was not made by dpop.New")
	_, err = httpauth.New(known, httpauth.Config{Metadata: &httpauth.Metadata{Resource: "https://api.example.com"}})
	require.ErrorContains(t, err, "httpauth: Metadata.AuthorizationServers")
	_, err = httpauth.New(known, httpauth.Config{Extractors: []func(*http.Request) (string, error){httpauth.FromAuthorization, nil}})
	require.ErrorContains(t, err, "httpauth: Extractors[1] is nil")
}

// Functions that cannot return an error panic when the routes are made, with a text that names them.
func TestMisusePanicsAtTheCall(t *testing.T) {
	t.Parallel()
	auth, err := httpauth.New(known, httpauth.Config{})
	require.NoError(t, err)
	for name, v := range noVerifiers {
		require.PanicsWithValue(t, "httpauth: Require: the Verifier is nil", func() { httpauth.Require(v) }, name)
	}
	for name, next := range map[string]http.Handler{
		"nothing": nil, "a nil function": http.HandlerFunc(nil), "a nil mux": (*http.ServeMux)(nil),
	} {
		require.PanicsWithValue(t, "httpauth: Require: the handler is nil", func() { auth.Require()(next) }, name)
		require.PanicsWithValue(t, "httpauth: Require: the handler is nil", func() { httpauth.Require(known)(next) }, name)
		require.PanicsWithValue(t, "httpauth: Optional: the handler is nil", func() { auth.Optional()(next) }, name)
	}
	const zero = "httpauth: Require: a requirement was not made by a function of package middleware"
	require.PanicsWithValue(t, zero, func() { auth.Require(middleware.AnyGroup("g"), middleware.Requirement{}) })
	require.PanicsWithValue(t, zero, func() { httpauth.Require(known, middleware.Requirement{}) })
	for _, name := range []string{"", "a b", "a:", "ä", "a=b", "a;"} {
		require.PanicsWithValue(t, "httpauth: FromCookie: the name is empty or has a character that is not allowed",
			func() { httpauth.FromCookie(name) })
		require.PanicsWithValue(t, "httpauth: FromHeader: the name is empty or has a character that is not allowed",
			func() { httpauth.FromHeader(name) })
	}
}

// A Middleware that New has not made admits no request, and does not panic while it serves.
func TestMiddlewaresThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer x")
		return r
	}
	args := []any{request(), httptest.NewRecorder(), http.NotFoundHandler()}
	nilstest.Methods(t, "New", nil, args, (*httpauth.Middleware)(nil), new(httpauth.Middleware))
	for _, m := range []*httpauth.Middleware{nil, {}} {
		served := false
		next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })
		for _, h := range []http.Handler{m.Require()(next), m.Optional()(next)} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request())
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
			require.False(t, served)
		}
		pattern, h := m.ResourceMetadata()
		mux := http.NewServeMux()
		mux.Handle(pattern, h)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, pattern, nil))
		require.Equal(t, http.StatusNotFound, w.Code)
	}
}
