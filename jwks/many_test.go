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

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// Run ends at once, whatever goes on, and does not count what it has cut off as a fault of the servers.
func TestRunEndsUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		s.set(urlA, nil)
		c := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a", urlA)}})
		defer func() { _ = c.Close() }()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = c.Keys(context.Background(), "https://idp.example", "one")
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			began := time.Now()
			require.ErrorIs(t, c.Run(ctx), context.DeadlineExceeded)
			cancel()
			require.Equal(t, 300*time.Millisecond, time.Since(began))
		}
		s.set(urlA, doc(named(t, "one")))
		close(stop)
		wg.Wait()
		time.Sleep(10 * time.Second) // a fetch that began while the server hung has ended by then
		require.NoError(t, ask(t, c, "one"))
	})
}

// Ten thousand authorities on as many hosts, half of which hang: the others' keys come at once, and a rotation within a second.
func TestTenThousandAuthorities(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		const n = 10_000
		var all []issuer.Authority
		body := named(t, "one")
		for i := range n {
			url := fmt.Sprintf("https://h%d.example/keys", i)
			all = append(all, issuer.Authority{ID: fmt.Sprint(i), Regions: []issuer.Region{
				{Name: "r", Issuers: []string{fmt.Sprintf("https://h%d.example", i)}, JWKS: []string{url}},
			}})
			s.set(url, nil)
			if i%2 == 0 {
				s.set(url, doc(body))
			}
		}
		c := s.cache(t, jwks.Config{Authorities: all})
		require.Empty(t, s.counts, "New does no I/O")
		var wg sync.WaitGroup
		var served, unavailable atomic.Int64
		for i := range n {
			wg.Go(func() {
				if _, err := c.Keys(t.Context(), all[i].Regions[0].Issuers[0], "one"); err == nil {
					served.Add(1)
				} else {
					unavailable.Add(1)
				}
			})
		}
		synctest.Wait()
		require.EqualValues(t, n/2, served.Load(), "those that answer are not kept by those that hang")
		s.set("https://h0.example/keys", doc(named(t, "two")))
		within(t, time.Second, func() {
			_, err := c.Keys(t.Context(), "https://h0.example", "two")
			require.NoError(t, err)
		})
		wg.Wait()
		require.EqualValues(t, n/2, unavailable.Load())
		require.NoError(t, c.Close())
	})
}

// What Run cuts off when it ends is no fault of the server: the next caller does not have to wait.
func TestRunEndIsNoFault(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		s.set(urlA, nil)
		c := s.cache(t, jwks.Config{Authorities: []issuer.Authority{authority("a", urlA)}})
		defer func() { _ = c.Close() }()
		stop := running(t, c)
		synctest.Wait()
		require.Equal(t, 1, s.count(urlA))
		stop()
		s.set(urlA, doc(named(t, "one")))
		require.NoError(t, ask(t, c, "one"))
	})
}

// Many sets of one host share its connections; waiting for one is not held against the host.
func TestManySetsOfOneHost(t *testing.T) {
	bubble(t, func(t *testing.T, s *servers) {
		const n = 2000
		var all []issuer.Authority
		body := named(t, "one")
		for i := range n {
			url := fmt.Sprintf("https://one.example/%d/keys", i)
			all = append(all, issuer.Authority{ID: fmt.Sprint(i), Regions: []issuer.Region{
				{Name: "r", Issuers: []string{fmt.Sprintf("https://one.example/%d", i)}, JWKS: []string{url}},
			}})
			s.set(url, func(r *http.Request) *http.Response {
				time.Sleep(50 * time.Millisecond)
				return doc(body)(r)
			})
		}
		c := s.cache(t, jwks.Config{Authorities: all})
		defer func() { _ = c.Close() }()
		began := time.Now()
		require.NoError(t, c.Warm(t.Context()))
		require.Equal(t, n/16*50*time.Millisecond, time.Since(began), "sixteen at a time")
	})
}
