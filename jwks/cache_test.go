package jwks_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

func authorities(ws ...*issuertest.World) (as []issuer.Authority) {
	for _, w := range ws {
		as = append(as, w.Authority())
	}
	return as
}

func randomID(i int) string { return fmt.Sprintf("random-%d", i) }

// jwk makes a set of one fresh key under the kid "k".
func jwk(t *testing.T) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	point, err := k.PublicKey.Bytes()
	require.NoError(t, err)
	enc := base64.RawURLEncoding.EncodeToString
	return fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":%q,"y":%q}]}`, enc(point[1:33]), enc(point[33:]))
}

func authority(id string, urls ...string) issuer.Authority {
	return issuer.Authority{ID: id, Regions: []issuer.Region{{Name: "r", Issuers: []string{"https://idp.example"}, JWKS: urls}}}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := authority("a", "https://idp.example/keys")
	for name, c := range map[string]struct {
		config jwks.Config
		want   []string
	}{
		"negative times": {jwks.Config{Refresh: -1, MaxStale: -1}, []string{"negative"}},
		"stale before refreshed": {
			jwks.Config{Refresh: time.Hour, MaxStale: time.Minute}, []string{"shorter than Refresh"},
		},
		"host with a port": {jwks.Config{InsecureHTTPHosts: []string{"idp.example:80"}}, []string{"not a host name"}},
		"bad authority":    {jwks.Config{Authorities: []issuer.Authority{{}}}, []string{"ID: required", "no regions"}},
		"same ID":          {jwks.Config{Authorities: []issuer.Authority{good, good}}, []string{"listed twice"}},
		"one iss of two authorities": {
			jwks.Config{Authorities: []issuer.Authority{good, authority("b")}},
			[]string{`listed by the authorities "a" and "b"`},
		},
		"plain http": {
			jwks.Config{Authorities: []issuer.Authority{authority("a", "http://idp.example/keys")}},
			[]string{"https is required"},
		},
		"everything": {
			jwks.Config{Refresh: -1, Authorities: []issuer.Authority{
				{ID: "x"}, authority("a", "http://idp.example/keys"),
			}},
			[]string{"negative", "no regions", "https is required"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := jwks.New(c.config)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
	_, err := jwks.New(jwks.Config{
		Authorities:       []issuer.Authority{authority("a", "http://idp.internal/keys")},
		InsecureHTTPHosts: []string{"idp.internal"},
	})
	require.NoError(t, err)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestClientIsCopiedAndTamed(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	hosts := make(chan string, 10)
	client := &http.Client{
		Jar: jar,
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			hosts <- r.URL.Host
			return w.Client().Transport.RoundTrip(r)
		}),
	}
	w.Status("us-east-1", http.StatusFound, http.Header{"Location": {"https://evil.example"}, "Set-Cookie": {"a=b"}})
	cache, err := jwks.New(jwks.Config{Authorities: authorities(w), Client: client})
	require.NoError(t, err)
	defer func() { _ = cache.Close() }()
	_, err = cache.Keys(t.Context(), w.Authority().Regions[0].Issuers[0], "kid")
	require.ErrorIs(t, err, jwks.ErrUnavailable)
	var fetch *jwks.FetchError
	require.ErrorAs(t, err, &fetch)
	require.Equal(t, jwks.FetchError{Class: jwks.ClassStatus, Status: http.StatusFound}, *fetch)
	require.Len(t, hosts, 1, "a redirect is not followed")
	require.Nil(t, client.CheckRedirect, "the caller's client is left alone")
	require.Same(t, jar, client.Jar)
	at, err := url.Parse("https://us-east-1.idp.example/tenant/.well-known/jwks.json")
	require.NoError(t, err)
	require.Empty(t, jar.Cookies(at), "no cookie is kept")
}

func TestDiscoveryIsStrict(t *testing.T) {
	t.Parallel()
	const iss = "https://us-east-1.idp.example/tenant"
	for name, doc := range map[string]string{
		"another issuer":       `{"issuer":"https://us-east-1.idp.example/tenant/","jwks_uri":"https://us-east-1.idp.example/k"}`,
		"no issuer":            `{"jwks_uri":"https://us-east-1.idp.example/k"}`,
		"issuer in capital":    `{"ISSUER":"` + iss + `","jwks_uri":"https://us-east-1.idp.example/k"}`,
		"issuer twice":         `{"issuer":"x","issuer":"` + iss + `","jwks_uri":"https://us-east-1.idp.example/k"}`,
		"no jwks_uri":          `{"issuer":"` + iss + `"}`,
		"jwks_uri over http":   `{"issuer":"` + iss + `","jwks_uri":"http://us-east-1.idp.example/k"}`,
		"jwks_uri on loopback": `{"issuer":"` + iss + `","jwks_uri":"http://127.0.0.1:8500/k"}`,
		"jwks_uri of a file":   `{"issuer":"` + iss + `","jwks_uri":"file:///etc/passwd"}`,
		"not JSON":             `issuer: ` + iss,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256", Discovery: true})
			w.Corrupt("us-east-1", []byte(doc))
			var asked atomic.Int64
			cache, err := jwks.New(jwks.Config{Authorities: authorities(w), Client: &http.Client{
				Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					asked.Add(1)
					return w.Client().Transport.RoundTrip(r)
				}),
			}})
			require.NoError(t, err)
			defer func() { _ = cache.Close() }()
			_, err = cache.Keys(t.Context(), iss, w.KeyID("us-east-1"))
			require.ErrorIs(t, err, jwks.ErrUnavailable)
			require.EqualValues(t, 1, asked.Load(), "no key set is fetched")
		})
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256", ID: "one"})
		two := issuertest.New(t, issuertest.Config{Layout: issuertest.Cognito, Algorithm: "ES256"})
		client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := one.Client().Transport.RoundTrip(r)
			if err != nil {
				return two.Client().Transport.RoundTrip(r)
			}
			return resp, nil
		})}
		cache, err := jwks.New(jwks.Config{Authorities: authorities(one), Client: client})
		require.NoError(t, err)
		defer func() { _ = cache.Close() }()
		var changes atomic.Int64
		remove := cache.OnChange(func() { changes.Add(1) })
		iss := one.Authority().Regions[0].Issuers[0]
		before, err := cache.Keys(t.Context(), iss, one.KeyID("us-east-1"))
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 1, changes.Load())

		require.Error(t, cache.Update([]issuer.Authority{one.Authority(), {}}))
		require.EqualValues(t, 1, changes.Load(), "a wrong configuration changes nothing")
		require.NoError(t, cache.Update(authorities(one, two)))
		after, err := cache.Keys(t.Context(), iss, one.KeyID("us-east-1"))
		require.NoError(t, err)
		require.Same(t, before[0], after[0], "an unchanged authority keeps its keys")
		require.Equal(t, 1, one.Fetches("us-east-1"))
		_, err = cache.Keys(t.Context(), two.Authority().Regions[1].Issuers[0], two.KeyID("us-west-2"))
		require.NoError(t, err)

		require.NoError(t, cache.Update(authorities(two)))
		_, err = cache.Keys(t.Context(), iss, one.KeyID("us-east-1"))
		require.ErrorIs(t, err, jwks.ErrUnknownIssuer)
		remove()
		synctest.Wait()
		seen := changes.Load()
		require.NoError(t, cache.Update(nil))
		require.Equal(t, seen, changes.Load())
	})
}

func TestCloseEndsFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
		cache, err := jwks.New(jwks.Config{Authorities: authorities(w), Client: w.Client()})
		require.NoError(t, err)
		iss := w.Authority().Regions[0].Issuers[0]
		west := w.Authority().Regions[1].Issuers[0]
		_, err = cache.Keys(t.Context(), west, w.KeyID("us-west-2"))
		require.NoError(t, err)
		w.Hang("us-east-1")
		result := make(chan error, 1)
		go func() {
			_, err := cache.Keys(t.Context(), iss, "kid")
			result <- err
		}()
		synctest.Wait()
		began := time.Now()
		require.NoError(t, cache.Close())
		require.NoError(t, cache.Close())
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, <-result, jwks.ErrUnavailable)
		_, err = cache.Keys(t.Context(), iss, "kid")
		require.ErrorIs(t, err, jwks.ErrUnavailable)
		_, err = cache.Keys(t.Context(), west, w.KeyID("us-west-2"))
		require.NoError(t, err, "keys at hand go on being answered")
	})
}

func TestRunEndsItsFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := issuertest.New(t, issuertest.Config{Algorithm: "ES256"})
		w.Hang("us-east-1")
		cache, err := jwks.New(jwks.Config{Authorities: authorities(w), Client: w.Client()})
		require.NoError(t, err)
		cause := errors.New("shut down")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		require.ErrorIs(t, cache.Run(ctx), cause)
		// The bubble ends only when no goroutine is left.
	})
}

func TestWarmAndStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
		cache, err := jwks.New(jwks.Config{Authorities: authorities(w), Client: w.Client()})
		require.NoError(t, err)
		defer func() { _ = cache.Close() }()
		for _, s := range cache.Status() {
			require.Equal(t, jwks.Empty, s.Freshness)
		}
		w.Corrupt("us-west-2", bytes.Repeat([]byte(" "), 256<<10+1))
		require.ErrorContains(t, cache.Warm(t.Context()), "too_large")
		time.Sleep(2 * time.Second)
		w.Status("us-west-2", http.StatusNotFound, nil)
		err = cache.Warm(t.Context())
		require.ErrorContains(t, err, `authority "test-authority": region "us-west-2"`)
		require.ErrorContains(t, err, "status 404")
		require.NotContains(t, err.Error(), "us-east-1")
		status := cache.Status()
		require.Equal(t, jwks.Fresh, status[0].Freshness)
		require.Equal(t, []string{w.KeyID("us-east-1")}, status[0].KeyIDs)
		require.Equal(t, "https://us-east-1.idp.example/tenant/.well-known/jwks.json", status[0].Source)
		require.Greater(t, status[0].NextRefresh, 13*time.Minute)
		require.Equal(t, jwks.Empty, status[1].Freshness)
		require.Equal(t, &jwks.FetchError{Class: jwks.ClassStatus, Status: 404}, status[1].LastError)
		w.Break("us-east-1")
		time.Sleep(time.Hour)
		require.Equal(t, jwks.Stale, cache.Status()[0].Freshness)
		require.Equal(t, time.Hour+2*time.Second, cache.Status()[0].Age)
		time.Sleep(24 * time.Hour)
		require.Equal(t, jwks.Expired, cache.Status()[0].Freshness)

		w.Hang("us-west-2")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, cache.Warm(ctx), jwks.ErrUnavailable)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestStaticRefuses(t *testing.T) {
	t.Parallel()
	a := authority("a")
	for name, c := range map[string]struct {
		doc    map[string][]byte
		reason string
	}{
		"other region": {map[string][]byte{"x": jwk(t)}, `no region "x"`},
		"no JSON":      {map[string][]byte{"r": []byte("x")}, "JSON"},
		"no keys":      {map[string][]byte{"r": []byte(`{"keys":[]}`)}, "no usable key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := jwks.NewStatic(jwks.StaticSet{Authority: a, JWKS: c.doc})
			require.ErrorContains(t, err, c.reason)
		})
	}
	s, err := jwks.NewStatic(jwks.StaticSet{Authority: a, JWKS: map[string][]byte{"r": jwk(t)}})
	require.NoError(t, err)
	_, err = s.Keys(t.Context(), "https://idp.example", "other")
	require.ErrorIs(t, err, jwks.ErrUnknownKey)
	_, err = s.Keys(t.Context(), "https://other.example", "k")
	require.ErrorIs(t, err, jwks.ErrUnknownIssuer)
}
