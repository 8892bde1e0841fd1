package regionjwt_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// Parts that would replace each other's documents are rejected: a store can be shared, a name in it cannot.
func TestPartsDoNotShareADocument(t *testing.T) {
	t.Parallel()
	one, two := issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), issuer.Cognito("us-east-1_AbCdEf124", "us-west-2")
	place := t.TempDir()
	shared, again, other := store.Dir(place), store.Dir(place), store.Dir(t.TempDir())
	in := func(s store.Trusted, name string) store.ReplicaConfig {
		return store.ReplicaConfig{Stores: []store.Trusted{s}, Name: name}
	}
	for name, c := range map[string]struct {
		rules, first, second store.ReplicaConfig
		signals              []revocation.Signals
		want                 []string
	}{
		"nothing shared":  {},
		"default names":   {rules: in(shared, ""), first: in(shared, ""), second: in(shared, "")},
		"names of each":   {rules: in(shared, "a"), first: in(shared, "b"), second: in(again, "c")},
		"separate places": {rules: in(shared, "a"), first: in(other, "a")},
		"rules and pins": {
			rules: in(shared, "a"), first: in(again, "a"),
			want: []string{`Failover["us-east-1_AbCdEf123"].Replica.Name is "a", as that of Revocation in the same store`},
		},
		"all of them": {
			rules: in(shared, "a"), first: in(shared, "a"), second: in(shared, "a"),
			want: []string{`Failover["us-east-1_AbCdEf123"].Replica.Name`, `Failover["us-east-1_AbCdEf124"].Replica.Name`},
		},
		"pins of two":   {first: in(shared, "a"), second: in(shared, "a"), want: []string{`as that of Failover["us-east-1_AbCdEf123"]`}},
		"a default":     {rules: in(shared, ""), first: in(shared, "regionjwt/revocation"), want: []string{"as that of Revocation"}},
		"local copies":  {rules: store.ReplicaConfig{LocalCopy: shared, Name: "a"}, first: store.ReplicaConfig{LocalCopy: again, Name: "a"}, want: []string{"as that of Revocation"}},
		"pins, signals": {signals: []revocation.Signals{{Replica: in(shared, "a"), Providers: []string{one.ID}}}, first: in(shared, "a"), want: []string{"as that of Revocation.Signals[0]"}},
	} {
		v, err := regionjwt.New(regionjwt.Config{
			Policies: []verifier.Policy{
				{Provider: one, Audience: verifier.CognitoAccess("x")}, {Provider: two, Audience: verifier.CognitoAccess("x")},
			},
			Revocation: &revocation.Config{Replica: c.rules, Signals: c.signals},
			Failover:   map[string]failover.Config{one.ID: {Replica: c.first}, two.ID: {Replica: c.second}},
		})
		if len(c.want) == 0 {
			require.NoError(t, err, name)
			continue
		}
		require.Nil(t, v, name)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
			require.ErrorContains(t, err, "leave Name empty", name)
		}
	}
}
