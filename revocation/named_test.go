package revocation_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// trusting is an idp whose tokens are judged by another Policy.
func trusting(t *testing.T, revoked verifier.Revocation, layout fakeissuer.Layout, change func(*verifier.Policy)) idp {
	t.Helper()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: layout, Algorithm: "ES256"})
	keys, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	trust := verifier.Policy{
		Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience), Algorithms: []string{"ES256"},
	}
	change(&trust)
	v, err := verifier.New([]verifier.Policy{trust}, keys, verifier.Config{Revocation: revoked})
	require.NoError(t, err)
	return idp{t, w, v}
}

// A rule for a client holds for its tokens whichever claim names it.
func TestARuleForAClientMatchesEveryClaimThatNamesIt(t *testing.T) {
	t.Parallel()
	type set = map[string]any
	id := func(b verifier.AudiencePolicy) func(*verifier.Policy) {
		return func(tr *verifier.Policy) { tr.Audience = b }
	}
	named := func(names ...string) func(*verifier.Policy) {
		return func(tr *verifier.Policy) { tr.ClientIDClaims = names }
	}
	for name, c := range map[string]struct {
		layout fakeissuer.Layout
		change func(*verifier.Policy)
		claims fakeissuer.Claims
		match  bool
	}{
		"client_id":             {fakeissuer.IssuerPerRegion, named(), fakeissuer.Claims{Set: set{"client_id": "bad"}}, true},
		"azp by default":        {fakeissuer.IssuerPerRegion, named(), fakeissuer.Claims{Set: set{"client_id": nil, "azp": "bad"}}, true},
		"azp beside client_id":  {fakeissuer.IssuerPerRegion, named(), fakeissuer.Claims{Set: set{"client_id": "x", "azp": "bad"}}, true},
		"client_id behind azp":  {fakeissuer.IssuerPerRegion, named("azp"), fakeissuer.Claims{Set: set{"client_id": "bad", "azp": "x"}}, true},
		"appid":                 {fakeissuer.IssuerPerRegion, named("cid", "appid"), fakeissuer.Claims{Set: set{"appid": "bad", "azp": "x"}}, true},
		"azp behind appid":      {fakeissuer.IssuerPerRegion, named("appid"), fakeissuer.Claims{Set: set{"appid": "x", "azp": "bad"}}, true},
		"a third name":          {fakeissuer.IssuerPerRegion, named("oid", "appid", "cid"), fakeissuer.Claims{Set: set{"azp": "x", "cid": "bad"}}, true},
		"a path":                {fakeissuer.IssuerPerRegion, named("appid", "/app/id"), fakeissuer.Claims{Set: set{"azp": "x", "app": set{"id": "bad"}}}, true},
		"a null behind azp":     {fakeissuer.IssuerPerRegion, named("azp", "client_id"), fakeissuer.Claims{Set: set{"azp": "bad", "client_id": json.RawMessage("null")}}, true},
		"appid that none names": {fakeissuer.IssuerPerRegion, named("azp"), fakeissuer.Claims{Set: set{"appid": "bad"}}, false},
		"aud of an access token": {
			fakeissuer.IssuerPerRegion, id(verifier.Audience("bad")), fakeissuer.Claims{Audience: []string{"bad"}}, false,
		},
		"aud of an ID token": {
			fakeissuer.IssuerPerRegion, id(verifier.IDToken("bad")), fakeissuer.Claims{IDToken: true, Audience: []string{"bad"}}, true,
		},
		"second aud of an ID token": {
			fakeissuer.IssuerPerRegion, id(verifier.IDToken("x", "bad")),
			fakeissuer.Claims{IDToken: true, Audience: []string{"x", "bad"}, Set: set{"azp": "x"}},
			true,
		},
		"aud of an ID token of Cognito": {
			fakeissuer.Cognito, id(verifier.CognitoID("bad")), fakeissuer.Claims{IDToken: true, ClientID: "bad"}, true,
		},
		"Cognito": {fakeissuer.Cognito, id(verifier.CognitoAccess("bad")), fakeissuer.Claims{ClientID: "bad"}, true},
		"aud of a resource of Cognito": {
			fakeissuer.Cognito, id(verifier.AllOf(verifier.CognitoAccess("x"), verifier.Audience("bad"))),
			fakeissuer.Claims{ClientID: "x", Audience: []string{"bad"}},
			false,
		},
		"others":   {fakeissuer.IssuerPerRegion, named("azp", "appid"), fakeissuer.Claims{Set: set{"azp": "x", "client_id": "Bad"}}, false},
		"no claim": {fakeissuer.IssuerPerRegion, named(), fakeissuer.Claims{Set: set{"client_id": nil}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, more := range []revocation.Rule{{}, {Subject: "mallory"}, {IssuedBefore: time.Now().Add(time.Hour)}} {
				list, err := revocation.New(revocation.Config{})
				require.NoError(t, err)
				p := trusting(t, list, c.layout, c.change)
				c.claims.Subject = "mallory"
				tok := p.verified(east, c.claims)
				rule := more
				rule.Provider, rule.ClientID = tok.Provider(), "bad"
				_, err = list.Add(t.Context(), rule)
				require.NoError(t, err)
				found, err := list.Revoked(tok)
				require.NoError(t, err)
				require.Equal(t, c.match, found != "")
				again := p.Recheck(t.Context(), tok)
				require.Equal(t, c.match, again != nil)
			}
		})
	}
}

