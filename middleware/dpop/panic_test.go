package dpop_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// If Replay panics, or its error does, it is not known whether the proof was used: it is rejected, and not called bad.
func TestReplayThatPanics(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	for name, replay := range map[string]dpop.Replay{
		"Replay":    func(context.Context, string, time.Time) (bool, error) { panic("s3cret") },
		"its error": func(context.Context, string, time.Time) (bool, error) { return false, (*hollow)(nil) },
	} {
		c := newChecker(t, dpop.Config{Replay: replay})
		err := dpop.CheckPresentation(t.Context(), c, s.request(s.proof(t, nil, nil)))
		var e *verifier.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, verifier.ReasonProofUnavailable, e.Reason, name)
		require.ErrorIs(t, err, verifier.ErrUnavailable, name)
		require.NotContains(t, err.Error(), "s3cret")
	}
}
