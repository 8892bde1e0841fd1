package regionjwt_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// manyTrusts is a configuration of n authorities.
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
	for range 3 { // what a cleanup lets go of is collected by the next cycle
		runtime.GC()
		runtime.Gosched()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A process that updates its trust all day keeps nothing of what it was.
func TestUpdatesDoNotGrowTheHeap(t *testing.T) { //nolint:paralleltest // it measures the heap of the process
	list, err := revocation.New(revocation.Config{})
	require.NoError(t, err)
	for name, revoked := range map[string]verifier.Revocation{"without revocation": nil, "with revocation": list} {
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

// Whatever is updated, by whichever of the two methods and in whichever order, the rules and the hooks stay.
func TestNoUpdateDropsRules(t *testing.T) {
	t.Parallel()
	world := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	trust := []verifier.Policy{{Provider: world.Provider(), Audience: verifier.Audience(issuertest.Audience)}}
	list, err := revocation.New(revocation.Config{})
	require.NoError(t, err)
	seen := 0
	v, err := regionjwt.New(regionjwt.Config{
		Keys: jwks.Config{HTTPClient: world.Client()}, Policies: trust, Revocation: list,
		Hooks: verifier.Hooks{Verified: func(context.Context, verifier.Verified) { seen++ }},
	})
	require.NoError(t, err)
	token := world.Token("us-east-1", issuertest.Claims{Subject: "mallory"})
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err)
	_, err = list.Add(t.Context(), revocation.Rule{AllProviders: true, Subject: "mallory"})
	require.NoError(t, err)
	updates := []func([]verifier.Policy) error{v.Update, v.Verifier().Update}
	for i := range 16 {
		for bit := range 4 {
			_ = updates[i>>bit&1]([]verifier.Policy{{}}) // a wrong one changes nothing
			require.NoError(t, updates[i>>bit&1](trust))
			before := seen
			_, err = v.Verify(t.Context(), token)
			var refused *verifier.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, verifier.ReasonRevoked, refused.Reason)
			require.Equal(t, before+1, seen, "the hook is called")
		}
	}
}
