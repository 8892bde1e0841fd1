package failover_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/store"
)

// Tokens of a region are rejected when it has not been active for DrainPeriod, and never while the pin is unknown.
func TestRejectInactive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newShelf()
		writer, reader := operators(t, inner)
		inner.fail(errDown)
		c := newController(t, failover.Config{RejectInactive: true, Replica: store.ReplicaConfig{Store: reader}, DrainPeriod: time.Hour})
		start(t, c)
		admit := func(regions ...string) error {
			synctest.Wait()
			return c.Admit("orders", regions, time.Time{})
		}
		require.NoError(t, admit(east))
		require.NoError(t, admit(west, east))
		require.NoError(t, c.Admit("another", []string{west}, time.Time{}))
		require.True(t, unavailable(admit(west)), "the store does not answer: it may be the active one")
		inner.fail(nil)
		time.Sleep(time.Second)
		require.True(t, unavailable(admit(west)), "and nobody has said anything yet")
		operator := newController(t, failover.Config{Replica: store.ReplicaConfig{Store: writer}})
		require.NoError(t, operator.Pin(t.Context(), west, "drill"))
		time.Sleep(time.Second)
		require.NoError(t, admit(west))
		require.NoError(t, admit(east), "it was active until now")
		time.Sleep(time.Hour)
		require.False(t, unavailable(admit(east)))
		require.Error(t, admit(east))
		require.NoError(t, admit(east, west))
		late := newController(t, failover.Config{RejectInactive: true, Replica: store.ReplicaConfig{Store: reader}, DrainPeriod: time.Hour})
		require.NoError(t, late.Load(t.Context()))
		require.Error(t, late.Admit("orders", []string{east}, time.Time{}), "one that starts now knows as much")
		require.NoError(t, late.Admit("orders", []string{west}, time.Time{}))
		lax := newController(t, failover.Config{Replica: store.ReplicaConfig{Store: reader}})
		require.NoError(t, lax.Load(t.Context()))
		require.NoError(t, lax.Admit("orders", []string{east}, time.Time{}))
	})
}

func TestIssuers(t *testing.T) {
	t.Parallel()
	c := newController(t, failover.Config{})
	require.Equal(t, []string{"https://us-east-1.example.com", "https://us-west-2.example.com"}, c.Issuers())
	require.NoError(t, c.Pin(t.Context(), west, ""))
	require.Equal(t, []string{"https://us-west-2.example.com", "https://us-east-1.example.com"}, c.Issuers())
}
