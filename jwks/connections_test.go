package jwks_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// deadConn is a connection that can die silently: what is written is lost, and nothing more is read.
type deadConn struct {
	net.Conn
	dead   *atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (c *deadConn) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *deadConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.dead.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *deadConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// liveServer is a key server over TLS and HTTP/2.
func liveServer(t *testing.T, asked *atomic.Int64, names ...string) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.ProtoMajor != 2 {
			http.Error(w, "not HTTP/2", http.StatusHTTPVersionNotSupported)
			return
		}
		_, _ = w.Write(document(names, nil))
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// A live HTTP/2 connection dies without a word, the name now leads elsewhere, and the key is rotated: the first token of the new
// key verifies in its own call, over a new connection.
func TestSilentlyDeadConnection(t *testing.T) {
	t.Parallel()
	var askedOld, askedNew atomic.Int64
	before, after := liveServer(t, &askedOld, "old"), liveServer(t, &askedNew, "old", "new")
	var dead atomic.Bool
	transport := before.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		if dead.Load() {
			return (&net.Dialer{}).DialContext(ctx, network, after.Listener.Addr().String())
		}
		c, err := (&net.Dialer{}).DialContext(ctx, network, before.Listener.Addr().String())
		return &deadConn{Conn: c, dead: &dead, closed: make(chan struct{})}, err
	}
	const url = "https://example.com/jwks.json"
	c, err := jwks.New(providers(pool("p", []string{url})), jwks.Config{HTTPClient: &http.Client{Transport: transport}})
	require.NoError(t, err)
	require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
	require.Equal(t, int64(1), askedOld.Load())
	dead.Store(true)
	began := time.Now()
	require.Equal(t, 200, ask(t.Context(), c, "p", "new"))
	t.Log("verified after", time.Since(began))
	require.Equal(t, int64(1), askedOld.Load(), "the old server heard nothing more")
	require.Equal(t, 401, ask(t.Context(), c, "p", "made-up"), "and so does the next search")
}

// A server hangs and recovers. Requests that it has taken in never end. With keys in memory a new key verifies within two
// seconds.
func TestHangWithKeysInMemory(t *testing.T) {
	t.Parallel()
	for _, hang := range []time.Duration{2400 * time.Millisecond, 2 * time.Minute, 20 * time.Minute} {
		for _, every := range []time.Duration{100 * time.Millisecond, time.Second} {
			t.Run(fmt.Sprint(hang, " asked every ", every), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testHang(t, hang, every, true) })
			})
		}
	}
}

// The same for a set that was never usable: eleven seconds.
func TestHangFromTheStart(t *testing.T) {
	t.Parallel()
	for _, hang := range []time.Duration{2400 * time.Millisecond, 20 * time.Second, 2 * time.Minute, 20 * time.Minute} {
		t.Run(hang.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testHang(t, hang, time.Second, false) })
		})
	}
}

func testHang(t *testing.T, hang, every time.Duration, warm bool) {
	n := newServers()
	s := n.at(keysURL)
	s.list("old")
	c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
	if warm {
		require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
		time.Sleep(time.Minute)
	}
	s.set(func(s *server) { s.hangs = true })
	s.list("old", "new")
	healed := time.Now().Add(hang)
	time.AfterFunc(hang, func() { s.set(func(s *server) { s.hangs = false }) })
	before, counted := s.requests(), newTally()
	verified := time.Time{}
	var mu sync.Mutex
	var callers sync.WaitGroup
	for {
		mu.Lock()
		done := !verified.IsZero()
		mu.Unlock()
		if done || time.Since(healed) > time.Minute {
			break
		}
		callers.Go(func() {
			got := ask(t.Context(), c, "p", "new")
			counted.add(got)
			mu.Lock()
			defer mu.Unlock()
			if got == 200 && verified.IsZero() {
				verified = time.Now()
			}
		})
		if warm {
			require.Equal(t, 200, ask(t.Context(), c, "p", "old"))
		}
		time.Sleep(every)
	}
	callers.Wait()
	require.False(t, verified.IsZero())
	took, rate := verified.Sub(healed), float64(s.requests()-before)/max(hang, time.Second).Seconds()
	t.Log("verified", took, "after the end of the hang; requests a second", rate, "outcomes", counted.counts())
	require.Zero(t, counted.count(401))
	require.LessOrEqual(t, rate, 2.5)
	if warm || hang < 30*time.Second {
		require.LessOrEqual(t, took, 2*time.Second)
	} else {
		require.LessOrEqual(t, took, 11*time.Second)
	}
}

// Every way of being unavailable at a cold start is "cannot tell", and its end is seen as fast.
func TestColdStartWithoutAServer(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*server){
		"hangs": func(s *server) { s.hangs = true }, "refuses": func(s *server) { s.refuses = true },
		"500": func(s *server) { s.status = 500 }, "403": func(s *server) { s.status = 403 }, "429": func(s *server) { s.status = 429 },
	} {
		for _, outage := range []time.Duration{5 * time.Second, 10 * time.Minute} {
			t.Run(name+" "+outage.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testColdStart(t, breaks, outage) })
			})
		}
	}
}

func testColdStart(t *testing.T, breaks func(*server), outage time.Duration) {
	n := newServers()
	s := n.at(keysURL)
	s.list("one")
	s.set(breaks)
	c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
	began := time.Now()
	for time.Since(began) < outage {
		r := look(t, c, "one", "ES256")
		require.Equal(t, 503, outcome(r, "one"))
		require.GreaterOrEqual(t, r.RetryAfter, time.Second)
		if time.Since(began) > 4*time.Second {
			require.Error(t, r.Err)
		}
		time.Sleep(500 * time.Millisecond)
	}
	s.set(func(s *server) { s.hangs, s.refuses, s.status = false, false, 0 })
	began = time.Now()
	for ask(t.Context(), c, "p", "one") != 200 {
		time.Sleep(100 * time.Millisecond)
		require.Less(t, time.Since(began), time.Minute)
	}
	t.Log("seen after", time.Since(began), "requests", s.requests())
	limit := 2 * time.Second
	if outage > 30*time.Second {
		limit = 11 * time.Second
	}
	require.LessOrEqual(t, time.Since(began), limit)
}
