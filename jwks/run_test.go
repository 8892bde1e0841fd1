package jwks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

// After Run has returned, the cache works as it does without Run: a new key is fetched when a token needs it, and a set that is due is
// refreshed when it is used. A caller that waited for a fetch which the end of Run canceled gets its key all the same.
func TestAfterRunHasEnded(t *testing.T) {
	inBubble(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, nil, func(t *testing.T, w world) {
		stop := running(t, w)
		w.mustHave(east)
		synctest.Wait()
		w.Rotate(east)
		w.Slow(east, time.Second)
		waited := make(chan error, 1)
		go func() {
			_, err := w.ask(east)
			waited <- err
		}()
		time.Sleep(500 * time.Millisecond)
		stop()
		require.NoError(t, <-waited)
		w.Mend(east)

		for range 3 {
			time.Sleep(time.Minute)
			w.Rotate(east)
			w.mustHave(east)
		}
		before := w.Fetches(east)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, before, w.Fetches(east), "nobody asks while no token comes")
		within(t, 0, func() { w.mustHave(east) })
		synctest.Wait()
		require.Equal(t, before+1, w.Fetches(east), "the set is refreshed when it is used")

		require.NoError(t, w.Cache.Close())
		w.mustHave(east)
		w.Rotate(east)
		time.Sleep(time.Minute)
		_, err := w.ask(east)
		require.ErrorIs(t, err, jwks.ErrUnavailable, "after Close nothing is fetched")
	})
}
