package statuspage_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
)

// Parts that say what the test has them say.
type (
	keys  []jwks.Status
	state failover.State
	rules revocation.Status
)

func (k keys) Status() []jwks.Status      { return k }
func (s state) State() failover.State     { return failover.State(s) }
func (r rules) Status() revocation.Status { return revocation.Status(r) }

func newPage(t *testing.T, c statuspage.Config) *statuspage.Page {
	t.Helper()
	p, err := statuspage.New(c)
	require.NoError(t, err)
	return p
}

// ask sends a request with an Accept header and returns the answer.
func ask(h http.Handler, method, target, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// status asks a health endpoint, and returns the status.
func status(h http.Handler, target string) int {
	return ask(h, http.MethodGet, target, "").Code
}

// document reads an answer strictly: every member of it has a field, and every field that is not optional is there.
func document(t *testing.T, h http.Handler, target string) statuspage.Document {
	t.Helper()
	w := ask(h, http.MethodGet, target, "application/json")
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	return decoded(t, w.Body.String())
}

func decoded(t *testing.T, body string) statuspage.Document {
	t.Helper()
	_, err := strictjson.Parse(nil, body)
	require.NoError(t, err)
	var d statuspage.Document
	require.NoError(t, strictjson.Unmarshal(body, &d))
	return d
}

// page returns the text of the page, with plain spaces.
func page(t *testing.T, h http.Handler, target string) string {
	t.Helper()
	w := ask(h, http.MethodGet, target, "text/html")
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	return strings.ReplaceAll(w.Body.String(), "\u00a0", " ")
}

const slashed = "https://idp.example/tenant a"

// sample has one authority that is well and has a Controller, and one without whose names hold slashes.
func sample() statuspage.Config {
	return statuspage.Config{
		Keys: keys{
			{Provider: "pool", Region: "us-east-1", State: "fresh", KeyIDs: []string{"one"}},
			{Provider: "pool", Region: "us-west-2", State: "stale", KeyIDs: []string{"one"}},
			{Provider: slashed, Region: "eu/1", State: "fresh", KeyIDs: []string{"two"}},
			{Provider: slashed, Region: "us-east-1", State: "empty", Failures: 3},
		},
		Controllers: []statuspage.Controller{state{Provider: "pool", Active: "us-west-2", OrderKnown: true, Regions: []failover.RegionState{
			{Name: "us-east-1", Health: failover.Healthy}, {Name: "us-west-2", Health: failover.Unhealthy},
		}}},
		Rules: rules{Known: true, Rules: 3, Epoch: 7, Source: "store"},
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	p := newPage(t, sample())
	mounted := http.NewServeMux()
	mounted.Handle("/ops/status/", http.StripPrefix("/ops/status", p))
	escaped := url.PathEscape(slashed)
	for path, want := range map[string]struct {
		status int
		body   string // its beginning
	}{
		"/":                              {200, "<!doctype html>\n<html lang=\"en\">"},
		"/?after=":                       {200, "<!doctype html>"},
		"/?authority=pool":               {200, "<!doctype html>"},
		"/?authority=nobody":             {404, "<!doctype html>"},
		"/?authority=%zz":                {200, "<!doctype html>"},
		"/status.json":                   {200, `{"title":"Regions","time":"20`},
		"/status.json?authority=nobody":  {404, `{"title":"Regions"`},
		"/health":                        {200, "status: healthy\n"},
		"/health/pool/us-east-1":         {200, "status: healthy\n"},
		"/health/pool/us-west-2":         {503, "status: unhealthy\n"},
		"/health/us-west-2":              {503, "status: unhealthy\n"},
		"/health/us-east-1":              {503, "status: unhealthy\n"}, // of the other authority
		"/health/eu%2F1":                 {200, "status: healthy\n"},
		"/health/" + escaped + "/eu%2F1": {200, "status: healthy\n"},
		"/health/eu/1":                   {404, "status: unknown\n"},
		"/health/pool":                   {404, "status: unknown\n"},
		"/health/nobody/us-east-1":       {404, "status: unknown\n"},
		"/health/":                       {404, "status: unknown\n"},
		"/health/pool/us-east-1/":        {404, "not found\n"},
		"/active/us-west-2":              {200, "status: active\n"},
		"/active/us-east-1":              {503, "status: inactive\n"},
		"/active/pool/us-west-2":         {200, "status: active\n"},
		"/active/eu%2F1":                 {404, "status: unknown\n"}, // has no Controller
		"/active/nowhere":                {404, "status: unknown\n"},
		"/active":                        {404, "not found\n"},
		"/favicon.ico":                   {404, "not found\n"},
		"/Health":                        {404, "not found\n"},
		"/status.json/":                  {404, "not found\n"},
	} {
		for prefix, h := range map[string]http.Handler{"": p, "/ops/status": mounted} {
			w := ask(h, http.MethodGet, prefix+path, "")
			require.Equal(t, want.status, w.Code, prefix+path)
			require.True(t, strings.HasPrefix(w.Body.String(), want.body), "%s: %.60q", prefix+path, w.Body)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
			require.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
			require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")

			head := ask(h, http.MethodHead, prefix+path, "")
			require.Equal(t, want.status, head.Code)
			require.Zero(t, head.Body.Len())
			require.Equal(t, w.Header().Get("Content-Type"), head.Header().Get("Content-Type"))
			require.NotEmpty(t, head.Header().Get("Content-Length"))
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "get"} {
				refused := ask(h, method, prefix+path, "")
				require.Equal(t, 405, refused.Code)
				require.Equal(t, "GET, HEAD", refused.Header().Get("Allow"))
			}
		}
	}
}

// However the prefix is taken off, the page is where the mount is.
func TestMounts(t *testing.T) {
	t.Parallel()
	p := newPage(t, sample())
	for target, h := range map[string]http.Handler{
		"/status":        http.StripPrefix("/status", p),
		"/status/":       http.StripPrefix("/status/", p),
		"/status?after=": http.StripPrefix("/status", p),
	} {
		require.Contains(t, page(t, h, target), "<h1>Regions</h1>", target)
	}
	code := status(http.StripPrefix("/status/", p), "/status/health")
	require.Equal(t, 200, code)
}

func TestNegotiation(t *testing.T) {
	t.Parallel()
	p := newPage(t, sample())
	for accept, json := range map[string]bool{
		"": false, "*/*": false, "text/html": false, "application/json": true, "Application/JSON": true,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false,
		"application/json, text/plain, */*":                               true,
		"application/json;q=0.5, text/html":                               false,
		"text/html;q=0.5, application/json;q=0.6":                         true,
		"application/*":                           true,
		"text/html, application/json":             false,
		"application/json;q=0":                    false,
		"application/json;q=NaN, text/html;q=0.1": false,
		"application/json;q=x, text/html;q=0.1":   false,
		";;;,,q=":                                 false,
	} {
		w := ask(p, http.MethodGet, "/", accept)
		require.Equal(t, "Accept", w.Header().Get("Vary"))
		want := "text/html; charset=utf-8"
		if json {
			want = "application/json"
		}
		require.Equal(t, want, w.Header().Get("Content-Type"), accept)
	}
}

// The policy allows the very style that the page has, and the page has nothing else that a policy is about.
func TestContentSecurityPolicy(t *testing.T) {
	t.Parallel()
	w := ask(newPage(t, sample()), http.MethodGet, "/", "")
	body := w.Body.String()
	_, style, ok := strings.Cut(body, "<style>")
	require.True(t, ok)
	style, rest, ok := strings.Cut(style, "</style>")
	require.True(t, ok)
	require.Contains(t, style, "prefers-color-scheme: dark")
	sum := sha256.Sum256([]byte(style))
	require.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; img-src data:; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'", w.Header().Get("Content-Security-Policy"))
	for _, unwanted := range []string{"<style", "<script", "style=", " src=", "url(", "@import", "javascript:", "http-equiv"} {
		require.NotContains(t, rest, unwanted)
	}
	require.NotContains(t, body, "http-equiv")
	require.NotContains(t, style, "url(")
	require.NotContains(t, style, "@import")
}

func TestReload(t *testing.T) {
	t.Parallel()
	c := sample()
	c.Reload, c.Title = 30_500_000_000, "Orders"
	body := page(t, newPage(t, c), "/")
	require.Contains(t, body, `<meta http-equiv="refresh" content="30">`)
	require.Contains(t, body, "<title>Ready, with trouble: Orders</title>")
	require.Contains(t, body, "every 30 s")
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, err := statuspage.New(statuspage.Config{})
	require.ErrorContains(t, err, "neither Keys nor Controllers")
	twice := state{Provider: "pool"}
	_, err = statuspage.New(statuspage.Config{
		Keys: (*jwks.Cache)(nil), Rules: (*revocation.List)(nil), Reload: 1, Title: strings.Repeat("x", 201),
		Controllers: []statuspage.Controller{twice, nil, (*failover.Controller)(nil), twice, &failover.Controller{}},
	})
	for _, want := range []string{
		"Keys is a nil pointer", "Rules is a nil pointer", "Reload", "Title", `authority "pool" has two Controllers`, "Controllers[1] is nil",
		"Controllers[2] is nil", "Controllers[4] has no authority: make it with failover.New",
	} {
		require.ErrorContains(t, err, want)
	}
}

// The Config is the caller's.
func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	c := sample()
	p := newPage(t, c)
	c.Controllers[0] = state{Provider: "other", Active: "x"}
	code := status(p, "/active/us-west-2")
	require.Equal(t, 200, code)
}

// Over a real server a probe is answered whole, and HEAD without a body.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newPage(t, sample()))
	t.Cleanup(server.Close)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/health/pool/us-west-2", nil)
		require.NoError(t, err)
		answer, err := server.Client().Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, 503, answer.StatusCode)
		require.EqualValues(t, len("status: unhealthy\n"), answer.ContentLength)
		require.Equal(t, method == http.MethodGet, string(body) == "status: unhealthy\n")
	}
}

// A Page that New has not made does not say that all is well.
func TestTheZeroPageIsNotHealthy(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/health", "/health/us-east-1", "/active/us-east-1"} {
		w := httptest.NewRecorder()
		new(statuspage.Page).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		require.Equal(t, http.StatusServiceUnavailable, w.Code, path)
	}
}
