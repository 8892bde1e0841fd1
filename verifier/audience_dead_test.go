package verifier_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// everyToken calls f with the claims of every token that pairs of the leaves of TestNewRejectsPairsThatNoTokenMeets may look at.
// ID tokens of Cognito have one aud.
func everyToken(f func(c set)) {
	for _, use := range []string{"", "access", "id"} {
		for _, client := range []any{nil, "a", "b"} {
			for _, azp := range []any{nil, "a", "b"} {
				for _, aud := range [][]string{nil, {"a"}, {"b"}, {"a", "b"}} {
					if use == "id" && len(aud) != 1 {
						continue
					}
					c := set{"sub": "alice", "iat": 1}
					if use != "" {
						c["token_use"] = use
					}
					if client != nil {
						c["client_id"] = client
					}
					if azp != nil {
						c["azp"] = azp
					}
					if aud != nil {
						c["aud"] = aud
					}
					f(c)
				}
			}
		}
	}
}

// New rejects AllOf of two policies exactly if no token can meet both.
func TestNewRejectsPairsThatNoTokenMeets(t *testing.T) {
	t.Parallel()
	keys, err := jwks.NewStatic(map[string][]byte{sceneIssuer: newScene(t, 1).keySet()})
	require.NoError(t, err)
	leaves := []tree{{kind: "anybody"}}
	for _, ids := range [][]string{{"a"}, {"b"}, {"a", "b"}, {"*"}} {
		for _, kind := range []string{"access", "cid"} {
			leaves = append(leaves, tree{kind: kind, ids: ids})
		}
		leaves = append(leaves, tree{kind: "derived", aud: "a", ids: ids}, tree{kind: "derived", aud: "b", ids: ids})
		if ids[0] != "*" {
			leaves = append(leaves, tree{kind: "api", ids: ids}, tree{kind: "oidc", ids: ids})
		}
	}
	dead := 0
	for i, one := range leaves {
		for _, other := range leaves[i:] {
			for _, n := range []tree{
				{kind: "all", parts: []tree{one, other}},
				{kind: "any", parts: []tree{{kind: "all", parts: []tree{{kind: "all", parts: []tree{one}}, {kind: "anybody"}, other}}}},
			} {
				met := false
				everyToken(func(c set) { met = met || n.accepts(set{"typ": "JWT"}, c) })
				_, err := verifier.New([]verifier.Policy{{Provider: issuer.OIDC(sceneIssuer), Audience: n.policy()}}, keys, verifier.Config{})
				require.Equal(t, met, err == nil, "%+v: %v", n, err)
				if !met {
					dead++
					require.ErrorContains(t, err, "AllOf demands")
				}
			}
		}
	}
	require.Greater(t, dead, 50)
}

// dead reports whether a part that is an AllOf accepts none of the tokens.
func (n tree) dead(tokens []set) bool {
	met := slices.ContainsFunc(tokens, func(c set) bool { return n.accepts(set{"typ": "JWT"}, c) })
	return n.kind == "all" && !met || slices.ContainsFunc(n.parts, func(p tree) bool { return p.dead(tokens) })
}
