package verifier_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// watched is a verifier whose hooks are recorded.
type watched struct {
	*issuertest.World
	*verifier.Verifier
	cache   *jwks.Cache
	config  verifier.Config
	judged  []verifier.Verified
	drifted []verifier.Drift
}

func newWatched(t *testing.T, change func(*verifier.Policy)) *watched {
	t.Helper()
	w := &watched{World: issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})}
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	require.NoError(t, cache.Preload(t.Context()))
	trust := verifier.Policy{Provider: w.Provider(), Audience: verifier.InsecureAnyAudience()}
	if change != nil {
		change(&trust)
	}
	w.cache = cache
	w.config = verifier.Config{Keys: cache, Policies: []verifier.Policy{trust}, Hooks: verifier.Hooks{
		Verified: func(_ context.Context, v verifier.Verified) { w.judged = append(w.judged, v) },
		Drifted:  func(_ context.Context, d verifier.Drift) { w.drifted = append(w.drifted, d) },
	}}
	w.renew(t)
	return w
}

// renew makes the verifier anew of its configuration.
func (w *watched) renew(t *testing.T) {
	t.Helper()
	v, err := verifier.New(w.config)
	require.NoError(t, err)
	w.Verifier = v
}

func TestHookOfDecisions(t *testing.T) {
	t.Parallel()
	w := newWatched(t, nil)
	raw := w.Token(w.Provider().Regions[0].Name, issuertest.Claims{})
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
		require.Positive(t, w.judged[i].Took)
		require.WithinDuration(t, time.Now(), w.judged[i].Began, time.Hour)
	}
	require.Same(t, first, w.judged[1].Token)
	require.Nil(t, w.judged[1].Err)
	require.Nil(t, w.judged[2].Token)
	require.Same(t, err, w.judged[2].Err)
}

// A region whose trigger is missing is named and counted; the counts outlive an Update.
func TestMissingClaimsAreCountedByRegion(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(t *verifier.Policy) { t.RequiredClaims = []string{"tenant"} })
	east, west := w.Provider().Regions[0].Name, w.Provider().Regions[1].Name
	_, err := w.Verify(t.Context(), w.Token(east, issuertest.Claims{Set: map[string]any{"tenant": "a"}}))
	require.NoError(t, err)
	require.Empty(t, w.Verifier.Status())
	for range 3 {
		_, err = w.Verify(t.Context(), w.Token(west, issuertest.Claims{Subject: "secret-subject"}))
		var e *verifier.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, verifier.ReasonMissingClaim, e.Reason)
		require.Equal(t, west, e.Region)
	}
	require.NoError(t, w.Update(w.config.Policies))
	status := w.Verifier.Status()
	require.Len(t, status, 1)
	require.WithinDuration(t, time.Now(), status[0].Last, time.Hour)
	status[0].Last = time.Time{}
	require.Equal(t, verifier.RegionStatus{
		Provider: w.Provider().ID, Region: west, MissingClaims: 3, LastMissing: "tenant",
	}, status[0])
	require.Equal(t, verifier.Drift{
		Kind: verifier.DriftMissingClaim, Provider: w.Provider().ID, Region: west, Claim: "tenant",
	}, w.drifted[2])
}

// A process whose authorities come and go keeps no counts of those that are gone.
func TestCountsEndWithTheirAuthority(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(t *verifier.Policy) { t.RequiredClaims = []string{"tenant"} })
	raw := w.Token(w.Provider().Regions[0].Name, issuertest.Claims{})
	for i := range 5 {
		trust := slices.Clone(w.config.Policies)
		trust[0].Provider.ID = fmt.Sprint("tenant-", i)
		require.NoError(t, w.Update(trust))
		_, err := w.Verify(t.Context(), raw)
		require.Error(t, err)
		status := w.Verifier.Status()
		require.Len(t, status, 1)
		require.Equal(t, trust[0].Provider.ID, status[0].Provider)
	}
}

// A token that one region signs in the name of another is refused, and the region named; one that nobody of the authority has
// signed is not counted, and no fetch is made to find out.
func TestAWrongIssuerIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWatched(t, nil)
	east, west := w.Provider().Regions[0], w.Provider().Regions[1]
	raw := w.Token(west.Name, issuertest.Claims{Issuer: east.Issuers[0]})
	_, err := w.Verify(t.Context(), raw)
	require.Equal(t, "unknown_key", reasonOf(t, err))
	require.Equal(t, []verifier.Drift{
		{Kind: verifier.DriftWrongIssuer, Provider: w.Provider().ID, Region: west.Name},
	}, w.drifted)
	fetches := w.Fetches(west.Name)
	forged := raw[:len(raw)-8] + "AAAAAAAA"
	_, err = w.Verify(t.Context(), forged)
	require.Error(t, err)
	require.Len(t, w.drifted, 1)
	require.Equal(t, fetches, w.Fetches(west.Name))
	require.Equal(t, uint64(1), w.Verifier.Status()[0].WrongIssuers)
}