// Names of clients that come with an Update hold for the tokens of open streams, too.
func TestARecheckKnowsTheClientByTheNamesOfToday(t *testing.T) {
	t.Parallel()
	list, err := revocation.New(revocation.Config{})
	require.NoError(t, err)
	var trust verifier.Policy
	p := trusting(t, list, fakeissuer.IssuerPerRegion, func(tr *verifier.Policy) { trust = *tr })
	tok := p.verified(east, fakeissuer.Claims{Set: map[string]any{"appid": "bad"}})
	_, err = list.Add(t.Context(), revocation.Rule{Provider: "*", ClientID: "bad"})
	require.NoError(t, err)
	require.NoError(t, p.Recheck(t.Context(), tok))
	trust.ClientIDClaims = []string{"client_id", "appid"}
	require.NoError(t, p.Update([]verifier.Policy{trust}))
	require.ErrorIs(t, p.Recheck(t.Context(), tok), verifier.ErrInvalid)
}

// Whatever a token calls somebody, a rule can say it, in a store as well.
func TestWhateverIsAcceptedCanBeNamed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"\x00", "a\nb", "\x1b[2J", "\u009b2J", "\u202esuper\u202c", "\u2066", "\u2028", "\u2029", "\ufffd", "\ufeff", " ", "\"\\",
		"<script>&", "\U0010ffff", strings.Repeat("s", 513), strings.Repeat("\x01", 1500), strings.Repeat("s", 11<<10),
		strings.Repeat("\u202e", 3000), strings.Repeat("<", 1500),
	} {
		shared := store.Dir(filepath.Join(t.TempDir(), "rules"))
		list, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{shared}}})
		require.NoError(t, err)
		require.NoError(t, list.Load(t.Context()))
		p := trusting(t, list, fakeissuer.IssuerPerRegion, func(tr *verifier.Policy) { tr.Audience = verifier.InsecureAnyAudience() })
		for field, c := range map[string]struct {
			rule   revocation.Rule
			claims fakeissuer.Claims
		}{
			"sub":        {revocation.Rule{Subject: name}, fakeissuer.Claims{Subject: name}},
			"client_id":  {revocation.Rule{ClientID: name}, fakeissuer.Claims{ClientID: name}},
			"jti":        {revocation.Rule{TokenID: name}, fakeissuer.Claims{Set: map[string]any{"jti": name}}},
			"origin_jti": {revocation.Rule{OriginTokenID: name}, fakeissuer.Claims{Set: map[string]any{"origin_jti": name}}},
		} {
			tok := p.verified(east, c.claims)
			c.rule.Provider, c.rule.ExpiresAt = tok.Provider(), time.Now().Add(time.Hour)
			id, err := list.Add(t.Context(), c.rule)
			require.NoError(t, err, "%s %q", field, name)
			other, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{shared}}})
			require.NoError(t, err)
			require.NoError(t, other.Load(t.Context()))
			for _, l := range []*revocation.List{list, other} {
				found, err := l.Revoked(tok)
				require.NoError(t, err)
				require.Equal(t, id, found, "%s %q", field, name)
			}
			require.NoError(t, list.Remove(t.Context(), id))
			require.NoError(t, p.Recheck(t.Context(), tok))
		}
	}
}

// Names that a configuration accepts can be said in a rule, too.
func TestWhateverIsConfiguredCanBeNamed(t *testing.T) {
	t.Parallel()
	list, err := revocation.New(revocation.Config{})
	require.NoError(t, err)
	for _, r := range []revocation.Rule{
		{Provider: "a\u202eb", Subject: "s"},
		{Provider: "a", Region: "r\u0085"},
		{Provider: "a", Region: "r" + strings.Repeat("x", 255)},
		{Provider: "a", KeyID: "k\x00\x1b[2J"},
	} {
		_, err := list.Add(t.Context(), r)
		require.NoError(t, err, "%+v", r)
	}
}
