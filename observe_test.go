package regionjwt_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// An Observer receives what every part does, until it is stopped. The hooks of Config receive what is theirs.
func TestObserversReceiveWhatEveryPartDoes(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		seen[what]++
	}
	config := regionjwt.Config{Revocation: &revocation.Config{}, Failover: map[string]failover.Config{}}
	for _, id := range []string{"a", "b"} {
		p := issuer.Provider{ID: id}
		for _, region := range []string{"east", "west"} {
			u := "https://" + id + "." + region + ".example"
			p.Regions = append(p.Regions, issuer.Region{Name: region, Issuers: []string{u}, JWKSURLs: []string{u + "/keys"}})
		}
		config.Policies = append(config.Policies, verifier.Policy{Provider: p, Audience: verifier.InsecureAnyAudience()})
		config.Failover[id] = failover.Config{OnChange: func(_, now failover.Status) { note(id + " got " + now.Provider) }}
	}
	v, err := regionjwt.New(config)
	require.NoError(t, err)
	stop := v.Observe(regionjwt.Observer{
		Decision:   func(context.Context, verifier.Decision) { note("decision") },
		Revocation: func(_, _ revocation.Status) { note("revocation") },
		Failover:   func(_, now failover.Status) { note("observer got " + now.Provider) },
	})
	v.Observe(regionjwt.Observer{Decision: func(context.Context, verifier.Decision) { panic("s3cret") }})
	act := func(region, subject string) {
		_, err = v.Verify(t.Context(), "x")
		require.ErrorIs(t, err, verifier.ErrInvalid)
		_, err := v.Revocation().Add(t.Context(), revocation.Rule{Provider: "*", Subject: subject})
		require.NoError(t, err)
		for _, id := range []string{"a", "b"} {
			require.NoError(t, v.Failover(id).Pin(t.Context(), region, "", 0))
		}
	}
	act("west", "mallory")
	want := map[string]int{
		"decision": 1, "revocation": 1, "observer got a": 1, "observer got b": 1, "a got a": 1, "b got b": 1,
	}
	require.Equal(t, want, seen)
	stop()
	stop()
	act("east", "eve")
	want["a got a"], want["b got b"] = 2, 2
	require.Equal(t, want, seen)
}
