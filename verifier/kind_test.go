package verifier_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

type set = map[string]any

// judged returns the reason for which a token is refused, "" for none.
func judged(t *testing.T, layout fakeissuer.Layout, b verifier.AudiencePolicy, types []string, c fakeissuer.Claims) string {
	t.Helper()
	w := fakeissuer.New(t, fast(layout))
	v := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) { tr.Audience, tr.Types = b, types })
	_, err := v.Verify(t.Context(), w.Issue(west, c))
	return reasonOf(t, err)
}

// The application is registered once, so its access tokens and its ID tokens have one audience. What is certain tells them apart.
func TestOneKindOfTokenDoesNotPassForAnother(t *testing.T) {
	t.Parallel()
	const app = "app"
	access, id := verifier.Audience(app), verifier.IDToken(app)
	explicit := func(types ...string) []string { return types }
	events := set{"https://schemas.openid.net/event/backchannel-logout": set{}}
	for name, c := range map[string]struct {
		binding verifier.AudiencePolicy
		types   []string
		claims  set
		typ     string // "-" leaves it out
		want    string
	}{
		"access":                          {access, nil, nil, "JWT", ""},
		"access with a nonce":             {access, nil, set{"nonce": "n"}, "JWT", ""},
		"access with a body typ":          {access, nil, set{"typ": "ID"}, "JWT", ""},
		"access, at+jwt":                  {access, nil, nil, "at+jwt", ""},
		"access, at_hash":                 {access, nil, set{"at_hash": "x"}, "JWT", "bad_audience"},
		"access, at_hash, no typ":         {access, nil, set{"at_hash": "x"}, "-", "bad_audience"},
		"access, at_hash empty":           {access, nil, set{"at_hash": ""}, "JWT", "bad_audience"},
		"access, at_hash and at+jwt":      {access, nil, set{"at_hash": "x"}, "at+jwt", "bad_audience"},
		"access, at_hash, JWT listed":     {access, explicit("JWT"), set{"at_hash": "x"}, "JWT", "bad_audience"},
		"access, at_hash, none listed":    {access, explicit(""), set{"at_hash": "x"}, "-", "bad_audience"},
		"access, at_hash, at+jwt listed":  {access, explicit("at+jwt"), set{"at_hash": "x"}, "at+jwt", "bad_audience"},
		"access, c_hash":                  {access, nil, set{"c_hash": "x"}, "JWT", "bad_audience"},
		"access, events":                  {access, nil, set{"events": events}, "JWT", "bad_audience"},
		"access, events empty":            {access, nil, set{"events": set{}}, "JWT", "bad_audience"},
		"access, events, at+jwt":          {access, nil, set{"events": events}, "at+jwt", "bad_audience"},
		"access, at_hash no text":         {access, nil, set{"at_hash": 7}, "JWT", "malformed"},
		"access, c_hash no text":          {access, nil, set{"c_hash": []string{"x"}}, "JWT", "malformed"},
		"access, events no object":        {access, nil, set{"events": "x"}, "JWT", "malformed"},
		"access, events null":             {access, nil, set{"events": json.RawMessage("null")}, "JWT", "malformed"},
		"access, secevent+jwt listed":     {access, explicit("secevent+jwt"), set{"events": events}, "secevent+jwt", ""},
		"access, listed, another typ":     {access, explicit("secevent+jwt", "JWT"), set{"events": events}, "JWT", "bad_audience"},
		"access, application/ listed":     {access, explicit("application/secevent+jwt"), set{"events": events}, "SecEvent+JWT", ""},
		"ID token":                        {id, nil, set{"at_hash": "x", "c_hash": "x", "nonce": "n"}, "JWT", ""},
		"ID token, at_hash no text":       {id, nil, set{"at_hash": 7}, "JWT", "malformed"},
		"ID token, at+jwt":                {id, nil, nil, "at+jwt", "typ_not_allowed"},
		"ID token, application/at+jwt":    {id, nil, nil, "application/at+jwt", "typ_not_allowed"},
		"ID token, Application/AT+JWT":    {id, nil, nil, "Application/AT+JWT", "typ_not_allowed"},
		"ID token, AT+jwt":                {id, nil, nil, "AT+jwt", "typ_not_allowed"},
		"ID token, at+jwt listed":         {id, explicit("at+jwt"), nil, "at+jwt", ""},
		"ID token, logout token":          {id, nil, set{"events": events}, "-", "bad_audience"},
		"ID token, logout token, typ":     {id, nil, set{"events": events}, "JWT", "bad_audience"},
		"ID token, logout+jwt listed":     {id, explicit("logout+jwt"), set{"events": events}, "logout+jwt", ""},
		"anybody, ID token":               {verifier.InsecureAnyAudience(), nil, set{"at_hash": "x"}, "JWT", ""},
		"anybody, events":                 {verifier.InsecureAnyAudience(), nil, set{"events": events}, "JWT", "bad_audience"},
		"names are compared with case":    {access, nil, set{"AT_HASH": "x", "Events": "x"}, "JWT", ""},
		"only the top level is looked at": {access, nil, set{"x": set{"at_hash": "x", "events": 1}}, "JWT", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claims := fakeissuer.Claims{Audience: []string{app}, Set: c.claims, Header: set{"typ": c.typ}}
			if c.typ == "-" {
				claims.Header["typ"] = nil
			}
			require.Equal(t, c.want, judged(t, fakeissuer.IssuerPerRegion, c.binding, c.types, claims))
		})
	}
}

