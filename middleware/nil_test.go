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

// A watch that cannot watch ends at once, without a panic in a goroutine.
func TestAWatchOfNothingEndsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good, _, tok := watchable(t, time.Hour)
		for name, c := range map[string]struct {
			v    middleware.Verifier
			tok  *verifier.Token
			want error
		}{
			"no token":       {good, nil, verifier.ErrInvalid},
			"no Verifier":    {nil, tok, verifier.ErrUnavailable},
			"a nil pointer":  {(*scripted)(nil), tok, verifier.ErrUnavailable},
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

// A zero Requirement is not met, not even by a zero Token.
func TestZeroRequirementsAreNotMet(t *testing.T) {
	t.Parallel()
	require.Error(t, middleware.Check(nil, middleware.Requirement{}))
	require.ErrorContains(t, middleware.Check(new(verifier.Token), middleware.Requirement{}), "package middleware")
	require.Error(t, middleware.Check(new(verifier.Token), middleware.Scopes("a")))
}
