package audit_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := audit.New(audit.Config{Handler: (*slog.JSONHandler)(nil), Subject: 9})
	require.ErrorContains(t, err, "audit: Handler")
	require.ErrorContains(t, err, "Disclosure", "all mistakes at once")
	_, err = audit.New(audit.Config{})
	require.ErrorContains(t, err, "audit: Handler or OnRecord")
	_, err = audit.New(audit.Config{Handler: (*slog.JSONHandler)(nil), OnRecord: func(context.Context, audit.Record) {}})
	require.ErrorContains(t, err, "audit: Handler")
}

// A handler that panics when it is asked anything is refused, too.
func TestHandlersThatPanicAreRefused(t *testing.T) {
	t.Parallel()
	for _, h := range []slog.Handler{new(slog.TextHandler), new(slog.JSONHandler), struct{ slog.Handler }{}} {
		_, err := audit.New(audit.Config{Handler: h, Subject: 9})
		require.ErrorContains(t, err, "audit: Handler panicked")
		require.ErrorContains(t, err, "Disclosure", "all mistakes at once")
	}
}

// A Log that New has not made writes nothing, says so, and does not panic in the goroutine of Verify.
func TestLogsThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", nil, nil, (*audit.Log)(nil), new(audit.Log))
	refused := verifier.Verified{Err: &verifier.Error{Reason: verifier.Expired}, Began: time.Now()}
	var none *audit.Log
	none.Verified(t.Context(), refused)
	require.Zero(t, none.Status())
	zero := new(audit.Log)
	zero.Verified(t.Context(), refused)
	require.Equal(t, audit.Status{Failed: 1}, zero.Status())
}
