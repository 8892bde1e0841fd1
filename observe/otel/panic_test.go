package otel_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/verifier"
)

// wild makes instruments that panic.
type (
	wild        struct{ noop.MeterProvider }
	wildMeter   struct{ noop.Meter }
	wildCounter struct{ noop.Int64Counter }
)

func (wild) Meter(string, ...metric.MeterOption) metric.Meter { return wildMeter{} }

func (wildMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return wildCounter{}, nil
}

func (wildCounter) Add(context.Context, int64, ...metric.AddOption) { panic("s3cret") }

// Instruments that panic lose their measurements, and nothing else: tokens are verified, and keys are fetched.
func TestInstrumentsThatPanic(t *testing.T) {
	t.Parallel()
	fake := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	v, err := regionjwt.New(regionjwt.Config{
		Keys:     jwks.Config{HTTPClient: fake.Client()},
		Policies: []verifier.Policy{{Provider: fake.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}},
	})
	require.NoError(t, err)
	stop, err := otel.Instrument(v, otel.Config{MeterProvider: wild{}})
	require.NoError(t, err)
	defer stop()
	for _, region := range fake.Provider().Regions {
		for range 2 {
			_, err = v.Verify(t.Context(), fake.Issue(region.Name, fakeissuer.Claims{}))
			require.NoError(t, err)
		}
	}
	_, err = v.Verify(t.Context(), "x")
	require.ErrorIs(t, err, verifier.ErrInvalid)
}
