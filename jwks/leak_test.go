package jwks_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// Update with a new client for a provider each time leaves no connection behind, although the client never closes idle ones and
// the last one was busy.
func TestConnectionsOfRemovedClients(t *testing.T) { // not parallel: it counts goroutines
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(300 * time.Millisecond):
		}
		_, _ = w.Write(document([]string{"one"}, nil))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	c, err := jwks.New(nil, jwks.Config{})
	require.NoError(t, err)
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	before := runtime.NumGoroutine()
	for range 20 {
		p := pool("p", []string{server.URL})
		p.HTTPClient = &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		}}
		require.NoError(t, c.Update(providers(p)))
		go ask(t.Context(), c, "p", "one")
		time.Sleep(100 * time.Millisecond)
	}
	require.NoError(t, c.Update(nil))
	for i := range 30 {
		time.Sleep(100 * time.Millisecond)
		if runtime.NumGoroutine()-before < 20 {
			break
		}
		if i%10 == 9 {
			t.Log(runtime.NumGoroutine() - before)
		}
	}
	require.Less(t, runtime.NumGoroutine()-before, 20)
}

// Headers are bounded, also where the transport of a provider bounds none.
func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Padding", strings.Repeat("x", 1<<20))
		_, _ = w.Write(document([]string{"one"}, nil))
	}))
	defer server.Close()
	p := pool("p", []string{server.URL})
	p.HTTPClient = &http.Client{Transport: &http.Transport{}}
	c, err := jwks.New(providers(p), jwks.Config{})
	require.NoError(t, err)
	require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
	require.Equal(t, "network", c.Status()[0].Failure)
	require.NoError(t, c.Update(nil))
}
