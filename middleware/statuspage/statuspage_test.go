package statuspage_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// newPage returns the handler for a state that does not change.
func newPage(st regionjwt.Status) http.Handler {
	h, _ := statuspage.New(func() regionjwt.Status { return st }, "")
	return h
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

// document reads an answer strictly: every member of it has a field.
func document(t *testing.T, h http.Handler, target string) regionjwt.Status {
	t.Helper()
	w := ask(h, http.MethodGet, target, "application/json")
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	return decoded(t, w.Body.String())
}

func decoded(t *testing.T, body string) regionjwt.Status {
	t.Helper()
	_, err := strictjson.Parse(nil, body)
	require.NoError(t, err)
	var d regionjwt.Status
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&d))
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

// sample has one provider that is healthy and fails over, and one that does not, whose names hold slashes.
func sample() regionjwt.Status {
	return regionjwt.Status{
		Ready: true,
		Keys: []jwks.Status{
			{Provider: "pool", Region: "us-east-1", State: "fresh", KeyIDs: []string{"one"}},
			{Provider: "pool", Region: "us-west-2", State: "stale", KeyIDs: []string{"one"}},
			{Provider: slashed, Region: "eu/1", State: "fresh", KeyIDs: []string{"two"}},
			{Provider: slashed, Region: "us-east-1", State: "empty", Failures: 3},
		},
		Failover: []failover.Status{{Provider: "pool", Active: "us-west-2", Regions: []failover.RegionStatus{
			{Region: "us-east-1", Health: "healthy"}, {Region: "us-west-2", Health: "unhealthy"},
		}}},
		Revocation: &revocation.Status{Rules: 3, Replica: store.ReplicaStatus{Origin: "store", Epoch: 7}},
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	p := newPage(sample())
	mounted := http.NewServeMux()
	mounted.Handle("/ops/status/", http.StripPrefix("/ops/status", p))
	escaped := url.PathEscape(slashed)
	for path, want := range map[string]struct {
		status int
		body   string // its beginning
	}{
		"/":                              {200, "<!doctype html>\n<html lang=\"en\">"},
		"/?after=":                       {200, "<!doctype html>"},
		"/?provider=pool":                {200, "<!doctype html>"},
		"/?provider=nobody":              {404, "<!doctype html>"},
		"/?provider=%zz":                 {200, "<!doctype html>"},
		"/status.json":                   {200, `{"ready":true,"keys":[{"provider":"https`},
		"/status.json?provider=nobody":   {404, `{"ready":true,"keys":[]`},
		"/health":                        {200, "status: healthy\n"},
		"/health/pool/us-east-1":         {200, "status: healthy\n"},
		"/health/pool/us-west-2":         {503, "status: unhealthy\n"},
		"/health/us-west-2":              {503, "status: unhealthy\n"},
		"/health/us-east-1":              {503, "status: unhealthy\n"}, // of the other provider
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
		"/active/eu%2F1":                 {404, "status: unknown\n"}, // does not fail over
		"/active/nowhere":                {404, "status: unknown\n"},
		"/active":                        {404, "not found\n"},
		"/favicon.ico":                   {404, "not found\n"},
		"/Health":                        {404, "not found\n"},
		"/status.json/":                  {404, "not found\n"},
		"/rules.json":                    {404, "not found\n"}, // there are no rules
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
	p := newPage(sample())
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
	p := newPage(sample())
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
	w := ask(newPage(sample()), http.MethodGet, "/", "")
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

// The page reloads itself if the address says so, and what else an address says changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	h, _ := statuspage.New(sample, "Orders")
	body := page(t, h, "/?reload=30")
	require.Contains(t, body, `<meta http-equiv="refresh" content="30">`)
	require.Contains(t, body, "<title>Ready, with problems: Orders</title>")
	require.Contains(t, body, "reloads every 30 s")
	for _, bad := range []string{"", "0", "-1", "x", "1.5", "1;url=https://elsewhere.example", "99999999999999999999", "86401"} {
		require.NotContains(t, page(t, h, "/?reload="+url.QueryEscape(bad)), "http-equiv", bad)
	}
}

// With one region, the page has no word about regions.
func TestAProviderWithOneRegion(t *testing.T) {
	t.Parallel()
	one := regionjwt.Status{Keys: []jwks.Status{{Provider: "login", Region: "default", State: "expired", Failures: 4, Failure: "dns"}}}
	h, _ := statuspage.New(func() regionjwt.Status { return one }, "Orders")
	_, body, _ := strings.Cut(page(t, h, "/"), "<body>")
	body = strings.NewReplacer(`class="regions"`, "", `class="region bad"`, "").Replace(body)
	require.Contains(t, body, "no usable keys")
	require.NotContains(t, strings.ToLower(body), "region")
	require.NotContains(t, body, "default")
}

// Over a real server a probe is answered whole, and HEAD without a body.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newPage(sample()))
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

// The state of a Validator that New has not made is not healthy, and a nil Validator is a mistake that shows at start.
func TestValidatorsThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	require.PanicsWithValue(t, "statuspage.Handler: the Validator is nil: make it with regionjwt.New", func() { statuspage.Handler(nil, "") })
	h := statuspage.Handler(new(regionjwt.Validator), "")
	for path, want := range map[string]int{"/": 200, "/health": 503, "/health/us-east-1": 404, "/active/us-east-1": 404} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		require.Equal(t, want, w.Code, path)
	}
	require.Contains(t, page(t, h, "/"), "Not ready")
}
