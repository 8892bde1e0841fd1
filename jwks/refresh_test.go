package jwks_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// A refresh asks a URL that does not answer twice. Only a caller has it asked further.
func TestRefreshAsksTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		time.Sleep(20 * time.Minute)
		s.set(func(s *server) { s.hangs = true })
		require.Equal(t, 200, ask(t.Context(), c, "p", "one")) // has the key set refreshed
		time.Sleep(10 * time.Second)
		require.Equal(t, 3, s.requests())
		require.NotEqual(t, 401, ask(t.Context(), c, "p", "made-up"))
		time.Sleep(10 * time.Second)
		require.Equal(t, 8, s.requests())
	})
}

// Servers may share an ETag, so 304 confirms an answer for an hour, and none that misses a key.
func TestWhenAValidatorIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		s := n.at(keysURL)
		s.list("one", "two")
		s.header = http.Header{"Etag": {`"v1"`}}
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		refresh := func() (validator string) {
			synctest.Wait()
			time.Sleep(time.Until(jwks.NextRefresh(c, 0)))
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			synctest.Wait()
			return s.last().Get("If-None-Match")
		}
		s.set(func(s *server) { s.status = http.StatusNotModified })
		for began := time.Now(); time.Since(began) < 40*time.Minute; {
			require.Equal(t, `"v1"`, refresh())
		}
		s.set(func(s *server) { s.status = 0 })
		time.Sleep(20 * time.Minute)
		require.Empty(t, refresh(), "the last whole answer is an hour old")
		require.Equal(t, `"v1"`, refresh())
		s.list("one")
		require.Equal(t, `"v1"`, refresh())
		require.Empty(t, refresh(), "the last answer missed a key")
	})
}

// Callers of 1,024 keys that are not there wait at most. A key that is asked for again has one of the other places.
func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	for _, usable := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(time.Minute)
			n := newServers()
			s := n.at(keysURL)
			s.list("one")
			c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
			if usable {
				require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			}
			time.Sleep(time.Minute)
			s.set(func(s *server) { s.hangs = true })
			for i := range 1024 {
				go ask(t.Context(), c, "p", fmt.Sprint("made-up-", i))
			}
			synctest.Wait()
			late := func() time.Duration {
				return timed(func() { require.NotEqual(t, 401, ask(t.Context(), c, "p", "late")) })
			}
			require.Equal(t, usable, late() == 0)
			require.Positive(t, late())
		})
	}
}

// crowd counts the requests to a URL that are under way.
type crowd struct{ underWay, most atomic.Int64 }

// client returns an HTTP client that reaches the network, and counts the requests to a URL.
func (c *crowd) client(n *servers, url string) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.String() == url {
			c.most.Store(max(c.most.Load(), c.underWay.Add(1)))
			defer c.underWay.Add(-1)
		}
		return n.RoundTrip(r)
	})}
}

// A URL that does not answer has two requests under way at most: of one round, and of several.
func TestRequestsToAURLAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, asked := newServers(), &crowd{}
		n.at(metadataURL).set(func(s *server) { s.hangs = true })
		c, err := jwks.New(providers(tenant()), jwks.Config{HTTPClient: asked.client(n, metadataURL)})
		require.NoError(t, err)
		require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
		time.Sleep(10 * time.Second)
		require.Equal(t, int64(2), asked.most.Load())
	})
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, asked := newServers(), &crowd{}
		n.at(regionA).list("one")
		n.at(regionB).list("one")
		p := pool("p", []string{regionA, regionB})
		c, err := jwks.New(providers(p), jwks.Config{HTTPClient: asked.client(n, regionA)})
		require.NoError(t, err)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		time.Sleep(time.Minute)
		n.at(regionA).set(func(s *server) { s.hangs = true })
		for _, kid := range []string{"two", "three", "four"} { // each has a round that URL b ends after half a second
			n.at(regionB).list("one", "two", kid)
			require.Equal(t, 200, ask(t.Context(), c, "p", kid))
			synctest.Wait()
		}
		require.Equal(t, int64(2), asked.most.Load())
	})
}

// Retry-After keeps refreshes away, for as long as it says and the keys are usable.
func TestRetryAfterOfARefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		time.Sleep(20 * time.Minute)
		s.set(func(s *server) { s.status, s.header = http.StatusTooManyRequests, http.Header{"Retry-After": {"600"}} })
		began := time.Now()
		for s.requests() < 3 {
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			time.Sleep(time.Second)
		}
		require.GreaterOrEqual(t, time.Since(began), 9*time.Minute)
	})
}

