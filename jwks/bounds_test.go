package jwks_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
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

// Update in a loop, which forgets the keys each time and with them what was asked, asks no server more often than anything else.
func TestUpdateInALoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		for range 300 {
			require.NoError(t, c.Update(nil))
			require.NoError(t, c.Update(providers(pool("p", []string{keysURL}))))
			ask(t.Context(), c, "p", "one")
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, most(s), 24)
		time.Sleep(11 * time.Second)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
	})
}

// A wall clock that is set ahead by days again and again makes everything due each time, and asks no server more often.
func TestClockThatJumpsAllTheTime(t *testing.T) {
	withClocks(t, pool("p", []string{keysURL}), func(t *testing.T, n *servers, c *jwks.Cache, k *clocks) {
		s := n.at(keysURL)
		s.list("one")
		for i := range 300 {
			k.wall.Add(int64(24*time.Hour) * 3)
			require.Contains(t, []int{200, 503, 429}, ask(t.Context(), c, "p", "one"))
			ask(t.Context(), c, "p", fmt.Sprint("x", i))
			time.Sleep(100 * time.Millisecond)
		}
		t.Log(s.requests())
		require.LessOrEqual(t, most(s), 24)
	})
}

// Hosts that were slowed and are not asked any more are forgotten.
func TestHostsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		c := newCache(t, n, jwks.Config{})
		for i := range 1000 {
			var ps []issuer.Provider
			for j := range 3 { // together
				s := n.at(fmt.Sprintf("https://h%d.example/%d", i, j))
				s.set(func(s *server) { s.status, s.delay = 429, time.Duration(j)*100*time.Millisecond })
				ps = append(ps, pool(fmt.Sprint(j), []string{s.url}))
			}
			require.NoError(t, c.Update(ps))
			require.Error(t, c.Preload(t.Context()))
			time.Sleep(2 * time.Second)
		}
		require.LessOrEqual(t, jwks.Hosts(c), 200)
	})
}

// What is remembered of a flood is forgotten with the next refresh, also if nobody asks for an unknown key again.
func TestFloodIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(keysURL).list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		for i := range 1000 {
			go ask(t.Context(), c, "p", fmt.Sprint("forged-", i))
		}
		time.Sleep(5 * time.Second)
		require.GreaterOrEqual(t, jwks.Asked(c, "https://idp.example/p"), 1000)
		time.Sleep(20 * time.Minute)
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		synctest.Wait()
		require.Zero(t, jwks.Asked(c, "https://idp.example/p"))
	})
}

// A host is the same however its name is written.
func TestOneHostInSeveralSpellings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		var ps []issuer.Provider
		for i, of := range []string{"keys.example", "KEYS.example", "keys.example:443", "keys.example."} {
			u := fmt.Sprintf("https://%s/%d", of, i)
			n.at(u).set(func(s *server) { s.hangs = true })
			ps = append(ps, pool(fmt.Sprint(i), []string{u}))
		}
		c := newCache(t, n, jwks.Config{}, ps...)
		for _, p := range ps {
			go ask(t.Context(), c, p.ID, "one")
		}
		synctest.Wait()
		require.Equal(t, 1, jwks.Hosts(c))
		time.Sleep(20 * time.Second)
	})
}
