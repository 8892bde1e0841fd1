package jwks_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

const keysURL = "https://keys.example/jwks.json"

// A key that is asked for just before it is published verifies within two seconds of its publication, and is never called unknown
// after it.
func TestKeyAskedForBeforeItIsPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("old")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
		time.Sleep(time.Minute)
		require.Equal(t, 401, ask(t.Context(), c, "p", "new"))
		s.list("old", "new")
		began := time.Now()
		for {
			got := ask(t.Context(), c, "p", "new")
			require.NotEqual(t, 401, got)
			if got == 200 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
	})
}

// 10,000 callers arrive at a cold start, and again at a rotation: all get the key.
func TestTenThousandCallersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		s.set(func(s *server) { s.delay = 50 * time.Millisecond })
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		for _, kid := range []string{"one", "two"} {
			s.list("one", kid)
			var good atomic.Int64
			var wg sync.WaitGroup
			for range 10_000 {
				wg.Go(func() {
					if ask(t.Context(), c, "p", kid) == 200 {
						good.Add(1)
					}
				})
			}
			wg.Wait()
			require.Equal(t, int64(10_000), good.Load())
		}
		require.Equal(t, 2, s.requests())
	})
}

// Random kids do not keep a rotated key from verifying, and no good token is called bad.
func TestRotationInAFlood(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{20 * time.Second, 50 * time.Second, 5 * time.Minute} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testFlood(t, after) })
		})
	}
}

func testFlood(t *testing.T, after time.Duration) {
	n := newServers()
	s := n.at(keysURL)
	s.list("old")
	s.set(func(s *server) { s.delay = 20 * time.Millisecond })
	c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
	require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
	stop := make(chan struct{})
	var flood sync.WaitGroup
	flood.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				flood.Go(func() { ask(t.Context(), c, "p", fmt.Sprint("made-up-", i)) })
			}
		}
	})
	time.Sleep(after)
	before := s.requests()
	t.Log("fetches before the rotation", before)
	s.list("old", "new")
	began := time.Now()
	var verified, worst time.Duration
	var mu sync.Mutex
	var good sync.WaitGroup
	for range 300 {
		good.Go(func() {
			at := time.Now()
			got := ask(t.Context(), c, "p", "new")
			mu.Lock()
			defer mu.Unlock()
			require.NotEqual(t, 401, got)
			if got == 200 {
				if verified == 0 {
					verified = time.Since(began)
				}
			} else {
				worst = max(worst, time.Since(began))
			}
			_ = at
		})
		time.Sleep(50 * time.Millisecond)
	}
	good.Wait()
	close(stop)
	flood.Wait()
	t.Log("first verified after", verified, "last refusal after", worst, "fetches", s.requests()-before)
	require.Positive(t, verified)
	require.LessOrEqual(t, verified, 2700*time.Millisecond)
}
