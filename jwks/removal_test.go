package jwks_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// Update removes 2,000 issuers of a host that hangs, while callers wait for all of them. A second later nothing of them goes on:
// no request, no goroutine, no caller.
func TestRemovedIssuersEnd(t *testing.T) { // not parallel: it counts goroutines
	synctest.Test(t, func(t *testing.T) {
		ps, urls := tenants(2000)
		n := newServers()
		for _, u := range urls {
			n.at(u).hangs = true
		}
		n.at(keysURL).list("one")
		c := newCache(t, n, jwks.Config{}, append(ps, pool("p", []string{keysURL}))...)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		time.Sleep(time.Second)
		before := runtime.NumGoroutine()
		counted := newTally()
		for i := range ps {
			go func() { counted.add(ask(t.Context(), c, fmt.Sprint(i), "one")) }()
		}
		time.Sleep(1500 * time.Millisecond)
		during := runtime.NumGoroutine()
		began := time.Now()
		require.NoError(t, c.Update(providers(pool("p", []string{keysURL}))))
		time.Sleep(time.Second)
		after, asked := runtime.NumGoroutine(), total(n, urls)
		t.Log("goroutines", before, during, after, "requests", asked, "callers", counted.counts())
		require.Greater(t, during, before+2000)
		require.LessOrEqual(t, after, before+2)
		sum := 0
		for outcome, times := range counted.counts() {
			require.NotEqual(t, 401, outcome)
			sum += times
		}
		require.Equal(t, 2000, sum, "no caller waits on")
		time.Sleep(20 * time.Minute)
		require.Equal(t, asked, total(n, urls), "no further request")
		for _, u := range urls {
			for _, at := range n.at(u).times() {
				require.False(t, at.After(began), "a request began after Update")
			}
		}
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		require.ErrorIs(t, c.Lookup(t.Context(), jwks.Query{Issuer: "https://idp.example/7", KeyID: "one"}).Err, jwks.ErrUnknownIssuer)
	})
}

const mostMemory = 3 << 10 // bytes of an issuer of two regions

// total is the number of requests to all of these URLs.
func total(n *servers, urls []string) (sum int) {
	for _, u := range urls {
		sum += n.at(u).requests()
	}
	return sum
}

// Ten thousand issuers of two regions take little memory each, keys included.
func TestMemoryOfTenThousandIssuers(t *testing.T) { // not parallel: it measures memory
	size := 2000
	if longTests {
		size = 10_000
	}
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		ps, urls := tenants(2 * size)
		for i := range size {
			n.at(urls[i]).kids, n.at(urls[size+i]).kids = []string{"one"}, []string{"one"}
			ps[i] = pool(fmt.Sprint(i), urls[i:i+1], urls[size+i:size+i+1])
		}
		document([]string{"one"}, nil)
		before := heap()
		c := newCache(t, n, jwks.Config{}, ps[:size]...)
		empty := heap()
		for i := range size {
			require.Equal(t, 200, ask(t.Context(), c, fmt.Sprint(i), "one"))
		}
		require.NoError(t, c.Preload(t.Context()))
		time.Sleep(time.Minute)
		n.mu.Lock()
		for _, s := range n.urls {
			s.asked, s.lastSeen = nil, nil
		}
		n.mu.Unlock()
		after := heap()
		each := (int64(after) - int64(before)) / int64(size)
		t.Log("bytes for each issuer", each, "of which before its keys are there", (int64(empty)-int64(before))/int64(size))
		require.LessOrEqual(t, each, int64(mostMemory))
		runtime.KeepAlive(c)
	})
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
