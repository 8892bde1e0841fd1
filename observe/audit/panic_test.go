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

// A record that makes a callback panic is a failure that is counted and told, and the other callback gets it all the same.
func TestCallbacksThatPanicAreFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ handler, onRecord, onFailure bool }{
		"Handler": {true, false, false}, "OnRecord": {false, true, false}, "all": {true, true, true},
	} {
		var failures []error
		records := 0
		l, err := audit.New(audit.Config{
			Handler: &wild{slog.NewTextHandler(new(output), nil), c.handler},
			OnRecord: func(context.Context, audit.Record) {
				records++
				if c.onRecord {
					panic("s3cret")
				}
			},
			OnFailure: func(err error) {
				failures = append(failures, err)
				if c.onFailure {
					panic("s3cret")
				}
			},
		})
		require.NoError(t, err)
		for range 3 {
			l.Verified(t.Context(), verifier.Verified{Err: &verifier.Error{Reason: verifier.ReasonMalformed}})
		}
		require.Equal(t, audit.Status{Failed: 3}, l.Status(), name)
		require.Equal(t, 3, records, name)
		require.NotEmpty(t, failures, name)
		for _, err := range failures {
			require.ErrorContains(t, err, "panicked", name)
			require.NotContains(t, err.Error(), "s3cret", name)
		}
	}
}
