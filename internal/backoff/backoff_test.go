package backoff_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/backoff"
)

func TestAWaitDoublesUpToTheMost(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute,
		8: time.Minute, 1000: time.Minute, math.MaxInt: time.Minute,
	} {
		require.Equal(t, want, backoff.After(failures, time.Second, time.Minute), failures)
	}
	require.Equal(t, 24*time.Hour, backoff.After(math.MaxInt, 24*time.Hour, 24*time.Hour))
}

func TestASpreadIsATenthToEachSide(t *testing.T) {
	t.Parallel()
	require.Equal(t, 9*time.Second, backoff.Spread(10*time.Second, 0))
	require.Equal(t, 10*time.Second, backoff.Spread(10*time.Second, 0.5))
	require.Equal(t, 11*time.Second, backoff.Spread(10*time.Second, 1))
}
