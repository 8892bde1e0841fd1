package failover_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// panicky is a store that panics.
type panicky struct{}

func (panicky) Load(context.Context, string) (store.Document, error) { panic("s3cret") }
func (panicky) Save(context.Context, string, []byte, string) (string, error) {
	panic("s3cret")
}
func (panicky) Authentic() {}

// panickyHandler is a log handler that panics.
type panickyHandler struct{ slog.Handler }

func (panickyHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (panickyHandler) Handle(context.Context, slog.Record) error { panic("s3cret") }

// A Controller that New has not made panics nowhere, and says what it is where it can.
func TestNilAndZeroControllers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*failover.Controller{"nil": nil, "zero": {}} {
		for what, err := range map[string]error{
			"Activate": c.Activate(t.Context(), east, ""), "Resume": c.Resume(t.Context()), "Load": c.Load(t.Context()),
			"Run": c.Run(t.Context()), "Admit": c.Admit("orders", []string{east}, time.Now()),
		} {
			require.ErrorContains(t, err, "failover.New", "%s %s", name, what)
		}
		err := c.Admit("orders", nil, time.Time{})
		inactive := &verifier.Error{Reason: verifier.RegionInactive, Err: err}
		require.ErrorIs(t, inactive, verifier.ErrUnavailable, "it is no verdict on a token")
		c.Report(east, errDown)
		c.Report(east, nil)
		c.Observe(failover.Evidence{Region: east, Err: errDown})
		require.Empty(t, c.Active())
		require.Zero(t, c.State())
		require.Empty(t, c.AuthorizationServers())
	}
}

func TestNewRefusesNilsInDisguise(t *testing.T) {
	t.Parallel()
	for _, logger := range []*slog.Logger{{}, slog.New((*slog.TextHandler)(nil))} {
		_, err := failover.New(failover.Config{
			Authority: authority(east, west), Store: (*panicky)(nil), LocalCopy: (*panicky)(nil), Logger: logger,
		})
		require.ErrorContains(t, err, "failover: Store")
		require.ErrorContains(t, err, "failover: LocalCopy")
		require.ErrorContains(t, err, "failover: Logger")
	}
}
