package verifier_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// withAudience accepts tokens of the client without an aud, and those for one of the values.
func withAudience(aud ...string) verifier.AudiencePolicy {
	client := verifier.CognitoAccess(fakeissuer.ClientID)
	return verifier.AnyOf(client, verifier.AllOf(client, verifier.Audience(aud...)))
}

func TestBindings(t *testing.T) {
	t.Parallel()
	api := []string{fakeissuer.Audience}
	id := fakeissuer.Claims{IDToken: true}
	for name, c := range map[string]struct {
		layout  fakeissuer.Layout
		binding verifier.AudiencePolicy
		claims  fakeissuer.Claims
		want    string
	}{
		"access":                      {fakeissuer.Cognito, verifier.CognitoAccess("x", fakeissuer.ClientID), fakeissuer.Claims{}, ""},
		"machine":                     {fakeissuer.Cognito, verifier.CognitoAccess(fakeissuer.ClientID), fakeissuer.Claims{Machine: true}, ""},
		"other client":                {fakeissuer.Cognito, verifier.CognitoAccess("x"), fakeissuer.Claims{}, "bad_audience"},
		"any client":                  {fakeissuer.Cognito, verifier.CognitoAccess(verifier.AllowAnyClient), fakeissuer.Claims{}, ""},
		"any client, ID token":        {fakeissuer.Cognito, verifier.CognitoAccess(verifier.AllowAnyClient), id, "bad_audience"},
		"unexpected aud":              {fakeissuer.Cognito, verifier.CognitoAccess(fakeissuer.ClientID), fakeissuer.Claims{Audience: api}, "bad_audience"},
		"wanted aud":                  {fakeissuer.Cognito, withAudience(api...), fakeissuer.Claims{Audience: api}, ""},
		"other aud":                   {fakeissuer.Cognito, withAudience("x"), fakeissuer.Claims{Audience: api}, "bad_audience"},
		"aud wanted, absent":          {fakeissuer.Cognito, withAudience(api...), fakeissuer.Claims{Machine: true}, ""},
		"ID token":                    {fakeissuer.Cognito, verifier.CognitoID(fakeissuer.ClientID), id, ""},
		"ID token of another client":  {fakeissuer.Cognito, verifier.CognitoID("x"), id, "bad_audience"},
		"ID token of any client":      {fakeissuer.Cognito, verifier.CognitoID(verifier.AllowAnyClient), id, ""},
		"ID token of no client":       {fakeissuer.Cognito, verifier.CognitoID(verifier.AllowAnyClient), fakeissuer.Claims{IDToken: true, Set: map[string]any{"aud": []string{}}}, "bad_audience"},
		"ID token without aud":        {fakeissuer.Cognito, verifier.CognitoID(verifier.AllowAnyClient), fakeissuer.Claims{IDToken: true, Set: map[string]any{"aud": nil}}, "bad_audience"},
		"access for ID token":         {fakeissuer.Cognito, verifier.CognitoID(fakeissuer.ClientID), fakeissuer.Claims{Audience: []string{fakeissuer.ClientID}}, "bad_audience"},
		"OpenID":                      {fakeissuer.IssuerPerRegion, verifier.IDToken(fakeissuer.ClientID), id, ""},
		"OpenID, other aud":           {fakeissuer.IssuerPerRegion, verifier.IDToken("x"), id, "bad_audience"},
		"OpenID, two aud, no azp":     {fakeissuer.IssuerPerRegion, verifier.IDToken("a", "b"), fakeissuer.Claims{IDToken: true, Audience: []string{"a", "b"}}, "bad_audience"},
		"OpenID, two aud, azp":        {fakeissuer.IssuerPerRegion, verifier.IDToken("a", "b"), fakeissuer.Claims{IDToken: true, Audience: []string{"a", "b"}, Set: map[string]any{"azp": "a"}}, ""},
		"OpenID, aud of a foreign":    {fakeissuer.IssuerPerRegion, verifier.IDToken("a"), fakeissuer.Claims{IDToken: true, Audience: []string{"a", "b"}, Set: map[string]any{"azp": "a"}}, "bad_audience"},
		"OpenID, no aud":              {fakeissuer.IssuerPerRegion, verifier.IDToken("a"), fakeissuer.Claims{IDToken: true, Set: map[string]any{"aud": []string{}}}, "bad_audience"},
		"OpenID, azp of another":      {fakeissuer.IssuerPerRegion, verifier.IDToken("a"), fakeissuer.Claims{IDToken: true, Audience: []string{"a"}, Set: map[string]any{"azp": "b"}}, "bad_audience"},
		"OpenID, azp empty":           {fakeissuer.IssuerPerRegion, verifier.IDToken("a"), fakeissuer.Claims{IDToken: true, Audience: []string{"a"}, Set: map[string]any{"azp": ""}}, "bad_audience"},
		"OpenID without sub":          {fakeissuer.IssuerPerRegion, verifier.IDToken(fakeissuer.ClientID), fakeissuer.Claims{IDToken: true, Set: map[string]any{"sub": nil}}, "missing_claim"},
		"OpenID without iat":          {fakeissuer.IssuerPerRegion, verifier.IDToken(fakeissuer.ClientID), fakeissuer.Claims{IDToken: true, Set: map[string]any{"iat": nil}}, "missing_claim"},
		"OpenID with an access token": {fakeissuer.IssuerPerRegion, verifier.IDToken(fakeissuer.Audience), fakeissuer.Claims{Header: map[string]any{"typ": "at+jwt"}}, "typ_not_allowed"},
		"anybody":                     {fakeissuer.IssuerPerRegion, verifier.InsecureAnyAudience(), fakeissuer.Claims{Audience: []string{"anyone"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fakeissuer.New(t, fast(c.layout))
			v := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) { tr.Audience = c.binding })
			tok, err := v.Verify(t.Context(), w.Issue(west, c.claims))
			require.Equal(t, c.want, reasonOf(t, err))
			if err == nil {
				require.Equal(t, c.claims.IDToken && c.layout == fakeissuer.Cognito, tok.Claim("token_use") == "id")
			}
		})
	}
}

