package regionjwt_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/monitor"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// The verdicts of the monitors of a Config reach the controllers: those that are posted, and while Run runs those in a store.
func TestVerdictsReachTheControllers(t *testing.T) {
	t.Parallel()
	dir := store.Dir(filepath.Join(t.TempDir(), "verdicts"))
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	configOf := func(t *testing.T) (c regionjwt.Config, id string) {
		fake := fakeissuer.New(t, fakeissuer.Config{})
		id = fake.Provider().ID
		return regionjwt.Config{
			Keys:     jwks.Config{HTTPClient: fake.Client()},
			Policies: []verifier.Policy{{Provider: fake.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID)}},
			Failover: map[string]failover.Config{id: {Automatic: true}},
			Monitors: &monitor.Config{
				Fleet: "test", Keys: map[string]ed25519.PublicKey{"alarms": public}, Stores: []store.Store{dir},
			},
		}, id
	}
	signed := func(t *testing.T, id string) []byte {
		v := monitor.Verdict{
			Provider: id, Region: "us-east-1", Began: time.Now(), Seq: uint64(time.Now().UnixMilli()), TTL: time.Minute,
		}
		text, err := monitor.Sign(v, "test", "alarms", private)
		require.NoError(t, err)
		return text
	}
	t.Run("posted", func(t *testing.T) {
		config, id := configOf(t)
		v, err := regionjwt.New(config)
		require.NoError(t, err)
		w := httptest.NewRecorder()
		v.Monitors().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(signed(t, id))))
		require.Equal(t, http.StatusNoContent, w.Code, w.Body)
		require.Equal(t, "us-west-2", v.Failover(id).Active())
	})
	synctest.Test(t, func(t *testing.T) {
		config, id := configOf(t)
		v, err := regionjwt.New(config)
		require.NoError(t, err)
		require.NoError(t, monitor.Save(t.Context(), dir, signed(t, id)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(ctx) }()
		time.Sleep(10 * time.Second)
		require.Equal(t, "us-west-2", v.Failover(id).Active())
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

// Monitors without failover, and those with a problem, are told at once.
func TestMonitorsWithoutEffect(t *testing.T) {
	t.Parallel()
	c := regionjwt.Config{Policies: manyTrusts(1), Monitors: &monitor.Config{}}
	_, err := regionjwt.New(c)
	require.ErrorContains(t, err, "Monitors has no effect without Failover")
	c.Failover = map[string]failover.Config{c.Policies[0].Provider.ID: {}}
	_, err = regionjwt.New(c)
	require.ErrorContains(t, err, "Keys is empty")
	c.Failover = map[string]failover.Config{"another": {}}
	_, err = regionjwt.New(c)
	require.ErrorContains(t, err, `"another" is not in Policies`)
	for _, v := range []*regionjwt.Validator{nil, {}, validatorWithoutMonitors(t)} {
		require.Nil(t, v.Monitors())
		w := httptest.NewRecorder()
		v.Monitors().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", http.NoBody))
		require.Equal(t, http.StatusBadRequest, w.Code)
	}
}

func validatorWithoutMonitors(t *testing.T) *regionjwt.Validator {
	t.Helper()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{manyTrusts(1)[0]}})
	require.NoError(t, err)
	return v
}
