package verifier_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

type set = map[string]any

// judged returns the reason for which a token is refused, "" for none.
func judged(t *testing.T, layout issuertest.Layout, b verifier.AudiencePolicy, types []string, c issuertest.Claims) string {
	t.Helper()
	w := issuertest.New(t, fast(layout))
	v := newVerifier(t, w, func(tr *verifier.Policy, _ *verifier.Config) { tr.Audience, tr.Types = b, types })
	_, err := v.Verify(t.Context(), w.Token(west, c))
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
		"access, at_hash":                 {access, nil, set{"at_hash": "x"}, "JWT", "bad_token_use"},
		"access, at_hash, no typ":         {access, nil, set{"at_hash": "x"}, "-", "bad_token_use"},
		"access, at_hash empty":           {access, nil, set{"at_hash": ""}, "JWT", "bad_token_use"},
		"access, at_hash and at+jwt":      {access, nil, set{"at_hash": "x"}, "at+jwt", "bad_token_use"},
		"access, at_hash, JWT listed":     {access, explicit("JWT"), set{"at_hash": "x"}, "JWT", "bad_token_use"},
		"access, at_hash, none listed":    {access, explicit(""), set{"at_hash": "x"}, "-", "bad_token_use"},
		"access, at_hash, at+jwt listed":  {access, explicit("at+jwt"), set{"at_hash": "x"}, "at+jwt", "bad_token_use"},
		"access, c_hash":                  {access, nil, set{"c_hash": "x"}, "JWT", "bad_token_use"},
		"access, events":                  {access, nil, set{"events": events}, "JWT", "bad_token_use"},
		"access, events empty":            {access, nil, set{"events": set{}}, "JWT", "bad_token_use"},
		"access, events, at+jwt":          {access, nil, set{"events": events}, "at+jwt", "bad_token_use"},
		"access, at_hash no text":         {access, nil, set{"at_hash": 7}, "JWT", "malformed"},
		"access, c_hash no text":          {access, nil, set{"c_hash": []string{"x"}}, "JWT", "malformed"},
		"access, events no object":        {access, nil, set{"events": "x"}, "JWT", "malformed"},
		"access, events null":             {access, nil, set{"events": json.RawMessage("null")}, "JWT", "malformed"},
		"access, secevent+jwt listed":     {access, explicit("secevent+jwt"), set{"events": events}, "secevent+jwt", ""},
		"access, listed, another typ":     {access, explicit("secevent+jwt", "JWT"), set{"events": events}, "JWT", "bad_token_use"},
		"access, application/ listed":     {access, explicit("application/secevent+jwt"), set{"events": events}, "SecEvent+JWT", ""},
		"ID token":                        {id, nil, set{"at_hash": "x", "c_hash": "x", "nonce": "n"}, "JWT", ""},
		"ID token, at_hash no text":       {id, nil, set{"at_hash": 7}, "JWT", "malformed"},
		"ID token, at+jwt":                {id, nil, nil, "at+jwt", "bad_type"},
		"ID token, application/at+jwt":    {id, nil, nil, "application/at+jwt", "bad_type"},
		"ID token, Application/AT+JWT":    {id, nil, nil, "Application/AT+JWT", "bad_type"},
		"ID token, AT+jwt":                {id, nil, nil, "AT+jwt", "bad_type"},
		"ID token, at+jwt listed":         {id, explicit("at+jwt"), nil, "at+jwt", ""},
		"ID token, logout token":          {id, nil, set{"events": events}, "-", "bad_token_use"},
		"ID token, logout token, typ":     {id, nil, set{"events": events}, "JWT", "bad_token_use"},
		"ID token, logout+jwt listed":     {id, explicit("logout+jwt"), set{"events": events}, "logout+jwt", ""},
		"anybody, ID token":               {verifier.InsecureAnyAudience(), nil, set{"at_hash": "x"}, "JWT", ""},
		"anybody, events":                 {verifier.InsecureAnyAudience(), nil, set{"events": events}, "JWT", "bad_token_use"},
		"names are compared with case":    {access, nil, set{"AT_HASH": "x", "Events": "x"}, "JWT", ""},
		"only the top level is looked at": {access, nil, set{"x": set{"at_hash": "x", "events": 1}}, "JWT", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claims := issuertest.Claims{Audience: []string{app}, Set: c.claims, Header: set{"typ": c.typ}}
			if c.typ == "-" {
				claims.Header["typ"] = nil
			}
			require.Equal(t, c.want, judged(t, issuertest.IssuerPerRegion, c.binding, c.types, claims))
		})
	}
}

