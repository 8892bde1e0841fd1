package httpauth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
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

// The rules of the MCP authorization specification for servers (2026-07-28), each with its test. docs/conformance.md lists them.

// mcpServer is an MCP server with two tools, as far as authorization is concerned.
type mcpServer struct {
	*fakeissuer.Server
	mux     *http.ServeMux
	servers []string
}

const mcpResource = "https://mcp.example.com/mcp"

func newMCPServer(t *testing.T) *mcpServer {
	t.Helper()
	s := &mcpServer{
		Server: fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.IssuerPerRegion, Audience: mcpResource}),
		mux:    http.NewServeMux(), servers: []string{"https://us-east-1.idp.example/tenant"},
	}
	keys, err := jwks.New([]issuer.Provider{s.Provider()}, jwks.Config{HTTPClient: s.Client()})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{
		{Provider: s.Provider(), Audience: verifier.Audience(mcpResource)},
	}, keys, verifier.Config{})
	require.NoError(t, err)
	auth, err := httpauth.New(v, httpauth.Config{Metadata: &httpauth.Metadata{
		Resource: mcpResource, Scopes: []string{"files:read"}, AuthorizationServers: func() []string { return s.servers },
	}})
	require.NoError(t, err)
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	s.mux.Handle("/mcp", auth.Require(middleware.AnyScope("files:read", "files"))(ok))
	s.mux.Handle("/mcp/write", auth.Require(middleware.Scopes("files:read"), middleware.Scopes("files:write", "audit"))(ok))
	s.mux.Handle(auth.ResourceMetadata())
	return s
}

