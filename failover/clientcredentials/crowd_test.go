package clientcredentials_test

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
)

// tally is a network that counts the requests to each token URL.
type tally struct {
	http.RoundTripper
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) RoundTrip(req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.n[req.URL.String()]++
	c.mu.Unlock()
	return c.RoundTripper.RoundTrip(req)
}

// Callers of a client that is DPoP-only, who come at once or one after the other, all have one token within 200 ms while either
// region hangs, and no token URL was asked twice for it.
func TestACrowdHardlyNoticesARegionThatHangs(t *testing.T) {
	t.Parallel()
	for _, hanging := range []string{east, west} {
		for _, over := range []time.Duration{1, 100 * ms, time.Second} {
			synctest.Test(t, func(t *testing.T) {
				s := issuertest.New(t, provider, issuertest.Config{Algorithm: "ES256"})
				p := s.Provider()
				network := &tally{RoundTripper: p.HTTPClient.Transport, n: map[string]int{}}
				p.HTTPClient = &http.Client{Transport: network}
				source, err := clientcredentials.New(p, clientcredentials.Config{Credentials: secret, DPoPKey: newKey(t, "ES256")})
				require.NoError(t, err)
				s.Hang(hanging)
				var mu sync.Mutex
				var last time.Duration
				tokens := map[*clientcredentials.Token]bool{}
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						time.Sleep(rand.N(over))
						began := time.Now()
						token, err := source.Token(t.Context())
						require.NoError(t, err)
						mu.Lock()
						defer mu.Unlock()
						last = max(last, time.Since(began))
						tokens[token] = true
					})
				}
				wg.Wait()
				require.LessOrEqual(t, last, 200*ms)
				require.Len(t, tokens, 1)
				network.mu.Lock()
				n := maps.Clone(network.n)
				network.mu.Unlock()
				for url, times := range n {
					require.Equal(t, 1, times, url)
				}
				s.Restore(hanging)
				source.Settle()
			})
		}
	}
}
