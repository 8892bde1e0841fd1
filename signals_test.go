package regionjwt_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// A Validator is not ready while the rules of security events are not known, as it then rejects every token.
func TestReadyNeedsTheRulesOfSignals(t *testing.T) {
	t.Parallel()
	idp := issuertest.New(t, issuer.OIDC("https://idp.example.com"), issuertest.Config{Algorithm: "ES256"})
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{idp.Policy()},
		Revocation: &revocation.Config{Signals: []revocation.Signals{{
			Replica: store.ReplicaConfig{Stores: []store.Trusted{store.Dir(filepath.Join(t.TempDir(), "rules"))}}, Providers: []string{"shop"},
		}}},
	})
	require.NoError(t, err)
	require.ErrorContains(t, v.Ready(), "the revocation rules are not known yet")
	_, err = v.Verify(t.Context(), idp.Issue("default", issuertest.Claims{}))
	require.ErrorIs(t, err, verifier.ErrUnavailable)
	require.NoError(t, v.Preload(t.Context()))
	require.NoError(t, v.Ready())
	_, err = v.Verify(t.Context(), idp.Issue("default", issuertest.Claims{}))
	require.NoError(t, err)
}
