package jwks_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// backends answers for a URL behind which stand servers that share one ETag: a request that carries it is answered with 304 by
// whichever it meets.
type backends struct {
	mu   sync.Mutex
	of   [][]string // the kids that each lists
	pick func() int
	sent map[int]int // answers by status
}

func (b *backends) answer(r *http.Request) *http.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	header := http.Header{"Etag": {`"shared"`}}
	if r.Header.Get("If-None-Match") == `"shared"` {
		b.sent[304]++
		return response(r, http.StatusNotModified, header, nil)
	}
	b.sent[200]++
	return response(r, http.StatusOK, header, document(b.of[b.pick()], nil))
}

func (b *backends) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// A backend with a key more has the same ETag. A search for the key is not answered with "unchanged", in either direction.
func TestSharedETag(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]int{"the first answer misses the key": 0, "the first answer has the key": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testSharedETag(t, first) })
		})
	}
}

func testSharedETag(t *testing.T, first int) {
	n, at := newServers(), first
	b := &backends{of: [][]string{{"one"}, {"one", "two"}}, sent: map[int]int{}}
	b.pick = func() int { return at }
	n.at(keysURL).answer = b.answer
	c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
	require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
	time.Sleep(5 * time.Minute)
	b.set(func() { at = 1 - first })
	counted := newTally()
	for range 720 { // two hours
		counted.add(ask(t.Context(), c, "p", "two"))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		if first == 1 && counted.count(503) > 0 {
			break
		}
		time.Sleep(10 * time.Second)
	}
	b.set(func() { t.Log("outcomes", counted.counts(), "answers", b.sent) })
	require.Zero(t, counted.count(401), "a backend lists the key")
	if first == 0 {
		require.Equal(t, 720, counted.count(200))
	}
	if first == 1 { // the other backend is back: the key is good at once, although it had been missing
		b.set(func() { at = 1 })
		time.Sleep(2 * time.Second)
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
	}
}

// Any backend may answer any request. Once the key was seen, no token of it is called bad.
func TestSharedETagOfBackendsInTurn(t *testing.T) {
	t.Parallel()
	counted, before := newTally(), 0
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			n, d := newServers(), newDice(seed)
			b := &backends{of: [][]string{{"one"}, {"one", "two"}}, sent: map[int]int{}}
			b.pick = func() int { return int(d.Float64() * 2) }
			n.at(keysURL).answer = b.answer
			c := seededCache(t, n, jwks.Config{}, seed, pool("p", []string{keysURL}))
			for seen, i := false, 0; i < 2160; i++ { // six hours
				got := ask(t.Context(), c, "p", "two")
				if seen = seen || got == 200; seen {
					counted.add(got)
				} else {
					before++
				}
				time.Sleep(10 * time.Second)
			}
		})
	}
	t.Log("outcomes", counted.counts(), "before the key was seen", before)
	require.LessOrEqual(t, counted.count(401), 1)
}

// cdn answers for a URL with a copy that it keeps for an hour.
type cdn struct {
	mu       sync.Mutex
	kids     []string // at the origin
	copy     []string
	at       time.Time
	honors   bool // a request for a fresh copy
	origin   int  // requests to it
	lifetime time.Duration
}

func (c *cdn) answer(r *http.Request) *http.Response {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := c.honors && r.Header.Get("Cache-Control") == "no-cache"
	if fresh || c.at.IsZero() || time.Since(c.at) >= c.lifetime {
		c.copy, c.at = c.kids, time.Now()
		c.origin++
	}
	age := strconv.Itoa(int(time.Since(c.at) / time.Second))
	max := strconv.Itoa(int(c.lifetime / time.Second))
	header := http.Header{"Age": {age}, "Cache-Control": {"public", "max-age=" + max}}
	return response(r, http.StatusOK, header, document(c.copy, nil))
}

func (c *cdn) list(kids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kids = kids
}

// A CDN holds a copy of ten minutes' age when the key is rotated.
func TestRotationBehindACDN(t *testing.T) {
	t.Parallel()
	for name, honors := range map[string]bool{"honors no-cache": true, "ignores no-cache": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testRotationBehindACDN(t, honors) })
		})
	}
}

func testRotationBehindACDN(t *testing.T, honors bool) {
	n, d := newServers(), &cdn{kids: []string{"old"}, honors: honors, lifetime: time.Hour}
	s := n.at(keysURL)
	s.answer = d.answer
	c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
	require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
	time.Sleep(10 * time.Minute)
	d.list("old", "new")
	began, before, counted := time.Now(), s.requests(), newTally()
	for counted.count(200) == 0 {
		require.Less(t, time.Since(began), 2*time.Hour)
		q := jwks.Query{Issuer: "https://idp.example/p", KeyID: "new", Algorithm: "ES256", IssuedAt: time.Now()}
		counted.add(outcome(c.Lookup(t.Context(), q), "new"))
		if counted.count(200) == 0 {
			time.Sleep(5 * time.Second)
		}
	}
	took, left := time.Since(began), 50*time.Minute
	t.Log("verified after", took, "of which the copy was fresh for", left, "outcomes", counted.counts(), "requests", s.requests()-before)
	require.Zero(t, counted.count(401))
	require.Zero(t, counted.count(503), "only Age is in the way")
	if honors {
		require.Zero(t, took)
		return
	}
	require.LessOrEqual(t, took, left+15*time.Second)
	require.LessOrEqual(t, s.requests()-before, int(left/(10*time.Second))+20)
}

// A copy proves that a key does not exist only to a token that was issued two minutes before the copy was made. A made-up kid is
// then rejected, also behind a CDN that ignores no-cache.
func TestWhatACopyProves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, d := newServers(), &cdn{kids: []string{"old"}, lifetime: time.Hour}
		n.at(keysURL).answer = d.answer
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
		time.Sleep(10 * time.Minute)
		at := func(kid string, issued time.Duration) int {
			q := jwks.Query{Issuer: "https://idp.example/p", KeyID: kid, Algorithm: "ES256", IssuedAt: time.Now().Add(-issued)}
			return outcome(c.Lookup(t.Context(), q), kid)
		}
		require.Equal(t, 429, at("made-up-1", 0))
		require.Equal(t, 429, at("made-up-2", 11*time.Minute))
		require.Equal(t, 401, at("made-up-3", 13*time.Minute))
		require.Equal(t, 429, at("made-up-4", -time.Hour), "an iat in the future")
	})
}

// A copy counts as old as its Age says: for its use, and for when it is fetched again.
func TestAgeOfACopyCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("old")
		s.header = http.Header{"Age": {"259200"}, "Cache-Control": {"max-age=3600"}}
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 503, ask(t.Context(), c, "p", "old"), "a copy of three days' age is past MaxStale")
		require.Equal(t, "expired", c.Status()[0].State)
	})
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("old")
		s.header = http.Header{"Age": {"3000"}, "Cache-Control": {"public", "max-age=3600"}}
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
		synctest.Wait()
		next := time.Until(jwks.NextRefresh(c, 0))
		require.InDelta(t, 600, next.Seconds(), 61)
		status := c.Status()[0]
		require.InDelta(t, 3000, time.Since(status.LastSuccess).Seconds(), 1)
		time.Sleep(24*time.Hour - 3000*time.Second - time.Second)
		s.set(func(s *server) { s.status = 500 })
		require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
		time.Sleep(2 * time.Second)
		require.Equal(t, 503, ask(t.Context(), c, "p", "old"))
	})
}
