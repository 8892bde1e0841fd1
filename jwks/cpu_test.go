package jwks_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// A forged token that finds no place among those who wait costs little, however many wait and however many keys the set has.
func TestTokensWithoutAPlaceAreCheap(t *testing.T) { // not parallel: it measures time
	n := newServers()
	s := n.at(keysURL)
	document(kids(300), nil) // makes the keys
	s.list(kids(300)...)
	c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
	until(t, c, "p", "kid-0001")
	s.set(func(s *server) { s.delay = 1900 * time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for i := range 1024 {
		wg.Go(func() { ask(ctx, c, "p", fmt.Sprint("w", i)) })
	}
	time.Sleep(500 * time.Millisecond)
	took := timed(func() {
		for i := range 20 {
			require.Equal(t, 429, ask(ctx, c, "p", fmt.Sprint("f", i)))
		}
	})
	t.Log("20 took", took)
	require.Less(t, took, 10*time.Second)
}

// A set with many keys of one name makes a token of that name about as much dearer as it has keys, not as the square.
func TestManyKeysOfOneNameAreCheap(t *testing.T) { // not parallel: it measures time
	cost := func(size int) time.Duration {
		n := newServers()
		s, all := n.at(keysURL), []map[string]any{}
		for i := range size {
			all = append(all, as(material(fmt.Sprint(i)), "x", "ES256"))
		}
		s.publish(all...)
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		until(t, c, "p", "x")
		least := time.Hour
		for range 50 {
			least = min(least, timed(func() { require.Len(t, look(t, c, "x", "ES256").Keys, 4) }))
		}
		return least
	}
	few, many := cost(100), cost(1000)
	t.Log("100 keys", few, "1,000 keys", many)
	require.Less(t, many, 40*few)
}
