package adapters_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/cors"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
)

const app = "https://app.example.com"

// recipeCORS lets scripts of an application in the browser send tokens, and read why a request was rejected.
func recipeCORS(h http.Handler) http.Handler {
	return cors.New(cors.Options{
		AllowedOrigins: []string{app},
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{"Authorization", "DPoP", "Content-Type"},
		ExposedHeaders: []string{"WWW-Authenticate", "DPoP-Nonce", "Retry-After"},
	}).Handler(h)
}

// corsService is a service for an application in the browser. The metadata is for everyone, so it is not behind the recipe.
func corsService(t *testing.T) (*service, http.Handler) {
	t.Helper()
	checker, err := dpop.New(dpop.Config{NonceKeys: [][]byte{[]byte(strings.Repeat("k", 32))}})
	require.NoError(t, err)
	s := newService(t, httpauth.Config{DPoP: checker, Metadata: &httpauth.Metadata{
		Resource: "https://api.example.com", AuthorizationServers: func() []string { return []string{"https://idp.example.com"} },
	}})
	mux, api := http.NewServeMux(), http.NewServeMux()
	api.Handle("/orders/{id}", s.auth.Require(middleware.Scopes(read))(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(s.orderOf(r, r.PathValue("id")))) })))
	mux.Handle("/", recipeCORS(api))
	mux.Handle(s.auth.ResourceMetadata())
	return s, mux
}

func fromBrowser(h http.Handler, method, path, origin string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if header != nil {
		r.Header = header
	}
	r.Header.Set("Origin", origin)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func preflight(headers string) http.Header {
	return http.Header{"Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {headers}}
}

// A browser asks first, without a token, and only for the origins that are listed the answer is yes.
func TestPreflight(t *testing.T) {
	t.Parallel()
	s, h := corsService(t)
	s.warm(t)
	for name, c := range map[string]struct {
		origin, headers string
		allowed         bool
	}{
		"the application":      {app, "authorization", true},
		"with DPoP":            {app, "authorization,dpop", true},
		"another origin":       {"https://evil.example.com", "authorization", false},
		"no origin in reality": {"null", "authorization", false},
		"a subdomain":          {"https://x.app.example.com", "authorization", false},
		"another scheme":       {"http://app.example.com", "authorization", false},
		"another header":       {app, "authorization,x-admin", false},
	} {
		w := fromBrowser(h, http.MethodOptions, "/orders/7", c.origin, preflight(c.headers))
		require.Equal(t, 204, w.Code, name)
		require.Equal(t, c.allowed, w.Header().Get("Access-Control-Allow-Origin") == app, name)
		require.Equal(t, c.allowed, w.Header().Get("Access-Control-Allow-Headers") != "", name)
		require.Empty(t, w.Header().Get("Access-Control-Allow-Credentials"), name)
		require.Empty(t, w.Header().Get("WWW-Authenticate"), name)
	}
	require.Zero(t, s.served.Load(), "no preflight reaches the handler")

	// With the recipe inside of Require, the preflight would need a token that no browser sends.
	inside := s.auth.Require()(recipeCORS(http.NotFoundHandler()))
	require.Equal(t, 401, fromBrowser(inside, http.MethodOptions, "/orders/7", app, preflight("authorization")).Code)
}

// The application can read every answer, the challenge and the nonce included. CORS does not admit anybody.
func TestAnswersToBrowsers(t *testing.T) {
	t.Parallel()
	s, h := corsService(t)
	authorization := http.Header{"Authorization": {"Bearer " + s.fake.Issue(east, fakeissuer.Claims{})}}
	s.fake.Break(east)
	s.fake.Break(west)
	check := func(header http.Header, status int) {
		t.Helper()
		w := fromBrowser(h, http.MethodGet, "/orders/7", app, header.Clone())
		require.Equal(t, status, w.Code)
		require.Equal(t, app, w.Header().Get("Access-Control-Allow-Origin"))
		exposed := strings.ToLower(w.Header().Get("Access-Control-Expose-Headers"))
		for _, name := range []string{"www-authenticate", "dpop-nonce", "retry-after"} {
			require.Contains(t, exposed, name)
		}
		w = fromBrowser(h, http.MethodGet, "/orders/7", "https://evil.example.com", header.Clone())
		require.Equal(t, status, w.Code, "who may read is for the browser to enforce")
		require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
	}
	check(authorization, 503)
	check(http.Header{}, 401)
	s.fake.Restore(east)
	s.fake.Restore(west)
	eventually(t, func() bool {
		return fromBrowser(h, http.MethodGet, "/orders/7", app, authorization.Clone()).Code == 200
	})
	check(authorization, 200)
	check(http.Header{"Authorization": {"Bearer " + s.fake.Issue(east, fakeissuer.Claims{Scope: "openid"})}}, 403)
	require.NotEmpty(t, fromBrowser(h, http.MethodGet, "/orders/7", app, authorization.Clone()).Header().Get("DPoP-Nonce"))

	for _, origin := range []string{app, "https://other.example.com"} {
		const path = "/.well-known/oauth-protected-resource"
		w := fromBrowser(h, http.MethodGet, path, origin, nil)
		require.Equal(t, 200, w.Code)
		require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"), "the metadata is for everyone")
		w = fromBrowser(h, http.MethodOptions, path, origin, preflight("mcp-protocol-version"))
		require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Headers"))
	}
}