// ask sends a request with these Authorization values.
func (s *mcpServer) ask(path string, authorization ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.Header["Authorization"] = authorization
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

func (s *mcpServer) bearer(c fakeissuer.Claims) string {
	if c.Scope == "" {
		c.Scope = "files:read"
	}
	return "Bearer " + s.Issue("us-east-1", c)
}

var parameter = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

// challenge returns the parameters of the one challenge of an answer.
func challenge(t *testing.T, w *httptest.ResponseRecorder) map[string]string {
	t.Helper()
	values := w.Header().Values("WWW-Authenticate")
	require.Len(t, values, 1)
	require.True(t, strings.HasPrefix(values[0], "Bearer "))
	found := map[string]string{}
	for _, m := range parameter.FindAllStringSubmatch(values[0], -1) {
		found[m[1]] = m[2]
	}
	return found
}

// Servers MUST publish the metadata of the protected resource, with at least one authorization server, and say where.
func TestMCPMetadata(t *testing.T) {
	t.Parallel()
	s := newMCPServer(t)
	where, found := strings.CutPrefix(challenge(t, s.ask("/mcp"))["resource_metadata"], "https://mcp.example.com")
	require.True(t, found)
	require.Equal(t, "/.well-known/oauth-protected-resource/mcp", where, "the well-known URI of RFC 9728")
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, where, nil))
		return w
	}
	w := get()
	require.Equal(t, 200, w.Code)
	var document struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported"`
		Methods  []string `json:"bearer_methods_supported"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &document))
	require.Equal(t, mcpResource, document.Resource)
	require.Equal(t, s.servers, document.Servers)
	require.Equal(t, []string{"files:read"}, document.Scopes)
	require.Equal(t, []string{"header"}, document.Methods)
	s.servers = nil
	require.Equal(t, 500, get().Code, "a document without one is none")
}

// Servers SHOULD say in the challenge of a 401 which scopes the request needs. SHOULD NOT list offline_access.
func TestMCPUnauthorizedNamesTheScopes(t *testing.T) {
	t.Parallel()
	s := newMCPServer(t)
	for _, authorization := range [][]string{nil, {"Basic YTpi"}, {"Bearer x"}, {s.bearer(fakeissuer.Claims{ExpiresIn: -time.Hour})}} {
		w := s.ask("/mcp", authorization...)
		require.Equal(t, 401, w.Code)
		require.Equal(t, "files:read", challenge(t, w)["scope"])
		w = s.ask("/mcp/write", authorization...)
		require.Equal(t, 401, w.Code)
		require.Equal(t, "files:read files:write audit", challenge(t, w)["scope"], "all of them at once")
		require.NotContains(t, w.Header().Get("WWW-Authenticate"), "offline_access")
	}
}

// Invalid and expired tokens MUST get 401. Tokens that were not issued for this server MUST be rejected.
func TestMCPOnlyTokensForThisServer(t *testing.T) {
	t.Parallel()
	s := newMCPServer(t)
	require.Equal(t, 200, s.ask("/mcp", s.bearer(fakeissuer.Claims{})).Code)
	require.Equal(t, 200, s.ask("/mcp", s.bearer(fakeissuer.Claims{Audience: []string{"x", mcpResource}})).Code)
	for name, c := range map[string]fakeissuer.Claims{
		"expired":                {ExpiresIn: -time.Hour},
		"not yet valid":          {IssuedAgo: -time.Hour},
		"forged":                 {Forged: true},
		"another server":         {Audience: []string{"https://other.example.com/mcp"}},
		"the origin":             {Audience: []string{"https://mcp.example.com"}},
		"a trailing slash":       {Audience: []string{mcpResource + "/"}},
		"no audience":            {Set: map[string]any{"aud": nil}},
		"an ID token":            {IDToken: true},
		"an unknown issuer":      {Issuer: "https://evil.example"},
		"a grant, no token":      {Header: map[string]any{"typ": "oauth-id-jag+jwt"}},
		"a transaction token":    {Header: map[string]any{"typ": "txntoken+jwt"}},
		"an actor nobody can be": {Set: map[string]any{"act": "agent"}},
	} {
		w := s.ask("/mcp", s.bearer(c))
		require.Equal(t, 401, w.Code, name)
		require.Equal(t, "invalid_token", challenge(t, w)["error"], name)
	}
}

// Tokens MUST NOT be in the query, and every request MUST have one.
func TestMCPEveryRequestHasItsTokenInTheHeader(t *testing.T) {
	t.Parallel()
	s := newMCPServer(t)
	token := s.bearer(fakeissuer.Claims{})
	require.Equal(t, 401, s.ask("/mcp?access_token="+strings.TrimPrefix(token, "Bearer ")).Code)
	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader("access_token="+strings.TrimPrefix(token, "Bearer ")))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	require.Equal(t, 401, w.Code)
	server := httptest.NewServer(s.mux)
	defer server.Close()
	for _, c := range []struct {
		authorization string
		want          int
	}{{token, 200}, {"", 401}, {token, 200}} { // on one connection, in one session
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/mcp", nil)
		require.NoError(t, err)
		r.Header.Set("Mcp-Session-Id", "one")
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		resp, err := server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.want, resp.StatusCode)
	}
}

// A request that is not well-formed gets 400.
func TestMCPMalformedRequests(t *testing.T) {
	t.Parallel()
	s := newMCPServer(t)
	token := s.bearer(fakeissuer.Claims{})
	for _, authorization := range [][]string{{token, token}, {token + ", " + token}, {"Bearer"}, {"Bearer a\x01"}} {
		w := s.ask("/mcp", authorization...)
		require.Equal(t, 400, w.Code)
		require.Equal(t, "invalid_request", challenge(t, w)["error"])
	}
}

// Too few scopes SHOULD be 403, with the error, all scopes of the operation in one challenge, and the metadata.
func TestMCPInsufficientScope(t *testing.T) {
	t.Parallel()
	s := newMCPServer(t)
	for scope, want := range map[string]int{
		"files:read": 403, "files:write": 403, "files:read files:write": 403, "files:read files:write audit": 200,
	} {
		w := s.ask("/mcp/write", s.bearer(fakeissuer.Claims{Scope: scope}))
		require.Equal(t, want, w.Code, scope)
		if want == 403 {
			require.Equal(t, map[string]string{
				"error": "insufficient_scope", "scope": "files:read files:write audit",
				"resource_metadata": "https://mcp.example.com/.well-known/oauth-protected-resource/mcp",
			}, challenge(t, w))
		}
	}
}

// Servers MUST account for scopes that include others. The challenge names the narrowest: clients MUST ask for what it says.
func TestMCPScopeHierarchy(t *testing.T) {
	t.Parallel()
	s := newMCPServer(t)
	for scope, want := range map[string]int{"files:read": 200, "files": 200, "files:write": 403, "Files": 403, "files:": 403} {
		w := s.ask("/mcp", s.bearer(fakeissuer.Claims{Scope: scope}))
		require.Equal(t, want, w.Code, scope)
		if want == 403 {
			require.Equal(t, "files:read", challenge(t, w)["scope"])
		}
	}
}
