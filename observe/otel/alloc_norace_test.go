//go:build !race

package otel_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/verifier"
)

// A decision costs no allocation, neither here nor in the SDK with two readers.
func TestAllocations(t *testing.T) {
	accepted, rejected := decisions(t)
	o := &observed{status: twoRegions}
	_, err := otel.InstrumentSource(o, otel.Config{MeterProvider: newTelemetry(t).meters})
	require.NoError(t, err)
	allocs := func(d verifier.Decision) int {
		return int(testing.AllocsPerRun(100, func() { o.observer.Decision(context.Background(), d) }))
	}
	require.Zero(t, allocs(accepted))
	require.Zero(t, allocs(rejected))
}
