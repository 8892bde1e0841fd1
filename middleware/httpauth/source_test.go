package httpauth_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestSources(t *testing.T) {
	t.Parallel()
	v, mint := bound(t)
	token := mint(nil)
	all := []httpauth.Source{
		httpauth.FromAuthorization(), httpauth.FromCookie("session"), httpauth.FromHeader("x-amzn-oidc-accesstoken"),
	}
	const header = "X-Amzn-Oidc-Accesstoken"
	for name, c := range map[string]struct {
		sources []httpauth.Source
		header  http.Header
		want    int
	}{
		"authorization":       {all, http.Header{"Authorization": {"Bearer " + token}}, 200},
		"cookie":              {all, http.Header{"Cookie": {"a=b; session=" + token}}, 200},
		"header":              {all, http.Header{header: {token}}, 200},
		"none":                {all, http.Header{"Cookie": {"a=b"}}, 401},
		"two sources":         {all, http.Header{"Authorization": {"Bearer " + token}, header: {token}}, 400},
		"two cookies":         {all, http.Header{"Cookie": {"session=" + token + "; session=" + token}}, 400},
		"two cookie headers":  {all, http.Header{"Cookie": {"session=" + token, "session=" + token}}, 400},
		"two headers":         {all, http.Header{header: {token, token}}, 400},
		"a list":              {all, http.Header{header: {token + "," + token}}, 400},
		"a scheme":            {all, http.Header{header: {"Bearer " + token}}, 400},
		"an empty cookie":     {all, http.Header{"Cookie": {"session="}}, 400},
		"a control character": {all, http.Header{header: {token + "\x00"}}, 400},
		"a newline":           {all, http.Header{"Authorization": {"Bearer " + token + "\r\nX-Admin: 1"}}, 400},
		"1 MB":                {all, http.Header{header: {strings.Repeat("a", 1<<20)}}, 401},
		"2 MB":                {all, http.Header{"Authorization": {"Bearer " + strings.Repeat("a", 2<<20)}}, 400},
		"another scheme":      {all, http.Header{"Authorization": {"Basic YTpi"}, header: {token}}, 401},
		"cookie not asked":    {nil, http.Header{"Cookie": {"session=" + token}}, 401},
		"header not asked":    {all[:2], http.Header{header: {token}}, 401},
		"query never":         {all, http.Header{}, 401},
	} {
		h := protect(t, httpauth.Config{Verifier: v, Sources: c.sources})
		r := httptest.NewRequest(http.MethodGet, "/?access_token="+token, nil)
		r.Header = c.header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, name)
	}
}

func TestNewRefusesMore(t *testing.T) {
	t.Parallel()
	_, err := httpauth.New(httpauth.Config{
		Verifier: known, DPoPMode: middleware.Required, Certificates: 7, Metadata: &httpauth.Metadata{Resource: "http://api.example.com"},
		Sources: []httpauth.Source{{}, httpauth.FromCookie(""), httpauth.FromHeader("a"), httpauth.FromHeader("A")},
	})
	for _, want := range []string{"DPoP is not", "Certificates", "empty", "twice", "https", "AuthorizationServers"} {
		require.ErrorContains(t, err, want)
	}
	for _, resource := range []string{"", "api", "https://api.example.com/?a=b", "https://api.example.com/#f", "https://u@api.example.com"} {
		_, err := httpauth.New(httpauth.Config{Verifier: known, Metadata: &httpauth.Metadata{
			Resource: resource, AuthorizationServers: func() []string { return nil },
		}})
		require.ErrorContains(t, err, "Metadata.Resource", resource)
	}
}

// The answer names the metadata document, and the document the authorization servers of this moment: RFC 9728.
func TestMetadata(t *testing.T) {
	t.Parallel()
	servers := []string{"https://idp.us-east-1.example.com"}
	for resource, path := range map[string]string{
		"https://api.example.com":        "/.well-known/oauth-protected-resource",
		"https://api.example.com/":       "/.well-known/oauth-protected-resource",
		"https://api.example.com/orders": "/.well-known/oauth-protected-resource/orders",
		"http://127.0.0.1:8080/mcp":      "/.well-known/oauth-protected-resource/mcp",
	} {
		auth, err := httpauth.New(httpauth.Config{Verifier: known, Certificates: middleware.Accepted, Metadata: &httpauth.Metadata{
			Resource: resource, AuthorizationServers: func() []string { return servers }, Scopes: []string{"orders/read"}, Name: "Orders",
		}})
		require.NoError(t, err)
		require.Equal(t, path, auth.MetadataPath())
		w := httptest.NewRecorder()
		auth.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		origin, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(resource, "https://"), "http://"), "/")
		scheme, _, _ := strings.Cut(resource, ":")
		require.Equal(t, `Bearer resource_metadata="`+scheme+"://"+origin+path+`"`, w.Header().Get("WWW-Authenticate"))

		servers = []string{"https://idp.us-west-2.example.com", "https://idp.us-east-1.example.com"}
		w = httptest.NewRecorder()
		auth.MetadataHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, 200, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
		require.JSONEq(t, `{"resource":"`+resource+`","authorization_servers":["https://idp.us-west-2.example.com",
			"https://idp.us-east-1.example.com"],"scopes_supported":["orders/read"],"bearer_methods_supported":["header"],
			"resource_name":"Orders","tls_client_certificate_bound_access_tokens":true}`, w.Body.String())
		for method, want := range map[string]int{http.MethodHead: 200, http.MethodOptions: 204, http.MethodPost: 405} {
			w = httptest.NewRecorder()
			auth.MetadataHandler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
			require.Equal(t, want, w.Code)
		}
	}
	auth, err := httpauth.New(httpauth.Config{Verifier: known})
	require.NoError(t, err)
	require.Empty(t, auth.MetadataPath())
	w := httptest.NewRecorder()
	auth.MetadataHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 404, w.Code)
}

// Observe sees each decision once, and what it logs holds nothing of a refused token.
func TestObserve(t *testing.T) {
	t.Parallel()
	v, mint := bound(t)
	var seen []string
	auth, err := httpauth.New(httpauth.Config{Verifier: v, AllowAnonymous: true, Observe: func(_ *http.Request, tok *verifier.Token, err error) {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("request", middleware.LogAttr(tok, err))
		_, line, _ := strings.Cut(log.String(), "msg=request")
		seen = append(seen, strings.TrimSpace(line))
	}})
	require.NoError(t, err)
	h := auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := httpauth.Claims[struct {
			Use string `json:"token_use"`
		}](r)
		if httpauth.Token(r) == nil {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, "access", claims.Use)
	}))
	for _, authorization := range []string{"", "Bearer " + mint(nil), "Bearer secret", "Bearer a b"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	require.Len(t, seen, 4)
	require.Empty(t, seen[0])
	require.Equal(t, "token.authority=us-east-1_Testing01", seen[1], "which region minted it is not certain")
	require.Equal(t, []string{"token.reason=malformed", "token.reason=bad_request"}, seen[2:])
}
