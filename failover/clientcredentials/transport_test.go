package clientcredentials_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// api is a resource server that takes the tokens of one region only, and whose requests are kept.
type api struct {
	mu     sync.Mutex
	takes  string
	seen   []*http.Request
	bodies []string
	open   int // bodies of answers that are not closed
}

type tracked struct {
	io.Reader
	a *api
}

func (b *tracked) Close() error {
	b.a.mu.Lock()
	defer b.a.mu.Unlock()
	b.a.open--
	return nil
}

func (a *api) RoundTrip(req *http.Request) (*http.Response, error) {
	body := ""
	if req.Body != nil {
		data, _ := io.ReadAll(req.Body)
		_ = req.Body.Close()
		body = string(data)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, req)
	a.bodies = append(a.bodies, body)
	a.open++
	resp := &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: req, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: &tracked{strings.NewReader(strings.Repeat("x", 1<<20)), a},
	}
	if req.URL.Path == "/away" {
		resp.StatusCode = http.StatusFound
		resp.Header.Set("Location", "https://evil.example.com/")
	} else if token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); !ok || !strings.HasPrefix(token, a.takes) {
		resp.StatusCode = http.StatusUnauthorized
	}
	return resp, nil
}

// sent returns the tokens and bodies of the requests since it was last called.
func (a *api) sent() (tokens, bodies []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, req := range a.seen {
		tokens = append(tokens, strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	}
	bodies = a.bodies
	a.seen, a.bodies = nil, nil
	return tokens, bodies
}

func client(t *testing.T, s *clientcredentials.TokenSource, a *api) *http.Client {
	t.Helper()
	transport, err := s.Transport(a, "https://API.example.com", "https://b:8443/")
	require.NoError(t, err)
	return &http.Client{Transport: transport}
}

func send(t *testing.T, c *http.Client, method, url string, body io.Reader) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Basic mine")
	resp, err := c.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "Basic mine", req.Header.Get("Authorization"), "a round tripper leaves the request alone")
	return resp.StatusCode
}

func TestTransport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, a := newWorld(), &api{takes: east}
		s := w.source(t, nil)
		c := client(t, s, a)
		for _, url := range []string{"https://api.example.com/x", "https://api.example.com:443/x", "https://b:8443/"} {
			require.Equal(t, http.StatusOK, send(t, c, "GET", url, nil))
		}
		tokens, _ := a.sent()
		require.Equal(t, []string{east + ".1", east + ".1", east + ".1"}, tokens)

		// Nobody else gets the token, wherever a request is led.
		for _, url := range []string{
			"http://api.example.com/", "https://api.example.com:8443/", "https://b/", "https://xapi.example.com/", "https://api.example.com.evil/",
		} {
			require.Equal(t, http.StatusUnauthorized, send(t, c, "GET", url, nil))
		}
		require.Equal(t, http.StatusUnauthorized, send(t, c, "GET", "https://api.example.com/away", nil))
		tokens, _ = a.sent()
		require.Equal(t, []string{"Basic mine", "Basic mine", "Basic mine", "Basic mine", "Basic mine", east + ".1", ""}, tokens)

		// A server that takes no token of this region any more gets one of the next, once.
		a.takes = west
		w.set(east, status(503))
		require.Equal(t, http.StatusOK, send(t, c, "POST", "https://api.example.com/x", strings.NewReader("body")))
		tokens, bodies := a.sent()
		require.Equal(t, []string{east + ".1", west + ".3"}, tokens)
		require.Equal(t, []string{"body", "body"}, bodies)

		// At most so often; and not where the body cannot be sent again.
		a.takes = "nothing"
		require.Equal(t, http.StatusUnauthorized, send(t, c, "GET", "https://api.example.com/x", nil))
		tokens, _ = a.sent()
		require.Len(t, tokens, 1)
		time.Sleep(time.Minute)
		w.set(east, reply{})
		require.Equal(t, http.StatusUnauthorized, send(t, c, "POST", "https://api.example.com/x", io.MultiReader(strings.NewReader("once"))))
		tokens, bodies = a.sent()
		require.Equal(t, []string{west + ".3"}, tokens)
		require.Equal(t, []string{"once"}, bodies)
		require.Equal(t, http.StatusUnauthorized, send(t, c, "GET", "https://api.example.com/x", nil), "the next one has another token already")
		tokens, _ = a.sent()
		require.Equal(t, []string{east + ".4"}, tokens)

		// Where no other token can be had, the server's answer counts.
		time.Sleep(time.Minute)
		w.set(east, hang)
		w.set(west, hang)
		began := time.Now()
		require.Equal(t, http.StatusUnauthorized, send(t, c, "GET", "https://api.example.com/x", nil))
		require.Equal(t, time.Second, time.Since(began))
		tokens, _ = a.sent()
		require.Len(t, tokens, 1, "the same one is not presented twice")
		time.Sleep(2 * time.Hour)
		body := &tracked{strings.NewReader("x"), &api{}}
		req, err := http.NewRequestWithContext(t.Context(), "POST", "https://api.example.com/x", body)
		require.NoError(t, err)
		_, err = c.Do(req)
		require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
		require.Equal(t, -1, body.a.open, "a round tripper closes the body")
		tokens, _ = a.sent()
		require.Empty(t, tokens)
		require.Zero(t, a.open, "every answer was closed")
		c.CloseIdleConnections()
	})
}

func TestTransportOrigins(t *testing.T) {
	t.Parallel()
	s := newWorld().source(t, nil)
	_, err := s.Transport(nil)
	require.ErrorContains(t, err, "needs an origin")
	_, err = s.Transport((*http.Transport)(nil), "https://a")
	require.ErrorContains(t, err, "nil pointer")
	bad := []string{"", "api.example.com", "https://", "https://a/path", "https://a?q", "https://u@a", "https://a#f", "http://a", "ftp://a", "http://mesh:80"}
	_, err = s.Transport(nil, bad...)
	var all interface{ Unwrap() []error }
	require.ErrorAs(t, err, &all)
	require.Len(t, all.Unwrap(), len(bad))
	s = newWorld().source(t, func(c *setup) { c.InsecureHTTPHosts = []string{"mesh"} })
	_, err = s.Transport(nil, "http://127.0.0.1:8080", "http://localhost", "http://mesh:80")
	require.NoError(t, err)
}
