package otel_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
)

// Everything may be called at once.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	s := newService(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion}, otel.Config{MaxProviders: 1}, nil)
	s.loadRules(t)
	raws := s.hostile(1)
	done := make(chan struct{})
	for i := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for j, raw := range raws {
				_, _ = s.Verify(context.Background(), raw)
				if (i+j)%8 == 0 {
					s.collect(t)
				}
			}
		}()
	}
	for range 4 {
		<-done
	}
	require.Equal(t, 4*len(raws), s.value(t, "regionjwt.token.verifications"))
}

// Every state that a JWKS URL can have is a series, so that their sum is the number of JWKS URLs.
func TestEveryStateOfAKeySetIsASeries(t *testing.T) {
	t.Parallel()
	var keys []jwks.Status
	for _, state := range label.States() {
		keys = append(keys, jwks.Status{Provider: "pool", Region: "us-east-1", State: state})
	}
	tel := newTelemetry(t)
	source := &observed{status: func() regionjwt.Status { return regionjwt.Status{Keys: keys} }}
	_, err := otel.InstrumentSource(source, otel.Config{MeterProvider: tel.meters})
	require.NoError(t, err)
	for _, state := range label.States() {
		require.Equal(t, 1, tel.value(t, "regionjwt.key_sets", "regionjwt.state", state), state)
	}
}
