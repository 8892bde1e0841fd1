package jwks_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// servers answers by URL, and counts.
type servers struct {
	mu     sync.Mutex
	serve  map[string]func(*http.Request) *http.Response // by URL; nil hangs
	counts map[string]int
}

func (s *servers) set(url string, f func(*http.Request) *http.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serve == nil {
		s.serve, s.counts = map[string]func(*http.Request) *http.Response{}, map[string]int{}
	}
	s.serve[url] = f
}

func (s *servers) count(url string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[url]
}

// RoundTrip implements http.RoundTripper.
func (s *servers) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.counts[r.URL.String()]++
	f := s.serve[r.URL.String()]
	s.mu.Unlock()
	if f == nil {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	resp := f(r)
	resp.Request = r
	return resp, nil
}

func (s *servers) cache(t *testing.T, c jwks.Config) *jwks.Cache {
	t.Helper()
	c.Client = &http.Client{Transport: s}
	cache, err := jwks.New(c)
	require.NoError(t, err)
	return cache
}

// doc answers 200 with a document, and headers as name and value in turn.
func doc(body []byte, headers ...string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response {
		h := http.Header{}
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: 200, Header: h, ContentLength: -1, Body: io.NopCloser(strings.NewReader(string(body)))}
	}
}

func named(t *testing.T, kid string) []byte {
	t.Helper()
	return []byte(strings.Replace(string(jwk(t)), `"kid":"k"`, fmt.Sprintf(`"kid":%q`, kid), 1))
}

// together is one set of the keys of two.
func together(one, two []byte) []byte {
	return []byte(strings.TrimSuffix(string(one), "]}") + "," + strings.TrimPrefix(string(two), `{"keys":[`))
}

// both regions list one iss, each with a URL of its own.
func twoRegions(a, b string) []issuer.Authority {
	return []issuer.Authority{{ID: "a", Regions: []issuer.Region{
		{Name: "a", Issuers: []string{"https://idp.example"}, JWKS: []string{a}},
		{Name: "b", Issuers: []string{"https://idp.example"}, JWKS: []string{b}},
	}}}
}

const (
	urlA = "https://a.example/keys"
	urlB = "https://b.example/keys"
)

// bubble runs f in a synctest bubble with servers.
func bubble(t *testing.T, f func(*testing.T, *servers)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(t, new(servers)) })
}

func ask(t *testing.T, c *jwks.Cache, kid string) error {
	t.Helper()
	_, err := c.Keys(t.Context(), "https://idp.example", kid)
	return err
}

// A mirror that nobody had to ask for a day is not dark.
func TestIdleMirrorIsNotDark(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		s.set(urlA, doc(named(t, "one")))
		s.set(urlB, doc(named(t, "one")))
		c := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a", urlA, urlB)}})
		defer running(t, c)()
		time.Sleep(25 * time.Hour)
		require.NoError(t, ask(t, c, "one"))
		s.set(urlB, nil)
		require.ErrorIs(t, ask(t, c, "of the mirror that hangs"), jwks.ErrUnavailable)
	})
}

// The fetch that was made for this very token failed: an older answer does not decide.
func TestFailedFetchIsNoAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		s.set(urlA, doc(named(t, "one")))
		c := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a", urlA)}})
		defer func() { _ = c.Close() }()
		require.NoError(t, ask(t, c, "one"))
		time.Sleep(5 * time.Second)
		s.set(urlA, func(*http.Request) *http.Response {
			return &http.Response{StatusCode: 503, Body: http.NoBody}
		})
		require.ErrorIs(t, ask(t, c, "two"), jwks.ErrUnavailable)
	})
}

// A discovery endpoint that hangs does not keep the keys from being fetched from the last URL.
func TestDiscoveryHangs(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		const discovery = "https://idp.example/.well-known/openid-configuration"
		s.set(discovery, doc([]byte(`{"issuer":"https://idp.example","jwks_uri":"`+urlA+`"}`)))
		s.set(urlA, doc(named(t, "one")))
		c := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a")}})
		defer running(t, c)()
		require.NoError(t, ask(t, c, "one"))
		s.set(discovery, nil)
		for range 72 {
			time.Sleep(time.Hour)
			require.NoError(t, ask(t, c, "one"))
		}
		require.Less(t, c.Status()[0].Age, 20*time.Minute)
		// The keys move: the document says so, and the old URL is dead.
		s.set(discovery, doc([]byte(`{"issuer":"https://idp.example","jwks_uri":"`+urlB+`"}`)))
		s.set(urlB, doc(named(t, "two")))
		s.set(urlA, nil)
		time.Sleep(time.Hour)
		require.NoError(t, ask(t, c, "two"))
	})
}

// An ETag belongs to its URL: the 304 of another one proves nothing.
func TestETagIsThatOfItsURL(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		const discovery = "https://idp.example/.well-known/openid-configuration"
		at := func(url string) {
			s.set(discovery, doc([]byte(`{"issuer":"https://idp.example","jwks_uri":"`+url+`"}`)))
		}
		tagged := func(kid string) func(*http.Request) *http.Response {
			body := named(t, kid)
			return func(r *http.Request) *http.Response {
				if r.Header.Get("If-None-Match") == `"v1"` {
					return &http.Response{StatusCode: 304, Body: http.NoBody}
				}
				return doc(body, "ETag", `"v1"`)(r)
			}
		}
		at(urlA)
		s.set(urlA, tagged("one"))
		c := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a")}})
		defer func() { _ = c.Close() }()
		require.NoError(t, ask(t, c, "one"))
		at(urlB)
		good := tagged("two")
		s.set(urlB, func(*http.Request) *http.Response { return &http.Response{StatusCode: 500, Body: http.NoBody} })
		s.set(urlA, func(*http.Request) *http.Response { return &http.Response{StatusCode: 410, Body: http.NoBody} })
		time.Sleep(time.Hour)
		require.NoError(t, ask(t, c, "one"), "it is refreshed behind this")
		synctest.Wait()
		s.set(urlB, good) // the second fetch of the new URL succeeds
		time.Sleep(time.Hour)
		require.NoError(t, ask(t, c, "one"))
		synctest.Wait()
		require.NoError(t, ask(t, c, "two"))
	})
}

