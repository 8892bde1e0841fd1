package jwks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// most returns how many requests a server got within ten seconds, at the most.
func most(s *server) (worst int) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	from := 0
	for i, at := range s.asked {
		for at.Sub(s.asked[from]) >= 10*time.Second {
			from++
		}
		worst = max(worst, i-from+1)
	}
	return worst
}

// Preload in a loop asks a server that fails no more often than callers do.
func TestPreloadLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.set(refuse)
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		for range 300 {
			_ = c.Preload(t.Context())
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, most(s), 24)
	})
}