// JWTs of other kinds are neither access tokens nor ID tokens, however their typ is written, unless they are asked for.
func TestForeignTypesAreRefused(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"secevent+jwt", "oauth-id-jag+jwt", "txntoken+jwt", "statuslist+jwt", "logout+jwt"} {
		for _, c := range []struct {
			layout  issuertest.Layout
			binding verifier.AudiencePolicy
			claims  issuertest.Claims
		}{
			{issuertest.IssuerPerRegion, verifier.Audience("app"), issuertest.Claims{Audience: []string{"app"}}},
			{issuertest.IssuerPerRegion, verifier.IDToken("app"), issuertest.Claims{Audience: []string{"app"}}},
			{issuertest.IssuerPerRegion, verifier.InsecureAnyAudience(), issuertest.Claims{}},
			{issuertest.Cognito, verifier.CognitoAccess("app"), issuertest.Claims{ClientID: "app"}},
			{issuertest.Cognito, verifier.CognitoID("app"), issuertest.Claims{Use: "id", ClientID: "app"}},
		} {
			for _, written := range []string{typ, "application/" + typ, "Application/" + string(typ[0]-32) + typ[1:]} {
				c.claims.Header = set{"typ": written}
				require.Equal(t, "bad_type", judged(t, c.layout, c.binding, nil, c.claims), written)
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
		claims  issuertest.Claims
		want    string
	}{
		"access":               {access, issuertest.Claims{}, ""},
		"access, at_hash":      {access, issuertest.Claims{Set: set{"at_hash": "x"}}, "bad_token_use"},
		"access, no use":       {access, issuertest.Claims{Set: set{"token_use": nil}}, "bad_token_use"},
		"access, use no text":  {access, issuertest.Claims{Set: set{"token_use": 1}}, "malformed"},
		"access, use null":     {access, issuertest.Claims{Set: set{"token_use": json.RawMessage("null")}}, "malformed"},
		"access, use Access":   {access, issuertest.Claims{Set: set{"token_use": "Access"}}, "bad_token_use"},
		"access, an ID token":  {access, issuertest.Claims{Use: "id", Set: set{"client_id": "app", "aud": nil}}, "bad_token_use"},
		"ID token":             {id, issuertest.Claims{Use: "id", Set: set{"at_hash": "x"}}, ""},
		"ID token, events":     {id, issuertest.Claims{Use: "id", Set: set{"events": set{}}}, "bad_token_use"},
		"ID token, access":     {id, issuertest.Claims{Audience: []string{"app"}}, "bad_token_use"},
		"ID token, no use":     {id, issuertest.Claims{Use: "id", Set: set{"token_use": nil}}, "bad_token_use"},
		"ID token, use a list": {id, issuertest.Claims{Use: "id", Set: set{"token_use": []string{"id"}}}, "malformed"},
	} {
		c.claims.ClientID = "app"
		require.Equal(t, c.want, judged(t, issuertest.Cognito, c.binding, nil, c.claims), name)
	}
}

// Keycloak and Entra say more about their tokens, which is looked at if it is asked for.
func TestProvidersMarkTheirTokens(t *testing.T) {
	t.Parallel()
	access, id := verifier.Audience("app").Keycloak(), verifier.IDToken("app").Keycloak()
	entra := verifier.Audience("app").Entra()
	for name, c := range map[string]struct {
		binding verifier.AudiencePolicy
		claims  set
		want    string
	}{
		"Bearer":                  {access, set{"typ": "Bearer"}, ""},
		"DPoP":                    {access, set{"typ": "DPoP"}, ""},
		"Bearer with a nonce":     {access, set{"typ": "Bearer", "nonce": "n"}, ""},
		"ID for access":           {access, set{"typ": "ID"}, "bad_token_use"},
		"Refresh for access":      {access, set{"typ": "Refresh"}, "bad_token_use"},
		"Logout for access":       {access, set{"typ": "Logout"}, "bad_token_use"},
		"another case":            {access, set{"typ": "bearer"}, "bad_token_use"},
		"no typ":                  {access, nil, "bad_token_use"},
		"empty typ":               {access, set{"typ": ""}, "bad_token_use"},
		"typ a list":              {access, set{"typ": []string{"Bearer"}}, "malformed"},
		"typ null":                {access, set{"typ": json.RawMessage("null")}, "malformed"},
		"Bearer with at_hash":     {access, set{"typ": "Bearer", "at_hash": "x"}, "bad_token_use"},
		"ID":                      {id, set{"typ": "ID", "at_hash": "x"}, ""},
		"Bearer for ID":           {id, set{"typ": "Bearer"}, "bad_token_use"},
		"no typ for ID":           {id, nil, "bad_token_use"},
		"typ of an ID a number":   {id, set{"typ": 1}, "malformed"},
		"Entra":                   {entra, nil, ""},
		"Entra, nonce":            {entra, set{"nonce": "n"}, "bad_token_use"},
		"Entra, nonce empty":      {entra, set{"nonce": ""}, "bad_token_use"},
		"Entra, nonce no text":    {entra, set{"nonce": 1}, "malformed"},
		"Entra, nonce null":       {entra, set{"nonce": json.RawMessage("null")}, "malformed"},
		"Entra, at_hash":          {entra, set{"at_hash": "x"}, "bad_token_use"},
		"Entra, typ of Keycloak":  {entra, set{"typ": "ID"}, ""},
		"Entra, another audience": {verifier.Audience("other").Entra(), nil, "bad_audience"},
	} {
		claims := issuertest.Claims{Audience: []string{"app"}, Set: c.claims}
		require.Equal(t, c.want, judged(t, issuertest.IssuerPerRegion, c.binding, nil, claims), name)
	}
}

// A mark that says nothing about a binding is a mistake.
func TestMarksFitTheBinding(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	for i, b := range []verifier.AudiencePolicy{
		verifier.CognitoAccess("c").Keycloak(), verifier.CognitoID("c").Keycloak(), verifier.InsecureAnyAudience().Keycloak(),
		verifier.IDToken("c").Entra(), verifier.CognitoAccess("c").Entra(), verifier.InsecureAnyAudience().Entra(),
		verifier.AudiencePolicy{}.Keycloak(), verifier.AudiencePolicy{}.Entra(), verifier.Audience("a").Keycloak().Entra(),
		verifier.Audience("a").Entra().Keycloak(),
	} {
		_, err := verifier.New(verifier.Config{Keys: &fixed{}, Policies: []verifier.Policy{{Provider: w.Provider(), Audience: b}}})
		require.ErrorContains(t, err, "binding:", i)
	}
}

// After an Update, a Recheck asks for the kind of token that is wanted now.
func TestRecheckJudgesTheUse(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	var trust verifier.Policy
	v := newVerifier(t, w, func(tr *verifier.Policy, _ *verifier.Config) {
		tr.Audience = verifier.IDToken("app")
		trust = *tr
	})
	tok, err := v.Verify(t.Context(), w.Token(west, issuertest.Claims{Audience: []string{"app"}, Set: set{"at_hash": "x"}}))
	require.NoError(t, err)
	require.NoError(t, v.Recheck(t.Context(), tok))
	trust.Audience = verifier.Audience("app")
	require.NoError(t, v.Update([]verifier.Policy{trust}))
	require.Equal(t, "bad_token_use", reasonOf(t, v.Recheck(t.Context(), tok)))
}
