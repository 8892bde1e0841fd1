package failover_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// panicky is a store that panics.
type panicky struct{}

func (panicky) Load(context.Context, string, string) ([]byte, string, error) { panic("s3cret") }
func (panicky) Save(context.Context, string, []byte, string) (string, error) {
	panic("s3cret")
}
func (panicky) Watch(context.Context, string, func()) error { panic("s3cret") }

// nilStore is a trusted store whose methods need a receiver.
type nilStore struct{ store.Trusted }

// panickyHandler is a log handler that panics.
type panickyHandler struct{ slog.Handler }

func (panickyHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (panickyHandler) Handle(context.Context, slog.Record) error { panic("s3cret") }

// A Controller that New has not made panics nowhere, and says what it is where it can.
func TestNilAndZeroControllers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*failover.Controller{"nil": nil, "zero": {}} {
		for what, err := range map[string]error{
			"Pin": c.Pin(t.Context(), east, "", 0), "Unpin": c.Unpin(t.Context()), "Load": c.Load(t.Context()),
			"Run": c.Run(t.Context()), "Admit": c.Admit("orders", []string{east}, time.Now()),
		} {
			require.ErrorContains(t, err, "failover.New", "%s %s", name, what)
		}
		err := c.Admit("orders", nil, time.Time{})
		inactive := &verifier.Error{Reason: verifier.ReasonRegionInactive, Err: err}
		require.ErrorIs(t, inactive, verifier.ErrUnavailable, "it is no verdict on a token")
		c.Report(east, "", time.Time{}, errDown)
		c.Report(east, "", time.Time{}, nil)
		require.Empty(t, c.Active())
		require.Zero(t, c.Status())
		require.Empty(t, c.Issuers())
	}
}

func TestNewRejectsTypedNils(t *testing.T) {
	t.Parallel()
	for _, logger := range []*slog.Logger{{}, slog.New((*slog.TextHandler)(nil))} {
		p := providerOf(east, west)
		p.HTTPClient = &http.Client{Transport: (*http.Transport)(nil)}
		_, err := failover.New(p, failover.Config{
			Replica: store.ReplicaConfig{Stores: []store.Trusted{(*nilStore)(nil)}, LocalCopy: (*nilStore)(nil)}, Logger: logger,
		})
		require.ErrorContains(t, err, "failover: Provider.HTTPClient.Transport is a nil pointer")
		require.ErrorContains(t, err, "failover: Replica.Store")
		require.ErrorContains(t, err, "failover: Replica.LocalCopy")
		require.ErrorContains(t, err, "failover: Logger")
	}
}
