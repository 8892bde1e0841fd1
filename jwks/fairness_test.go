package jwks_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// tenants returns n providers on one host, and their URLs.
func tenants(n int) (ps []issuer.Provider, urls []string) {
	for i := range n {
		urls = append(urls, fmt.Sprintf("https://keys.example/%d/jwks.json", i))
		ps = append(ps, pool(fmt.Sprint(i), urls[i:i+1]))
	}
	return ps, urls
}

// Thousands of issuers are on one host, and made-up kids arrive for all of them. A tenant that is not attacked has its rotated
// key, and one that was never used its first, within two seconds.
func TestQuietTenantOfABusyHost(t *testing.T) {
	t.Parallel()
	sizes, delays := []int{1000}, []time.Duration{500 * time.Millisecond}
	if longTests {
		sizes, delays = []int{1000, 4000}, []time.Duration{50 * time.Millisecond, 500 * time.Millisecond}
	}
	for _, size := range sizes {
		for _, delay := range delays {
			t.Run(fmt.Sprint(size, " answering in ", delay), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testQuietTenant(t, size, delay) })
			})
		}
	}
}

func testQuietTenant(t *testing.T, size int, delay time.Duration) {
	defer time.Sleep(5 * time.Minute) // what goes on ends
	ps, urls := tenants(size + 2)
	n := newServers()
	for _, u := range urls {
		s := n.at(u)
		s.list("old")
		s.set(func(s *server) { s.delay = 5 * time.Millisecond })
	}
	c := newCache(t, n, jwks.Config{}, ps...)
	var warm sync.WaitGroup
	for i := range size + 1 { // but the last
		warm.Go(func() {
			for ask(t.Context(), c, fmt.Sprint(i), "old") != 200 {
				time.Sleep(time.Second)
			}
		})
	}
	warm.Wait()
	time.Sleep(time.Minute)
	for _, u := range urls {
		n.at(u).set(func(s *server) { s.delay = delay })
	}
	var fetches, stop atomic.Int64
	var flood sync.WaitGroup
	hostile := newTally()
	for i := range 2 * size {
		flood.Go(func() {
			time.Sleep(time.Duration(i) * 2 * time.Second / time.Duration(2*size))
			for k := 0; stop.Load() == 0; k++ {
				hostile.add(ask(t.Context(), c, fmt.Sprint(i%size), fmt.Sprintf("made-up-%d-%d", i, k)))
				time.Sleep(2 * time.Second)
			}
		})
	}
	time.Sleep(10 * time.Second)
	n.at(urls[size]).list("old", "new")
	quiet, cold := until(t, c, fmt.Sprint(size), "new"), until(t, c, fmt.Sprint(size+1), "old")
	stop.Store(1)
	flood.Wait()
	for _, u := range urls {
		fetches.Add(int64(n.at(u).requests()))
	}
	t.Log("rotated", quiet, "never used", cold, "fetches", fetches.Load(), "hostile", hostile.counts())
	require.LessOrEqual(t, quiet, 2*time.Second)
	require.LessOrEqual(t, cold, 2*time.Second)
}

// until asks until the key is there, and returns how long that took. A good token is never called bad.
func until(t testing.TB, c jwks.Source, id, kid string) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		switch got := ask(t.Context(), c, id, kid); {
		case got == 200:
			return time.Since(began)
		case got == 401:
			t.Errorf("a good token is called bad after %v", time.Since(began))
			return time.Since(began)
		case time.Since(began) > time.Minute:
			t.Error("not found in a minute")
			return time.Since(began)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// limiter answers 50 requests a second for a host, and 429 beyond.
type limiter struct {
	mu             sync.Mutex
	rate           float64
	credit         float64
	at             time.Time
	countsRefusals bool // a refused request uses up credit, too, down to a second's worth below zero
	served, denied int
}

func (l *limiter) allow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.credit = min(l.rate, l.credit+now.Sub(l.at).Seconds()*l.rate)
	l.at = now
	if l.credit >= 1 {
		l.credit--
		l.served++
		return true
	}
	if l.countsRefusals {
		l.credit = max(-l.rate, l.credit-1)
	}
	l.denied++
	return false
}

// A host with many issuers answers 50 requests a second. All issuers are served within twice the time that this takes at best.
func TestRateLimitedHost(t *testing.T) {
	t.Parallel()
	size := 600
	if longTests {
		size = 2000
	}
	for _, retryAfter := range []string{"", "30"} {
		for _, counts := range []bool{false, true} {
			t.Run(fmt.Sprintf("Retry-After %q, refusals count %v", retryAfter, counts), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testRateLimitedHost(t, size, retryAfter, counts) })
			})
		}
	}
}

