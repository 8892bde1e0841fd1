package jwks_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// Everything at once, with contexts that end at odd moments: nothing hangs, nothing stays behind, and what Lookup does not return
// is not valid.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		urls := []string{"https://a.example/jwks.json", "https://b.example/jwks.json", "https://c.example/jwks.json"}
		for i, u := range urls {
			n.at(u).list("one", fmt.Sprint("own-", i))
			n.at(u).set(func(s *server) { s.delay = time.Duration(i) * 300 * time.Millisecond })
		}
		shapes := [][]issuer.Provider{
			{pool("p", urls[:1]), pool("q", urls[1:])},
			{pool("p", urls[:1], urls[1:2]), pool("q", urls[1:])},
			{pool("p", urls, []string{urls[2], urls[0]})},
			nil,
		}
		names := []string{"one", "own-0", "own-1", "own-2", "none", ""}
		c := newCache(t, n, jwks.Config{Snapshots: new(memory)}, shapes[0]...)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		loop := func(f func(r *rand.Rand)) {
			seed := rand.Uint64()
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 1))
				for ctx.Err() == nil {
					f(r)
					time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				}
			})
		}
		var mu sync.Mutex
		seen := map[*jwks.Key]string{}
		for range 30 {
			loop(func(r *rand.Rand) {
				within, end := context.WithTimeout(ctx, time.Duration(r.IntN(4000))*time.Millisecond)
				defer end()
				q := jwks.Query{
					Issuer: "https://idp.example/" + string("pqx"[r.IntN(3)]), KeyID: names[r.IntN(len(names))],
					Algorithm: "ES256", CacheOnly: r.IntN(4) == 0,
				}
				began := time.Now()
				got := c.Lookup(within, q)
				require.LessOrEqual(t, time.Since(began), 3*time.Second)
				mu.Lock()
				defer mu.Unlock()
				for _, k := range got.Keys {
					seen[k] = q.Issuer
				}
			})
		}
		loop(func(r *rand.Rand) { require.NoError(t, c.Update(shapes[r.IntN(len(shapes))])) })
		loop(func(r *rand.Rand) {
			within, end := context.WithTimeout(ctx, time.Duration(r.IntN(4000))*time.Millisecond)
			defer end()
			_ = c.Run(within)
		})
		loop(func(r *rand.Rand) {
			within, end := context.WithTimeout(ctx, time.Duration(r.IntN(9000))*time.Millisecond)
			defer end()
			_ = c.Preload(within)
		})
		loop(func(*rand.Rand) { c.Status(); _ = c.Ready() })
		loop(func(*rand.Rand) {
			select {
			case <-c.Changed():
			case <-time.After(time.Second):
			}
		})
		time.Sleep(3 * time.Minute)
		cancel()
		wg.Wait()
		require.NoError(t, c.Update(shapes[1]))
		time.Sleep(time.Minute)
		for k, iss := range seen {
			listed := false
			for _, other := range c.Lookup(t.Context(), jwks.Query{Issuer: iss, KeyID: k.ID(), Algorithm: "ES256"}).Keys {
				listed = listed || other == k
			}
			require.Equal(t, listed, k.Valid(), k.ID())
		}
		for _, u := range urls {
			require.LessOrEqual(t, most(n.at(u)), 24)
		}
		time.Sleep(time.Minute)
	})
}
