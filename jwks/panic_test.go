package jwks_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
)

// endings are the ways in which code of others does not return.
var endings = map[string]func(){
	"panic":   func() { panic("s3cret") },
	"Goexit":  runtime.Goexit,
	"runtime": func() { var m map[string]int; m["s3cret"]++ }, //nolint:staticcheck // it is to panic
	"abort":   func() { panic(http.ErrAbortHandler) },
	"nil":     func() { panic(nil) },
}

// journal is a log in memory.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// wild is a transport that ends in its own way while on is set: in RoundTrip, or when the body of the answer is read or closed.
type wild struct {
	inner       http.RoundTripper
	host        string // whose requests end so; "" means all
	on          atomic.Bool
	where       string // "request", "read", "close"
	end         func()
	bodyReached atomic.Int64
}

func (w *wild) RoundTrip(r *http.Request) (*http.Response, error) {
	if !w.on.Load() || !strings.Contains(r.URL.Host, w.host) {
		return w.inner.RoundTrip(r)
	}
	if w.where == "request" {
		w.end()
	}
	resp, err := w.inner.RoundTrip(r)
	if err == nil {
		resp.ContentLength = -1
		resp.Body = wildBody{resp.Body, w}
	}
	return resp, err
}

type wildBody struct {
	io.ReadCloser
	of *wild
}

func (b wildBody) Read(p []byte) (int, error) {
	b.of.bodyReached.Add(1)
	if b.of.where == "read" {
		b.of.end()
	}
	return b.ReadCloser.Read(p)
}

func (b wildBody) Close() error {
	if b.of.where == "close" {
		b.of.end()
	}
	return b.ReadCloser.Close()
}

// A transport that panics, or whose bodies do, fails the attempt and nothing else: the other region serves, the failure shows, and
// the region serves once its transport works.
func TestATransportThatPanics(t *testing.T) {
	t.Parallel()
	for ending, end := range endings {
		for _, where := range []string{"request", "read", "close"} {
			for layout, config := range layouts {
				t.Run(ending+"/"+where+"/"+layout, func(t *testing.T) {
					w, out := &wild{host: east, where: where, end: end}, &journal{}
					w.on.Store(true)
					inBubble(t, config, func(c *jwks.Config) {
						w.inner = c.Client.Transport
						c.Client = &http.Client{Transport: w}
						c.Logger = slog.New(slog.NewTextHandler(out, nil))
					}, func(t *testing.T, world world) {
						within(t, 3*time.Second, func() { world.mustHave(west) })
						_, _ = world.ask(east) // whether a mirror has it depends on the layout
						time.Sleep(4 * time.Second)
						failed := 0
						for _, st := range world.Cache.Status() {
							failed += st.Failures
							for _, m := range st.Mirrors {
								failed += m.Failures
							}
						}
						require.Positive(t, failed, "%v", world.Cache.Status())
						require.NotContains(t, out.String(), "s3cret")
						require.Contains(t, out.String(), "the HTTP client", "%s", out)
						w.on.Store(false)
						time.Sleep(2 * time.Minute)
						world.mustHave(east)
					})
				})
			}
		}
	}
}

// A hook that panics, or ends its goroutine, costs no key and no refresh, and is logged.
func TestAHookThatPanics(t *testing.T) {
	t.Parallel()
	for ending, end := range endings {
		for _, hook := range []string{"Fetched", "Changed", "Drifted", "OnChange"} {
			t.Run(ending+"/"+hook, func(t *testing.T) {
				var called atomic.Int64
				out := &journal{}
				f := func() {
					called.Add(1)
					end()
				}
				inBubble(t, issuertest.Config{Layout: issuertest.OneIssuerMirrored}, func(c *jwks.Config) {
					c.Logger = slog.New(slog.NewTextHandler(out, nil))
					switch hook {
					case "Fetched":
						c.Hooks.Fetched = func(jwks.Fetched) { f() }
					case "Changed":
						c.Hooks.Changed = func(jwks.KeysChanged) { f() }
					case "Drifted":
						c.Hooks.Drifted = func(jwks.Drift) { f() }
					}
				}, func(t *testing.T, w world) {
					if hook == "OnChange" {
						w.OnChange(f)
					}
					defer w.run()()
					w.mustHave(east)
					for range 3 {
						time.Sleep(time.Hour)
						w.Rotate(east)
						w.mustHave(east)
					}
					if hook == "Drifted" {
						w.Lag(west)
						w.Rotate(east)
						w.mustHave(east)
						time.Sleep(50 * time.Hour)
					}
					require.Positive(t, called.Load())
					time.Sleep(time.Hour)
					fetches := w.Fetches(east)
					time.Sleep(time.Hour)
					require.Greater(t, w.Fetches(east), fetches, "the set is refreshed")
					require.NotContains(t, out.String(), "s3cret")
					require.Contains(t, out.String(), hook)
				})
			})
		}
	}
}

