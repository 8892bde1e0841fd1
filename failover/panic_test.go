package failover_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// classless is a failure whose class cannot be had.
type classless struct{ error }

func (classless) Class() string { panic("s3cret") }

// timeless is a failure of which it cannot be had when its request began.
type timeless struct{ error }

func (timeless) Began() time.Time { panic("s3cret") }

// An error that panics when it is looked at is no evidence, whether a probe returns it or it is reported, and ends nothing.
func TestErrorsThatPanicAreNoEvidence(t *testing.T) {
	var probed atomic.Int64
	var out bytes.Buffer
	bubble(t, failover.Config{
		Automatic: true, Logger: slog.New(slog.NewTextHandler(&out, nil)),
		Probe: func(_ context.Context, r issuer.Region) error {
			if r.Name == west {
				return nil
			}
			return []error{(*hollow)(nil), classless{errDown}}[probed.Add(1)%2]
		},
	}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		for range 60 {
			time.Sleep(2 * time.Second)
			for _, err := range []error{(*hollow)(nil), classless{errDown}, timeless{errDown}} {
				c.Report(east, err)
			}
		}
		require.Greater(t, probed.Load(), int64(10))
		require.Equal(t, failover.Unknown, c.State().Regions[0].Health)
		require.Equal(t, failover.Healthy, c.State().Regions[1].Health)
		require.NoError(t, c.Activate(t.Context(), west, ""))
		require.Equal(t, west, c.Active())
	})
	require.Contains(t, out.String(), "panicked")
	require.NotContains(t, out.String(), "s3cret")
}

// brokenShelf is a store whose errors are hollow.
type brokenShelf struct{}

func (brokenShelf) Authentic() {}

func (brokenShelf) Load(context.Context, string) (store.Document, error) {
	return store.Document{}, (*hollow)(nil)
}

func (brokenShelf) Save(context.Context, string, []byte, string) (string, error) {
	return "", (*hollow)(nil)
}

// A store whose error panics when it is looked at does not answer.
func TestErrorsOfAStoreThatPanic(t *testing.T) {
	bubble(t, failover.Config{Store: brokenShelf{}, LocalCopy: brokenShelf{}}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		time.Sleep(time.Minute)
		require.Equal(t, failover.Unreachable, c.State().Trouble)
	})
}

// A probe or an OnEvent that panics or ends its goroutine ends neither Run nor later probes and events.
func TestCallbacksThatEndTheirGoroutine(t *testing.T) {
	for ending, end := range map[string]func(){"panic": func() { panic("s3cret") }, "Goexit": runtime.Goexit} {
		t.Run(ending, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var probes, events atomic.Int64
				c := newController(t, failover.Config{
					Automatic: true, OnEvent: func(failover.Event) { events.Add(1); end() },
					Probe: func(_ context.Context, r issuer.Region) error {
						switch n := probes.Add(1); {
						case n <= 2:
							end()
						case r.Name == east:
							return errDown
						}
						return nil
					},
				})
				start(t, c)
				time.Sleep(10 * time.Minute)
				require.Greater(t, probes.Load(), int64(100))
				require.Equal(t, west, c.Active())
				require.EqualValues(t, 3, events.Load(), "east is unhealthy, west is healthy, west is active")
				require.NoError(t, c.Activate(t.Context(), east, ""))
				require.EqualValues(t, 4, events.Load())
			})
		})
	}
}
