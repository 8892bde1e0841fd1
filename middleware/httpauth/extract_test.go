package httpauth_test

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestExtractors(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	token := issue(nil)
	all := []extractor{
		httpauth.FromAuthorization, httpauth.FromCookie("session"), httpauth.FromHeader("x-amzn-oidc-accesstoken"),
	}
	const header = "X-Amzn-Oidc-Accesstoken"
	for name, c := range map[string]struct {
		from   []extractor
		header http.Header
		want   int
	}{
		"authorization":       {all, http.Header{"Authorization": {"Bearer " + token}}, 200},
		"cookie":              {all, http.Header{"Cookie": {"a=b; session=" + token}}, 200},
		"header":              {all, http.Header{header: {token}}, 200},
		"none":                {all, http.Header{"Cookie": {"a=b"}}, 401},
		"two extractors":      {all, http.Header{"Authorization": {"Bearer " + token}, header: {token}}, 400},
		"two cookies":         {all, http.Header{"Cookie": {"session=" + token + "; session=" + token}}, 400},
		"two cookie headers":  {all, http.Header{"Cookie": {"session=" + token, "session=" + token}}, 400},
		"two headers":         {all, http.Header{header: {token, token}}, 400},
		"a list":              {all, http.Header{header: {token + "," + token}}, 400},
		"a prefix":            {all, http.Header{header: {"bearer  " + token}}, 200},
		"another prefix":      {all, http.Header{header: {"DPoP " + token}}, 400},
		"only a prefix":       {all, http.Header{header: {"Bearer "}}, 400},
		"the scheme DPoP":     {all, http.Header{"Authorization": {"DPoP " + token}}, 401},
		"an empty cookie":     {all, http.Header{"Cookie": {"session="}}, 400},
		"a cookie, no value":  {all, http.Header{"Cookie": {"session"}}, 400},
		"a quoted cookie":     {all, http.Header{"Cookie": {` session="` + token + `" ;a`}}, 200},
		"an illegal cookie":   {all, http.Header{"Cookie": {"session=" + token + "\x01"}}, 400},
		"a cookie of others":  {all, http.Header{"Cookie": {"a=\x01; Session=" + token + "; xsession=; session2"}}, 401},
		"one quotation mark":  {all, http.Header{"Cookie": {`session="` + token}}, 400},
		"only quotes":         {all, http.Header{"Cookie": {`session=""`}}, 400},
		"a comma":             {all, http.Header{"Cookie": {"session=" + token + ",a=b"}}, 400},
		"one is illegal":      {all, http.Header{"Cookie": {"session=" + token + "; session=\x80"}}, 400},
		"5,000 cookies":       {all, http.Header{"Cookie": {strings.Repeat("a=b; ", 5000) + "session=" + token}}, 200},
		"a control character": {all, http.Header{header: {token + "\x00"}}, 400},
		"a newline":           {all, http.Header{"Authorization": {"Bearer " + token + "\r\nX-Admin: 1"}}, 400},
		"1 MB":                {all, http.Header{header: {strings.Repeat("a", 1<<20)}}, 401},
		"2 MB":                {all, http.Header{"Authorization": {"Bearer " + strings.Repeat("a", 2<<20)}}, 400},
		"another scheme":      {all, http.Header{"Authorization": {"Basic YTpi"}, header: {token}}, 401},
		"cookie not asked":    {nil, http.Header{"Cookie": {"session=" + token}}, 401},
		"header not asked":    {all[:2], http.Header{header: {token}}, 401},
		"query never":         {all, http.Header{}, 401},
	} {
		h := protect(t, v, httpauth.Config{Extractors: c.from})
		r := httptest.NewRequest(http.MethodGet, "/?access_token="+token, nil)
		r.Header = c.header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, name)
	}
}

