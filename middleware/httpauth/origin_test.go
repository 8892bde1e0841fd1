package httpauth_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
)

// asServed makes the URL of a request of a test, whose origin is always the same.
func asServed(r *http.Request) string { return "https://api.example.com" + r.URL.EscapedPath() }

// resource is the metadata of a protected resource.
func resource(identifier string) *httpauth.Metadata {
	return &httpauth.Metadata{Resource: identifier, AuthorizationServers: func() []string { return []string{"https://idp.example"} }}
}

// The htu of a proof is compared with the origin that is configured, and never with what a request says about its host.
func TestDPoPOriginIsConfigured(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	alice := newClient(t)
	token := issue(map[string]any{"jkt": alice.thumbprint()})
	checker, err := dpop.New(dpop.Config{})
	require.NoError(t, err)
	evil := http.Header{
		"X-Forwarded-Host": {"evil.example.com"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"},
		"X-Original-Url": {"https://evil.example.com/orders"}, "Forwarded": {"host=evil.example.com;proto=https"},
	}
	byMetadata := httpauth.Config{Metadata: resource("https://api.example.com/mcp")}
	byFunction := httpauth.Config{Metadata: resource("https://elsewhere.example.com"), ExternalURL: asServed}
	for name, c := range map[string]struct {
		target, line, host string // of the request: where it goes, its request line, and its Host
		header             http.Header
		htu                string
		want               int
	}{
		"as configured":          {"https://api.example.com/orders", "/orders", "api.example.com", nil, "https://api.example.com/orders", 200},
		"a default port":         {"https://api.example.com/orders", "/orders", "api.example.com", nil, "https://API.example.com:443/orders", 200},
		"behind a proxy":         {"http://inside.internal/orders", "/orders", "inside.internal:8080", evil, "https://api.example.com/orders", 200},
		"another Host":           {"https://evil.example.com/orders", "/orders", "evil.example.com", nil, "https://evil.example.com/orders", 401},
		"another forwarded host": {"https://api.example.com/orders", "/orders", "api.example.com", evil, "https://evil.example.com/orders", 401},
		"another scheme":         {"http://api.example.com/orders", "/orders", "api.example.com", nil, "http://api.example.com/orders", 401},
		"another port":           {"https://api.example.com:8443/orders", "/orders", "api.example.com:8443", nil, "https://api.example.com:8443/orders", 401},
		"another path":           {"https://api.example.com/admin", "/admin", "api.example.com", nil, "https://api.example.com/orders", 401},
		"a Host with a path":     {"https://api.example.com/admin", "/admin", "api.example.com/orders?", nil, "https://api.example.com/orders", 401},
		"a Host with a user":     {"https://api.example.com/admin", "/admin", "x@api.example.com", nil, "https://api.example.com/orders", 401},
		"a full request line": {
			"https://api.example.com/orders", "https://evil.example.com/orders", "evil.example.com", nil, "https://evil.example.com/orders", 401,
		},
		"no path at all": {"https://api.example.com/", "*", "api.example.com", nil, "https://api.example.com*/", 401},
	} {
		for how, config := range map[string]httpauth.Config{"Metadata": byMetadata, "ExternalURL": byFunction} {
			config.DPoP, config.RequireDPoP = checker, true
			r := httptest.NewRequest(http.MethodGet, c.target, nil)
			r.RequestURI, r.Host = c.line, c.host
			maps.Copy(r.Header, c.header)
			r.Header.Set("Authorization", "DPoP "+token)
			r.Header.Set("DPoP", alice.proof("GET", c.htu, token, ""))
			w := httptest.NewRecorder()
			protect(t, v, config).ServeHTTP(w, r)
			require.Equal(t, c.want, w.Code, "%s: %s", how, name)
		}
	}
}

// Without a configured origin, proofs cannot be checked: New returns an error.
func TestDPoPNeedsAnOrigin(t *testing.T) {
	t.Parallel()
	checker, err := dpop.New(dpop.Config{})
	require.NoError(t, err)
	_, err = httpauth.New(known, httpauth.Config{DPoP: checker})
	require.ErrorContains(t, err, "httpauth: DPoP needs Metadata or ExternalURL")
	for _, c := range []httpauth.Config{{ExternalURL: asServed}, {Metadata: resource("https://api.example.com")}} {
		c.DPoP = checker
		_, err = httpauth.New(known, c)
		require.NoError(t, err)
	}
}

// The metadata says which proofs are accepted, and whether a token must be bound (RFC 9728 section 2).
func TestMetadataOfDPoP(t *testing.T) {
	t.Parallel()
	checker, err := dpop.New(dpop.Config{Algorithms: []string{"ES256", "EdDSA"}})
	require.NoError(t, err)
	for required, want := range map[bool]string{false: "", true: `,"dpop_bound_access_tokens_required":true`} {
		m, err := httpauth.New(known, httpauth.Config{
			DPoP: checker, RequireDPoP: required, Metadata: resource("https://api.example.com"),
		})
		require.NoError(t, err)
		w := httptest.NewRecorder()
		_, h := m.ResourceMetadata()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.JSONEq(t, `{"resource":"https://api.example.com","authorization_servers":["https://idp.example"],"bearer_methods_supported":["header"],
			"dpop_signing_alg_values_supported":["ES256","EdDSA"]`+want+`}`, w.Body.String())
	}
}
