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

	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
)

// kept is what a store in memory holds under a name.
type kept struct {
	Data     []byte
	Revision string
}

// memory is a trusted store in memory that is shared by processes.
type memory struct {
	store.Trusted

	mu   sync.Mutex
	docs map[string]kept
	n    int
}

func (*memory) TrustInfo() trust.Info { return trust.Info{} }

func (m *memory) Load(_ context.Context, name, _ string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.docs[name]
	if !ok {
		return nil, "", store.ErrNotFound
	}
	return d.Data, d.Revision, nil
}

func (m *memory) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.docs[name].Revision != ifRevision {
		return "", store.ErrConflict
	}
	m.n++
	d := kept{Data: append([]byte(nil), data...), Revision: fmt.Sprint(m.n)}
	if m.docs == nil {
		m.docs = map[string]kept{}
	}
	m.docs[name] = d
	return d.Revision, nil
}

// A process that starts while all servers are down uses the snapshot of an earlier one as long as it is younger than MaxStale.
// What the snapshot does not list is never called unknown.
func TestStartFromASnapshot(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*server){
		"refuses": func(s *server) { s.refuses = true }, "hangs": func(s *server) { s.hangs = true },
	} {
		for _, pause := range []time.Duration{time.Minute, 23 * time.Hour, 25 * time.Hour} {
			t.Run(fmt.Sprint(name, " ", pause), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testSnapshot(t, breaks, pause) })
			})
		}
	}
}

func testSnapshot(t *testing.T, breaks func(*server), pause time.Duration) {
	defer time.Sleep(time.Minute)
	n, m := newServers(), &memory{}
	s := n.at(keysURL)
	s.list("one")
	first := newCache(t, n, jwks.Config{Snapshots: m}, pool("p", []string{keysURL}))
	require.Equal(t, 200, ask(t.Context(), first, "p", "one"))
	synctest.Wait()
	require.Equal(t, 1, m.n)
	time.Sleep(pause)
	s.set(breaks)
	second := newCache(t, n, jwks.Config{Snapshots: m}, pool("p", []string{keysURL}))
	began := time.Now()
	got := ask(t.Context(), second, "p", "one")
	t.Log("after", pause, "answer", got, "in", time.Since(began))
	if pause > 24*time.Hour {
		require.Equal(t, 503, got)
		return
	}
	require.Equal(t, 200, got)
	require.LessOrEqual(t, time.Since(began), time.Second)
	key := look(t, second, "one", "ES256").Keys[0]
	require.Equal(t, "snapshot", key.Origin())
	require.InDelta(t, pause.Seconds(), key.Age().Seconds(), 4)
	require.Contains(t, []int{429, 503}, ask(t.Context(), second, "p", "two"), "nobody has answered")
	time.Sleep(24*time.Hour - pause - 10*time.Second)
	require.Equal(t, 200, ask(t.Context(), second, "p", "one"))
	time.Sleep(20 * time.Second)
	require.Equal(t, 503, ask(t.Context(), second, "p", "one"), "its keys age from when they were fetched")
	require.False(t, key.Valid())
	s.set(func(s *server) { s.refuses, s.hangs = false, false })
	s.list("one", "two")
	require.LessOrEqual(t, until(t, second, "p", "two"), 11*time.Second)
	require.Equal(t, "fetched", look(t, second, "one", "ES256").Keys[0].Origin())
}

// A region is down at the start, or later, in every way. Tokens of the other region verify, and so do those of its own if a
// mirror has its keys. No good token is called bad.
func TestOneRegionDown(t *testing.T) {
	t.Parallel()
	const mirrorB = "https://b2.example/jwks.json"
	for name, breaks := range map[string]func(*server){
		"refuses": func(s *server) { s.refuses = true }, "hangs": func(s *server) { s.hangs = true },
		"500": func(s *server) { s.status = 500 }, "429": func(s *server) { s.status = 429 },
	} {
		for _, start := range []bool{true, false} {
			for _, mirrored := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					defer time.Sleep(time.Minute)
					n := newServers()
					n.at(regionA).list("one")
					n.at(regionB).list("two")
					n.at(mirrorB).list("two")
					urls := []string{regionB}
					if mirrored {
						urls = append(urls, mirrorB)
					}
					c := newCache(t, n, jwks.Config{}, pool("p", []string{regionA}, urls))
					if !start {
						require.NoError(t, c.Preload(t.Context()))
						time.Sleep(time.Minute)
					}
					n.at(regionB).set(breaks)
					for range 240 { // two hours
						require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
						got := ask(t.Context(), c, "p", "two")
						require.Equal(t, !start || mirrored, got == 200, "%s %d", name, got)
						require.NotEqual(t, 401, got)
						time.Sleep(30 * time.Second)
					}
				})
			}
		}
	}
}

