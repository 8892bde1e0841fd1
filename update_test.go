package regionjwt_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// manyTrusts is a configuration of n providers.
func manyTrusts(n int) []verifier.Policy {
	trust := make([]verifier.Policy, n)
	for i := range trust {
		trust[i] = verifier.Policy{Audience: verifier.Audience("api"), Provider: issuer.Provider{
			ID: fmt.Sprint("tenant-", i), Regions: []issuer.Region{{
				Name: "eu", Issuers: []string{fmt.Sprintf("https://idp.example.com/%d", i)},
				JWKSURLs: []string{fmt.Sprintf("https://idp.example.com/%d/keys", i)},
			}},
		}}
	}
	return trust
}

// heap is the size of what is reachable.
func heap() int64 {
	var m runtime.MemStats
	for range 3 { // what a cleanup releases is collected by the next cycle
		runtime.GC()
		runtime.Gosched()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A process that updates its policies all day keeps nothing of the old ones.
func TestUpdatesDoNotGrowTheHeap(t *testing.T) { //nolint:paralleltest // it measures the heap of the process
	for name, revoked := range map[string]*revocation.Config{"without revocation": nil, "with revocation": {}} {
		trust := manyTrusts(50)
		v, err := regionjwt.New(regionjwt.Config{Policies: trust, Revocation: revoked})
		require.NoError(t, err)
		for range 10 {
			require.NoError(t, v.Update(trust))
		}
		before := heap()
		for i := range 1000 {
			require.NoError(t, v.Update(trust[:40+i%10]))
		}
		require.NoError(t, v.Update(trust))
		require.Less(t, heap()-before, int64(2<<20), name)
		runtime.KeepAlive(v)
	}
}

// However often the policies are updated, the rules and the hooks stay.
func TestNoUpdateDropsRules(t *testing.T) {
	t.Parallel()
	fake := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	trust := []verifier.Policy{{Provider: fake.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}}
	seen := 0
	v, err := regionjwt.New(regionjwt.Config{
		Keys: jwks.Config{HTTPClient: fake.Client()}, Policies: trust, Revocation: &revocation.Config{},
		Tokens: verifier.Config{OnDecision: func(context.Context, verifier.Decision) { seen++ }},
	})
	require.NoError(t, err)
	token := fake.Issue("us-east-1", fakeissuer.Claims{Subject: "mallory"})
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err)
	_, err = v.Revocation().Add(t.Context(), revocation.Rule{Provider: "*", Subject: "mallory"})
	require.NoError(t, err)
	for range 4 {
		_ = v.Update([]verifier.Policy{{}}) // a wrong one changes nothing
		require.NoError(t, v.Update(trust))
		before := seen
		_, err = v.Verify(t.Context(), token)
		var rejected *verifier.Error
		require.ErrorAs(t, err, &rejected)
		require.Equal(t, verifier.ReasonRevoked, rejected.Reason)
		require.Equal(t, before+1, seen, "the hook is called")
	}
}
