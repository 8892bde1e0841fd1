package middleware_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// wild is a Verifier whose methods end in their own way.
type wild struct{ end func() }

func (w wild) Verify(context.Context, string) (*verifier.Token, error) {
	w.end()
	return nil, nil
}

func (w wild) Recheck(context.Context, *verifier.Token) error {
	w.end()
	return nil
}

func (w wild) Changed() <-chan struct{} {
	w.end()
	return nil
}

// A Rechecker that panics, or ends its goroutine, cannot tell: the stream goes on, until the token's time is up.
func TestWatchSurvivesARecheckerThatPanics(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(){"panic": func() { panic("s3cret") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, tok := token(t, time.Minute)
				ctx, stop := middleware.Watch(t.Context(), wild{end}, tok, 0)
				defer stop()
				after, why := ended(ctx)
				require.Equal(t, verifier.Expired, why)
				require.InDelta(t, time.Minute.Seconds(), after.Seconds(), 1)
			})
		})
	}
}

// What panics while it decides has not decided: the request is neither let in, nor is its token called bad.
func TestADecisionThatPanicsLetsNobodyIn(t *testing.T) {
	t.Parallel()
	_, tok := token(t, time.Minute)
	for name, decide := range map[string]func() error{
		"Verify": func() error {
			_, err := middleware.Verify(t.Context(), wild{func() { panic("s3cret") }}, "token")
			return err
		},
		"Custom": func() error {
			return middleware.Require(tok, []middleware.Requirement{
				middleware.Custom(func(*verifier.Token) error { panic("s3cret") }),
			})
		},
	} {
		err := decide()
		require.Error(t, err, name)
		outcome, after := middleware.Classify(err)
		require.Equal(t, middleware.Unavailable, outcome, name)
		require.GreaterOrEqual(t, after, time.Second, name)
		require.NotContains(t, err.Error(), "s3cret", name)
		require.ErrorContains(t, err, "panicked", name)
	}
}

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// An error that panics when it is looked at says nothing of the token: a stream goes on until the time of its token is up, and a
// request gets the answer Unavailable.
func TestAnErrorThatPanicsIsNoVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, tok := token(t, time.Minute)
		j := &judge{err: (*hollow)(nil), changed: make(chan struct{})}
		ctx, stop := middleware.Watch(t.Context(), j, tok, 0)
		defer stop()
		after, why := ended(ctx)
		require.Equal(t, verifier.Expired, why)
		require.InDelta(t, time.Minute.Seconds(), after.Seconds(), 1)
	})
	_, err := middleware.Verify(t.Context(), refusing{(*hollow)(nil)}, "token")
	require.Error(t, err)
	outcome, _ := middleware.Classify(err)
	require.Equal(t, middleware.Unavailable, outcome)
}

// refusing is a Verifier that has one answer to every token.
type refusing struct{ err error }

func (r refusing) Verify(context.Context, string) (*verifier.Token, error) { return nil, r.err }