// Update calls what OnChange was given in the goroutine of its caller; that one panics does not keep the others from being called.
func TestUpdateSurvivesAWatcherThatPanics(t *testing.T) {
	t.Parallel()
	c, err := jwks.New(jwks.Config{})
	require.NoError(t, err)
	called := 0
	for range 10 {
		c.OnChange(func() { panic("s3cret") })
		c.OnChange(func() { called++ })
	}
	require.NoError(t, c.Update(nil))
	require.Equal(t, 10, called)
}

// angryLog is a log handler that ends in its own way, wherever it can.
type angryLog struct{ end func() }

func (angryLog) Enabled(context.Context, slog.Level) bool { return true }

func (h angryLog) Handle(context.Context, slog.Record) error {
	h.end()
	return nil
}
func (h angryLog) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h angryLog) WithGroup(string) slog.Handler      { return h }

// A log handler that panics, as one that writes to a test which has ended, costs nothing but its lines.
func TestALogHandlerThatPanics(t *testing.T) {
	t.Parallel()
	for ending, end := range endings {
		t.Run(ending, func(t *testing.T) {
			inBubble(t, issuertest.Config{Layout: issuertest.OneIssuerMirrored}, func(c *jwks.Config) {
				c.Logger = slog.New(angryLog{end})
				c.Store = wildStore{end: end}
				c.Hooks.Fetched = func(jwks.Fetched) { end() }
			}, func(t *testing.T, w world) {
				defer w.run()()
				w.mustHave(east)
				w.Break(east)
				time.Sleep(30 * time.Hour) // the mirror serves
				w.mustHave(west)
				w.Break(west)
				time.Sleep(30 * time.Hour) // keys expire
				w.Mend(east)
				time.Sleep(2 * time.Minute)
				w.mustHave(east)
			})
		})
	}
}

// wildStore is a store whose calls end in their own way.
type wildStore struct{ end func() }

func (wildStore) Authentic() {}

func (s wildStore) Load(context.Context, string) (store.Document, error) {
	s.end()
	return store.Document{}, errors.New("it returned")
}

func (s wildStore) Save(context.Context, string, []byte, string) (string, error) {
	s.end()
	return "", errors.New("it returned")
}

// A store that panics has no snapshot and takes none; keys are fetched all the same, and the log says why.
func TestAStoreThatPanics(t *testing.T) {
	t.Parallel()
	for ending, end := range endings {
		t.Run(ending, func(t *testing.T) {
			out := &journal{}
			inBubble(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, func(c *jwks.Config) {
				c.Store = wildStore{end}
				c.Logger = slog.New(slog.NewTextHandler(out, nil))
			}, func(t *testing.T, w world) {
				defer w.run()()
				w.Break(east)
				within(t, 3*time.Second, func() {
					_, err := w.ask(east)
					require.ErrorIs(t, err, jwks.ErrUnavailable)
				})
				w.mustHave(west)
				w.Mend(east)
				time.Sleep(5 * time.Second)
				w.mustHave(east)
				require.Contains(t, out.String(), "snapshot cannot be saved")
				require.Contains(t, out.String(), "the store")
				require.NotContains(t, out.String(), "s3cret")
			})
		})
	}
}

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// brokenStore is a store whose errors are hollow.
type brokenStore struct{}

func (brokenStore) Authentic() {}

func (brokenStore) Load(context.Context, string) (store.Document, error) {
	return store.Document{}, (*hollow)(nil)
}

func (brokenStore) Save(context.Context, string, []byte, string) (string, error) {
	return "", (*hollow)(nil)
}

// A store whose error panics when it is looked at has no snapshot, and ends nothing.
func TestErrorsOfAStoreThatPanic(t *testing.T) {
	inBubble(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, func(c *jwks.Config) {
		c.Store = brokenStore{}
	}, func(t *testing.T, w world) {
		defer w.run()()
		w.Break(east)
		_, err := w.ask(east)
		require.ErrorIs(t, err, jwks.ErrUnavailable)
		w.mustHave(west)
		w.Mend(east)
		time.Sleep(5 * time.Second)
		w.mustHave(east)
	})
}
