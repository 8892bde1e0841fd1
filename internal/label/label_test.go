package label_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/label"
)

func TestAnOutageIsSilenceOrAStatusOfTheServer(t *testing.T) {
	t.Parallel()
	for failure, want := range map[string]bool{
		"": false, label.DNS: true, label.TLS: true, label.Network: true, label.Timeout: true, label.Canceled: false,
		label.HTML: false, label.TooLarge: false, label.NoKey: false, label.Discovery: false, label.Malformed: false,
		label.HTTP: false, "status 429": false, "status 499": false, "status 500": true, "status 503": true,
	} {
		require.Equal(t, want, label.Outage(failure, 0), failure)
	}
	require.False(t, label.Outage("status 503", time.Second), "it is there, and asks for fewer requests")
	require.True(t, label.Outage(label.Network, time.Second))
}

func TestAStatusIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	require.Equal(t, "status 503", label.Status(503))
	require.Equal(t, 503, label.StatusOf(label.Status(503)))
	require.Equal(t, label.HTTP, label.Class(label.Status(503)))
	require.Equal(t, "rejected", label.Class("rejected invalid_client"))
	for _, other := range []string{"", label.DNS, label.HTTP, "rejected invalid_client", "status x"} {
		require.Zero(t, label.StatusOf(other), other)
	}
}
