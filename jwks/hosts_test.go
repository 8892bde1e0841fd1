package jwks_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// MaxRequests bounds the requests under way to all hosts. Key sets that were never usable have half of them.
func TestRequestsOfTheProcessAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		var ps []issuer.Provider
		for i := range 8 {
			url := fmt.Sprintf("https://host-%d.example/jwks.json", i)
			n.at(url).list("one")
			n.at(url).delay = 500 * time.Millisecond
			ps = append(ps, pool(fmt.Sprint(i), []string{url}))
		}
		var underWay, most atomic.Int64
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			most.Store(max(most.Load(), underWay.Add(1)))
			defer underWay.Add(-1)
			return n.RoundTrip(r)
		})}
		c, err := jwks.New(ps, jwks.Config{HTTPClient: client, MaxRequests: 4})
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, timed(func() { require.NoError(t, c.Preload(t.Context())) }))
		require.Equal(t, int64(2), most.Load())
		time.Sleep(20 * time.Minute)
		for i := range ps {
			require.Equal(t, 200, ask(t.Context(), c, fmt.Sprint(i), "one")) // has the key set refreshed
		}
		time.Sleep(2 * time.Second)
		require.Equal(t, int64(4), most.Load())
		for _, st := range c.Status() {
			require.Less(t, time.Since(st.LastSuccess), 3*time.Second)
		}
	})
}

// A refresh waits for a connection behind others to its host. A caller who needs its answer does not.
func TestRefreshThatACallerWaitsForChangesQueues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		ps, urls := tenants(17)
		for _, u := range urls {
			n.at(u).list("one")
		}
		c := newCache(t, n, jwks.Config{}, ps...)
		require.NoError(t, c.Preload(t.Context()))
		time.Sleep(20 * time.Minute)
		for i := range ps {
			n.at(urls[i]).set(func(s *server) { s.hangs = i < 16 })
			require.Equal(t, 200, ask(t.Context(), c, fmt.Sprint(i), "one")) // has the key set refreshed
			synctest.Wait()
		}
		require.Equal(t, 1, n.at(urls[16]).requests(), "16 refreshes are under way")
		n.at(urls[16]).list("one", "two")
		require.Zero(t, timed(func() { require.Equal(t, 200, ask(t.Context(), c, "16", "two")) }))
	})
}

// limits makes a server ask for fewer requests, or not.
func limits(of *server, limits bool) {
	of.set(func(s *server) {
		s.status = 0
		if limits {
			s.status = http.StatusTooManyRequests
		}
	})
}

// A host that asks for fewer requests is slowed if it asks at least three key sets, and with at least a quarter of its answers.
// Then first fetches of key sets wait, and callers of a set with keys do not.
func TestHostIsSlowed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		good, limited int // key sets that are fetched first, by their answers
		want          time.Duration
	}{{1, 1, 0}, {1, 2, 0}, {1, 3, time.Second}, {12, 3, 0}, {9, 3, time.Second}} {
		t.Run(fmt.Sprint(tc.good, " and ", tc.limited), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Minute)
				n := newServers()
				ps, urls := tenants(tc.good + tc.limited + 3)
				c := newCache(t, n, jwks.Config{}, ps...)
				busy := len(urls) - 1 // keeps a connection to the host
				n.at(urls[busy]).set(func(s *server) { s.hangs = true })
				go ask(t.Context(), c, fmt.Sprint(busy), "one")
				synctest.Wait()
				for i, u := range urls[:busy] {
					n.at(u).list("one")
					if i < tc.good+tc.limited {
						limits(n.at(u), i >= tc.good)
						_ = ask(t.Context(), c, fmt.Sprint(i), "one")
						synctest.Wait()
					}
				}
				n.at(urls[0]).list("one", "two")
				require.Zero(t, timed(func() { require.Equal(t, 200, ask(t.Context(), c, "0", "two")) }))
				first, second := fmt.Sprint(busy-2), fmt.Sprint(busy-1)
				took := timed(func() {
					require.Equal(t, 200, ask(t.Context(), c, first, "one"))
					require.Equal(t, 200, ask(t.Context(), c, second, "one"))
				})
				require.Equal(t, tc.want > 0, took > 0, "%v", took)
			})
		})
	}
}

// Hundreds of key sets that were never fetched wait for a host. A set with keys has its turn among them.
func TestSetWithKeysHasItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		ps, urls := tenants(190)
		for _, u := range urls {
			n.at(u).list("one")
		}
		c := newCache(t, n, jwks.Config{}, ps...)
		require.Equal(t, 200, ask(t.Context(), c, "0", "one"))
		time.Sleep(time.Minute)
		for i, u := range urls {
			n.at(u).set(func(s *server) { s.delay = 500 * time.Millisecond })
			if i > 0 {
				go ask(t.Context(), c, fmt.Sprint(i), "one")
			}
		}
		synctest.Wait()
		n.at(urls[0]).list("one", "two")
		require.LessOrEqual(t, timed(func() { require.Equal(t, 200, ask(t.Context(), c, "0", "two")) }), time.Second)
	})
}

// However slow a host asks to be asked, no refresh waits longer than a 24th of MaxStale.
func TestRefreshesOfASlowedHostDoNotWaitForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		ps, urls := tenants(64)
		for _, u := range urls {
			n.at(u).list("one")
		}
		c := newCache(t, n, jwks.Config{RefreshInterval: time.Minute, MaxStale: 4 * time.Minute}, ps...)
		require.NoError(t, c.Preload(t.Context()))
		time.Sleep(70 * time.Second)
		n.at(urls[0]).set(func(s *server) { s.hangs = true }) // keeps a connection to the host
		for i := range urls {
			limits(n.at(urls[i]), i > 0 && i < 4)
			require.Equal(t, 200, ask(t.Context(), c, fmt.Sprint(i), "one")) // has the key set refreshed
			synctest.Wait()
		}
		refreshed := func() int { return total(n, urls[4:]) - 60 }
		time.Sleep(9 * time.Second)
		require.Less(t, refreshed(), 30)
		time.Sleep(2 * time.Second)
		require.Equal(t, 60, refreshed())
	})
}
