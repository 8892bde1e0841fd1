package docs_test

import (
	"context"
	"expvar"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// docs/operating.md shows this test.
func TestRegionLost(t *testing.T) {
	idp := issuertest.New(t, issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"https://eu.idp.example/realms/shop"}},
		{Name: "us", Issuers: []string{"https://us.idp.example/realms/shop"}},
	}}, issuertest.Config{Audience: "orders"})
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{
		{Provider: idp.Provider(), Audience: verifier.Audience("orders")},
	}})
	require.NoError(t, err)
	require.NoError(t, v.Preload(t.Context()))

	idp.Hang("eu")
	for _, region := range []string{"eu", "us"} {
		_, err := v.Verify(t.Context(), idp.Issue(region, issuertest.Claims{}))
		require.NoError(t, err)
	}
}

func TestTheGuideShowsTheTest(t *testing.T) {
	t.Parallel()
	ours, err := os.ReadFile("stories_test.go")
	require.NoError(t, err)
	guide, err := os.ReadFile(root + "/docs/operating.md")
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
	fake := fakeissuer.New(t, fakeissuer.Config{ID: pool, Mode: issuer.CognitoOriginal, Algorithm: "ES256"})
	provider := func(mode issuer.CognitoMode) issuer.Provider {
		return issuer.UserPool{ID: pool, Replicas: []string{west}, Mode: mode}.Provider()
	}
	var accepted expvar.Map
	tokens := verifier.Config{OnDecision: func(_ context.Context, d verifier.Decision) {
		if d.Token != nil {
			accepted.Add(d.Token.Issuer(), 1)
		}
	}}
	trust := func(mode issuer.CognitoMode) []verifier.Policy {
		return []verifier.Policy{{
			Provider: provider(mode), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{"ES256"},
		}}
	}
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: fake.Client()}, Policies: trust(issuer.CognitoAny), Tokens: tokens})
	require.NoError(t, err)
	require.NoError(t, v.Preload(t.Context()))
	require.Equal(t, "not_enabled", v.Status().Keys[0].State)
	verify := func(region, iss string) error {
		_, err := v.Verify(t.Context(), fake.Issue(region, fakeissuer.Claims{Issuer: iss}))
		return err
	}
	for _, iss := range []string{original, updated} {
		require.NoError(t, verify(east, iss))
		require.NoError(t, verify(west, iss))
		require.Equal(t, "2", accepted.Get(iss).String())
	}
	require.NoError(t, verify(west, replicas))
	require.Equal(t, "1", accepted.Get(replicas).String())

	fetches := fake.Fetches(east) + fake.Fetches(west)
	require.NoError(t, v.Update(trust(issuer.CognitoUpdated)))
	require.NoError(t, verify(east, updated))
	require.NoError(t, verify(west, updated))
	for _, iss := range []string{original, replicas} {
		var refused *verifier.Error
		require.ErrorAs(t, verify(west, iss), &refused)
		require.Equal(t, verifier.ReasonUnknownIssuer, refused.Reason)
	}
	require.Equal(t, fetches, fake.Fetches(east)+fake.Fetches(west))
}
