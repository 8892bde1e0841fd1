package middleware_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// rechecks is a Verifier whose methods need a receiver.
type rechecks struct{ err error }

func (r *rechecks) Verify(context.Context, string) (*verifier.Token, error) { return nil, r.err }
func (r *rechecks) Recheck(context.Context, *verifier.Token) error          { return r.err }
func (r *rechecks) Changed() <-chan struct{}                                { _ = r.err; return nil }

// A watch that cannot watch ends at once, in the goroutine of nobody.
func TestAWatchOfNothingEndsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good, tok := token(t, time.Hour)
		for name, c := range map[string]struct {
			v    middleware.Verifier
			tok  *verifier.Token
			want error
		}{
			"no token":       {good, nil, verifier.ErrInvalid},
			"no Verifier":    {nil, tok, verifier.ErrUnavailable},
			"a nil pointer":  {(*rechecks)(nil), tok, verifier.ErrUnavailable},
			"a nil Verifier": {(*verifier.Verifier)(nil), tok, verifier.ErrUnavailable},
			"nothing":        {nil, nil, verifier.ErrInvalid},
		} {
			ctx, stop := middleware.Watch(t.Context(), c.v, c.tok, time.Hour)
			synctest.Wait()
			require.Error(t, ctx.Err(), name)
			require.ErrorIs(t, context.Cause(ctx), c.want, name)
			stop()
		}
	})
}

// Neither a nil Verifier nor a nil *verifier.Error lets anybody in, or panics.
func TestNilsLetNobodyIn(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]middleware.Verifier{
		"no Verifier":    nil,
		"a nil Verifier": (*verifier.Verifier)(nil),
		"a nil error":    &rechecks{err: (*verifier.Error)(nil)},
		"neither":        &rechecks{},
	} {
		tok, err := middleware.Verify(t.Context(), v, "x\x00")
		require.Nil(t, tok, name)
		require.Error(t, err, name)
		outcome, after := middleware.Classify(err)
		require.Equal(t, middleware.Unavailable, outcome, name)
		require.GreaterOrEqual(t, after, time.Second)
		require.Equal(t, "token", middleware.LogAttr(nil, err).Key)
	}
	require.Error(t, middleware.Require(nil, []middleware.Requirement{middleware.Custom(nil)}))
	require.Error(t, middleware.Require(new(verifier.Token), []middleware.Requirement{{}}))
	require.Error(t, middleware.Require(new(verifier.Token), []middleware.Requirement{middleware.Custom(nil)}))
	require.NotPanics(t, func() { _ = middleware.LogAttr(nil, nil) })
}
