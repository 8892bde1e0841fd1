package failover_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/store"
)

// A token of another region than the pinned one is rejected if it was issued when the pin had been known for DrainPeriod.
// Without a pin, after its end and while pins are in conflict, all are admitted; while the pins are not known, none is.
func TestRejectInactive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newShelf()
		writer, reader := operators(t, inner)
		inner.fail(errDown)
		config := failover.Config{
			RejectInactive: true, DrainPeriod: time.Hour, Replica: store.ReplicaConfig{Stores: []store.Trusted{reader}, MinEpoch: 1},
		}
		c := newController(t, config)
		start(t, c)
		admit := func(issued time.Time, regions ...string) error {
			time.Sleep(time.Second)
			synctest.Wait()
			return c.Admit("orders", regions, issued)
		}
		require.NoError(t, c.Admit("another", []string{west}, time.Time{}))
		require.True(t, unavailable(admit(time.Now(), west)), "the store does not answer: it may be pinned")
		require.True(t, unavailable(admit(time.Now(), east)), "or the other one")
		inner.fail(nil)
		require.True(t, unavailable(admit(time.Now(), west)), "there should be a pin")
		operator := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{writer}}})
		require.NoError(t, operator.Pin(t.Context(), west, "drill", 0))
		pinned := time.Now()
		require.NoError(t, admit(time.Now(), west))
		require.NoError(t, admit(time.Now(), east), "it may still issue tokens")
		time.Sleep(time.Hour)
		require.Error(t, admit(time.Now(), east))
		require.Error(t, admit(time.Time{}, east), "nobody knows when it was issued")
		require.False(t, unavailable(admit(time.Now(), east)))
		require.Error(t, admit(pinned.Add(time.Hour), east))
		require.NoError(t, admit(pinned.Add(time.Hour-time.Second), east))
		require.NoError(t, admit(time.Now(), east, west))
		late := newController(t, config)
		require.NoError(t, late.Load(t.Context()))
		require.Error(t, late.Admit("orders", []string{east}, time.Time{}), "one that starts now knows as much")

		outsider := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{writer}}})
		inner.fail(errDown)
		require.Error(t, outsider.Pin(t.Context(), east, "beyond a partition", 0))
		inner.fail(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_ = outsider.Run(ctx) // it writes what nobody has
		require.Len(t, c.Status().Conflicts, 2)
		require.NoError(t, admit(time.Now(), west))
		require.NoError(t, admit(time.Now(), east))
		require.NoError(t, operator.Load(t.Context()))
		require.NoError(t, operator.Pin(t.Context(), west, "both know", 2*time.Hour))
		time.Sleep(time.Hour)
		require.Empty(t, c.Status().Conflicts)
		require.Error(t, admit(time.Now(), east))
		time.Sleep(time.Hour)
		require.NoError(t, admit(time.Now(), east), "the pin has ended")
		require.Equal(t, west, c.Active(), "which moves nobody")
		require.Equal(t, "expired", c.Status().Cause)
		require.False(t, c.Status().Pinned)
		require.NoError(t, operator.Unpin(t.Context()))
		require.NoError(t, admit(time.Now(), east))
	})
}

func TestIssuers(t *testing.T) {
	t.Parallel()
	c := newController(t, failover.Config{})
	require.Equal(t, []string{"https://us-east-1.example.com", "https://us-west-2.example.com"}, c.Issuers())
	require.NoError(t, c.Pin(t.Context(), west, "", 0))
	require.Equal(t, []string{"https://us-west-2.example.com", "https://us-east-1.example.com"}, c.Issuers())
}
