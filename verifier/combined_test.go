package verifier_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// Access and ID tokens of one user pool for one service, and audiences beside clients.
func TestCombinedAudiencePolicies(t *testing.T) {
	t.Parallel()
	type claims = fakeissuer.Claims
	access, id := verifier.CognitoAccess("app", "web"), verifier.CognitoID("app")
	both := verifier.AnyOf(access, id)
	forAPI := verifier.AllOf(access, verifier.Audience("api"))
	either := verifier.AnyOf(access, forAPI)
	aud := func(client string, aud ...string) claims { return claims{ClientID: client, Audience: aud} }
	for name, c := range map[string]struct {
		policy verifier.AudiencePolicy
		claims claims
		want   string
		detail string
	}{
		"both: access":                    {both, claims{ClientID: "web"}, "", ""},
		"both: ID":                        {both, claims{ClientID: "app", IDToken: true}, "", ""},
		"both: ID of another":             {both, claims{ClientID: "web", IDToken: true}, "bad_audience", "aud"},
		"both: access of another":         {both, claims{ClientID: "x"}, "bad_audience", "client_id"},
		"both: no token_use":              {both, claims{ClientID: "app", Set: set{"token_use": nil}}, "bad_audience", "token_use"},
		"both: ID with a client_id":       {both, claims{ClientID: "x", IDToken: true, Set: set{"client_id": "app"}}, "bad_audience", "aud"},
		"both: access with aud":           {both, aud("app", "app"), "bad_audience", "aud"},
		"both: ID of type at+jwt":         {both, claims{ClientID: "app", IDToken: true, Header: set{"typ": "at+jwt"}}, "bad_audience", "token_use"},
		"both: access of type at+jwt":     {both, claims{ClientID: "app", Header: set{"typ": "at+jwt"}}, "", ""},
		"both: access with at_hash":       {both, claims{ClientID: "app", Set: set{"at_hash": "x"}}, "bad_audience", "at_hash"},
		"both: ID with at_hash":           {both, claims{ClientID: "app", IDToken: true, Set: set{"at_hash": "x"}}, "", ""},
		"both: events":                    {both, claims{ClientID: "app", IDToken: true, Set: set{"events": set{}}}, "bad_audience", "events"},
		"for the API":                     {forAPI, aud("app", "api"), "", ""},
		"for the API and more":            {forAPI, aud("app", "x", "api"), "", ""},
		"for the API: no aud":             {forAPI, claims{ClientID: "app"}, "bad_audience", "aud"},
		"for the API: empty aud":          {forAPI, claims{ClientID: "app", Set: set{"aud": []string{}}}, "bad_audience", "aud"},
		"for the API: another aud":        {forAPI, aud("app", "x"), "bad_audience", "aud"},
		"for the API: another client":     {forAPI, aud("x", "api"), "bad_audience", "client_id"},
		"for the API: ID":                 {forAPI, claims{ClientID: "app", IDToken: true, Audience: []string{"api"}}, "bad_audience", "token_use"},
		"either: no aud":                  {either, claims{ClientID: "app"}, "", ""},
		"either: empty aud":               {either, claims{ClientID: "app", Set: set{"aud": []string{}}}, "bad_audience", "aud"},
		"either: its aud":                 {either, aud("app", "api"), "", ""},
		"either: another aud":             {either, aud("app", "x"), "bad_audience", "aud"},
		"alone: aud":                      {access, aud("app", "api"), "bad_audience", "aud"},
		"all of one: aud":                 {verifier.AllOf(access), aud("app", "api"), "bad_audience", "aud"},
		"any of one: aud":                 {verifier.AnyOf(access), aud("app", "api"), "bad_audience", "aud"},
		"audience of another branch":      {verifier.AnyOf(verifier.CognitoAccess("web"), verifier.AllOf(verifier.CognitoAccess("app"), verifier.Audience("api"))), aud("web", "api"), "bad_audience", "aud"},
		"branch that failed names no aud": {verifier.AllOf(access, verifier.AnyOf(access, verifier.Audience("api"))), aud("app", "x"), "bad_audience", "aud"},
		"branch that accepts names it":    {verifier.AllOf(access, verifier.AnyOf(access, verifier.Audience("api"))), aud("app", "api"), "", ""},
		"two audiences, one":              {verifier.AllOf(forAPI, verifier.Audience("second")), aud("app", "api"), "bad_audience", "aud"},
		"two audiences, both":             {verifier.AllOf(forAPI, verifier.Audience("second")), aud("app", "second", "api"), "", ""},
		"any audience, spelled out":       {verifier.AllOf(access, verifier.InsecureAnyAudience()), aud("app", "x"), "", ""},
		"any audience, another client":    {verifier.AllOf(access, verifier.InsecureAnyAudience()), aud("x", "x"), "bad_audience", "client_id"},
		"two clients in common":           {verifier.AllOf(access, verifier.CognitoAccess("web", "z")), claims{ClientID: "web"}, "", ""},
		"two clients, one of them":        {verifier.AllOf(access, verifier.CognitoAccess("web", "z")), claims{ClientID: "app"}, "bad_audience", "client_id"},
		"ID is no access, for one aud":    {verifier.AnyOf(verifier.CognitoAccess("c"), verifier.Audience("c")), claims{ClientID: "c", IDToken: true}, "bad_audience", "token_use"},
		"an open part takes no ID":        {verifier.AllOf(both, verifier.Audience("app")), claims{ClientID: "app", IDToken: true}, "bad_audience", "token_use"},
		"access is no ID, of a client":    {verifier.AnyOf(verifier.CognitoAccess("c1"), verifier.IDToken("c2")), aud("evil", "c2"), "bad_audience", "client_id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fakeissuer.New(t, fast(fakeissuer.Cognito))
			v := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) { tr.Audience = c.policy })
			raw := w.Issue(west, c.claims)
			tok, err := v.Verify(t.Context(), raw)
			require.Equal(t, c.want, reasonOf(t, err))
			if err != nil {
				var e *verifier.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, c.detail, e.Detail)
				return
			}
			require.NoError(t, v.Recheck(t.Context(), tok))
			again, err := v.Verify(t.Context(), raw)
			require.NoError(t, err)
			require.Same(t, tok, again)
		})
	}
}

