package otel_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/observe/otel"
)

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := otel.New(otel.Config{
		MeterProvider: (*sdkmetric.MeterProvider)(nil), TracerProvider: (*noop.TracerProvider)(nil), Authorities: -1,
	})
	for _, want := range []string{"otel: MeterProvider", "otel: TracerProvider", "otel: Authorities"} {
		require.ErrorContains(t, err, want)
	}
}

// angryMeters and angryTracers are providers of which every call panics.
type (
	angryMeters  struct{ metric.MeterProvider }
	angryTracers struct{ trace.TracerProvider }
)

// A provider that panics is refused, too.
func TestProvidersThatPanicAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []otel.Config{
		{MeterProvider: angryMeters{}}, {MeterProvider: sdkmetric.NewMeterProvider(), TracerProvider: angryTracers{}},
	} {
		_, err := otel.New(c)
		require.ErrorContains(t, err, "otel: a provider panicked")
	}
}

// An Observer that New has not made counts nothing, and its hooks panic in the goroutine of nobody.
func TestObserversThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", nil, nil, (*otel.Observer)(nil), new(otel.Observer))
	for _, o := range []*otel.Observer{nil, {}} {
		require.Zero(t, o.VerifierHooks())
		require.Nil(t, o.KeyHooks().Fetched)
	}
}
