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

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// verdicts is a Verifier with one answer for each token.
type verdicts map[string]error

func (a verdicts) Verify(_ context.Context, raw string) (*verifier.Token, error) {
	if err, ok := a[raw]; ok {
		return nil, err
	}
	return nil, errors.New("an unknown error")
}

func (verdicts) Recheck(context.Context, *verifier.Token) error { return nil }
func (verdicts) Changed() <-chan struct{}                       { return nil }

var known = verdicts{
	"bad":         &verifier.Error{Reason: verifier.ReasonBadSignature, Err: errors.New("secret detail")},
	"unavailable": &verifier.Error{Reason: verifier.ReasonKeysUnavailable, RetryAfter: 1500 * time.Millisecond},
	"forbidden":   &verifier.Error{Reason: verifier.ReasonCheckFailed, Err: verifier.ErrForbidden},
}

func protect(t testing.TB, v middleware.Verifier, c httpauth.Config, requirements ...middleware.Requirement) http.Handler {
	t.Helper()
	auth, err := httpauth.New(v, c)
	require.NoError(t, err)
	return auth.Require(requirements...)(http.HandlerFunc(greet))
}

// optional is protect for a route that a token is optional for.
func optional(t testing.TB, v middleware.Verifier, c httpauth.Config) http.Handler {
	t.Helper()
	auth, err := httpauth.New(v, c)
	require.NoError(t, err)
	return auth.Optional()(http.HandlerFunc(greet))
}

func greet(w http.ResponseWriter, r *http.Request) {
	tok := verifier.FromContext(r.Context())
	if tok == nil {
		_, _ = io.WriteString(w, "anonymous")
		return
	}
	_, _ = io.WriteString(w, tok.Subject())
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const scope = `scope="orders/read x"`
	for name, c := range map[string]struct {
		header    []string
		status    int
		challenge string
		retry     string
		body      string
	}{
		"no token":      {nil, 401, "Bearer " + scope, "", "token_missing"},
		"other scheme":  {[]string{"Basic YTpi"}, 401, "Bearer " + scope, "", "token_missing"},
		"two headers":   {[]string{"Bearer a", "Bearer b"}, 400, `Bearer error="invalid_request"`, "", "invalid_request"},
		"bad token":     {[]string{"Bearer bad"}, 401, `Bearer error="invalid_token", ` + scope, "", "invalid_token"},
		"no keys":       {[]string{"Bearer unavailable"}, 503, "", "2", "temporarily_unavailable"},
		"unknown error": {[]string{"Bearer odd"}, 503, "", "1", "temporarily_unavailable"},
		"forbidden":     {[]string{"Bearer forbidden"}, 403, `Bearer error="insufficient_scope", ` + scope, "", "insufficient_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			byFunction := httpauth.Require(known, middleware.Scopes("orders/read", "x"))(http.HandlerFunc(greet))
			for how, h := range map[string]http.Handler{
				"New":     protect(t, known, httpauth.Config{}, middleware.Scopes("orders/read", "x")),
				"Require": byFunction,
			} {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header["Authorization"] = c.header
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				require.Equal(t, c.status, w.Code, how)
				require.Equal(t, c.challenge, w.Header().Get("WWW-Authenticate"), how)
				require.Equal(t, c.retry, w.Header().Get("Retry-After"), how)
				require.Equal(t, "no-store", w.Header().Get("Cache-Control"), how)
				require.Equal(t, `{"error":"`+c.body+`"}`+"\n", w.Body.String(), how)
				require.NotContains(t, w.Body.String(), "secret", how)
			}
		})
	}
}

// A challenge without parameters is the scheme alone.
func TestChallengeWithoutRequirements(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	protect(t, known, httpauth.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"))
}

func TestOptional(t *testing.T) {
	t.Parallel()
	h := optional(t, known, httpauth.Config{})
	for header, want := range map[string]int{"": 200, "Bearer bad": 401, "Bearer unavailable": 503, "Basic YTpi": 401, "Bearer": 400} {
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
	v, issue := bound(t)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+issue(nil))
	w := httptest.NewRecorder()
	optional(t, v, httpauth.Config{}).ServeHTTP(w, r)
	require.Equal(t, fakeissuer.Subject, w.Body.String())
}

// A request without a token has no token, not even that of an outer middleware.
func TestOptionalHidesTheTokenOfAnOuterMiddleware(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(verifier.NewContext(r.Context(), new(verifier.Token)))
	w := httptest.NewRecorder()
	optional(t, known, httpauth.Config{}).ServeHTTP(w, r)
	require.Equal(t, "anonymous", w.Body.String())
}

// nobody is a Verifier that finds no fault, and no token.
type nobody struct{ verdicts }

func (nobody) Verify(context.Context, string) (*verifier.Token, error) { return nil, nil }

func TestNothingPassesWithoutAToken(t *testing.T) {
	t.Parallel()
	for _, h := range []http.Handler{protect(t, nobody{}, httpauth.Config{}), optional(t, nobody{}, httpauth.Config{})} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		w.Header().Set("ETag", `"of what is not shown"`)
		h.ServeHTTP(w, r)
		require.Equal(t, 503, w.Code)
		require.Empty(t, w.Header().Get("ETag"))
	}
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	h := protect(t, known, httpauth.Config{WriteError: func(w http.ResponseWriter, _ *http.Request, status int, err error) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, string(err.(*verifier.Error).Reason))
	}})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer bad")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, 401, w.Code)
	require.Equal(t, "bad_signature", w.Body.String())
	require.Equal(t, `Bearer error="invalid_token"`, w.Header().Get("WWW-Authenticate"))
}

// A real server and a real client, with a region that becomes unavailable.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	fake := fakeissuer.New(t, fakeissuer.Config{Algorithm: "RS256"})
	fake.Serve()
	cache, err := jwks.New([]issuer.Provider{fake.Provider()}, jwks.Config{})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{
		{Provider: fake.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID)},
	}, cache, verifier.Config{})
	require.NoError(t, err)
	server := httptest.NewServer(protect(t, v, httpauth.Config{}, middleware.Scopes("orders/read")))
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
	fake.Hang("us-east-1")
	status, body, _ := get(fake.Issue("us-west-2", fakeissuer.Claims{}))
	require.Equal(t, 200, status, body)
	require.Equal(t, fakeissuer.Subject, body)
	status, _, _ = get(fake.Issue("us-west-2", fakeissuer.Claims{Scope: "openid"}))
	require.Equal(t, 403, status)
	status, _, _ = get(fake.Issue("us-west-2", fakeissuer.Claims{Forged: true}))
	require.Equal(t, 401, status)
	fake.Break("us-east-1")
	status, body, header := get(fake.Issue("us-east-1", fakeissuer.Claims{Header: map[string]any{"kid": "unknown"}}))
	require.Equal(t, 503, status)
	require.NotEmpty(t, header.Get("Retry-After"))
	require.Empty(t, header.Get("WWW-Authenticate"))
	require.Equal(t, "temporarily_unavailable", strings.Split(body, `"`)[3])
}
