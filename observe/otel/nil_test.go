package otel_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/observe/otel"
)

func TestNilsAreRejected(t *testing.T) {
	t.Parallel()
	_, err := otel.InstrumentSource(&observed{}, otel.Config{
		MeterProvider: (*sdkmetric.MeterProvider)(nil), TracerProvider: (*noop.TracerProvider)(nil), MaxProviders: -1,
	})
	for _, want := range []string{"otel: MeterProvider", "otel: TracerProvider", "otel: MaxProviders"} {
		require.ErrorContains(t, err, want)
	}
}

// angryMeters and angryTracers panic in every call.
type (
	angryMeters  struct{ metric.MeterProvider }
	angryTracers struct{ trace.TracerProvider }
)

// A provider that panics is an error.
func TestProvidersThatPanicAreRejected(t *testing.T) {
	t.Parallel()
	for _, c := range []otel.Config{
		{MeterProvider: angryMeters{}}, {MeterProvider: sdkmetric.NewMeterProvider(), TracerProvider: angryTracers{}},
	} {
		_, err := otel.InstrumentSource(&observed{}, c)
		require.ErrorContains(t, err, "otel: a provider of metrics or traces panicked")
	}
}

// A Validator that New has not made does nothing that could be measured.
func TestAValidatorThatNewHasNotMadeIsRejected(t *testing.T) {
	t.Parallel()
	for _, v := range []*regionjwt.Validator{nil, {}} {
		_, err := otel.Instrument(v, otel.Config{MaxProviders: -1})
		for _, want := range []string{"regionjwt.New", "otel: MeterProvider", "otel: MaxProviders"} {
			require.ErrorContains(t, err, want)
		}
	}
}
