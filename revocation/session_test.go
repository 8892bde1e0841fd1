package revocation_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/revocation"
)

// A rule for a session or an actor matches whichever token names it: an actor anywhere in the chain, at any issuer of the token's
// provider unless the rule names an issuer.
func TestRulesForSessionsAndActors(t *testing.T) {
	t.Parallel()
	type set = map[string]any
	p := newIDP(t, nil)
	for name, c := range map[string]struct {
		rule   revocation.Rule
		claims set
		match  bool
	}{
		"session":               {revocation.Rule{SessionID: "s1"}, set{"sid": "s1"}, true},
		"another session":       {revocation.Rule{SessionID: "s1"}, set{"sid": "S1"}, false},
		"no session":            {revocation.Rule{SessionID: "s1"}, set{}, false},
		"session of a user":     {revocation.Rule{SessionID: "s1", Subject: "alice"}, set{"sid": "s1"}, true},
		"session of another":    {revocation.Rule{SessionID: "s1", Subject: "bob"}, set{"sid": "s1"}, false},
		"actor":                 {revocation.Rule{Actor: "bot"}, set{"act": set{"sub": "bot"}}, true},
		"another actor":         {revocation.Rule{Actor: "bot"}, set{"act": set{"sub": "app"}}, false},
		"no actor":              {revocation.Rule{Actor: "alice"}, set{}, false},
		"an actor before":       {revocation.Rule{Actor: "bot"}, set{"act": set{"sub": "app", "act": set{"sub": "bot"}}}, true},
		"beside a number":       {revocation.Rule{Actor: "bot"}, set{"act": set{"sub": "bot", "n": json.RawMessage("1e400")}}, true},
		"before a number":       {revocation.Rule{Actor: "bot"}, set{"act": set{"sub": "app", "n": json.RawMessage("1e400"), "act": set{"sub": "bot"}}}, true},
		"issuer of the token":   {revocation.Rule{Actor: "bot", ActorIssuer: "ISS"}, set{"act": set{"sub": "bot"}}, true},
		"another region":        {revocation.Rule{Actor: "bot"}, set{"act": set{"sub": "bot", "iss": p.Provider().Regions[1].Issuers[0]}}, true},
		"another issuer":        {revocation.Rule{Actor: "bot"}, set{"act": set{"sub": "bot", "iss": "https://other.example"}}, false},
		"another issuer, named": {revocation.Rule{Actor: "bot", ActorIssuer: "https://other.example"}, set{"act": set{"sub": "bot", "iss": "https://other.example"}}, true},
		"its issuer, not named": {revocation.Rule{Actor: "bot", ActorIssuer: "https://other.example"}, set{"act": set{"sub": "bot"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tok := p.verified(east, fakeissuer.Claims{Subject: "alice", Set: c.claims})
			if c.rule.ActorIssuer == "ISS" {
				c.rule.ActorIssuer = tok.Issuer()
			}
			list, err := revocation.New(revocation.Config{})
			require.NoError(t, err)
			for _, provider := range []string{"*", tok.Provider()} {
				c.rule.Provider = provider
				id, err := list.Add(t.Context(), c.rule)
				require.NoError(t, err)
				found, err := list.Revoked(tok)
				require.NoError(t, err)
				require.Equal(t, c.match, found == id)
				require.Equal(t, c.match, found != "")
				require.NoError(t, list.Remove(t.Context(), id))
			}
		})
	}
}

// One more rule beside 10,000 costs little, apart from encoding, signing and the store.
func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{0, 100, 9_900} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			filled := func() *revocation.List {
				list, err := revocation.New(revocation.Config{})
				require.NoError(b, err)
				for i := range n {
					_, err := list.Add(b.Context(), revocation.Rule{Provider: "p", Subject: fmt.Sprint(i)})
					require.NoError(b, err)
				}
				return list
			}
			list := filled()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i > 0 && i%1000 == 0 { // there is no room for all that renewals replace
					b.StopTimer()
					list = filled()
					b.StartTimer()
				}
				r := revocation.Rule{Provider: "p", Subject: fmt.Sprint("new", i%90)}
				if _, err := list.Add(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