// A URL that fails is asked last: a key that another one lists costs no request to it.
func TestURLThatFailsIsAskedLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		a, b := n.at(regionA), n.at(regionB)
		a.status = http.StatusInternalServerError
		b.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		time.Sleep(time.Minute)
		b.list("one", "two")
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		require.Equal(t, 1, a.requests())
		require.Equal(t, 2, b.requests())
	})
}

// A key that is certain to be absent causes the next round a second later at the earliest.
func TestAbsentKeyCausesARoundASecondLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		n.at(keysURL).list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		took := func() time.Duration { return timed(func() { require.Equal(t, 401, ask(t.Context(), c, "p", "two")) }) }
		require.Zero(t, took())
		require.Equal(t, time.Second, took())
	})
}

// Run fetches no more than 100 key sets when it starts. Beyond that, each is fetched on use.
func TestRunFetchesManySetsOnUse(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 101} {
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(time.Minute)
			n := newServers()
			ps, urls := tenants(size)
			for _, u := range urls {
				n.at(u).list("one")
			}
			c := newCache(t, n, jwks.Config{}, ps...)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go func() { _ = c.Run(ctx) }()
			time.Sleep(time.Minute)
			require.Equal(t, size == 100, total(n, urls) == 100)
			require.Equal(t, size == 101, total(n, urls) == 0)
		})
	}
}

// A URL that is discovered may have moved since its metadata were read. Then a refresh proves nothing about other keys.
func TestRefreshOfAURLThatMayHaveMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		n.at(metadataURL).says(metadata(keysURL))
		n.at(keysURL).list("one")
		c := newCache(t, n, jwks.Config{}, tenant())
		memory := func() bool {
			synctest.Wait()
			return c.Lookup(t.Context(), jwks.Query{Issuer: movedIssuer, KeyID: "two", CacheOnly: true}).Complete
		}
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		require.True(t, memory())
		time.Sleep(20 * time.Minute)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one")) // has the key set refreshed
		require.False(t, memory())
		require.Equal(t, 2, n.at(keysURL).requests())
	})
}

// The keys of an issuer that Update removes are not valid any longer.
func TestKeysOfARemovedIssuerAreNotValid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(regionA).list("one")
		p, q := pool("p", []string{regionA}), pool("q", []string{regionB})
		c := newCache(t, n, jwks.Config{}, p, q)
		keys := look(t, c, "one", "ES256").Keys
		require.Len(t, keys, 1)
		require.NoError(t, c.Update(providers(p)))
		require.True(t, keys[0].Valid())
		require.NoError(t, c.Update(providers(q)))
		require.False(t, keys[0].Valid())
	})
}

// One of two URLs asks to be left alone for ten minutes. The other one is refreshed every minute meanwhile.
func TestURLThatAsksToBeLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		a, b := n.at(regionA), n.at(regionB)
		a.status, a.header = http.StatusTooManyRequests, http.Header{"Retry-After": {"600"}}
		b.list("one")
		b.header = http.Header{"Cache-Control": {"max-age=60"}}
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
		for range 9 * 60 {
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			time.Sleep(time.Second)
		}
		require.Equal(t, 1, a.requests())
		require.InDelta(t, 10, b.requests(), 2)
	})
}

// Cache-Control decides when a key set is refreshed, but no sooner than after a minute, and no later than after an hour.
func TestBoundsOfCacheControl(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"max-age=1": time.Minute, "max-age=86400": time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			n := newServers()
			n.at(keysURL).list("one")
			n.at(keysURL).header = http.Header{"Cache-Control": {value}}
			c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			synctest.Wait()
			require.Equal(t, want, time.Until(jwks.NextRefresh(c, 0)))
		})
	}
}

// A key is missing from the last answer of a URL, which then fails. That it is looked for again causes no storm.
func TestMissingKeyOfAURLThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		a, b := n.at(regionA), n.at(regionB)
		a.list("one", "two")
		b.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		time.Sleep(20 * time.Minute)
		a.list("one")
		require.Equal(t, 200, ask(t.Context(), c, "p", "one")) // has the key set refreshed
		synctest.Wait()
		a.set(refuse)
		for range 3600 {
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, b.requests(), 100)
	})
}
