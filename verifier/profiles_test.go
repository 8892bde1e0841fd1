package verifier_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// A policy that demands the profile of RFC 9068: section 4 says what a resource server rejects.
func TestTheProfileOfRFC9068(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	v := newVerifier(t, w, func(p *verifier.Policy, _ *parts) {
		p.Types, p.RequiredClaims = []string{"at+jwt"}, []string{"sub", "client_id", "iat", "jti"}
	})
	for name, c := range map[string]struct {
		typ  any
		set  map[string]any
		want string
	}{
		"as it should be":     {"at+jwt", nil, ""},
		"a media type":        {"application/at+jwt", nil, ""},
		"in another case":     {"AT+JWT", nil, ""},
		"JWT":                 {"JWT", nil, "typ_not_allowed"},
		"no typ":              {nil, nil, "typ_not_allowed"},
		"a grant":             {"oauth-id-jag+jwt", nil, "typ_not_allowed"},
		"a logout token":      {"logout+jwt", nil, "typ_not_allowed"},
		"without iss":         {"at+jwt", map[string]any{"iss": nil}, "malformed"},
		"without exp":         {"at+jwt", map[string]any{"exp": nil}, "malformed"},
		"without aud":         {"at+jwt", map[string]any{"aud": nil}, "bad_audience"},
		"for another":         {"at+jwt", map[string]any{"aud": "other"}, "bad_audience"},
		"for several":         {"at+jwt", map[string]any{"aud": []string{"other", fakeissuer.Audience}}, ""},
		"without sub":         {"at+jwt", map[string]any{"sub": nil}, "missing_claim"},
		"without client_id":   {"at+jwt", map[string]any{"client_id": nil}, "missing_claim"},
		"without iat":         {"at+jwt", map[string]any{"iat": nil}, "missing_claim"},
		"without jti":         {"at+jwt", map[string]any{"jti": nil}, "missing_claim"},
		"expired":             {"at+jwt", map[string]any{"exp": 1}, "expired"},
		"an ID token's claim": {"at+jwt", map[string]any{"at_hash": "x"}, "bad_audience"},
	} {
		_, err := v.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{Header: map[string]any{"typ": c.typ}, Set: c.set}))
		require.Equal(t, c.want, reasonOf(t, err), name)
	}
	_, err := v.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{
		IDToken: true, Audience: []string{fakeissuer.Audience}, Header: map[string]any{"typ": "JWT"},
	}))
	require.Equal(t, "typ_not_allowed", reasonOf(t, err))
}

// FAPI 2.0: sections 5.4 (algorithms) and 5.3.2.1 no. 13 (clocks), with the default leeway.
func TestFAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for alg, want := range map[string]string{"PS256": "", "ES256": "", "EdDSA": "", "RS256": "alg_not_allowed", "ES384": "alg_not_allowed"} {
			w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: alg})
			v := newVerifier(t, w, func(p *verifier.Policy, _ *parts) { p.Algorithms = []string{"PS256", "ES256", "EdDSA"} })
			_, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{}))
			require.Equal(t, want, reasonOf(t, err), alg)
		}
		w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
		v := newVerifier(t, w, nil)
		for _, claim := range []string{"iat", "nbf"} {
			for ahead, want := range map[time.Duration]string{0: "", 10 * time.Second: "", 61 * time.Second: "not_yet_valid"} {
				_, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{Set: map[string]any{claim: time.Now().Add(ahead).Unix()}}))
				require.Equal(t, want, reasonOf(t, err), "%s %v", claim, ahead)
			}
		}
	})
}
