package speed_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every adapter accepts what is measured, and makes the checks that it is said to make.
func TestAdapters(t *testing.T) {
	t.Parallel()
	other := newSigner(t, "ES256")
	for _, l := range libraries() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
				if l.noEdDSA && alg == "EdDSA" {
					continue
				}
				s := theSite(t, alg)
				v := l.open(t, s)
				for _, k := range []kind{user, machine, groups} {
					require.NoError(t, v(t.Context(), issue(t, s, claims(s, k), l.changes())), "%s %s", alg, k)
				}
			}
			s := theSite(t, "RS256")
			v := l.open(t, s)
			good := claims(s, user)
			maps.Copy(good, l.changes())
			require.NoError(t, v(t.Context(), issue(t, s, good, nil)))
			for name, bad := range map[string]map[string]any{
				"expired":   {"exp": time.Now().Add(-time.Hour).Unix()},
				"no exp":    {"exp": nil},
				"issuer":    {"iss": s.iss + "x"},
				"client":    {"client_id": "another"},
				"token_use": {"token_use": "id"},
			} {
				require.Error(t, v(t.Context(), issue(t, s, good, bad)), name)
			}
			require.Error(t, v(t.Context(), tamper(t, issue(t, s, good, nil))), "signature")
			header := map[string]any{"alg": "ES256", "kid": s.keys[0].kid}
			require.Error(t, v(t.Context(), other.sign(t, header, marshal(t, good))), "algorithm")
			require.Error(t, v(t.Context(), withKid(t, s, randomText(8))), "kid")
			require.Error(t, v(t.Context(), randomText(768)), "garbage")
		})
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := theSite(t, "RS256")
	for k, want := range map[kind][2]int{user: {1000, 1300}, machine: {700, 1000}, groups: {3500, 4500}} {
		n := len(issue(t, s, claims(s, k), nil))
		require.Greater(t, n, want[0], k)
		require.Less(t, n, want[1], k)
	}
}