func TestClaimNames(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	v := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) {
		tr.ScopeClaims, tr.ClientIDClaims = []string{"scp", "scope"}, []string{"appid", "azp"}
		tr.GroupClaims = []string{"/realm_access/roles", "https://x.example/roles"}
		tr.RequiredClaims = []string{"/realm_access/roles"}
	})
	tok, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{Set: map[string]any{
		"scp": []string{"a", "b"}, "scope": "c d", "azp": "me",
		"realm_access": map[string]any{"roles": []any{"r1", 7, "r2"}}, "https://x.example/roles": []string{"r3", "r1"},
	}}))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"a", "b", "c", "d"}, slices.Collect(tok.Scopes()))
	require.True(t, tok.HasScope("b"))
	require.True(t, tok.HasScope("c"))
	require.False(t, tok.HasScope("c d"))
	require.Equal(t, "me", tok.ClientID())
	require.Equal(t, []string{"r1", "r2", "r3"}, slices.Collect(tok.Groups()))
	require.True(t, tok.HasGroup("r1"))
	require.True(t, tok.HasGroup("r3"))
	require.Equal(t, []string{fakeissuer.Audience}, slices.Collect(tok.Audience()))
	for name, set := range map[string]map[string]any{
		"scope":    {"scp": 1},
		"in scope": {"scp": []any{1}},
		"client":   {"appid": []string{"x"}},
	} {
		_, err = v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{Set: set}))
		require.Equal(t, "malformed", reasonOf(t, err), name)
	}
	for name, set := range map[string]map[string]any{
		"null":       {"realm_access": map[string]any{"roles": nil}},
		"absent":     {"realm_access": map[string]any{"x": 1}},
		"no object":  {"realm_access": "roles"},
		"other case": {"Realm_access": map[string]any{"roles": 1}},
	} {
		_, err = v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{Set: set}))
		require.Equal(t, "missing_claim", reasonOf(t, err), name)
	}
}

// An AudiencePolicy is printed as it was written.
func TestAnAudiencePolicyIsPrintedAsItIsWritten(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]verifier.AudiencePolicy{
		`Audience("a", "b\"")`: verifier.Audience("a", `b"`), `CognitoAccess("*")`: verifier.CognitoAccess(verifier.AllowAnyClient),
		`CognitoID("c")`: verifier.CognitoID("c"), `IDToken("c")`: verifier.IDToken("c"), `CognitoDerived("a", "c")`: verifier.CognitoDerived("a", "c"),
		"InsecureAnyAudience()": verifier.InsecureAnyAudience(), "no audience policy": {},
		`AnyOf(CognitoID("c"), AllOf(CognitoAccess("c"), Audience("a")))`: verifier.AnyOf(
			verifier.CognitoID("c"), verifier.AllOf(verifier.CognitoAccess("c"), verifier.Audience("a"))),
	} {
		require.Equal(t, want, a.String())
		require.Equal(t, want, fmt.Sprint(a))
	}
}