// Cache-Control cannot keep keys from being refreshed before they are too old.
func TestCacheControlWithinMaxStale(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		answer := doc(named(t, "one"), "Cache-Control", "max-age=3600")
		s.set(urlA, func(r *http.Request) *http.Response {
			time.Sleep(100 * time.Millisecond)
			return answer(r)
		})
		c := s.cache(t, jwks.Config{
			Authorities: []issuer.Authority{authority("a", urlA)}, Refresh: 10 * time.Minute, MaxStale: 30 * time.Minute,
		})
		defer running(t, c)()
		require.NoError(t, ask(t, c, "one"))
		for range 20 {
			time.Sleep(29 * time.Minute)
			synctest.Wait()
			within(t, 0, func() { require.NoError(t, ask(t, c, "one")) })
		}
		require.Less(t, s.count(urlA), 50)
	})
}

// Two regions that publish new keys all the time do not drive each other to more than a fetch in ten seconds.
func TestRegionsDoNotChaseEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		changing := func(late time.Duration) func(*http.Request) *http.Response {
			var n atomic.Int64
			one := named(t, "one")
			return func(r *http.Request) *http.Response {
				time.Sleep(late)
				return doc(together(one, named(t, fmt.Sprintf("k%d", n.Add(1)))))(r)
			}
		}
		s.set(urlA, changing(10*time.Millisecond))
		s.set(urlB, changing(20*time.Millisecond))
		c := s.cache(t, jwks.Config{Authorities: twoRegions(urlA, urlB)})
		defer func() { _ = c.Close() }()
		for range 600 {
			_ = ask(t, c, "one")
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, s.count(urlA), 5+60+2)
		require.LessOrEqual(t, s.count(urlB), 5+60+2)
	})
}

// The clock is set back: what was answered before stays answered before.
func TestClockSetBackIsNoFlood(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		one := named(t, "one")
		s.set(urlA, doc(one))
		s.set(urlB, doc(named(t, "two")))
		k := &clocks{base: time.Now()}
		c, err := jwks.NewWithClock(jwks.Config{Authorities: twoRegions(urlA, urlB), Client: &http.Client{Transport: s}}, k.read)
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		require.NoError(t, ask(t, c, "one"))
		time.Sleep(time.Minute)
		k.wall.Add(-int64(time.Hour))
		for range 20 { // both are refreshed
			require.NoError(t, ask(t, c, "one"))
			time.Sleep(time.Minute)
		}
		s.set(urlA, doc(together(one, named(t, "three"))))
		require.NoError(t, ask(t, c, "three"))
		time.Sleep(time.Minute)
		before := s.count(urlB)
		for range 600 {
			require.NoError(t, ask(t, c, "one"))
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, s.count(urlB)-before, 3)
	})
}

// Status is a copy: what a caller does to it changes nothing.
func TestStatusIsACopy(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		s.set(urlA, func(*http.Request) *http.Response { return &http.Response{StatusCode: 500, Body: http.NoBody} })
		c := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a", urlA)}})
		defer func() { _ = c.Close() }()
		require.Error(t, ask(t, c, "one"))
		c.Status()[0].LastError.RetryAfter = time.Hour
		s.set(urlA, doc(named(t, "one")))
		time.Sleep(2 * time.Second)
		require.NoError(t, ask(t, c, "one"))
	})
}

// A snapshot names the mirrors that listed a key, whatever order they stand in.
func TestSnapshotKnowsTheMirrors(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		s.set(urlA, doc(named(t, "one")))
		s.set(urlB, nil)
		shelf := new(shelf)
		first := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a", urlA, urlB)}, Store: shelf})
		require.NoError(t, ask(t, first, "one"))
		synctest.Wait()
		require.NoError(t, first.Close())
		s.set(urlA, nil)
		second := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a", urlB, urlA)}, Store: shelf})
		defer func() { _ = second.Close() }()
		require.NoError(t, ask(t, second, "one"))
		s.set(urlB, doc(named(t, "other"))) // it never listed the key, so it cannot withdraw it
		for range 20 {
			time.Sleep(time.Hour)
			require.NoError(t, ask(t, second, "one"))
		}
	})
}

// A mirror that lags does not shadow the new key of the same name.
func TestNewKeyOfTheSameName(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		old, renewed := named(t, "one"), named(t, "one")
		s.set(urlA, doc(old))
		s.set(urlB, doc(old))
		c := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a", urlA, urlB)}})
		defer func() { _ = c.Close() }()
		thumb := func() string {
			keys, err := c.Keys(t.Context(), "https://idp.example", "one")
			require.NoError(t, err)
			require.Len(t, keys, 1)
			return keys[0].Thumbprint
		}
		before := thumb()
		require.ErrorIs(t, ask(t, c, "nobody"), jwks.ErrUnknownKey) // has both mirrors asked
		time.Sleep(time.Minute)
		s.set(urlA, doc(renewed))
		require.ErrorIs(t, ask(t, c, "nobody either"), jwks.ErrUnknownKey)
		after := thumb()
		require.NotEqual(t, before, after)
		for range 5 {
			require.ErrorIs(t, ask(t, c, "nobody at all"), jwks.ErrUnknownKey)
			require.Equal(t, after, thumb())
			time.Sleep(time.Minute)
		}
	})
}