// What is not a token is not the same as no token, even where none is needed: nobody becomes anonymous by a broken credential.
func TestABrokenCredentialIsNotAnonymous(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	token := issue(nil)
	h := optional(t, v, httpauth.Config{Extractors: []extractor{
		httpauth.FromAuthorization, httpauth.FromCookie("session"), httpauth.FromHeader("X-Token"),
	}})
	for name, c := range map[string]struct {
		header http.Header
		want   int
	}{
		"nothing":              {http.Header{}, 200},
		"other cookies":        {http.Header{"Cookie": {"a=b; c"}}, 200},
		"a token":              {http.Header{"Cookie": {"session=" + token}}, 200},
		"cookie, illegal":      {http.Header{"Cookie": {"session=\x01"}}, 400},
		"cookie, a backslash":  {http.Header{"Cookie": {`session=a\b`}}, 400},
		"cookie, not ASCII":    {http.Header{"Cookie": {"session=\xc3\xa4"}}, 400},
		"cookie, a space":      {http.Header{"Cookie": {"session=a b"}}, 400},
		"cookie, empty":        {http.Header{"Cookie": {"session="}}, 400},
		"cookie, 5,000":        {http.Header{"Cookie": {strings.Repeat("session=a; ", 5000)}}, 400},
		"cookie, after 5,000":  {http.Header{"Cookie": {strings.Repeat("a=b; ", 5000) + "session=x.y.z"}}, 401},
		"cookie, second line":  {http.Header{"Cookie": {"a=b", "session=\x01"}}, 400},
		"cookie, spaces":       {http.Header{"Cookie": {"a=b;\t session\t = \x01"}}, 400},
		"header, empty":        {http.Header{"X-Token": {""}}, 400},
		"header, illegal":      {http.Header{"X-Token": {"\x01"}}, 400},
		"authorization, empty": {http.Header{"Authorization": {""}}, 401},
		"authorization, Basic": {http.Header{"Authorization": {"Basic YTpi"}}, 401},
		"scheme only":          {http.Header{"Authorization": {"Bearer"}}, 400},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = c.header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, name)
	}
}

// An extractor of somebody else decides by its error, and its panic is not a verdict.
func TestOwnExtractor(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	token := issue(nil)
	for name, c := range map[string]struct {
		extract extractor
		want    int
	}{
		"a token":       {func(*http.Request) (string, error) { return token, nil }, 200},
		"none":          {func(*http.Request) (string, error) { return "", nil }, 401},
		"not a token":   {func(*http.Request) (string, error) { return "a b", nil }, 400},
		"no credential": {func(*http.Request) (string, error) { return "", &verifier.Error{Reason: verifier.ReasonTokenMissing} }, 401},
		"bad request":   {func(*http.Request) (string, error) { return "", &verifier.Error{Reason: verifier.ReasonBadRequest} }, 400},
		"another error": {func(*http.Request) (string, error) { return token, errors.New("x") }, 503},
		"a panic":       {func(*http.Request) (string, error) { panic("s3cret") }, 503},
	} {
		w := httptest.NewRecorder()
		h := protect(t, v, httpauth.Config{Extractors: []extractor{c.extract}})
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, c.want, w.Code, name)
		require.NotContains(t, w.Body.String(), "s3cret")
	}
}

type extractor = func(*http.Request) (string, error)

func TestNewReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := httpauth.New(known, httpauth.Config{
		RequireDPoP: true, InsecureIgnoreConfirmation: true, RequireCertificate: true, ExternalURL: asServed,
		Metadata: &httpauth.Metadata{
			Resource: "http://api.example.com", Extra: map[string]any{"resource": "x", "scopes_supported": 1, "f": func() {}},
		},
		Extractors: []extractor{httpauth.FromAuthorization, nil, httpauth.FromAuthorization},
	})
	for _, want := range []string{
		"RequireDPoP", "InsecureIgnoreConfirmation", "ExternalURL", "Extractors[1] is nil", "twice", "https", "AuthorizationServers",
		`Extra may not set "resource"`, `Extra may not set "scopes_supported"`, `Extra["f"]`,
	} {
		require.ErrorContains(t, err, want)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		require.Contains(t, line, "httpauth: ")
	}
	for _, resource := range []string{"", "api", "https://api.example.com/?a=b", "https://api.example.com/#f", "https://u@api.example.com"} {
		_, err := httpauth.New(known, httpauth.Config{Metadata: &httpauth.Metadata{
			Resource: resource, AuthorizationServers: func() []string { return nil },
		}})
		require.ErrorContains(t, err, "Metadata.Resource", resource)
	}
	checker, err := dpop.New(dpop.Config{})
	require.NoError(t, err)
	_, err = httpauth.New(known, httpauth.Config{
		DPoP: checker, ExternalURL: asServed, Extractors: []extractor{httpauth.FromCookie("session")},
	})
	require.ErrorContains(t, err, "DPoP needs FromAuthorization among Extractors")
}

