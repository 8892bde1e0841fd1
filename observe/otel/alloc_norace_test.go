//go:build !race

package otel_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/verifier"
)

// What a Verify is told costs no allocation, neither here nor in the SDK with two readers, but for the Category of an error.
func TestAllocations(t *testing.T) {
	accepted, refused := judged(t)
	o, err := otel.New(otel.Config{MeterProvider: newTelemetry(t).meters, Authorities: 10})
	require.NoError(t, err)
	hook := o.VerifierHooks().Verified
	allocs := func(v verifier.Verified) int {
		return int(testing.AllocsPerRun(100, func() { hook(context.Background(), v) }))
	}
	require.Zero(t, allocs(accepted))
	require.LessOrEqual(t, allocs(refused), 1)
}
