package code_test

import (
	"context"
	"expvar"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// docs/operating.md shows this test.
func TestRegionLost(t *testing.T) {
	world := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion})
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: world.Client()}, Policies: []verifier.Policy{
		{Provider: world.Provider(), Audience: verifier.Audience(issuertest.Audience)},
	}})
	require.NoError(t, err)
	require.NoError(t, v.Keys().Preload(t.Context()))

	world.Hang("us-east-1")
	for _, region := range []string{"us-east-1", "us-west-2"} {
		_, err := v.Verify(t.Context(), world.Token(region, issuertest.Claims{}))
		require.NoError(t, err)
	}
}

func TestTheGuideShowsTheTest(t *testing.T) {
	t.Parallel()
	ours, err := os.ReadFile("stories_test.go")
	require.NoError(t, err)
	guide, err := os.ReadFile("../operating.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(ours), "\nfunc TestRegionLost")
	require.True(t, ok)
	text, _, ok := strings.Cut(after, "\n}\n")
	require.True(t, ok)
	require.Contains(t, string(guide), "```go\nfunc TestRegionLost"+text+"\n}\n```")
}

// What docs/migrating-issuers.md says of its steps: both issuers are accepted and counted, for as long as the pool is in the old
// mode, too; then the old one is refused, in a running process, without another fetch.
func TestMigration(t *testing.T) {
	t.Parallel()
	const (
		east, west = "us-east-1", "us-west-2"
		pool       = "us-east-1_AbCdEf123"
		original   = "https://cognito-idp.us-east-1.amazonaws.com/" + pool
		replicas   = "https://cognito-idp.us-west-2.amazonaws.com/" + pool
		updated    = "https://issuer-cognito-idp.us-east-1.amazonaws.com/" + pool
	)
	world := issuertest.New(t, issuertest.Config{ID: pool, Issuer: issuer.Original, Algorithm: "ES256"})
	authority := func(mode issuer.IssuerType) issuer.Provider {
		a, err := issuer.Cognito(issuer.UserPool{ID: pool, Replicas: []string{west}, Issuer: mode})
		require.NoError(t, err)
		return a
	}
	var accepted expvar.Map
	hooks := verifier.Hooks{Verified: func(_ context.Context, d verifier.Verified) {
		if d.Token != nil {
			accepted.Add(d.Token.Issuer(), 1)
		}
	}}
	trust := func(mode issuer.IssuerType) []verifier.Policy {
		return []verifier.Policy{{
			Provider: authority(mode), Audience: verifier.CognitoAccess(issuertest.ClientID), Algorithms: []string{"ES256"},
		}}
	}
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: world.Client()}, Policies: trust(issuer.AnyIssuer), Hooks: hooks})
	require.NoError(t, err)
	require.NoError(t, v.Keys().Preload(t.Context()))
	require.Equal(t, "not_enabled", v.Keys().Status()[0].State)
	verify := func(region, iss string) error {
		_, err := v.Verify(t.Context(), world.Token(region, issuertest.Claims{Issuer: iss}))
		return err
	}
	for _, iss := range []string{original, updated} {
		require.NoError(t, verify(east, iss))
		require.NoError(t, verify(west, iss))
		require.Equal(t, "2", accepted.Get(iss).String())
	}
	require.NoError(t, verify(west, replicas))
	require.Equal(t, "1", accepted.Get(replicas).String())

	fetches := world.Fetches(east) + world.Fetches(west)
	require.NoError(t, v.Update(trust(issuer.Updated)))
	require.NoError(t, verify(east, updated))
	require.NoError(t, verify(west, updated))
	for _, iss := range []string{original, replicas} {
		var refused *verifier.Error
		require.ErrorAs(t, verify(west, iss), &refused)
		require.Equal(t, verifier.ReasonUnknownIssuer, refused.Reason)
	}
	require.Equal(t, fetches, world.Fetches(east)+world.Fetches(west))
}