// A challenge names the metadata document, and the document lists the current authorization servers (RFC 9728).
func TestMetadata(t *testing.T) {
	t.Parallel()
	servers := []string{"https://idp.us-east-1.example.com"}
	for resource, path := range map[string]string{
		"https://api.example.com":        "/.well-known/oauth-protected-resource",
		"https://api.example.com/":       "/.well-known/oauth-protected-resource",
		"https://api.example.com/orders": "/.well-known/oauth-protected-resource/orders",
		"http://127.0.0.1:8080/mcp":      "/.well-known/oauth-protected-resource/mcp",
	} {
		auth, err := httpauth.New(known, httpauth.Config{RequireCertificate: true, Metadata: &httpauth.Metadata{
			Resource: resource, AuthorizationServers: func() []string { return servers }, Scopes: []string{"orders/read"},
			Extra: map[string]any{"resource_name": "Orders"},
		}})
		require.NoError(t, err)
		pattern, metadata := auth.ResourceMetadata()
		require.Equal(t, path, pattern)
		mux := http.NewServeMux()
		mux.Handle(auth.ResourceMetadata())
		w := httptest.NewRecorder()
		auth.Require()(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		origin, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(resource, "https://"), "http://"), "/")
		scheme, _, _ := strings.Cut(resource, ":")
		require.Equal(t, `Bearer resource_metadata="`+scheme+"://"+origin+path+`"`, w.Header().Get("WWW-Authenticate"))

		servers = []string{"https://idp.us-west-2.example.com", "https://idp.us-east-1.example.com"}
		w = httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, 200, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
		require.JSONEq(t, `{"resource":"`+resource+`","authorization_servers":["https://idp.us-west-2.example.com",
			"https://idp.us-east-1.example.com"],"scopes_supported":["orders/read"],"bearer_methods_supported":["header"],
			"resource_name":"Orders","tls_client_certificate_bound_access_tokens":true}`, w.Body.String())
		for method, want := range map[string]int{http.MethodHead: 200, http.MethodOptions: 204, http.MethodPost: 405} {
			w = httptest.NewRecorder()
			metadata.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			require.Equal(t, want, w.Code)
		}
	}
	auth, err := httpauth.New(known, httpauth.Config{})
	require.NoError(t, err)
	_, h := auth.ResourceMetadata()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 404, w.Code)
}

// OnDecision is called once for each request, and what it logs contains nothing of a rejected token.
func TestOnDecision(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	var seen []string
	config := httpauth.Config{OnDecision: func(_ *http.Request, tok *verifier.Token, err error) {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("request", "token", tok, "error", err)
		_, line, _ := strings.Cut(log.String(), "msg=request ")
		seen = append(seen, strings.TrimSpace(line))
	}}
	h := optional(t, v, config)
	for _, authorization := range []string{"", "Bearer " + issue(nil), "Bearer secret", "Bearer a b"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	require.Len(t, seen, 4)
	require.Equal(t, "token=<nil> error=<nil>", seen[0])
	require.Contains(t, seen[1], "token.provider=us-east-1_Testing01 token.region=\"\" ", "which region issued it is not certain")
	require.NotContains(t, seen[1], fakeissuer.Subject)
	require.Contains(t, seen[2], `token=<nil> error="token rejected: malformed`)
	require.Contains(t, seen[3], `token=<nil> error="token rejected: bad_request`)
}

// What the client of a proxy says, and what the proxy adds, is read by functions of the user; their panics are not verdicts.
func TestFunctionsThatPanic(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	alice := newClient(t)
	checker, err := dpop.New(dpop.Config{})
	require.NoError(t, err)
	byDPoP, byCertificate := issue(map[string]any{"jkt": alice.thumbprint()}), issue(map[string]any{"x5t#S256": "x"})
	for name, c := range map[string]struct {
		config        httpauth.Config
		authorization string
	}{
		"ExternalURL": {
			httpauth.Config{DPoP: checker, ExternalURL: func(*http.Request) string { panic("s3cret") }}, "DPoP " + byDPoP,
		},
		"ClientCertificate": {
			httpauth.Config{ClientCertificate: func(*http.Request) *x509.Certificate { panic("s3cret") }}, "Bearer " + byCertificate,
		},
	} {
		r := httptest.NewRequest(http.MethodGet, "https://api.example.com/", nil)
		r.Header.Set("Authorization", c.authorization)
		w := httptest.NewRecorder()
		protect(t, v, c.config).ServeHTTP(w, r)
		require.Equal(t, 503, w.Code, name)
	}
	auth, err := httpauth.New(v, httpauth.Config{Metadata: &httpauth.Metadata{
		Resource: "https://api.example.com", AuthorizationServers: func() []string { panic("s3cret") },
	}})
	require.NoError(t, err)
	pattern, h := auth.ResourceMetadata()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, pattern, nil))
	require.Equal(t, 500, w.Code)
}