func testRateLimitedHost(t *testing.T, size int, retryAfter string, counts bool) {
	defer time.Sleep(5 * time.Minute) // what goes on ends
	ps, urls := tenants(size)
	n, l := newServers(), &limiter{rate: 50, credit: 50, at: time.Now(), countsRefusals: counts}
	for _, u := range urls {
		s := n.at(u)
		s.answer = func(r *http.Request) *http.Response {
			if l.allow() {
				return response(r, http.StatusOK, nil, document([]string{"one"}, nil))
			}
			header := http.Header{}
			if retryAfter != "" {
				header.Set("Retry-After", retryAfter)
			}
			return response(r, http.StatusTooManyRequests, header, nil)
		}
		s.delay = 20 * time.Millisecond
	}
	c := newCache(t, n, jwks.Config{}, ps...)
	ideal := time.Duration(float64(size)/l.rate) * time.Second
	began, last := time.Now(), atomic.Int64{}
	var served atomic.Int64
	var all sync.WaitGroup
	for i := range size {
		all.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond)
			for time.Since(began) < 10*ideal {
				if ask(t.Context(), c, fmt.Sprint(i), "one") == 200 {
					served.Add(1)
					for now := int64(time.Since(began)); ; {
						if old := last.Load(); now <= old || last.CompareAndSwap(old, now) {
							return
						}
					}
				}
				time.Sleep(time.Second)
			}
		})
	}
	all.Wait()
	t.Log("served", served.Load(), "the last after", time.Duration(last.Load()), "ideal", ideal, "answers", l.served, "refused", l.denied)
	require.Equal(t, int64(size), served.Load())
	limit := 2 * ideal
	if retryAfter != "" { // the first ones are asked to wait that long
		limit = max(limit, 45*time.Second)
	}
	require.LessOrEqual(t, time.Duration(last.Load()), limit)
	require.LessOrEqual(t, l.denied, size)
}

// Tenants whose hosts accept requests and do not answer, more than there are places, leave one to a tenant of another host.
func TestHangingHostsLeaveAPlace(t *testing.T) {
	t.Parallel()
	for _, each := range []int{1, 20} { // tenants of a host
		t.Run(fmt.Sprint(each), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testHangingHosts(t, each) })
		})
	}
}

func testHangingHosts(t *testing.T, each int) {
	const size = 60
	n := newServers()
	var ps []issuer.Provider
	for i := range size {
		u := fmt.Sprintf("https://h%d.example/%d", i/each, i)
		n.at(u).set(func(s *server) { s.hangs = true })
		ps = append(ps, pool(fmt.Sprint("bad", i), []string{u}))
	}
	n.at(keysURL).list("one")
	c := newCache(t, n, jwks.Config{MaxRequests: 32}, append(ps, pool("good", []string{keysURL}))...)
	ctx, cancel := context.WithCancel(t.Context())
	for i := range size {
		go func() {
			for ctx.Err() == nil {
				ask(ctx, c, fmt.Sprint("bad", i), "x")
				time.Sleep(10 * time.Millisecond)
			}
		}()
	}
	time.Sleep(2 * time.Minute)
	took := until(t, c, "good", "one")
	t.Log(each, "tenants of a host: served after", took)
	require.LessOrEqual(t, took, 2*time.Second)
	cancel()
	require.NoError(t, c.Update(nil))
	time.Sleep(20 * time.Second)
}

// On a host that asks for fewer requests, tenants without keys wait for their turn. Tenants with keys do not wait for those.
func TestSlowedHostServesTenantsWithKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 60
		n := newServers()
		ps, urls := tenants(2 * size)
		c := newCache(t, n, jwks.Config{}, ps...)
		for i, u := range urls {
			s := n.at(u)
			s.list("one")
			if i >= size {
				s.set(func(s *server) { s.status, s.delay = 429, 100*time.Millisecond })
				continue
			}
			require.Equal(t, 200, ask(t.Context(), c, ps[i].ID, "one"))
		}
		time.Sleep(5 * time.Minute)
		for i := range urls[size:] {
			go ask(t.Context(), c, ps[size+i].ID, "one")
		}
		time.Sleep(2 * time.Second)
		var wg sync.WaitGroup
		for i, u := range urls[:size] {
			n.at(u).list("one", "two")
			wg.Go(func() { assert.LessOrEqual(t, until(t, c, ps[i].ID, "two"), 100*time.Millisecond) })
		}
		wg.Wait()
		time.Sleep(5 * time.Minute)
	})
}

// Hundreds of tenants start while one host hangs that all of them ask first. Those that wait for a connection to it do not wait
// for it longer than those that have one: the mirror serves them.
func TestHangingHostOfManyTenantsWithAMirror(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 150
		n := newServers()
		var ps []issuer.Provider
		for i := range size {
			first, mirror := fmt.Sprintf("https://a.example/%d", i), fmt.Sprintf("https://b.example/%d", i)
			n.at(first).set(func(s *server) { s.hangs = true })
			n.at(mirror).list("one")
			ps = append(ps, pool(fmt.Sprint(i), []string{first, mirror}))
		}
		c := newCache(t, n, jwks.Config{}, ps...)
		var wg sync.WaitGroup
		for _, p := range ps {
			wg.Go(func() { assert.LessOrEqual(t, until(t, c, p.ID, "one"), 2*time.Second) })
		}
		wg.Wait()
		time.Sleep(20 * time.Second)
	})
}
