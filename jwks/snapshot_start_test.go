package jwks_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

// The key of a snapshot stays the same key when a key server confirms it, and says so from then on.
func TestAKeyServerConfirmsASnapshot(t *testing.T) {
	snapshotWorld(t, func(t *testing.T, w *issuertest.World, _ *shelf, start func() world) {
		darken(w)
		second := start()
		key := second.mustHave(east)
		require.Equal(t, jwks.OriginSnapshot, key.Origin())
		w.Mend(east)
		time.Sleep(20 * time.Minute)
		require.Same(t, key, second.mustHave(east), "the refresh is on its way")
		synctest.Wait()
		require.Same(t, key, second.mustHave(east))
		require.Equal(t, jwks.OriginFetched, key.Origin())
		require.Equal(t, jwks.OriginFixed, new(jwks.Key).Origin())
	})
}

// Where every key server hangs, a crowd beyond those who may wait has the snapshot read at once, for them and for those who do.
func TestACrowdAtADisconnectedStart(t *testing.T) {
	snapshotWorld(t, func(t *testing.T, w *issuertest.World, _ *shelf, start func() world) {
		w.Hang(east)
		w.Hang(west)
		second := start()
		within(t, 0, func() {
			var callers sync.WaitGroup
			for range 256 { // as many as may wait
				callers.Go(func() { second.mustHave(west) })
			}
			synctest.Wait()
			for range 200 {
				callers.Go(func() { _, _ = second.ask(west) })
			}
			callers.Wait()
			second.mustHave(west)
		})
	})
}
