package e2e_test

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// cognito is the Provider of the pool of every test.
func cognito(t *testing.T, mode issuer.CognitoMode) issuer.Provider {
	t.Helper()
	a := issuer.UserPool{ID: pool, Replicas: []string{west}, Mode: mode, Domain: "shop"}.Provider()
	require.Equal(t, "https://"+domain(east)+"/oauth2/token", a.Regions[0].TokenURL)
	return a
}

// validator returns a fresh Validator that knows no key yet.
func validator(t *testing.T, client *http.Client, trust verifier.Policy) *regionjwt.Validator {
	t.Helper()
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{trust}, Keys: jwks.Config{HTTPClient: client}})
	require.NoError(t, err)
	return v
}

// machines trusts the machine tokens of the pool.
func machines(t *testing.T, mode issuer.CognitoMode) verifier.Policy {
	t.Helper()
	return verifier.Policy{Provider: cognito(t, mode), Audience: verifier.CognitoAccess("machine")}
}

func (a *aws) machine(t *testing.T, region, iss string) string {
	t.Helper()
	return a.issue(t, region, iss, grant{client: "machine", scope: scope}).Access
}

func accepted(t *testing.T, v *regionjwt.Validator, raw string) *verifier.Token {
	t.Helper()
	tok, err := v.Verify(t.Context(), raw)
	require.NoError(t, err)
	return tok
}

// refused demands one reason and the one category that goes with it.
func refused(t *testing.T, v *regionjwt.Validator, raw string, reason verifier.Reason) {
	t.Helper()
	tok, err := v.Verify(t.Context(), raw)
	require.Nil(t, tok)
	var e *verifier.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, reason, e.Reason, "%v", err)
	dark := reason == verifier.ReasonKeysUnavailable
	require.Equal(t, dark, isUnavailable(err), "%v", err)
	require.Equal(t, !dark, isInvalid(err), "%v", err)
	require.Equal(t, dark, e.RetryAfter >= time.Second, "%v", err)
}

// modes lists, for each issuer mode, the iss that each region writes into its tokens.
var modes = []struct {
	name       string
	mode       issuer.CognitoMode
	updated    bool // the host of the updated mode has the pool
	east, west string
}{
	{"original", issuer.CognitoOriginal, false, issEast, issWest},
	{"updated", issuer.CognitoUpdated, true, issUpdated, issUpdated},
	{"any, before the switch", issuer.CognitoAny, false, issEast, issWest},
	{"any, after the switch", issuer.CognitoAny, true, issUpdated, issUpdated},
}

// kinds lists the tokens that the pool's clients get.
var kinds = []grant{
	{client: "machine", scope: scope},
	{client: "machine", scope: scope, resource: api},
	{client: "app", user: "alice", scope: scope},
	{client: "app", user: "alice", scope: scope, resource: api},
	{client: "app", user: "alice", scope: scope, resource: otherAPI},
	{client: "plain", scope: scope},
	{client: "plain", scope: scope, resource: api},
}

const (
	ok     = verifier.Reason("")
	badAud = verifier.ReasonBadAudience
	badUse = verifier.ReasonBadAudience // token_use
)

var clients = verifier.CognitoAccess("machine", "app")

// withAudience accepts what a accepts of tokens without an aud, and of those for one of the values.
func withAudience(a verifier.AudiencePolicy, aud ...string) verifier.AudiencePolicy {
	return verifier.AnyOf(a, verifier.AllOf(a, verifier.Audience(aud...)))
}

// bindings lists what each binding makes of each of kinds.
var bindings = []struct {
	name string
	verifier.AudiencePolicy
	want []verifier.Reason
}{
	{"clients", clients, []verifier.Reason{ok, badAud, ok, badAud, badAud, badUse, badUse}},
	{"with audience", withAudience(clients, api), []verifier.Reason{ok, ok, ok, ok, badAud, badUse, badUse}},
	{"one client", verifier.CognitoAccess("app"), []verifier.Reason{badAud, badAud, ok, badAud, badAud, badUse, badUse}},
	{
		"any client", withAudience(verifier.CognitoAccess(verifier.AllowAnyClient), api, otherAPI),
		[]verifier.Reason{ok, ok, ok, ok, ok, badUse, badUse},
	},
	{"audience", verifier.Audience(api), []verifier.Reason{badAud, ok, badAud, ok, badAud, badAud, ok}},
	{"ID tokens", verifier.CognitoID("app", "machine"), slices.Repeat([]verifier.Reason{verifier.ReasonTypNotAllowed}, len(kinds))},
}

