package verifier_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestBindings(t *testing.T) {
	t.Parallel()
	api := []string{issuertest.Audience}
	id := issuertest.Claims{Use: "id"}
	for name, c := range map[string]struct {
		layout  issuertest.Layout
		binding verifier.AudiencePolicy
		claims  issuertest.Claims
		want    string
	}{
		"access":                      {issuertest.Cognito, verifier.CognitoAccess("x", issuertest.ClientID), issuertest.Claims{}, ""},
		"machine":                     {issuertest.Cognito, verifier.CognitoAccess(issuertest.ClientID), issuertest.Claims{Machine: true}, ""},
		"other client":                {issuertest.Cognito, verifier.CognitoAccess("x"), issuertest.Claims{}, "bad_audience"},
		"any client":                  {issuertest.Cognito, verifier.CognitoAccess().AllowAnyClient(), issuertest.Claims{}, ""},
		"any client, ID token":        {issuertest.Cognito, verifier.CognitoAccess().AllowAnyClient(), id, "bad_token_use"},
		"unexpected aud":              {issuertest.Cognito, verifier.CognitoAccess(issuertest.ClientID), issuertest.Claims{Audience: api}, "bad_audience"},
		"wanted aud":                  {issuertest.Cognito, verifier.CognitoAccess(issuertest.ClientID).WithAudience(api...), issuertest.Claims{Audience: api}, ""},
		"other aud":                   {issuertest.Cognito, verifier.CognitoAccess(issuertest.ClientID).WithAudience("x"), issuertest.Claims{Audience: api}, "bad_audience"},
		"aud wanted, absent":          {issuertest.Cognito, verifier.CognitoAccess(issuertest.ClientID).WithAudience(api...), issuertest.Claims{Machine: true}, ""},
		"aud required, absent":        {issuertest.Cognito, verifier.CognitoAccess(issuertest.ClientID).WithAudience(api...).RequireAudience(), issuertest.Claims{}, "bad_audience"},
		"ID token":                    {issuertest.Cognito, verifier.CognitoID(issuertest.ClientID), id, ""},
		"ID token of another client":  {issuertest.Cognito, verifier.CognitoID("x"), id, "bad_audience"},
		"access for ID token":         {issuertest.Cognito, verifier.CognitoID(issuertest.ClientID), issuertest.Claims{Audience: []string{issuertest.ClientID}}, "bad_token_use"},
		"OpenID":                      {issuertest.IssuerPerRegion, verifier.IDToken(issuertest.ClientID), id, ""},
		"OpenID, other aud":           {issuertest.IssuerPerRegion, verifier.IDToken("x"), id, "bad_audience"},
		"OpenID, two aud, no azp":     {issuertest.IssuerPerRegion, verifier.IDToken("a", "b"), issuertest.Claims{Use: "id", Audience: []string{"a", "b"}}, "bad_audience"},
		"OpenID, two aud, azp":        {issuertest.IssuerPerRegion, verifier.IDToken("a", "b"), issuertest.Claims{Use: "id", Audience: []string{"a", "b"}, Set: map[string]any{"azp": "a"}}, ""},
		"OpenID, aud of a stranger":   {issuertest.IssuerPerRegion, verifier.IDToken("a"), issuertest.Claims{Use: "id", Audience: []string{"a", "b"}, Set: map[string]any{"azp": "a"}}, "bad_audience"},
		"OpenID, no aud":              {issuertest.IssuerPerRegion, verifier.IDToken("a"), issuertest.Claims{Use: "id", Set: map[string]any{"aud": []string{}}}, "bad_audience"},
		"OpenID, azp of another":      {issuertest.IssuerPerRegion, verifier.IDToken("a"), issuertest.Claims{Use: "id", Audience: []string{"a"}, Set: map[string]any{"azp": "b"}}, "bad_audience"},
		"OpenID, azp empty":           {issuertest.IssuerPerRegion, verifier.IDToken("a"), issuertest.Claims{Use: "id", Audience: []string{"a"}, Set: map[string]any{"azp": ""}}, "bad_audience"},
		"OpenID without sub":          {issuertest.IssuerPerRegion, verifier.IDToken(issuertest.ClientID), issuertest.Claims{Use: "id", Set: map[string]any{"sub": nil}}, "missing_claim"},
		"OpenID without iat":          {issuertest.IssuerPerRegion, verifier.IDToken(issuertest.ClientID), issuertest.Claims{Use: "id", Set: map[string]any{"iat": nil}}, "missing_claim"},
		"OpenID with an access token": {issuertest.IssuerPerRegion, verifier.IDToken(issuertest.Audience), issuertest.Claims{Header: map[string]any{"typ": "at+jwt"}}, "bad_type"},
		"anybody":                     {issuertest.IssuerPerRegion, verifier.InsecureAnyAudience(), issuertest.Claims{Audience: []string{"whoever"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := issuertest.New(t, fast(c.layout))
			v := newVerifier(t, w, func(tr *verifier.Policy, _ *verifier.Config) { tr.Audience = c.binding })
			tok, err := v.Verify(t.Context(), w.Token(west, c.claims))
			require.Equal(t, c.want, reasonOf(t, err))
			if err == nil {
				require.Equal(t, c.claims.Use == "id" && c.layout == issuertest.Cognito, tok.Use() == "id")
			}
		})
	}
}

func TestClaimNames(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	v := newVerifier(t, w, func(tr *verifier.Policy, _ *verifier.Config) {
		tr.Names = verifier.ClaimNames{
			Scope: []string{"scp", "scope"}, ClientID: []string{"appid", "azp"}, Groups: []string{"realm_access.roles", "https://x.example/roles"},
		}
		tr.RequiredClaims = []string{"realm_access.roles"}
	})
	tok, err := v.Verify(t.Context(), w.Token(east, issuertest.Claims{Set: map[string]any{
		"scp": []string{"a", "b", ""}, "scope": "c", "azp": "me",
		"realm_access": map[string]any{"roles": []any{"r1", 7, "r2"}}, "https://x.example/roles": []string{"no"},
	}}))
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, slices.Collect(tok.Scopes()))
	require.True(t, tok.HasScope("b"))
	require.False(t, tok.HasScope("c"))
	require.Equal(t, "me", tok.ClientID())
	require.Equal(t, []string{"r1", "r2"}, slices.Collect(tok.Groups()))
	require.True(t, tok.HasGroup("r1"))
	require.Equal(t, []string{issuertest.Audience}, slices.Collect(tok.Audience()))
	for name, set := range map[string]map[string]any{
		"scope":    {"scp": 1},
		"in scope": {"scp": []any{1}},
		"client":   {"appid": []string{"x"}},
	} {
		_, err = v.Verify(t.Context(), w.Token(east, issuertest.Claims{Set: set}))
		require.Equal(t, "malformed", reasonOf(t, err), name)
	}
	for name, set := range map[string]map[string]any{
		"null":       {"realm_access": map[string]any{"roles": nil}},
		"absent":     {"realm_access": map[string]any{"x": 1}},
		"no object":  {"realm_access": "roles"},
		"other case": {"Realm_access": map[string]any{"roles": 1}},
	} {
		_, err = v.Verify(t.Context(), w.Token(east, issuertest.Claims{Set: set}))
		require.Equal(t, "missing_claim", reasonOf(t, err), name)
	}
}
