package dpop_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

type replayFunc func(context.Context, string, time.Time) (bool, error)

func (f replayFunc) Seen(ctx context.Context, id string, until time.Time) (bool, error) {
	return f(ctx, id, until)
}

type replayPointer struct{ seen bool }

func (r *replayPointer) Seen(context.Context, string, time.Time) (bool, error) { return r.seen, nil }

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config dpop.Config
		want   []string
	}{
		"nil Replay":   {dpop.Config{Replay: (*replayPointer)(nil)}, []string{"dpop: Replay"}},
		"nil function": {dpop.Config{Replay: replayFunc(nil)}, []string{"dpop: Replay"}},
		"nil Nonces":   {dpop.Config{Nonces: (*dpop.TimedNonces)(nil)}, []string{"dpop: Nonces"}},
		"zero Nonces":  {dpop.Config{Nonces: new(dpop.TimedNonces)}, []string{"dpop: Nonces"}},
		"all of it": {
			dpop.Config{Nonces: (*dpop.TimedNonces)(nil), Replay: replayFunc(nil), MaxAge: -1},
			[]string{"dpop: Replay", "dpop: Nonces", "dpop: MaxAge"},
		},
	} {
		_, err := dpop.New(c.config)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
		}
	}
}

func TestCheckersThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", nil, nil, (*dpop.Checker)(nil), new(dpop.Checker), (*dpop.TimedNonces)(nil), new(dpop.TimedNonces))
	for _, c := range []*dpop.Checker{nil, {}} {
		require.ErrorIs(t, c.Check(t.Context(), dpop.Proof{}), verifier.ErrUnavailable)
	}
}

// Durations that are less than nothing are refused, but for Leeway, where they mean none.
func TestNegativeDurations(t *testing.T) {
	t.Parallel()
	_, err := dpop.New(dpop.Config{MaxAge: -time.Nanosecond})
	require.ErrorContains(t, err, "MaxAge is negative")
	_, err = dpop.New(dpop.Config{Leeway: -time.Hour})
	require.NoError(t, err)
	_, err = dpop.NewNonces(dpop.NonceConfig{Keys: [][]byte{make([]byte, 32)}, Period: -time.Minute})
	require.ErrorContains(t, err, "period")
}
