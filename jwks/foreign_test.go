package jwks_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
)

// roundTrip is a RoundTripper that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// logHandler is a slog.Handler that calls a function for each line.
type logHandler func()

func (h logHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (h logHandler) Handle(context.Context, slog.Record) error { h(); return nil }
func (h logHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h logHandler) WithGroup(string) slog.Handler             { return h }

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// misbehave does not do what the code of others should.
func misbehave(how string) error {
	switch how {
	case "returns an error that panics":
		return (*hollow)(nil)
	case "panics":
		panic(how)
	case "ends its goroutine":
		runtime.Goexit()
	case "never returns": // for ten minutes
		time.Sleep(10 * time.Minute)
	}
	return nil
}

var misbehaviors = []string{"panics", "ends its goroutine", "never returns", "returns an error that panics"}

// badStore is a Store that misbehaves.
type badStore struct{ how string }

func (badStore) Watch(context.Context, string, func()) error { panic("snapshots are not followed") }

func (s badStore) Load(context.Context, string, string) ([]byte, string, error) {
	return nil, "", cmp.Or(misbehave(s.how), store.ErrNotFound)
}

func (s badStore) Save(context.Context, string, []byte, string) (string, error) {
	return "", cmp.Or(misbehave(s.how), store.ErrConflict)
}

// stuckStore is a Store whose calls do not return before release is closed.
type stuckStore struct {
	badStore
	calls   atomic.Int64
	release chan struct{}
}

func (s *stuckStore) Load(context.Context, string, string) ([]byte, string, error) {
	s.calls.Add(1)
	<-s.release
	return nil, "", store.ErrNotFound
}

// A Transport that misbehaves ends neither the process nor the lookups. Other sets are served, and its own once it behaves.
func TestTransportMisbehaves(t *testing.T) {
	t.Parallel()
	for _, how := range misbehaviors {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, l := newServers(), &logs{}
				var bad atomic.Bool
				bad.Store(true)
				n.at(keysURL).list("one")
				n.at("https://other.example/jwks.json").list("two")
				client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if bad.Load() && r.URL.String() == keysURL {
						if err := misbehave(how); err != nil {
							return nil, err
						}
					}
					return n.RoundTrip(r)
				})}
				c, err := jwks.New(providers(pool("p", []string{keysURL}), pool("q", []string{"https://other.example/jwks.json"})),
					jwks.Config{HTTPClient: client, Logger: l.Logger()})
				require.NoError(t, err)
				for range 20 {
					began := time.Now()
					require.Contains(t, []int{503, 429}, ask(t.Context(), c, "p", "one"))
					require.LessOrEqual(t, time.Since(began), 3*time.Second)
					require.Equal(t, 200, ask(t.Context(), c, "q", "two"))
					time.Sleep(time.Second)
				}
				t.Log(c.Status()[0].Failure, l.String())
				require.Contains(t, []string{"panic", "timeout", "canceled"}, c.Status()[0].Failure)
				require.Contains(t, l.String(), "key fetch failed")
				bad.Store(false)
				began := time.Now()
				for ask(t.Context(), c, "p", "one") != 200 {
					require.Less(t, time.Since(began), 15*time.Minute)
					time.Sleep(time.Second)
				}
				t.Log("served after", time.Since(began))
				if how != "never returns" {
					require.LessOrEqual(t, time.Since(began), 11*time.Second)
				}
				time.Sleep(11 * time.Minute)
			})
		})
	}
}

// A hook, a log handler or a Store that misbehaves keeps no key from being used.
func TestHooksMisbehave(t *testing.T) {
	t.Parallel()
	for _, how := range misbehaviors {
		for name, config := range map[string]jwks.Config{
			"OnFetch":     {OnFetch: func(jwks.Fetch) { _ = misbehave(how) }},
			"log handler": {Logger: slog.New(logHandler(func() { _ = misbehave(how) }))},
			"Snapshots":   {Snapshots: store.InsecureTrust(badStore{how})},
		} {
			if name == "log handler" && how == "never returns" || name == "OnFetch" && how == "never returns" {
				continue // documented: it must not block
			}
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testHookMisbehaves(t, config, how) })
			})
		}
	}
}

