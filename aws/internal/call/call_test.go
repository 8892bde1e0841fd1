package call_test

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/internal/call"
)

// angry is an error of which every method panics.
type angry struct{}

func (*angry) Error() string { panic("secret") }

// A client that panics, answers nothing or returns an odd error has failed, and ends nothing.
func TestClientsThatMisbehave(t *testing.T) {
	t.Parallel()
	for says, f := range map[string]func() (*int, error){
		"panicked (string)":   func() (*int, error) { panic("secret") },
		"neither an answer":   func() (*int, error) { return nil, nil },
		"panicked":            func() (*int, error) { return nil, &angry{} },
		"the network is down": func() (*int, error) { return nil, errors.New("the network is down") },
	} {
		out, err := call.Do(t.Context(), f)
		require.Nil(t, out)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "secret")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := call.Do(ctx, func() (*int, error) { return nil, errors.New("odd") })
	require.ErrorIs(t, err, context.Canceled, "the error of the context wins")
	require.ErrorIs(t, call.Pause(ctx, 0), context.Canceled)
}

// A pause grows and ends with its context.
func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for n, milliseconds := range []int{50, 100, 200, 400, 800, 800, 800} {
			most := time.Duration(milliseconds) * time.Millisecond
			began := time.Now()
			require.NoError(t, call.Pause(t.Context(), n))
			require.LessOrEqual(t, time.Since(began), most)
			require.GreaterOrEqual(t, time.Since(began), most/2)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, call.Pause(ctx, 4), context.DeadlineExceeded)
	})
}

// A Retryer keeps its attempts and what it repeats, and sleeps less.
func TestRetryer(t *testing.T) {
	t.Parallel()
	slow := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 7
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return time.Duration(attempt) * time.Second, nil
		})
	})
	r := call.Retryer(slow, 6*time.Second)
	require.Equal(t, 7, r.MaxAttempts())
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 1500 * time.Millisecond, 5: 1500 * time.Millisecond} {
		d, err := r.RetryDelay(attempt, errors.New("x"))
		require.NoError(t, err)
		require.Equal(t, want, d)
	}
	_, v2 := r.(aws.RetryerV2)
	require.True(t, v2, "the SDK uses its limit of retries")
	require.Nil(t, call.Retryer(nil, time.Second))
}

func TestCheckPrefix(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "regionjwt:", "a/b/", strings.Repeat("p", 128), "~!#"} {
		require.NoError(t, call.CheckPrefix(good))
	}
	for _, bad := range []string{strings.Repeat("p", 129), "a b", "a\n", "\x7f", "\u00e4", "a\x00"} {
		require.ErrorContains(t, call.CheckPrefix(bad), "has ")
	}
}

func TestUnusable(t *testing.T) {
	t.Parallel()
	type own struct{} // a client of a user, whose zero value works
	for _, c := range []any{nil, (*s3.Client)(nil), new(s3.Client), (*own)(nil)} {
		require.True(t, call.Unusable[s3.Client](c))
	}
	for _, c := range []any{s3.New(s3.Options{}), new(own)} {
		require.False(t, call.Unusable[s3.Client](c))
	}
}

// The stores work on a client that the caller made: the package config of the SDK, with twice the modules, is not needed.
func TestConfigIsNotImported(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../...").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "aws-sdk-go-v2/service/s3")
	require.NotContains(t, string(out), "aws-sdk-go-v2/config")
	require.NotContains(t, string(out), "aws-sdk-go-v2/credentials")
}