// Every kind of token, from each region and in each mode, against every kind of binding.
func TestCognitoAccessTokens(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			world := newAWS(t)
			if m.updated {
				world.switchToUpdated(t)
			}
			raws := map[string][]string{}
			for _, k := range kinds {
				raws[east] = append(raws[east], world.issue(t, east, m.east, k).Access)
				raws[west] = append(raws[west], world.issue(t, west, m.west, k).Access)
			}
			for _, b := range bindings {
				v := validator(t, world.client(), verifier.Policy{Provider: cognito(t, m.mode), Audience: b.AudiencePolicy})
				for i, want := range b.want {
					if want != ok {
						refused(t, v, raws[east][i], want)
						refused(t, v, raws[west][i], want)
						continue
					}
					reports(t, accepted(t, v, raws[east][i]), kinds[i], east, m.east)
					reports(t, accepted(t, v, raws[west][i]), kinds[i], west, m.west)
				}
			}
		})
	}
}

// reports demands that a token says what it was issued with.
func reports(t *testing.T, tok *verifier.Token, g grant, region, iss string) {
	t.Helper()
	require.Equal(t, pool, tok.Provider())
	require.Equal(t, iss, tok.Issuer())
	require.Contains(t, tok.Regions(), region)
	require.Equal(t, g.client, tok.ClientID())
	require.Equal(t, cmp.Or(g.user, g.client), tok.Subject())
	require.Equal(t, []string{scope}, slices.Collect(tok.Scopes()))
	require.Equal(t, g.resource, strings.Join(slices.Collect(tok.Audience()), " "))
	claims, err := verifier.ClaimsOf[struct {
		Groups []string `json:"cognito:groups"`
	}](tok)
	require.NoError(t, err)
	require.Equal(t, g.user != "", slices.Equal(claims.Groups, []string{"admins"}))
}

func TestCognitoIDTokens(t *testing.T) {
	t.Parallel()
	world := newAWS(t)
	got := world.issue(t, west, issWest, grant{client: "app", user: "alice", scope: "openid " + scope})
	check := func(b verifier.AudiencePolicy) *regionjwt.Validator {
		return validator(t, world.client(), verifier.Policy{Provider: cognito(t, issuer.CognitoOriginal), Audience: b})
	}
	tok := accepted(t, check(verifier.CognitoID("app")), got.ID)
	require.Equal(t, "alice", tok.Subject())
	require.Equal(t, "id", tok.Claim("token_use"))
	require.True(t, accepted(t, check(verifier.CognitoAccess("app")), got.Access).HasGroup("admins"))
	require.Equal(t, "alice", accepted(t, check(verifier.IDToken("app")), got.ID).Subject())
	refused(t, check(verifier.CognitoID("other")), got.ID, verifier.ReasonBadAudience)
	refused(t, check(verifier.CognitoAccess("app")), got.ID, verifier.ReasonBadAudience)
	refused(t, check(verifier.CognitoID("app")), got.Access, verifier.ReasonTypNotAllowed)
	refused(t, check(verifier.IDToken("app")), got.Access, verifier.ReasonTypNotAllowed)
}

// In the original mode a replica may write the primary's iss: the key then tells the region.
func TestReplicaWithThePrimarysIssuer(t *testing.T) {
	t.Parallel()
	world := newAWS(t)
	v := validator(t, world.client(), machines(t, issuer.CognitoOriginal))
	raws := map[string]string{east: world.machine(t, east, issEast), west: world.machine(t, west, issEast)}
	for region, raw := range raws {
		eventually(t, func() bool { return accepted(t, v, raw).Region() == region }) // until both regions have answered
	}
}

