package audit_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/verifier"
)

// wild is a log handler that panics while on is set.
type wild struct {
	slog.Handler
	on bool
}

func (w *wild) Handle(context.Context, slog.Record) error {
	if w.on {
		panic("s3cret")
	}
	return nil
}

// A panic of the handler is reported as an error, and a panic of OnError ends nothing.
func TestPanicsAreErrors(t *testing.T) {
	t.Parallel()
	for name, onErrorPanics := range map[string]bool{"handler": false, "handler and OnError": true} {
		var failures []error
		h := &wild{slog.NewTextHandler(new(output), nil), true}
		l, err := audit.New(h, audit.Config{OnError: func(err error) {
			failures = append(failures, err)
			if onErrorPanics {
				panic("s3cret")
			}
		}})
		require.NoError(t, err)
		for range 3 {
			l.Record(t.Context(), verifier.Decision{Err: &verifier.Error{Reason: verifier.ReasonMalformed}})
		}
		require.Len(t, failures, 3, name)
		for _, err := range failures {
			require.ErrorContains(t, err, "the slog.Handler panicked", name)
			require.NotContains(t, err.Error(), "s3cret", name)
		}
		h.on = false
		l.Record(t.Context(), verifier.Decision{Err: &verifier.Error{Reason: verifier.ReasonMalformed}})
		require.Len(t, failures, 3, name)
	}
	l, err := audit.New(&wild{slog.NewTextHandler(new(output), nil), true}, audit.Config{})
	require.NoError(t, err)
	l.Record(t.Context(), verifier.Decision{Err: &verifier.Error{Reason: verifier.ReasonMalformed}})
}
