package speed_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/bench/speed"
)

// The ratio holds while the machine becomes slower and slower.
func TestPairDrift(t *testing.T) {
	t.Parallel()
	var now time.Duration
	pace := 1.0
	costs := func(d time.Duration) func() {
		return func() {
			now += time.Duration(float64(d) * pace)
			pace *= 1.00001
		}
	}
	p := speed.NewPairWithClock(costs(10*time.Microsecond), costs(25*time.Microsecond), func() time.Duration { return now })
	for range 60 {
		p.Round()
	}
	r := p.Result()
	require.Greater(t, pace, 1.2)
	require.InDelta(t, 2.5, r.Ratio, 0.01)
	require.InDelta(t, 2.5, r.Mean, 0.01)
	require.InDelta(t, 1.5*r.Floor, r.Over, 0.05*r.Over)
	require.InDelta(t, 2.5*r.Floor, r.Candidate, 0.05*r.Candidate)
}

// A block in which something else ran does not move the median, but the mean.
func TestPairOutlier(t *testing.T) {
	t.Parallel()
	var now time.Duration
	disturbance := time.Duration(0)
	p := speed.NewPairWithClock(
		func() { now += time.Microsecond },
		func() { now += 2*time.Microsecond + disturbance },
		func() time.Duration { return now })
	for i := range 21 {
		disturbance = 0
		if i == 7 {
			disturbance = time.Millisecond
		}
		p.Round()
	}
	disturbance = 0
	r := p.Result()
	require.InDelta(t, 2, r.Ratio, 1e-9)
	require.InDelta(t, 1000, r.Over, 1e-6)
	require.Greater(t, r.Mean, 40.0)
}

var sink any

func TestAllocations(t *testing.T) { //nolint:paralleltest // it counts what the process allocates
	allocs, bytes := speed.Allocations(1000, func() { sink = new([64]byte) })
	require.InDelta(t, 1, allocs, 0.1)
	require.InDelta(t, 64, bytes, 16)
}

func TestHeapGrowth(t *testing.T) { //nolint:paralleltest // it measures the heap of the process
	held, grown := speed.HeapGrowth(func() []byte { return make([]byte, 8<<20) })
	require.Len(t, held, 8<<20)
	require.InDelta(t, 8<<20, grown, 1<<20)
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	values := []float64{4, 1, 3, 2}
	require.InDelta(t, 2.5, speed.Median(values), 1e-9)
	require.InDelta(t, 4, speed.Quantile(values, 1), 1e-9)
	require.InDelta(t, 1, speed.Quantile(values, 0), 1e-9)
	require.InDelta(t, 7, speed.Median([]float64{7}), 1e-9)
}
