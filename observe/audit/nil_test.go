package audit_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestNilHandlersAreRejected(t *testing.T) {
	t.Parallel()
	for _, h := range []slog.Handler{nil, (*slog.JSONHandler)(nil)} {
		_, err := audit.New(h, audit.Config{SampleCached: -1})
		require.ErrorContains(t, err, "audit: the slog.Handler is")
		require.ErrorContains(t, err, "SampleCached", "every problem at once")
	}
}

// A handler that panics at its first call is rejected.
func TestHandlersThatPanicAreRejected(t *testing.T) {
	t.Parallel()
	for _, h := range []slog.Handler{new(slog.TextHandler), new(slog.JSONHandler), struct{ slog.Handler }{}} {
		_, err := audit.New(h, audit.Config{SampleCached: -1})
		require.ErrorContains(t, err, "audit: the slog.Handler panicked")
		require.ErrorContains(t, err, "SampleCached", "every problem at once")
	}
}

// A Log that New has not made writes nothing, and does not panic in the goroutine of Verify. Neither does a decision that no
// Verifier has made.
func TestValuesWithoutAConstructorDoNotPanic(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", nil, nil, (*audit.Log)(nil), new(audit.Log))
	rejected := verifier.Decision{Err: &verifier.Error{Reason: verifier.ReasonExpired}}
	for _, l := range []*audit.Log{nil, new(audit.Log)} {
		l.Record(t.Context(), rejected)
		l.Flush(t.Context())
	}
	out := &output{}
	l, err := audit.New(slog.NewJSONHandler(out, nil), audit.Config{Plain: allPlain})
	require.NoError(t, err)
	l.Record(t.Context(), verifier.Decision{Token: new(verifier.Token)})
	l.Record(nil, verifier.Decision{Err: new(verifier.Error)}) //nolint:staticcheck // a nil context
	require.Len(t, out.lines(t), 2)
}
