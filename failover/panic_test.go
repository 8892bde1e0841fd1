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

// unlabeled is a failure whose label cannot be had.
type unlabeled struct{ error }

func (unlabeled) Failure() string { panic("s3cret") }

// An error that panics when it is looked at proves nothing, whether a probe returns it or it is reported, and ends nothing.
func TestErrorsThatPanicProveNothing(t *testing.T) {
	var probed atomic.Int64
	var out bytes.Buffer
	bubble(t, failover.Config{
		Automatic: true, Logger: slog.New(slog.NewTextHandler(&out, nil)), ProbeInterval: 10 * time.Second,
		Probe: func(_ context.Context, r issuer.Region) error {
			if r.Name == west {
				return nil
			}
			return []error{(*hollow)(nil), unlabeled{errDown}}[probed.Add(1)%2]
		},
	}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		for range 60 {
			time.Sleep(2 * time.Second)
			for _, err := range []error{(*hollow)(nil), unlabeled{errDown}} {
				c.Report(east, "", time.Time{}, err)
			}
		}
		require.Greater(t, probed.Load(), int64(10))
		require.Equal(t, "unknown", c.Status().Regions[0].Health)
		require.Equal(t, "healthy", c.Status().Regions[1].Health)
		require.NoError(t, c.Pin(t.Context(), west, "", 0))
		require.Equal(t, west, c.Active())
	})
	require.Contains(t, out.String(), "panicked")
	require.NotContains(t, out.String(), "s3cret")
}

// brokenShelf is a store whose errors are hollow.
type brokenShelf struct{}

func (brokenShelf) Watch(context.Context, string, func()) error { return (*hollow)(nil) }

func (brokenShelf) Load(context.Context, string, string) ([]byte, string, error) {
	return nil, "", (*hollow)(nil)
}

func (brokenShelf) Save(context.Context, string, []byte, string) (string, error) {
	return "", (*hollow)(nil)
}

// A store whose error panics when it is looked at does not answer.
func TestErrorsOfAStoreThatPanic(t *testing.T) {
	bubble(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{store.InsecureTrust(brokenShelf{})}, LocalCopy: store.InsecureTrust(brokenShelf{})}}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		time.Sleep(time.Minute)
		require.Equal(t, "unavailable", c.Status().Replica.StoreProblem)
	})
}

// A probe or an OnChange that panics or ends its goroutine ends neither Run nor later probes and calls.
func TestCallbacksThatEndTheirGoroutine(t *testing.T) {
	for ending, end := range map[string]func(){"panic": func() { panic("s3cret") }, "Goexit": runtime.Goexit} {
		t.Run(ending, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var probes, changes atomic.Int64
				c := newController(t, failover.Config{
					Automatic: true, ProbeInterval: 10 * time.Second, OnChange: func(_, _ failover.Status) { changes.Add(1); end() },
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
				require.EqualValues(t, 2, changes.Load(), "west is healthy; east is unhealthy and left")
				require.NoError(t, c.Pin(t.Context(), east, "", 0))
				require.EqualValues(t, 3, changes.Load())
			})
		})
	}
}
