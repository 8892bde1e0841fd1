package httpauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// answers is a verifier with one answer for each token.
type verdicts map[string]error

func (a verdicts) Verify(_ context.Context, raw string) (*verifier.Token, error) {
	if err, ok := a[raw]; ok {
		return nil, err
	}
	return nil, errors.New("an error that nobody expects")
}

var known = verdicts{
	"bad":       &verifier.Error{Reason: verifier.ReasonBadSignature, Err: errors.New("secret detail")},
	"dark":      &verifier.Error{Reason: verifier.ReasonKeysUnavailable, RetryAfter: 1500 * time.Millisecond},
	"forbidden": &verifier.Error{Reason: verifier.ReasonCheckFailed, Err: verifier.ErrForbidden},
}

func protect(t testing.TB, c httpauth.Config, requirements ...middleware.Requirement) http.Handler {
	t.Helper()
	auth, err := httpauth.New(c)
	require.NoError(t, err)
	return auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tok, ok := verifier.FromContext(r.Context())
		if !ok {
			_, _ = io.WriteString(w, "anonymous")
			return
		}
		_, _ = io.WriteString(w, tok.Subject())
	}), requirements...)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config    httpauth.Config
		header    []string
		status    int
		challenge string
		retry     string
		body      string
	}{
		"no token": {httpauth.Config{}, nil, 401, "Bearer", "", "token_missing"},
		"no token, realm": {
			httpauth.Config{Realm: "orders"}, nil, 401, `Bearer realm="orders"`, "", "token_missing",
		},
		"other scheme": {httpauth.Config{}, []string{"Basic YTpi"}, 401, "Bearer", "", "token_missing"},
		"two headers": {
			httpauth.Config{}, []string{"Bearer a", "Bearer b"}, 400, `Bearer error="invalid_request"`, "", "invalid_request",
		},
		"bad token": {
			httpauth.Config{Realm: "orders"}, []string{"Bearer bad"}, 401, `Bearer realm="orders", error="invalid_token"`, "", "invalid_token",
		},
		"no keys":       {httpauth.Config{}, []string{"Bearer dark"}, 503, "", "2", "temporarily_unavailable"},
		"unknown error": {httpauth.Config{}, []string{"Bearer odd"}, 503, "", "1", "temporarily_unavailable"},
		"forbidden": {
			httpauth.Config{}, []string{"Bearer forbidden"}, 403, `Bearer error="insufficient_scope", scope="orders/read x"`, "", "insufficient_scope",
		},
		"anonymous where scopes are demanded": {
			httpauth.Config{AllowAnonymous: true}, nil, 401, "Bearer", "", "token_missing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.config.Verifier = known
			h := protect(t, c.config, middleware.Scopes("orders/read", "x"))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Authorization"] = c.header
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.challenge, w.Header().Get("WWW-Authenticate"))
			require.Equal(t, c.retry, w.Header().Get("Retry-After"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Equal(t, `{"error":"`+c.body+`"}`+"\n", w.Body.String())
			require.NotContains(t, w.Body.String(), "secret")
		})
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	h := protect(t, httpauth.Config{Verifier: known, AllowAnonymous: true})
	for header, want := range map[string]int{"": 200, "Bearer bad": 401, "Bearer dark": 503, "Basic YTpi": 401, "Bearer": 400} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, header)
		if want == 200 {
			require.Equal(t, "anonymous", w.Body.String())
		}
	}
}

// nobody is a verifier that finds no fault, and no token.
type nobody struct{}

func (nobody) Verify(context.Context, string) (*verifier.Token, error) { return nil, nil }

func TestNothingPassesWithoutAToken(t *testing.T) {
	t.Parallel()
	for _, anonymous := range []bool{false, true} {
		h := protect(t, httpauth.Config{Verifier: nobody{}, AllowAnonymous: anonymous})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		w.Header().Set("ETag", `"of what is not shown"`)
		h.ServeHTTP(w, r)
		require.Equal(t, 503, w.Code)
		require.Empty(t, w.Header().Get("ETag"))
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer x")
	new(httpauth.Middleware).Handler(http.NotFoundHandler()).ServeHTTP(w, r)
	require.Equal(t, 503, w.Code)
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	h := protect(t, httpauth.Config{Verifier: known, WriteError: func(w http.ResponseWriter, _ *http.Request, status int, err error) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, err.(*verifier.Error).Reason.String())
	}})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer bad")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, 401, w.Code)
	require.Equal(t, "bad_signature", w.Body.String())
	require.Equal(t, `Bearer error="invalid_token"`, w.Header().Get("WWW-Authenticate"))
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, err := httpauth.New(httpauth.Config{Realm: `a"b`})
	require.ErrorContains(t, err, "Verifier is not set")
	require.ErrorContains(t, err, "Realm")
}

// A real server and a real client, with a region that goes dark.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	world := issuertest.New(t, issuertest.Config{Algorithm: "RS256"})
	world.Serve()
	cache, err := jwks.New([]issuer.Provider{world.Provider()}, jwks.Config{})
	require.NoError(t, err)
	v, err := verifier.New(verifier.Config{Keys: cache, Policies: []verifier.Policy{
		{Provider: world.Provider(), Audience: verifier.CognitoAccess(issuertest.ClientID)},
	}})
	require.NoError(t, err)
	server := httptest.NewServer(protect(t, httpauth.Config{Verifier: v}, middleware.Scopes("orders/read")))
	t.Cleanup(server.Close)
	get := func(token string) (int, string, http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := server.Client().Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body), resp.Header
	}
	world.Hang("us-east-1")
	status, body, _ := get(world.Token("us-west-2", issuertest.Claims{}))
	require.Equal(t, 200, status, body)
	require.Equal(t, issuertest.Subject, body)
	status, _, _ = get(world.Token("us-west-2", issuertest.Claims{Scope: "openid"}))
	require.Equal(t, 403, status)
	status, _, _ = get(world.Token("us-west-2", issuertest.Claims{Forge: true}))
	require.Equal(t, 401, status)
	world.Break("us-east-1")
	status, body, header := get(world.Token("us-east-1", issuertest.Claims{Header: map[string]any{"kid": "unknown"}}))
	require.Equal(t, 503, status)
	require.NotEmpty(t, header.Get("Retry-After"))
	require.Empty(t, header.Get("WWW-Authenticate"))
	require.Equal(t, "temporarily_unavailable", strings.Split(body, `"`)[3])
}
