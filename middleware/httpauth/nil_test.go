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

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]middleware.Verifier{
		"nothing":         nil,
		"a nil Verifier":  (*verifier.Verifier)(nil),
		"a nil Validator": (*regionjwt.Validator)(nil),
		"a nil function":  verifierFunc(nil),
		"a nil map":       verdicts(nil),
	} {
		_, err := httpauth.New(httpauth.Config{Verifier: v, Realm: `"`})
		require.ErrorContains(t, err, "httpauth: Verifier", name)
		require.ErrorContains(t, err, "Realm", name, "all mistakes at once")
	}
	_, err := httpauth.New(httpauth.Config{Verifier: known, DPoP: new(dpop.Checker)})
	require.ErrorContains(t, err, "httpauth: DPoP")
	_, err = httpauth.New(httpauth.Config{Verifier: known, Metadata: &httpauth.Metadata{Resource: "https://api.example.com"}})
	require.ErrorContains(t, err, "AuthorizationServers")
}

// A handler that is not there is noticed when the routes are made.
func TestHandlerOfNilPanicsAtOnce(t *testing.T) {
	t.Parallel()
	auth, err := httpauth.New(httpauth.Config{Verifier: known})
	require.NoError(t, err)
	for name, next := range map[string]http.Handler{
		"nothing": nil, "a nil function": http.HandlerFunc(nil), "a nil mux": (*http.ServeMux)(nil),
	} {
		require.PanicsWithValue(t, "httpauth: Handler: next is nil", func() { auth.Handler(next) }, name)
	}
}

// A Middleware that New has not made lets nobody in, and does not panic while it serves.
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
		h := m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request())
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.False(t, served)
		w = httptest.NewRecorder()
		m.MetadataHandler().ServeHTTP(w, request())
		require.Equal(t, http.StatusNotFound, w.Code)
		tok, err := m.Check(request())
		require.Nil(t, tok)
		require.ErrorContains(t, err, "New")
		r := request()
		ctx, stop := m.Watch(r.WithContext(verifier.NewContext(r.Context(), new(verifier.Token))), 0)
		<-ctx.Done()
		stop()
	}
}
