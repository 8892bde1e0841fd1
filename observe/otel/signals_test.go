package otel_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/observe/otel"
)

// Events are counted by transmitter, kind and outcome, and the age of the last verification event is shown. Names of transmitters
// are bounded.
func TestSecurityEventsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry(t)
		onEvent, err := otel.SignalEvents(otel.Config{MeterProvider: tel.meters, MaxProviders: 1})
		require.NoError(t, err)
		for range 3 {
			onEvent("shop", "session-revoked", "applied", "rule")
		}
		onEvent("shop", "verification", "verified", "")
		onEvent("bank", "verification", "silent", "")
		time.Sleep(time.Minute)
		const events = "regionjwt.signals.events"
		require.Equal(t, 3, tel.value(t, events, "regionjwt.transmitter", "shop", "regionjwt.event", "session-revoked", "regionjwt.result", "applied"))
		require.Equal(t, 1, tel.value(t, events, "regionjwt.transmitter", "other"))
		require.Equal(t, 60, tel.value(t, "regionjwt.signals.verification.age", "regionjwt.transmitter", "shop"))
	})
	_, err := otel.SignalEvents(otel.Config{})
	require.ErrorContains(t, err, "MeterProvider")
}