// A token that no region of the pool may issue is rejected, whatever key signed it.
func TestForeignIssuers(t *testing.T) {
	t.Parallel()
	world := newAWS(t)
	world.switchToUpdated(t)
	for name, c := range map[string]struct {
		mode        issuer.CognitoMode
		region, iss string
		want        verifier.Reason
	}{
		"the replica's own updated issuer":   {issuer.CognitoUpdated, west, "https://issuer-cognito-idp.us-west-2.amazonaws.com/" + pool, verifier.ReasonUnknownIssuer},
		"an original issuer where updated":   {issuer.CognitoUpdated, east, issEast, verifier.ReasonUnknownIssuer},
		"an updated issuer where original":   {issuer.CognitoOriginal, east, issUpdated, verifier.ReasonUnknownIssuer},
		"a region that is no replica":        {issuer.CognitoAny, west, "https://cognito-idp.eu-west-1.amazonaws.com/" + pool, verifier.ReasonUnknownIssuer},
		"another pool of the same host":      {issuer.CognitoAny, east, "https://" + hostEast + "/us-east-1_Other", verifier.ReasonUnknownIssuer},
		"the replica's, signed by the other": {issuer.CognitoOriginal, east, issWest, verifier.ReasonUnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := validator(t, world.client(), machines(t, c.mode))
			raw := world.machine(t, c.region, c.iss)
			refused(t, v, raw, c.want)
			require.NoError(t, v.Preload(t.Context()))
			refused(t, v, raw, c.want)
		})
	}
}

// While the pool is switched to the updated mode, tokens of both modes are about.
func TestIssuerSwitch(t *testing.T) {
	t.Parallel()
	world := newAWS(t)
	v := validator(t, world.client(), machines(t, issuer.CognitoAny))
	before := []string{world.machine(t, east, issEast), world.machine(t, west, issWest)}
	for _, raw := range before {
		accepted(t, v, raw) // though the host of the updated mode answers 403
	}
	world.switchToUpdated(t)
	after := []string{world.machine(t, east, issUpdated), world.machine(t, west, issUpdated)}
	fresh := validator(t, world.client(), machines(t, issuer.CognitoAny))
	for _, raw := range slices.Concat(after, before) {
		accepted(t, v, raw)
		accepted(t, fresh, raw)
	}
}

// A key is put in use while the provider runs. The first tokens that it signs verify in the very call that shows them,
// however many come at once, with one fetch.
func TestLiveRotation(t *testing.T) {
	t.Parallel()
	world := newAWS(t)
	v := validator(t, world.client(), machines(t, issuer.CognitoOriginal))
	old := world.machine(t, west, issWest)
	accepted(t, v, old)
	fetched := world.fetched(hostWest)
	world.rings[west].rotate(t, goidc.RS256)
	raw := world.machine(t, west, issWest)
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			tok, err := v.Verify(t.Context(), raw)
			if err != nil || tok.ClientID() != "machine" {
				t.Errorf("a token of the new key: %v", err)
			}
		})
	}
	callers.Wait()
	accepted(t, v, old)
	require.LessOrEqual(t, world.fetched(hostWest), fetched+2, "one, or another one if the first took a second")
}

// Other providers sign with other algorithms. Here several share a host, and their keys are found by OpenID discovery.
func TestAlgorithmsAndDiscovery(t *testing.T) {
	t.Parallel()
	world := newAWS(t)
	for _, alg := range []goidc.SignatureAlgorithm{"RS256", "RS512", "PS256", "ES256", "EdDSA"} {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			keys := newRing(t, alg)
			tenant := "tenant-" + string(alg)
			iss := "https://" + hostEast + "/" + tenant
			world.publish(hostEast, tenant, newProvider(t, iss, keys))
			endpoint := iss + "/oauth2/token"
			raw := requestTokens(t, world.client(), endpoint, "plain", form(grant{scope: scope, resource: api})).Access
			trust := verifier.Policy{
				Provider: issuer.Provider{ID: tenant, Regions: []issuer.Region{{Name: east, Issuers: []string{iss}}}},
				Audience: verifier.Audience(api),
			}
			if v := validator(t, world.client(), trust); alg == "RS512" {
				refused(t, v, raw, verifier.ReasonAlgNotAllowed) // not by default
			} else {
				require.Equal(t, east, accepted(t, v, raw).Region())
			}
			trust.Algorithms, trust.Types = []string{string(alg)}, []string{"at+jwt"}
			accepted(t, validator(t, world.client(), trust), raw)
			trust.Algorithms = []string{"ES384"}
			refused(t, validator(t, world.client(), trust), raw, verifier.ReasonAlgNotAllowed)
		})
	}
}
