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

// wild is a Verifier whose methods call end.
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

// A Verifier that panics, or ends its goroutine, cannot tell: the stream goes on until the token expires.
func TestWatchSurvivesAVerifierThatPanics(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(){"panic": func() { panic("s3cret") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, _, tok := watchable(t, time.Minute)
				ctx, stop := middleware.Watch(t.Context(), wild{end}, tok, 0)
				defer stop()
				after, why := ended(ctx)
				require.Equal(t, verifier.ReasonExpired, why)
				require.InDelta(t, time.Minute.Seconds(), after.Seconds(), 1)
			})
		})
	}
}

// hollow is an error that panics when its chain is walked, if it is a nil pointer.
type hollow struct{ cause error }

func (*hollow) Error() string   { return "hollow" }
func (h *hollow) Unwrap() error { return h.cause }

// A requirement that panics while it is checked has not decided: the request is not admitted, and its token is not called bad.
func TestARequirementThatPanicsHasNotDecided(t *testing.T) {
	t.Parallel()
	_, _, tok := watchable(t, time.Minute)
	for name, check := range map[string]func(*verifier.Token) error{
		"the function": func(*verifier.Token) error { panic("s3cret") },
		"its error":    func(*verifier.Token) error { return (*hollow)(nil) },
	} {
		err := middleware.Check(tok, middleware.RequirementFunc(check))
		require.Error(t, err, name)
		status, _, after := middleware.Classify(err)
		require.Equal(t, 503, status, name)
		require.GreaterOrEqual(t, after, time.Second, name)
		require.NotContains(t, err.Error(), "s3cret", name)
		require.ErrorContains(t, err, "panicked", name)
	}
}

// An error that panics when it is inspected says nothing about the token: a stream goes on until its token expires.
func TestAnErrorThatPanicsIsNoVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, tok := watchable(t, time.Minute)
		script := &scripted{err: (*hollow)(nil), changed: make(chan struct{})}
		ctx, stop := middleware.Watch(t.Context(), script, tok, 0)
		defer stop()
		after, why := ended(ctx)
		require.Equal(t, verifier.ReasonExpired, why)
		require.InDelta(t, time.Minute.Seconds(), after.Seconds(), 1)
	})
}
