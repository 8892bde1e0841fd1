package outbound_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/outbound"
)

// serve answers requests in memory.
type serve func(*http.Request) *http.Response

// RoundTrip implements http.RoundTripper.
func (s serve) RoundTrip(req *http.Request) (*http.Response, error) { return s(req), nil }

func TestAllowed(t *testing.T) {
	t.Parallel()
	plain := []string{"idp.internal", "10.0.0.7"}
	for where, want := range map[string]bool{
		"https://idp.example.com/keys":        true,
		"https://idp.example.com:8443":        true,
		"https://10.0.0.8":                    true,
		"http://localhost:8080/keys":          true,
		"http://LOCALHOST":                    true,
		"http://127.0.0.1":                    true,
		"http://127.8.8.8:80":                 true,
		"http://[::1]:8080":                   true,
		"http://idp.internal/keys":            true,
		"http://idp.internal:8080/keys":       true,
		"http://10.0.0.7":                     true,
		"http://idp.example.com/keys":         false,
		"http://idp.internal.example.com":     false,
		"http://sub.idp.internal":             false,
		"http://localhost.example.com":        false,
		"http://127.0.0.1.example.com":        false,
		"http://10.0.0.8":                     false,
		"http://0.0.0.0":                      false,
		"http://[::]":                         false,
		"https://user@idp.example.com":        false,
		"https://idp.internal@evil.example":   false,
		"http://localhost@evil.example":       false,
		"http://user:secret@localhost":        false,
		"http://user:secret@idp.internal":     false,
		"https://":                            false,
		"https://:8443/keys":                  false,
		"http://":                             false,
		"https:opaque":                        false,
		"//idp.example.com/keys":              false,
		"/keys":                               false,
		"":                                    false,
		"ftp://localhost/keys":                false,
		"file:///etc/passwd":                  false,
		"unix://idp.internal/run/idp.sock":    false,
		"httpss://idp.example.com/keys":       false,
		"data:application/json,{\"keys\":[]}": false,
	} {
		u, err := url.Parse(where)
		require.NoError(t, err)
		require.Equal(t, want, outbound.Allowed(u, plain), where)
		local := slices.Contains([]string{"localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1"}, u.Hostname())
		require.Equal(t, want && (u.Scheme == "https" || local), outbound.Allowed(u, nil), "without a list: %s", where)
	}
	u, err := url.Parse("http:///keys")
	require.NoError(t, err)
	require.False(t, outbound.Allowed(u, []string{""}), "an empty name lists nothing")
}

// Whatever a client was set to, and whether there is one, it neither follows redirects nor keeps cookies.
func TestClient(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var seen []*http.Request
	server := serve(func(req *http.Request) *http.Response {
		seen = append(seen, req)
		return &http.Response{
			StatusCode: http.StatusTemporaryRedirect, Body: http.NoBody, Request: req,
			Header: http.Header{"Location": {"https://evil.example/"}, "Set-Cookie": {"session=1; Path=/"}},
		}
	})
	given := &http.Client{
		Transport: server, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
	}
	for name, client := range map[string]*http.Client{
		"given": outbound.Client(given, nil), "own": outbound.Client(nil, server), "zero": outbound.Client(&http.Client{Transport: server}, nil),
	} {
		seen = nil
		for range 2 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://idp.example.com/keys", nil)
			require.NoError(t, err)
			resp, err := client.Do(req)
			require.NoError(t, err, name)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusTemporaryRedirect, resp.StatusCode, name)
		}
		require.Len(t, seen, 2, "%s: a redirect was followed", name)
		for _, req := range seen {
			require.Equal(t, "idp.example.com", req.URL.Host, name)
			require.Empty(t, req.Header.Get("Cookie"), name)
		}
	}
	require.Equal(t, time.Minute, outbound.Client(given, nil).Timeout, "the rest of it is kept")
	require.Equal(t, jar, given.Jar, "the given one is left alone")
	require.NoError(t, given.CheckRedirect(nil, nil), "the given one is left alone")
	require.Nil(t, outbound.Client(nil, nil).Transport)
}

func TestTransport(t *testing.T) {
	t.Parallel()
	one := outbound.Transport(3*time.Second, 7*time.Second)
	require.Equal(t, 3*time.Second, one.TLSHandshakeTimeout)
	require.Equal(t, 7*time.Second, one.IdleConnTimeout)
	require.EqualValues(t, 64<<10, one.MaxResponseHeaderBytes)
	require.NotNil(t, one.Proxy)
	require.Nil(t, one.TLSClientConfig, "certificates are checked as the standard library does")
	require.NotSame(t, one, outbound.Transport(3*time.Second, 7*time.Second))
}