// However many tokens arrive, a server that fails is asked about once a second, and once in 10 s after the first half minute.
func TestCallersDoNotHammerAServerThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at("https://a.example/keys")
		s.list("key")
		s.set(func(s *server) { s.refuses = true })
		c := newCache(t, n, jwks.Config{UnknownKeyWait: -1}, pool("p", []string{s.url}))
		asked := func(d time.Duration) int {
			before := s.requests()
			for began := time.Now(); time.Since(began) < d; time.Sleep(10 * time.Millisecond) {
				require.Equal(t, 503, ask(t.Context(), c, "p", "key"))
			}
			return s.requests() - before
		}
		first := asked(20 * time.Second)
		require.Greater(t, first, 10)
		require.LessOrEqual(t, first, 25)
		asked(time.Minute)
		later := asked(time.Minute)
		require.Greater(t, later, 3)
		require.LessOrEqual(t, later, 14)
	})
}

// A key is rotated while its server is down. When the server is back, the new key verifies within a second or so.
func TestRotationDuringAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		s.set(func(s *server) { s.status = 500 })
		for range 600 {
			require.NotEqual(t, 401, ask(t.Context(), c, "p", "two"))
			time.Sleep(time.Second)
		}
		s.set(func(s *server) { s.status = 0 })
		s.list("one", "two")
		took := until(t, c, "p", "two")
		t.Log("verified after", took)
		require.LessOrEqual(t, took, 2*time.Second)
	})
}

// A key is withdrawn. It is accepted until two answers a minute apart do not list it, then "cannot tell" for a while, then
// unknown.
func TestWithdrawal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.list("one", "two")
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		synctest.Wait()
		s.list("one")
		next := time.Until(jwks.NextRefresh(c, 0))
		ends := map[int]time.Duration{}
		began := time.Now()
		order := []int{}
		for time.Since(began) < 30*time.Minute {
			got := ask(t.Context(), c, "p", "two")
			if len(order) == 0 || order[len(order)-1] != got {
				order = append(order, got)
			}
			ends[got] = time.Since(began)
			time.Sleep(time.Second)
		}
		t.Log("outcomes in order", order[:6], "last seen", ends, "next refresh after", next)
		require.Equal(t, []int{200, 503, 429}, order[:3])
		require.NotContains(t, order[1:], 200)
		require.Positive(t, ends[401], "at most one in ten seconds is looked for again, the others are limited")
		require.InDelta(t, (next + time.Minute).Seconds(), ends[200].Seconds(), 7)
		require.Less(t, ends[503]-ends[200], time.Minute)
	})
}

// A process is frozen, or its clock is set. Keys age by the larger of both clocks; a clock that is set back makes nothing
// younger; and no good token is called bad.
func TestFrozenProcessAndClocksThatAreSet(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mono, wall time.Duration // by which the clocks jump
		want       int
	}{
		"frozen for an hour": {0, time.Hour, 200}, "frozen for 25 hours": {0, 25 * time.Hour, 503},
		"wall clock set back": {0, -25 * time.Hour, 200}, "both": {25 * time.Hour, 25 * time.Hour, 503},
		"wall clock stands still": {25 * time.Hour, 0, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newServers()
				s := n.at(keysURL)
				s.list("one")
				var mono, wall atomic.Int64
				base := time.Now().Add(-time.Nanosecond)
				read := func() (int64, int64) {
					return int64(time.Since(base)) + mono.Load(), time.Now().UnixNano() + wall.Load()
				}
				c, err := jwks.NewWithClock(providers(pool("p", []string{keysURL})), jwks.Config{HTTPClient: n.Client()}, read, newDice(1).Float64)
				require.NoError(t, err)
				require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
				key := look(t, c, "one", "ES256").Keys[0]
				synctest.Wait()
				s.set(func(s *server) { s.refuses = true })
				mono.Store(int64(tc.mono))
				wall.Store(int64(tc.wall))
				require.GreaterOrEqual(t, key.Age(), time.Duration(0))
				require.Equal(t, tc.want, ask(t.Context(), c, "p", "one"))
				require.Equal(t, tc.want == 200, key.Valid())
				for range 30 {
					require.NotEqual(t, 401, ask(t.Context(), c, "p", "two"))
					time.Sleep(time.Second)
				}
				s.set(func(s *server) { s.refuses = false })
				s.list("one", "two")
				require.LessOrEqual(t, until(t, c, "p", "two"), 2*time.Second)
				require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			})
		})
	}
}