// JWTs of other kinds are neither access tokens nor ID tokens, however their typ is written, unless they are asked for.
func TestForeignTypesAreRefused(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"secevent+jwt", "oauth-id-jag+jwt", "txntoken+jwt", "statuslist+jwt", "logout+jwt"} {
		for _, c := range []struct {
			layout  fakeissuer.Layout
			binding verifier.AudiencePolicy
			claims  fakeissuer.Claims
		}{
			{fakeissuer.IssuerPerRegion, verifier.Audience("app"), fakeissuer.Claims{Audience: []string{"app"}}},
			{fakeissuer.IssuerPerRegion, verifier.IDToken("app"), fakeissuer.Claims{Audience: []string{"app"}}},
			{fakeissuer.IssuerPerRegion, verifier.InsecureAnyAudience(), fakeissuer.Claims{}},
			{fakeissuer.Cognito, verifier.CognitoAccess("app"), fakeissuer.Claims{ClientID: "app"}},
			{fakeissuer.Cognito, verifier.CognitoID("app"), fakeissuer.Claims{IDToken: true, ClientID: "app"}},
		} {
			for _, written := range []string{typ, "application/" + typ, "Application/" + string(typ[0]-32) + typ[1:]} {
				c.claims.Header = set{"typ": written}
				require.Equal(t, "typ_not_allowed", judged(t, c.layout, c.binding, nil, c.claims), written)
			}
			require.Empty(t, judged(t, c.layout, c.binding, []string{typ}, c.claims), typ)
		}
	}
}

// token_use decides for Cognito; a claim of the other kind does not pass all the same.
func TestCognitoTokensHaveOneUse(t *testing.T) {
	t.Parallel()
	access, id := verifier.CognitoAccess("app"), verifier.CognitoID("app")
	for name, c := range map[string]struct {
		binding verifier.AudiencePolicy
		claims  fakeissuer.Claims
		want    string
	}{
		"access":               {access, fakeissuer.Claims{}, ""},
		"access, at_hash":      {access, fakeissuer.Claims{Set: set{"at_hash": "x"}}, "bad_audience"},
		"access, no use":       {access, fakeissuer.Claims{Set: set{"token_use": nil}}, "bad_audience"},
		"access, use no text":  {access, fakeissuer.Claims{Set: set{"token_use": 1}}, "malformed"},
		"access, use null":     {access, fakeissuer.Claims{Set: set{"token_use": json.RawMessage("null")}}, "malformed"},
		"access, use Access":   {access, fakeissuer.Claims{Set: set{"token_use": "Access"}}, "bad_audience"},
		"access, an ID token":  {access, fakeissuer.Claims{IDToken: true, Set: set{"client_id": "app", "aud": nil}}, "bad_audience"},
		"ID token":             {id, fakeissuer.Claims{IDToken: true, Set: set{"at_hash": "x"}}, ""},
		"ID token, events":     {id, fakeissuer.Claims{IDToken: true, Set: set{"events": set{}}}, "bad_audience"},
		"ID token, access":     {id, fakeissuer.Claims{Audience: []string{"app"}}, "bad_audience"},
		"ID token, no use":     {id, fakeissuer.Claims{IDToken: true, Set: set{"token_use": nil}}, "bad_audience"},
		"ID token, use a list": {id, fakeissuer.Claims{IDToken: true, Set: set{"token_use": []string{"id"}}}, "malformed"},
	} {
		c.claims.ClientID = "app"
		require.Equal(t, c.want, judged(t, fakeissuer.Cognito, c.binding, nil, c.claims), name)
	}
}

// of returns a provider with this iss, and its keys at that path.
func of(iss, keys string) fakeissuer.Config {
	return fakeissuer.Config{Algorithm: "ES256", Provider: &issuer.Provider{ID: "p", Regions: []issuer.Region{
		{Name: west, Issuers: []string{iss}, JWKSURLs: []string{"https://keys.example" + keys}},
	}}}
}

