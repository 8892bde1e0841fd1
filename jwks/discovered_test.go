package jwks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// discovered is an issuer whose metadata names a jwks_uri of the test's choice. It answers whatever it is asked, and notes the
// URLs.
type discovered struct {
	*fakeissuer.Server
	iss, jwksURI string
	mu           sync.Mutex
	asked        []string
}

func (p *discovered) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.asked = append(p.asked, r.URL.String())
	p.mu.Unlock()
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(p.document(r))), Request: r}, nil
}

// document is the answer to a request.
func (p *discovered) document(r *http.Request) []byte {
	if !strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
		return p.keys(r.Context())
	}
	body, _ := json.Marshal(map[string]string{"issuer": p.iss, "jwks_uri": p.jwksURI})
	return body
}

// keys is a key set that the provider publishes.
func (p *discovered) keys(ctx context.Context) []byte {
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, p.Provider().Regions[0].JWKSURLs[0], nil)
	resp, err := p.Client().Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return body
}

func (p *discovered) provider() issuer.Provider {
	return issuer.Provider{ID: "tenant", Regions: []issuer.Region{{Name: "one", Issuers: []string{p.iss}}}}
}

func newDiscovered(t *testing.T, iss, jwksURI string) *discovered {
	t.Helper()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	return &discovered{Server: w, iss: iss, jwksURI: jwksURI}
}

// A tenant's discovery document cannot make the cache send a request to this machine, its link, or a metadata service. An issuer
// that is there itself, and hosts that are listed, may.
func TestDiscoveredKeysAreNotOnThisMachine(t *testing.T) {
	t.Parallel()
	const far = "https://tenant.example/a"
	for _, c := range []struct {
		iss, uri string
		listed   []string
		good     bool
	}{
		{far, "https://tenant.example/keys", nil, true},
		{far, "https://cdn.example/keys", nil, true},
		{far, "https://10.1.2.3/keys", nil, true},
		{far, "https://127.0.0.1/keys", nil, false},
		{far, "https://127.0.0.1:8500/v1/agent", nil, false},
		{far, "http://127.0.0.1/keys", nil, false},
		{far, "https://localhost/keys", nil, false},
		{far, "https://a.localhost./keys", nil, false},
		{far, "https://169.254.169.254/latest/meta-data", nil, false},
		{far, "https://[::1]/keys", nil, false},
		{far, "https://[::ffff:169.254.169.254]/keys", nil, false},
		{far, "https://[fe80::1%25eth0]/keys", nil, false},
		{far, "https://2130706433/keys", nil, false},
		{far, "https://0x7f.1/keys", nil, false},
		{far, "https://0177.0.0.1/keys", nil, false},
		{far, "https://0.0.0.0/keys", nil, false},
		{far, "https://127.0.0.1/keys", []string{"127.0.0.1"}, true},
		{far, "http://127.0.0.1/keys", []string{"127.0.0.1"}, false}, // an issuer over https is not served over http from this machine
		{"http://localhost:8080/realm", "http://127.0.0.1:8080/keys", nil, true},
		{"http://127.0.0.1:8080/realm", "http://localhost:8081/keys", nil, true},
	} {
		p := newDiscovered(t, c.iss, c.uri)
		out := new(lines)
		cache, err := jwks.New([]issuer.Provider{p.provider()}, jwks.Config{
			HTTPClient: &http.Client{Transport: p}, InsecureHTTPHosts: c.listed,
			Logger: slog.New(slog.NewTextHandler(out, nil)),
		})
		require.NoError(t, err, "%+v", c)
		err = cache.Preload(t.Context())
		if c.good {
			require.NoError(t, err, "%+v", c)
			require.Len(t, p.asked, 2, "%+v", c)
			continue
		}
		require.ErrorContains(t, err, "keys of the issuer are not available", "%+v", c)
		require.Len(t, p.asked, 1, "%+v: only the document is asked for", c)
		require.Equal(t, "discovery", cache.Status()[0].Failure, "%+v", c)
		require.NotContains(t, out.String(), c.uri, "what a server says is not logged")
	}
}

// A name that resolves to an address of this machine is refused by the transport, with an error that says so, if the name was
// discovered; the URLs that are configured, and what is on the issuer's own host, are the user's choice.
func TestDiscoveredNamesDoNotLeadToThisMachine(t *testing.T) {
	t.Parallel()
	p := newDiscovered(t, "https://tenant.example.com", "https://elsewhere.example.com/keys")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Host = r.Host
		resp, err := p.RoundTrip(r)
		if err == nil {
			_, _ = io.Copy(w, resp.Body)
		}
	}))
	defer server.Close()
	transport := server.Client().Transport.(*http.Transport).Clone() // whose certificate is one of example.com
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String()) // as a resolver would have it
	}
	transport.TLSClientConfig.ServerName = "example.com"
	warm := func(a issuer.Provider, listed ...string) (*jwks.Cache, *lines, error) {
		out := new(lines)
		cache, err := jwks.New([]issuer.Provider{a}, jwks.Config{
			HTTPClient: &http.Client{Transport: transport}, InsecureHTTPHosts: listed,
			Logger: slog.New(slog.NewTextHandler(out, nil)),
		})
		require.NoError(t, err)
		err = cache.Preload(t.Context())
		return cache, out, err
	}
	cache, out, err := warm(p.provider())
	require.ErrorContains(t, err, "keys of the issuer are not available")
	require.Equal(t, "discovery", cache.Status()[0].Failure)
	require.ErrorContains(t, err, "an address of this machine or its link")
	require.Eventually(t, func() bool { // a line is written when nobody waits for the round any longer
		return strings.Contains(out.String(), "an address of this machine or its link")
	}, 10*time.Second, time.Millisecond)

	_, _, err = warm(p.provider(), "elsewhere.example.com")
	require.NoError(t, err, "it is listed")
	configured := p.provider()
	configured.Regions[0].JWKSURLs = []string{p.jwksURI}
	_, _, err = warm(configured)
	require.NoError(t, err, "it is configured")
	p.jwksURI = "https://tenant.example.com/keys"
	_, _, err = warm(p.provider())
	require.NoError(t, err, "it is the issuer's own host")
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
