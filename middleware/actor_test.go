package middleware_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/verifier"
)

// Only the current actor decides, at any issuer of the token's provider: RFC 8693 section 4.1.
func TestTheCurrentActorDecides(t *testing.T) {
	t.Parallel()
	issue := tokens(t)
	own := issue(fakeissuer.Claims{}).Issuer()
	other := strings.Replace(own, "us-east-1", "us-west-2", 1) // of the same provider
	require.NotEqual(t, own, other)
	for act, c := range map[string]struct{ nobody, agent, either bool }{
		"":                                      {true, false, false},
		`{"sub":"agent"}`:                       {false, true, true},
		`{"sub":"agent","iss":"` + own + `"}`:   {false, true, true},
		`{"sub":"agent","iss":"` + other + `"}`: {false, true, true},
		`{"sub":"other"}`:                       {false, false, true},
		`{"sub":"Agent"}`:                       {false, false, false},
		`{"sub":"agent "}`:                      {false, false, false},
		`{"sub":"agent","iss":"https://x.example"}`:                                     {false, false, false},
		`{"sub":"agent","iss":"` + own + `/"}`:                                          {false, false, false},
		`{"sub":"x","act":{"sub":"agent"}}`:                                             {false, false, false},
		`{"sub":"agent","act":{"sub":"x"}}`:                                             {false, true, true},
		`{"sub":"x","act":{"sub":"y","act":{"sub":"agent"}},"may_act":{"sub":"agent"}}`: {false, false, false},
		`{"sub":"agent","act":{"sub":"agent","iss":"https://x.example"}}`:               {false, true, true},
	} {
		set := map[string]any{"may_act": map[string]any{"sub": "agent"}}
		if act != "" {
			set["act"] = json.RawMessage(act)
		}
		tok := issue(fakeissuer.Claims{Set: set})
		for _, r := range []struct {
			requirement middleware.Requirement
			met         bool
		}{
			{middleware.NoActor(), c.nobody},
			{middleware.Actors("agent"), c.agent},
			{middleware.Actors("other", "agent"), c.either},
		} {
			err := middleware.Check(tok, r.requirement)
			require.Equal(t, r.met, err == nil, act)
			if err != nil {
				require.ErrorIs(t, err, verifier.ErrForbidden)
				require.Equal(t, verifier.ReasonInsufficientScope, reason(err))
				require.NotContains(t, err.Error(), "agent", "nothing of a token is in an error")
			}
		}
	}
	subjects := []string{"agent"}
	r := middleware.Actors(subjects...)
	subjects[0] = "other"
	tok := issue(fakeissuer.Claims{Set: map[string]any{"act": map[string]any{"sub": "agent"}}})
	require.NoError(t, middleware.Check(tok, r), "the arguments are copied")
	require.Equal(t, verifier.ReasonTokenMissing, reason(middleware.Check(nil, middleware.NoActor())), "no token is not nobody")
}
