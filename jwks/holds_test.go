package jwks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

// A key is held for as long as Keys would return it, and asking refreshes it as Keys would.
func TestHolds(t *testing.T) {
	inBubble(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, nil, func(t *testing.T, w world) {
		iss := w.issuerOf(east)
		keys, err := w.Keys(t.Context(), iss, w.KeyID(east))
		require.NoError(t, err)
		key := keys[0]
		require.True(t, w.Holds(iss, key))
		other := *key
		require.False(t, w.Holds(iss, &other))
		require.False(t, w.Holds(w.issuerOf(west), key))
		require.False(t, w.Holds("https://nobody.example.com", key))

		before := w.Fetches(east)
		for range 60 {
			time.Sleep(time.Minute)
			synctest.Wait()
			require.True(t, w.Holds(iss, key))
		}
		require.GreaterOrEqual(t, w.Fetches(east)-before, 3, "it is refreshed")

		w.Rotate(east)
		w.Withdraw(east)
		for range 60 {
			time.Sleep(time.Minute)
			w.Holds(iss, key)
			synctest.Wait()
		}
		require.False(t, w.Holds(iss, key), "it was withdrawn")

		keys, err = w.Keys(t.Context(), iss, w.KeyID(east))
		require.NoError(t, err)
		key = keys[0]
		w.Break(east)
		time.Sleep(jwks.DefaultMaxStale - time.Hour)
		require.True(t, w.Holds(iss, key))
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		require.False(t, w.Holds(iss, key), "it is too old")

		w.Mend(east)
		keys, err = w.Keys(t.Context(), iss, w.KeyID(east))
		require.NoError(t, err)
		require.True(t, w.Holds(iss, keys[0]))
		elsewhere := authority("b", "https://elsewhere.example.com/keys")
		require.NoError(t, w.Update([]issuer.Authority{elsewhere}))
		require.False(t, w.Holds(iss, keys[0]), "its authority is gone")
	})
}