// The same of another provider, with types that the policy lists.
func TestCombinedAudiencePoliciesOfOpenID(t *testing.T) {
	t.Parallel()
	either := verifier.AnyOf(verifier.Audience("api"), verifier.IDToken("app"))
	for name, c := range map[string]struct {
		types  []string
		claims set
		typ    string
		want   string
	}{
		"access":                    {nil, set{"aud": "api"}, "JWT", ""},
		"access, at+jwt":            {nil, set{"aud": "api"}, "at+jwt", ""},
		"ID":                        {nil, set{"aud": "app", "at_hash": "x"}, "JWT", ""},
		"ID, at+jwt":                {nil, set{"aud": "app"}, "at+jwt", "bad_audience"},
		"ID, at+jwt listed":         {[]string{"JWT", "at+jwt"}, set{"aud": "app"}, "at+jwt", "bad_audience"},
		"access, at+jwt listed":     {[]string{"JWT", "at+jwt"}, set{"aud": "api"}, "at+jwt", ""},
		"ID for the API":            {nil, set{"aud": "api", "at_hash": "x"}, "JWT", "bad_audience"},
		"ID of another":             {nil, set{"aud": "x", "at_hash": "x"}, "JWT", "bad_audience"},
		"ID with another audience":  {nil, set{"aud": []string{"app", "api"}, "azp": "app", "at_hash": "x"}, "JWT", "bad_audience"},
		"ID without sub":            {nil, set{"aud": "app", "sub": nil}, "JWT", "missing_claim"},
		"access for client and API": {nil, set{"aud": []string{"app", "api"}}, "JWT", ""},
	} {
		s := newScene(t, 1)
		s.policy.Audience, s.policy.Types = either, c.types
		_, err := s.verify(s.sign(0, set{"typ": c.typ}, c.claims))
		require.Equal(t, c.want, reasonOf(t, errOf(err)), name)
	}
}

