package audit_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/pseudonym"
	"github.com/regionjwt/regionjwt/observe/audit"
)

// A record says that somebody acted for the user, whatever names are written, and names the current actor as configured.
func TestARecordNamesTheCurrentActor(t *testing.T) {
	t.Parallel()
	hidden := pseudonym.Of(pseudonymKey, "actor", providerID, "agent")
	earlier := map[string]any{"sub": "earlier", "iss": "https://earlier.example"}
	for name, c := range map[string]struct {
		config audit.Config
		act    map[string]any
		want   [3]any // delegated, actor, actor_issuer
	}{
		"nobody":               {audit.Config{Plain: allPlain}, nil, [3]any{}},
		"by default":           {audit.Config{}, map[string]any{"sub": "agent", "iss": "https://x.example"}, [3]any{true}},
		"other names in clear": {audit.Config{Plain: allPlain[:3]}, map[string]any{"sub": "agent", "iss": "https://x.example"}, [3]any{true}},
		"in clear":             {audit.Config{Plain: allPlain}, map[string]any{"sub": "agent"}, [3]any{true, "agent", nil}},
		"of the same issuer":   {audit.Config{Plain: allPlain}, map[string]any{"sub": "agent", "iss": issuerName}, [3]any{true, "agent", nil}},
		"of another issuer": {
			audit.Config{Plain: allPlain},
			map[string]any{"sub": "agent", "iss": "https://x.example"},
			[3]any{true, "agent", "https://x.example"},
		},
		"a pseudonym": {
			audit.Config{PseudonymKey: pseudonymKey},
			map[string]any{"sub": "agent", "iss": "https://x.example"},
			[3]any{true, hidden, pseudonym.Of(pseudonymKey, "actor", providerID, "https://x.example")},
		},
		"not the earlier one": {
			audit.Config{Plain: allPlain}, map[string]any{"sub": "agent", "act": earlier}, [3]any{true, "agent", nil},
		},
	} {
		a := newAudited(t, c.config)
		changes := map[string]any{}
		if c.act != nil {
			changes["act"] = c.act
		}
		a.present(a.token(t, changes), 2)
		lines := a.out.lines(t)
		require.Len(t, lines, 2, name)
		for _, l := range lines {
			require.Equal(t, c.want, [3]any{l["delegated"], l["actor"], l["actor_issuer"]}, name)
		}
	}
}