func testHookMisbehaves(t *testing.T, config jwks.Config, how string) {
	n, l := newServers(), &logs{}
	s := n.at(keysURL)
	s.set(func(s *server) { s.status = 500 })
	if config.Logger == nil {
		config.Logger = l.Logger()
	}
	c := newCache(t, n, config, pool("p", []string{keysURL}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = c.Run(ctx) }()
	require.Equal(t, 503, ask(t.Context(), c, "p", "one"))
	s.set(func(s *server) { s.status = 200 })
	s.list("one")
	began := time.Now()
	for ask(t.Context(), c, "p", "one") != 200 {
		time.Sleep(100 * time.Millisecond)
		require.Less(t, time.Since(began), time.Minute)
	}
	t.Log("served after", time.Since(began))
	require.LessOrEqual(t, time.Since(began), 2*time.Second)
	for i, kid := range []string{"two", "three"} {
		time.Sleep(time.Hour)
		s.list("one", kid)
		began = time.Now()
		require.Equal(t, 200, ask(t.Context(), c, "p", kid), i)
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
	}
	require.Equal(t, "fresh", c.Status()[0].State)
	t.Log(how, l.String())
	cancel()
	time.Sleep(time.Hour)
}

// The client of one provider that never returns, not even when its context has ended, keeps nobody else from the same host, nor
// from places of the process.
func TestClientThatNeverReturnsHoldsNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		n.at(keysURL).list("one")
		release := make(chan struct{})
		bad := pool("bad", []string{keysURL})
		var calls atomic.Int64
		bad.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			calls.Add(1)
			<-release
			return nil, errors.New("at last")
		})}
		c := newCache(t, n, jwks.Config{}, bad, pool("good", []string{keysURL}))
		for range 100 {
			require.Contains(t, []int{429, 503}, ask(t.Context(), c, "bad", "one"))
			time.Sleep(time.Second)
		}
		t.Log(calls.Load(), "calls that have not returned")
		require.LessOrEqual(t, calls.Load(), int64(5))
		require.Equal(t, 200, ask(t.Context(), c, "good", "one"))
		close(release)
		time.Sleep(20 * time.Second)
		before := calls.Load()
		ask(t.Context(), c, "bad", "one")
		require.Greater(t, calls.Load(), before, "it is asked again")
		time.Sleep(20 * time.Second)
	})
}

// An OnFetch that never returns keeps no key from being used, and its calls do not pile up.
func TestOnFetchThatNeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, release := newServers(), make(chan struct{})
		a, b := n.at(keysURL), n.at("https://other.example/jwks.json")
		a.set(refuse)
		b.list("one")
		var calls atomic.Int64
		c := newCache(t, n, jwks.Config{OnFetch: func(jwks.Fetch) {
			calls.Add(1)
			<-release
		}}, pool("p", []string{a.url, b.url}))
		require.Zero(t, timed(func() { require.Equal(t, 200, ask(t.Context(), c, "p", "one")) }))
		for i := range 100 {
			time.Sleep(time.Minute)
			ask(t.Context(), c, "p", fmt.Sprint("forged-", i))
		}
		b.list("one", "two")
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
		require.EqualValues(t, 16, calls.Load())
		close(release)
		time.Sleep(time.Minute)
		ask(t.Context(), c, "p", "forged")
		synctest.Wait()
		require.Greater(t, calls.Load(), int64(16))
	})
}

// A store that never returns keeps no key from being used, and the calls to it do not pile up.
func TestStoreThatNeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, stuck := newServers(), &stuckStore{release: make(chan struct{})}
		n.at(keysURL).list("one")
		c := newCache(t, n, jwks.Config{Snapshots: store.InsecureTrust(stuck)}, pool("p", []string{keysURL}))
		for i := range 200 {
			time.Sleep(time.Minute)
			ask(t.Context(), c, "p", fmt.Sprint("forged-", i))
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
		}
		require.EqualValues(t, 64, stuck.calls.Load())
		close(stuck.release)
		time.Sleep(time.Minute)
		ask(t.Context(), c, "p", "forged")
		synctest.Wait()
		require.Greater(t, stuck.calls.Load(), int64(64), "it is called again")
	})
}