// A token is of one kind, under every part of the policy: an ID token that one part accepts is not made an access token by another
// part, and the reverse.
func TestATokenIsOfOneKind(t *testing.T) {
	t.Parallel()
	api, app := verifier.Audience("api"), verifier.IDToken("app")
	either := verifier.AnyOf(api, app)
	for name, c := range map[string]struct {
		policy verifier.AudiencePolicy
		claims set
		want   string
	}{
		"ID, and access for the client":     {verifier.AllOf(either, verifier.Audience("app")), set{"aud": "app"}, "bad_audience"},
		"the same, in the other order":      {verifier.AllOf(verifier.Audience("app"), either), set{"aud": "app"}, "bad_audience"},
		"the same, deeper":                  {verifier.AnyOf(verifier.AllOf(verifier.AllOf(either), verifier.AnyOf(verifier.Audience("app")))), set{"aud": "app"}, "bad_audience"},
		"access for both":                   {verifier.AllOf(either, verifier.Audience("app")), set{"aud": []string{"app", "api"}}, ""},
		"either of both, no kind in common": {verifier.AllOf(either, verifier.AnyOf(verifier.Audience("app"), verifier.IDToken("api"))), set{"aud": "app"}, "bad_audience"},
		"either of both, as access":         {verifier.AllOf(either, verifier.AnyOf(verifier.Audience("app"), verifier.IDToken("api"))), set{"aud": []string{"app", "api"}}, ""},
		"either of both, as ID":             {verifier.AllOf(either, verifier.AnyOf(api, verifier.IDToken("app", "x"))), set{"aud": "app", "at_hash": "x"}, ""},
		"ID, and any audience":              {verifier.AllOf(app, verifier.InsecureAnyAudience()), set{"aud": "app", "at_hash": "x"}, ""},
		"access, and any audience":          {verifier.AllOf(api, verifier.InsecureAnyAudience()), set{"aud": "api"}, ""},
		"ID for access and any audience":    {verifier.AllOf(api, verifier.InsecureAnyAudience()), set{"aud": "api", "at_hash": "x"}, "bad_audience"},
		"ID, or access for the client":      {verifier.AnyOf(app, verifier.Audience("app")), set{"aud": "app"}, ""},
	} {
		s := newScene(t, 1)
		s.policy.Audience = c.policy
		_, err := s.verify(s.sign(0, nil, c.claims))
		require.Equal(t, c.want, reasonOf(t, errOf(err)), name)
	}
}

// A policy accepts the algorithms and knows the groups of Cognito only if every token that it accepts is one of Cognito.
func TestDefaultsOfCombinedPolicies(t *testing.T) {
	t.Parallel()
	api, pool := verifier.Audience(fakeissuer.Audience), verifier.CognitoAccess(fakeissuer.ClientID)
	for name, c := range map[string]struct {
		policy verifier.AudiencePolicy
		want   string
	}{
		"one":                    {api, ""},
		"any of one":             {verifier.AnyOf(api), ""},
		"any, one of Cognito":    {verifier.AnyOf(pool, api), ""},
		"any, both of Cognito":   {verifier.AnyOf(pool, verifier.CognitoID(fakeissuer.ClientID)), "alg_not_allowed"},
		"all, one of Cognito":    {verifier.AllOf(pool, api), "alg_not_allowed"},
		"all, neither of them":   {verifier.AllOf(api, verifier.InsecureAnyAudience()), ""},
		"any of all, of Cognito": {verifier.AnyOf(verifier.AllOf(pool, api)), "alg_not_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
			v := newVerifier(t, w, func(p *verifier.Policy, _ *parts) { p.Audience, p.Algorithms = c.policy, nil })
			token := w.Issue(east, fakeissuer.Claims{Audience: []string{fakeissuer.Audience}, Set: map[string]any{"groups": []string{"a"}}})
			verified, err := v.Verify(t.Context(), token)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.True(t, verified.HasGroup("a"))
		})
	}
}