// Keycloak and Entra say more about their tokens. They are known by their issuers and key sets. What other providers say in the
// same claims is theirs.
func TestProvidersMarkTheirTokens(t *testing.T) {
	t.Parallel()
	access, id := verifier.Audience("app"), verifier.IDToken("app")
	keycloak := of("https://idp.example/realms/shop", "/jwks")
	internal := of("urn:shop", "/realms/shop/protocol/openid-connect/certs")
	entra := of("https://login.microsoftonline.com/8f6a/v2.0", "/jwks")
	other := of("https://idp.example/", "/jwks")
	for name, c := range map[string]struct {
		provider fakeissuer.Config
		binding  verifier.AudiencePolicy
		claims   set
		want     string
	}{
		"Bearer":                  {keycloak, access, set{"typ": "Bearer"}, ""},
		"DPoP":                    {keycloak, access, set{"typ": "DPoP"}, ""},
		"Bearer with a nonce":     {keycloak, access, set{"typ": "Bearer", "nonce": "n"}, ""},
		"ID for access":           {keycloak, access, set{"typ": "ID"}, "bad_audience"},
		"ID for access, by keys":  {internal, access, set{"typ": "ID"}, "bad_audience"},
		"Refresh for access":      {keycloak, access, set{"typ": "Refresh"}, "bad_audience"},
		"Logout for access":       {keycloak, access, set{"typ": "Logout"}, "bad_audience"},
		"Offline for ID":          {keycloak, id, set{"typ": "Offline"}, "bad_audience"},
		"another value":           {keycloak, access, set{"typ": "bearer"}, ""},
		"no typ":                  {keycloak, access, nil, ""},
		"typ a list":              {keycloak, access, set{"typ": []string{"ID"}}, ""},
		"Bearer with at_hash":     {keycloak, access, set{"typ": "Bearer", "at_hash": "x"}, "bad_audience"},
		"ID":                      {keycloak, id, set{"typ": "ID", "at_hash": "x"}, ""},
		"Bearer for ID":           {keycloak, id, set{"typ": "Bearer"}, "bad_audience"},
		"DPoP for ID, by keys":    {internal, id, set{"typ": "DPoP"}, "bad_audience"},
		"no typ for ID":           {keycloak, id, nil, ""},
		"either":                  {keycloak, verifier.AnyOf(access, id), set{"typ": "ID"}, ""},
		"either, Refresh":         {keycloak, verifier.AnyOf(access, id), set{"typ": "Refresh"}, "bad_audience"},
		"Entra":                   {entra, access, nil, ""},
		"Entra, nonce":            {entra, access, set{"nonce": "n"}, "bad_audience"},
		"Entra, nonce empty":      {entra, access, set{"nonce": ""}, "bad_audience"},
		"Entra, nonce no text":    {entra, access, set{"nonce": 1}, "bad_audience"},
		"Entra, nonce null":       {entra, access, set{"nonce": json.RawMessage("null")}, "bad_audience"},
		"Entra, nonce of ID":      {entra, id, set{"nonce": "n"}, ""},
		"Entra, at_hash":          {entra, access, set{"at_hash": "x"}, "bad_audience"},
		"Entra, typ of Keycloak":  {entra, access, set{"typ": "ID"}, ""},
		"Entra, another audience": {entra, verifier.Audience("other"), nil, "bad_audience"},
		"Entra, version 1":        {of("https://login.microsoftonline.com/8f6a/", "/jwks"), access, set{"nonce": "n"}, ""},
		"host of another":         {of("https://login.microsoftonline.com.example/x/v2.0", "/jwks"), access, set{"nonce": "n"}, ""},
		"other, typ of Keycloak":  {other, access, set{"typ": "ID"}, ""},
		"other, nonce":            {other, access, set{"nonce": "n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fakeissuer.New(t, c.provider)
			v := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) { tr.Audience = c.binding })
			_, err := v.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{Audience: []string{"app"}, Set: c.claims}))
			require.Equal(t, c.want, reasonOf(t, err))
		})
	}
}

// After an Update, a Recheck asks for the kind of token that is wanted now.
func TestRecheckJudgesTheUse(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	var trust verifier.Policy
	v := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) {
		tr.Audience = verifier.IDToken("app")
		trust = *tr
	})
	tok, err := v.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{Audience: []string{"app"}, Set: set{"at_hash": "x"}}))
	require.NoError(t, err)
	require.NoError(t, v.Recheck(t.Context(), tok))
	trust.Audience = verifier.Audience("app")
	require.NoError(t, v.Update([]verifier.Policy{trust}))
	require.Equal(t, "bad_audience", reasonOf(t, v.Recheck(t.Context(), tok)))
}

// Regions that share an issuer mark its tokens in one way: what the keys of one say of the issuer holds for all.
func TestAnIssuerOfSeveralRegionsMarksItsTokens(t *testing.T) {
	t.Parallel()
	for _, paths := range [][]string{{"/jwks", "/realms/shop/protocol/openid-connect/certs"}, {"/realms/shop/protocol/openid-connect/certs", "/jwks"}} {
		shared := of("urn:shop", paths[0])
		shared.Provider.Regions = append(shared.Provider.Regions, issuer.Region{
			Name: east, Issuers: []string{"urn:shop"}, JWKSURLs: []string{"https://keys.example/east" + paths[1]},
		})
		w := fakeissuer.New(t, shared)
		v := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) { tr.Audience = verifier.Audience("app") })
		for typ, want := range map[string]string{"Bearer": "", "ID": "bad_audience", "Refresh": "bad_audience"} {
			_, err := v.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{Audience: []string{"app"}, Set: set{"typ": typ}}))
			require.Equal(t, want, reasonOf(t, err), typ)
		}
	}
}
