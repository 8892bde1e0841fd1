package redisstore_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/store/redisstore"
)

// Whatever the client does on a silent network, every call returns in time, and more calls do not pile up.
func TestFrozenCalls(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	for name, change := range map[string]func(*redis.Options){
		"defaults":   func(*redis.Options) {},
		"tuned":      tuned,
		"never ends": func(o *redis.Options) { o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = -1, -1, time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, srv.socket)
			s := newStore(t, client(t, p.socket, change), redisstore.Config{Prefix: name, Timeout: 300 * time.Millisecond})
			revision, err := s.Save(t.Context(), "a", []byte("x"), "")
			require.NoError(t, err)
			p.freeze()
			var wg sync.WaitGroup
			for range 20 {
				for _, call := range []func(context.Context) error{
					func(ctx context.Context) error { _, err := load(ctx, s, "a"); return err },
					func(ctx context.Context) error { _, err := revisionOf(ctx, s, "a"); return err },
					func(ctx context.Context) error {
						_, err := s.Save(ctx, "a", make([]byte, 64<<10), revision)
						return err
					},
				} {
					wg.Go(func() {
						began := time.Now()
						err := call(t.Context())
						if took := time.Since(began); took > 5*time.Second || !isTimeout(err) {
							t.Errorf("after %v: %v", took, err)
						}
						ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
						defer cancel()
						began = time.Now()
						err = call(ctx)
						if took := time.Since(began); took > 5*time.Second || !isTimeout(err) {
							t.Errorf("with a context of 50 ms: after %v: %v", took, err)
						}
					})
				}
			}
			wg.Wait()
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errors.New("the caller left"))
			_, err = load(ctx, s, "a")
			require.ErrorIs(t, err, context.Canceled)
			p.thaw(true)
			require.Eventually(t, func() bool {
				_, err := load(t.Context(), s, "a")
				return err == nil
			}, 10*time.Second, 10*time.Millisecond)
		})
	}
}

// isTimeout says that err is one, of a context or of a connection.
func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// A client that is stuck, with hooks that never return, stops neither callers nor the count of goroutines.
type stuck struct {
	quoting
	until chan struct{}
}

func (s stuck) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		<-s.until
		return next(context.WithoutCancel(ctx), cmd)
	}
}

func TestStuckClient(t *testing.T) {
	srv := startServer(t)
	c := client(t, srv.socket, hooked)
	until := make(chan struct{})
	c.AddHook(stuck{until: until})
	s := newStore(t, c, redisstore.Config{Timeout: 50 * time.Millisecond})
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			_, err := load(t.Context(), s, "a")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, runtime.NumGoroutine()-before, 17)
	close(until)
	backTo(t, before)
	_, err := load(t.Context(), s, "a")
	require.ErrorIs(t, err, store.ErrNotFound)
}

// What was to be saved is the caller's again when Save has returned, although the client is still at it.
func TestLateSave(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	c := client(t, srv.socket, hooked)
	until := make(chan struct{})
	c.AddHook(stuck{until: until})
	data := []byte("good")
	_, err := newStore(t, c, redisstore.Config{Timeout: 50 * time.Millisecond}).Save(t.Context(), "a", data, "")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	copy(data, "evil")
	close(until)
	s := newStore(t, client(t, srv.socket), redisstore.Config{Timeout: patient})
	require.Eventually(t, func() bool {
		doc, err := load(t.Context(), s, "a")
		return err == nil && string(doc.Data) == "good"
	}, 10*time.Second, 5*time.Millisecond)
}

// backTo waits until there are as few goroutines as before, apart from one of the connection pool.
func backTo(t *testing.T, before int) {
	t.Helper()
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 15*time.Second, 10*time.Millisecond, "goroutines are left")
}

// No goroutine and no connection is left of a Watch, however it ended.
func TestNothingIsLeft(t *testing.T) {
	srv := startServer(t)
	for _, end := range []string{"context", "cut", "frozen", "frozen, context", "at once", "down"} {
		t.Run(end, func(t *testing.T) {
			p := startProxy(t, srv.socket)
			s := newStore(t, client(t, p.socket), redisstore.Config{Timeout: 300 * time.Millisecond})
			before := runtime.NumGoroutine()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if end == "at once" {
				cancel()
			}
			if end == "down" {
				p.setCut(true)
			}
			subscribed, ended := make(chan struct{}, 10), make(chan error, 1)
			go func() { ended <- s.Watch(ctx, "a", func() { subscribed <- struct{}{} }) }()
			if end != "at once" && end != "down" {
				await(t, subscribed)
				require.Equal(t, 1, p.connections())
			}
			began := time.Now()
			switch end {
			case "context":
				cancel()
			case "cut":
				p.setCut(true)
			case "frozen":
				p.freeze()
			case "frozen, context":
				p.freeze()
				cancel()
			}
			err := await(t, ended)
			require.Error(t, err)
			require.Equal(t, end == "context" || end == "at once" || end == "frozen, context", errors.Is(err, context.Canceled), err)
			t.Logf("Watch ended after %v: %v", time.Since(began).Round(time.Millisecond), err)
			if end == "frozen" || end == "frozen, context" {
				p.thaw(true)
			}
			backTo(t, before)
			require.Eventually(t, func() bool { return p.connections() == 0 }, 10*time.Second, 10*time.Millisecond)
		})
	}
}

// The client repeats what was not answered. A Save that had been done is done then, and no conflict.
func TestRepeatedSave(t *testing.T) {
	t.Parallel()
	c := client(t, startServer(t).socket, func(o *redis.Options) { o.ReadTimeout, o.WriteTimeout = patient/4, patient/4 })
	lost := new(twice)
	c.AddHook(lost)
	s := newStore(t, c, redisstore.Config{Timeout: patient})
	revision, err := s.Save(t.Context(), "a", []byte("x"), "")
	require.NoError(t, err)
	_, err = s.Save(t.Context(), "a", []byte("y"), revision)
	require.NoError(t, err)
	_, err = s.Save(t.Context(), "a", []byte("z"), revision)
	require.ErrorIs(t, err, store.ErrConflict)
	require.GreaterOrEqual(t, lost.answers.Load(), int32(3))
}

// twice loses every first answer.
type twice struct {
	quoting
	answers atomic.Int32
}

func (h *twice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		_ = next(ctx, cmd)
		h.answers.Add(1)
		return next(ctx, cmd)
	}
}
