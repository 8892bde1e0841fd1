package jwks_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// Anybody can send tokens with made-up key IDs. They neither hide an outage nor make one: a refresh that is due says whether the
// region fails, also while tokens ask.
func TestAFloodNeitherHidesNorMakesAnOutage(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*server){
		"refuses": refuse, "hangs": func(s *server) { s.hangs = true }, "503": func(s *server) { s.status = 503 },
	} {
		for _, rate := range []int{0, 1, 20} {
			for _, run := range []bool{true, false} {
				t.Run(fmt.Sprint(name, ", ", rate, " a second, Run ", run), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { testEvidence(t, breaks, rate, run) })
				})
			}
		}
	}
}

func testEvidence(t *testing.T, breaks func(*server), rate int, run bool) {
	var outages, failures atomic.Int64
	n := newServers()
	s := n.at(keysURL)
	s.list("one")
	c := newCache(t, n, jwks.Config{OnFetch: func(f jwks.Fetch) {
		if f.Outage {
			outages.Add(1)
		}
		if f.Failure != "" {
			failures.Add(1)
		}
	}}, pool("p", []string{keysURL}))
	ctx, cancel := context.WithCancel(t.Context())
	if run {
		go func() { _ = c.Run(ctx) }()
	}
	flood := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			for i := range rate {
				go ask(t.Context(), c, "p", fmt.Sprint("made-up-", i, time.Now()))
			}
		}
	}
	flood(20 * time.Minute)
	require.Zero(t, outages.Load())
	s.set(breaks)
	flood(30 * time.Minute)
	require.GreaterOrEqual(t, outages.Load(), int64(10), "of %d failures", failures.Load())
	cancel()
	time.Sleep(10 * time.Second) // until all have ended
}

// A fetch of a URL that several regions list is reported once for each provider, for the region that lists it furthest in front.
func TestAFetchIsReportedForOneRegionOfAProvider(t *testing.T) {
	t.Parallel()
	for name, regions := range map[string][][]string{
		"the same list":       {{keysURL}, {keysURL}},
		"further in front":    {{keysURL}, {regionB, keysURL}},
		"in front, backwards": {{keysURL, regionB}, {regionA, regionB, keysURL}},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newServers()
			for _, url := range []string{keysURL, regionA, regionB} {
				n.at(url).list("one")
			}
			var told sync.Map
			c := newCache(t, n, jwks.Config{OnFetch: func(f jwks.Fetch) {
				if f.URL == keysURL {
					at, _ := told.LoadOrStore(f.Provider+" "+f.Region, new(atomic.Int64))
					at.(*atomic.Int64).Add(1)
				}
			}}, pool("p", regions...), pool("q", []string{keysURL}))
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			synctest.Wait()
			_, ofA := told.Load("p a")
			_, ofB := told.Load("p b")
			require.True(t, ofA, name)
			require.False(t, ofB, name)
		})
	}
}

// One URL of a key set hangs. A caller with a made-up key waits for it, but no other caller does: the URL that answers
// is asked again for a key that it has published since.
func TestAHangingURLHoldsNoRotationBack(t *testing.T) {
	t.Parallel()
	for _, hanging := range []int{0, 1} {
		for _, pause := range []time.Duration{600 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second} {
			t.Run(fmt.Sprint(hanging, " ", pause), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := newServers()
					urls := []*server{n.at(regionA), n.at(regionB)}
					for _, s := range urls {
						s.list("one")
					}
					c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA, regionB}))
					require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
					time.Sleep(time.Minute)
					urls[hanging].set(func(s *server) { s.hangs = true })
					for i := range 3 {
						go ask(t.Context(), c, "p", fmt.Sprint("made-up-", i))
						time.Sleep(pause)
						urls[1-hanging].list("one", fmt.Sprint("new-", i))
						took := timed(func() { require.Equal(t, 200, ask(t.Context(), c, "p", fmt.Sprint("new-", i))) })
						require.LessOrEqual(t, took, 2*time.Second)
					}
					time.Sleep(10 * time.Second)
				})
			})
		}
	}
}

// A fetch that only a token has caused shows no outage, however it fails: anybody can send such tokens.
func TestAFetchThatATokenCausedShowsNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var outages, failures atomic.Int64
		n := newServers()
		n.at(keysURL).list("one")
		c := newCache(t, n, jwks.Config{OnFetch: func(f jwks.Fetch) {
			if f.Failure != "" {
				failures.Add(1)
			}
			if f.Outage {
				outages.Add(1)
			}
		}}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		time.Sleep(time.Minute) // the next refresh is far away
		n.at(keysURL).set(func(s *server) { s.status = 503 })
		require.NotEqual(t, 200, ask(t.Context(), c, "p", "made-up"))
		synctest.Wait()
		require.Positive(t, failures.Load())
		require.Zero(t, outages.Load())
	})
}
