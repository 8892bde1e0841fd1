package verifier_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// watched is a verifier whose hooks are recorded.
type watched struct {
	*fakeissuer.Server
	*verifier.Verifier
	cache  *jwks.Cache
	config parts
	judged []verifier.Decision
}

func newWatched(t *testing.T, change func(*verifier.Policy)) *watched {
	t.Helper()
	w := &watched{Server: fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})}
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	require.NoError(t, cache.Preload(t.Context()))
	trust := verifier.Policy{Provider: w.Provider(), Audience: verifier.InsecureAnyAudience()}
	if change != nil {
		change(&trust)
	}
	w.cache = cache
	w.config = parts{Keys: cache, Policies: []verifier.Policy{trust}}
	w.config.OnDecision = func(_ context.Context, d verifier.Decision) { w.judged = append(w.judged, d) }
	w.renew(t)
	return w
}

// renew makes the verifier again of its configuration.
func (w *watched) renew(t *testing.T) {
	t.Helper()
	v, err := w.config.New()
	require.NoError(t, err)
	w.Verifier = v
}

func TestHookOfDecisions(t *testing.T) {
	t.Parallel()
	w := newWatched(t, nil)
	raw := w.Issue(w.Provider().Regions[0].Name, fakeissuer.Claims{})
	first, err := w.Verify(t.Context(), raw)
	require.NoError(t, err)
	_, err = w.Verify(t.Context(), raw)
	require.NoError(t, err)
	got, err := w.Verify(t.Context(), "x")
	require.Nil(t, got)
	require.Equal(t, "malformed", reasonOf(t, err))
	require.Len(t, w.judged, 3)
	for i, remembered := range []bool{false, true, false} {
		require.Equal(t, remembered, w.judged[i].Cached)
		require.Positive(t, w.judged[i].Duration)
	}
	require.Same(t, first, w.judged[1].Token)
	require.Nil(t, w.judged[1].Err)
	require.Nil(t, w.judged[2].Token)
	require.Same(t, err, w.judged[2].Err)
}

// The error for a token without a required claim names the claim, and the region that issued it: a trigger is missing there.
func TestAMissingClaimNamesTheRegion(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(t *verifier.Policy) { t.RequiredClaims = []string{"tenant"} })
	west := w.Provider().Regions[1].Name
	_, err := w.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{Subject: "secret-subject"}))
	require.Equal(t, &verifier.Error{
		Reason: verifier.ReasonMissingClaim, Provider: w.Provider().ID, Region: west, Detail: "tenant",
	}, err)
}

// If regions share an iss, the error names the region whose key it is, or none if they share the keys as well.
func TestAMissingClaimNamesTheRegionOfTheKey(t *testing.T) {
	t.Parallel()
	for layout, want := range map[fakeissuer.Layout]string{fakeissuer.OneIssuer: west, fakeissuer.OneIssuerSharedKeys: ""} {
		synctest.Test(t, func(t *testing.T) {
			w := fakeissuer.New(t, fast(layout))
			v := newVerifier(t, w, func(p *verifier.Policy, _ *parts) { p.RequiredClaims = []string{"tenant"} })
			for _, region := range []string{east, west} { // both regions have answered from here on
				_, err := v.Verify(t.Context(), w.Issue(region, fakeissuer.Claims{}))
				require.Equal(t, "missing_claim", reasonOf(t, err))
			}
			_, err := v.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{}))
			require.Equal(t, &verifier.Error{
				Reason: verifier.ReasonMissingClaim, Provider: w.Provider().ID, Region: want, Detail: "tenant",
			}, err)
		})
	}
}

// A token that one region signs with the iss of another is rejected.
func TestAWrongIssuerIsRejected(t *testing.T) {
	t.Parallel()
	w := newWatched(t, nil)
	east, west := w.Provider().Regions[0], w.Provider().Regions[1]
	_, err := w.Verify(t.Context(), w.Issue(west.Name, fakeissuer.Claims{Issuer: east.Issuers[0]}))
	require.Equal(t, "unknown_key", reasonOf(t, err))
}
