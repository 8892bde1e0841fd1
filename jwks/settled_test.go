package jwks_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// While every URL answers at once, an unknown key is 401 or 429, never 503.
func TestUnknownKeysOfHealthyServers(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			n := newServers()
			regions := [][]string{{"https://a.example/keys"}, {"https://b.example/keys"}, {"https://c.example/keys"}}
			for i, urls := range regions {
				n.at(urls[0]).list(fmt.Sprint("key-", i))
			}
			c := newCache(t, n, jwks.Config{}, pool("p", regions...))
			require.NoError(t, c.Preload(t.Context()))
			for i := range 40 {
				require.Contains(t, []int{401, 429}, ask(t.Context(), c, "p", fmt.Sprint("made-up-", i)))
				time.Sleep(500 * time.Millisecond)
			}
			time.Sleep(10 * time.Second)
		})
	}
}
