package jwks_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// A good key set is read whatever its Content-Type says. A page is named as such.
func TestContentTypeOfAKeySet(t *testing.T) {
	t.Parallel()
	for _, media := range []string{
		"", "text/html; charset=utf-8", "application/jwk-set+json", "application/jwk+json", "text/plain", ";;",
	} {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		s.set(func(s *server) { s.header.Set("Content-Type", media) })
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"), media)
	}
	n := newServers()
	n.at(keysURL).set(func(s *server) {
		s.answer = func(r *http.Request) *http.Response {
			return response(r, http.StatusOK, http.Header{"Content-Type": {"text/html"}}, []byte("<html>"))
		}
	})
	c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
	require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
	require.Equal(t, "html", c.Status()[0].Failure)
}

// Requests accept every type that a key set is served as, and name this module. Metadata are asked for in the same way.
func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	n := newServers()
	n.at(metadataURL).says(metadata(keysURL))
	n.at(keysURL).list("one")
	c := newCache(t, n, jwks.Config{}, tenant())
	require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
	for _, url := range []string{metadataURL, keysURL} {
		h := n.at(url).last()
		for _, media := range []string{"application/json", "application/jwk-set+json", "*/*"} {
			require.Contains(t, h.Get("Accept"), media)
		}
		require.Regexp(t, `^regionjwt/\d`, h.Get("User-Agent"))
		require.Empty(t, h.Get("Authorization"))
		require.Empty(t, h.Get("Cookie"))
	}
}

// The HTTPClient of a provider, which may add a credential, sends the requests for this provider and no other, also where
// another one has the same URL.
func TestHTTPClientOfAProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(keysURL).set(func(s *server) {
			s.answer = func(r *http.Request) *http.Response {
				kid := "public"
				if r.Header.Get("Authorization") == "Bearer secret" {
					kid = "private"
				}
				return response(r, http.StatusOK, nil, document([]string{kid}, nil))
			}
		})
		n.at(regionB).list("two")
		p, q, other := pool("p", []string{keysURL}), pool("q", []string{keysURL}), pool("r", []string{regionB})
		p.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer secret")
			return n.RoundTrip(r)
		})}
		c := newCache(t, n, jwks.Config{}, p, q, other)
		require.Equal(t, 200, ask(t.Context(), c, "p", "private"))
		require.Equal(t, 200, ask(t.Context(), c, "q", "public"))
		require.Equal(t, 200, ask(t.Context(), c, "r", "two"))
		require.Empty(t, n.at(regionB).last().Get("Authorization"))
		require.NotEqual(t, 200, ask(t.Context(), c, "q", "private"))
		require.NotEqual(t, 200, ask(t.Context(), c, "p", "public"))
	})
}

// A client is copied: redirects are not followed and no cookie is kept, whatever it says. The client itself stays as it is.
func TestClientIsCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(keysURL).set(func(s *server) {
			s.status = http.StatusFound
			s.header = http.Header{"Location": {regionA}, "Set-Cookie": {"a=b"}}
		})
		n.at(regionA).list("one")
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		client := &http.Client{Transport: n, Jar: jar}
		c, err := jwks.New(providers(pool("p", []string{keysURL})), jwks.Config{HTTPClient: client})
		require.NoError(t, err)
		require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
		require.Equal(t, "status 302", c.Status()[0].Failure)
		require.Zero(t, n.at(regionA).requests(), "the redirect is not followed")
		require.Nil(t, client.CheckRedirect)
		require.Same(t, jar, client.Jar)
		require.Empty(t, jar.Cookies(mustURL(t, keysURL)))
		time.Sleep(time.Minute)
	})
}

// A compressed key set is read, and one that is small on the wire and huge after it is not.
func TestCompressedKeySet(t *testing.T) {
	t.Parallel()
	good := document([]string{"one"}, nil)
	bomb := append(bytes.Repeat([]byte(" "), 64<<20), good...)
	for name, tc := range map[string]struct {
		body    []byte
		want    int
		failure string
	}{"good": {good, 200, ""}, "bomb": {bomb, 503, "too_large"}} {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, err := z.Write(tc.body)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		require.Less(t, packed.Len(), 256<<10)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				w.WriteHeader(http.StatusNotAcceptable)
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		}))
		c, err := jwks.New(providers(pool("p", []string{server.URL})), jwks.Config{})
		require.NoError(t, err)
		require.Equal(t, tc.want, ask(t.Context(), c, "p", "one"), name)
		require.Equal(t, tc.failure, c.Status()[0].Failure, name)
		server.Close()
	}
}
