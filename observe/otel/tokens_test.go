package otel_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/observe/otel"
)

// machine is a source of tokens of a fake provider, instrumented.
type machine struct {
	*telemetry
	*fakeissuer.Server
	*clientcredentials.TokenSource
	stop       func()
	east, west string
}

func newMachine(t *testing.T, regions ...string) *machine {
	t.Helper()
	m := &machine{
		telemetry: newTelemetry(t),
		Server:    fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", Regions: regions}),
	}
	p := m.Provider()
	p.HTTPClient = m.Client()
	m.east, m.west = p.Regions[0].Name, p.Regions[len(p.Regions)-1].Name
	var err error
	m.TokenSource, err = clientcredentials.New(p, clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: mark, Secret: mark}, Scopes: []string{mark},
	})
	require.NoError(t, err)
	m.stop, err = otel.InstrumentTokens(m.TokenSource, otel.Config{MeterProvider: m.meters, TracerProvider: m.tracers})
	require.NoError(t, err)
	return m
}

const (
	requests  = "regionjwt.machine_token.requests"
	durations = "regionjwt.machine_token.request.duration"
	expiresIn = "regionjwt.machine_token.expires_in"
)

// token asks for a token, and waits until the request is recorded.
func (m *machine) token(t *testing.T) string {
	t.Helper()
	token, err := m.Token(context.Background())
	require.NoError(t, err)
	synctest.Wait()
	return token.Region()
}

// Requests are counted by region and failure, with their duration; the gauge says how long the token in memory is still valid.
func TestMachineTokensAreMeasured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		require.Equal(t, -1, m.value(t, expiresIn), "there is no token")
		require.Equal(t, -1, m.value(t, requests))
		require.Equal(t, m.east, m.token(t))
		require.Equal(t, 1, m.value(t, requests, "regionjwt.region", m.east, "regionjwt.result", "ok", "error.type", ""))
		require.Equal(t, 1, m.value(t, durations, "regionjwt.region", m.east, "regionjwt.result", "ok"))
		require.Equal(t, 3600, m.value(t, expiresIn, "regionjwt.region", m.east))
		time.Sleep(20 * time.Minute)
		require.Equal(t, 2400, m.value(t, expiresIn, "regionjwt.region", m.east))

		m.Status(m.east, 503, nil)
		time.Sleep(40 * time.Minute)
		require.Zero(t, m.value(t, expiresIn, "regionjwt.region", m.east), "it has expired")
		require.Equal(t, m.west, m.token(t))
		require.Equal(t, 1, m.value(t, requests, "regionjwt.region", m.east, "regionjwt.result", "failed", "error.type", "status"))
		require.Equal(t, 1, m.value(t, requests, "regionjwt.region", m.west, "regionjwt.result", "ok"))
		require.Equal(t, 3600, m.value(t, expiresIn))
		require.Equal(t, -1, m.value(t, expiresIn, "regionjwt.region", m.east))

		_, err := m.Exchange(t.Context(), clientcredentials.Exchange{SubjectToken: mark})
		require.ErrorIs(t, err, clientcredentials.ErrRejected)
		synctest.Wait()
		require.Equal(t, 1, m.value(t, requests, "regionjwt.result", "rejected", "error.type", "invalid_request", "regionjwt.region", m.west))
		require.Equal(t, 3600, m.value(t, expiresIn), "an exchange is no token in memory")

		spans := m.spans.GetSpans()
		require.Len(t, spans, 4)
		require.Equal(t, "regionjwt.request_token", spans[1].Name)
		require.Equal(t, codes.Error, spans[1].Status.Code)
		require.Contains(t, spans[1].Attributes, attribute.Int("http.response.status_code", 503))
		require.Contains(t, spans[1].Attributes, attribute.String("regionjwt.region", m.east))
		require.NotContains(t, m.everything(t), mark)

		m.stop()
		m.stop()
		time.Sleep(time.Hour)
		m.token(t)
		require.Equal(t, 4, m.value(t, requests))
		require.Equal(t, -1, m.value(t, expiresIn))
	})
}

// With one token endpoint, there is no attribute for regions.
func TestASingleTokenEndpointHasNoRegion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, "eu-west-1")
		m.token(t)
		for _, name := range []string{requests, durations, expiresIn} {
			require.Positive(t, m.value(t, name, "regionjwt.region", "", "regionjwt.provider", m.Provider().ID), name)
		}
		require.NotContains(t, m.everything(t), "eu-west-1")
	})
}

// Every problem is reported at once.
func TestASourceThatNewHasNotMadeIsRejected(t *testing.T) {
	t.Parallel()
	for _, s := range []*clientcredentials.TokenSource{nil, {}} {
		_, err := otel.InstrumentTokens(s, otel.Config{MaxProviders: -1})
		for _, want := range []string{"clientcredentials.New", "otel: MeterProvider", "otel: MaxProviders"} {
			require.ErrorContains(t, err, want)
		}
	}
	m := newMachine(t)
	for _, c := range []otel.Config{
		{MeterProvider: angryMeters{}}, {MeterProvider: sdkmetric.NewMeterProvider(), TracerProvider: angryTracers{}},
	} {
		_, err := otel.InstrumentTokens(m.TokenSource, c)
		require.ErrorContains(t, err, "otel: a provider of metrics or traces panicked")
	}
}

// Instruments that panic lose their measurements, and no token.
func TestInstrumentsThatPanicLoseNoToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		stop, err := otel.InstrumentTokens(m.TokenSource, otel.Config{MeterProvider: wild{}})
		require.NoError(t, err)
		defer stop()
		m.token(t)
		require.Equal(t, 1, m.value(t, requests))
	})
}
