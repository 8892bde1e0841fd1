package verifier_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	east = "us-east-1"
	west = "us-west-2"
)

// newVerifier makes a verifier of one fake provider in memory. change may alter the trust and the configuration.
func newVerifier(t testing.TB, w *fakeissuer.Server, change func(*verifier.Policy, *parts)) *verifier.Verifier {
	t.Helper()
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	c := parts{Keys: cache}
	trust := verifier.Policy{
		Provider:   w.Provider(),
		Audience:   verifier.Audience(fakeissuer.Audience),
		Algorithms: []string{"RS256", "ES256", "EdDSA"},
	}
	if strings.HasPrefix(trust.Provider.Regions[0].Issuers[0], "https://cognito-idp.") {
		trust.Audience = verifier.CognitoAccess(fakeissuer.ClientID)
	}
	if change != nil {
		change(&trust, &c)
	}
	c.Policies = []verifier.Policy{trust}
	v, err := c.New()
	require.NoError(t, err)
	return v
}

func fast(layout fakeissuer.Layout) fakeissuer.Config {
	return fakeissuer.Config{Layout: layout, Algorithm: "ES256"}
}

func TestProvenance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config     fakeissuer.Config
		east, west []string // possible regions
	}{
		"RS256 user pool":            {fakeissuer.Config{Mode: issuer.CognitoOriginal}, []string{east, west}, []string{west}},
		"issuer per region, EdDSA":   {fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "EdDSA"}, []string{east}, []string{west}},
		"one issuer, other keys":     {fast(fakeissuer.OneIssuer), []string{east}, []string{west}},
		"one issuer, mirrored":       {fast(fakeissuer.OneIssuerSharedKeys), []string{east, west}, []string{east, west}},
		"discovered, issuer by name": {fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", Discovery: true}, []string{east}, []string{west}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := fakeissuer.New(t, c.config)
				v := newVerifier(t, w, nil)
				for _, region := range []string{east, west} { // both regions have answered from here on
					_, err := v.Verify(t.Context(), w.Issue(region, fakeissuer.Claims{}))
					require.NoError(t, err)
				}
				for region, possible := range map[string][]string{east: c.east, west: c.west} {
					tok, err := v.Verify(t.Context(), w.Issue(region, fakeissuer.Claims{Groups: []string{"admin", "ops"}}))
					require.NoError(t, err)
					require.Equal(t, possible, tok.Regions())
					want := ""
					if len(possible) == 1 {
						want = region
					}
					require.Equal(t, want, tok.Region())
					require.Equal(t, w.Provider().ID, tok.Provider())
					require.Equal(t, fakeissuer.Subject, tok.Subject())
					require.Equal(t, fakeissuer.ClientID, tok.ClientID())
					require.Equal(t, w.KeyID(region), tok.Key().ID())
					require.Len(t, tok.Key().Thumbprint(), 43)
					require.Zero(t, tok.Key().Age())
					require.Equal(t, "fetched", tok.Key().Origin())
					require.Len(t, tok.ID(), 32)
					require.True(t, tok.HasScope("orders/read"))
					require.False(t, tok.HasScope("orders/rea"))
					require.False(t, tok.HasScope(""))
					require.True(t, tok.HasGroup("admin"))
					require.False(t, tok.HasGroup("Admin"))
					require.Equal(t, []string{"openid", "orders/read"}, slices.Collect(tok.Scopes()))
					require.Equal(t, []string{"admin", "ops"}, slices.Collect(tok.Groups()))
					require.Equal(t, time.Hour, time.Until(tok.Expiry()))
					require.Equal(t, time.Minute, time.Since(tok.IssuedAt()))
				}
			})
		})
	}
}

// what a token must not be, one thing at a time, and the reason.
func TestSpoiledTokens(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 17<<10)
	for name, c := range map[string]struct {
		claims fakeissuer.Claims
		want   verifier.Reason
	}{
		"expired":           {fakeissuer.Claims{ExpiresIn: -time.Minute}, verifier.ReasonExpired},
		"future":            {fakeissuer.Claims{IssuedAgo: -time.Minute}, verifier.ReasonNotYetValid},
		"nbf":               {fakeissuer.Claims{Set: map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}}, verifier.ReasonNotYetValid},
		"other audience":    {fakeissuer.Claims{Audience: []string{"other"}}, verifier.ReasonBadAudience},
		"no audience":       {fakeissuer.Claims{Set: map[string]any{"aud": nil}}, verifier.ReasonBadAudience},
		"unknown issuer":    {fakeissuer.Claims{Issuer: "https://idp.example/other"}, verifier.ReasonUnknownIssuer},
		"no issuer":         {fakeissuer.Claims{Set: map[string]any{"iss": nil}}, verifier.ReasonMalformed},
		"no exp":            {fakeissuer.Claims{Set: map[string]any{"exp": nil}}, verifier.ReasonMalformed},
		"typ":               {fakeissuer.Claims{Header: map[string]any{"typ": "dpop+jwt"}}, verifier.ReasonTypNotAllowed},
		"empty typ":         {fakeissuer.Claims{Header: map[string]any{"typ": ""}}, verifier.ReasonTypNotAllowed},
		"cty":               {fakeissuer.Claims{Header: map[string]any{"cty": "JWT"}}, verifier.ReasonTypNotAllowed},
		"crit":              {fakeissuer.Claims{Header: map[string]any{"crit": []string{"exp"}}}, verifier.ReasonMalformed},
		"alg none":          {fakeissuer.Claims{Header: map[string]any{"alg": "none"}}, verifier.ReasonAlgNotAllowed},
		"alg not allowed":   {fakeissuer.Claims{Header: map[string]any{"alg": "ES384"}}, verifier.ReasonAlgNotAllowed},
		"alg of other keys": {fakeissuer.Claims{Header: map[string]any{"alg": "RS256"}}, verifier.ReasonUnknownKey},
		"no alg":            {fakeissuer.Claims{Header: map[string]any{"alg": nil}}, verifier.ReasonMalformed},
		"no kid":            {fakeissuer.Claims{Header: map[string]any{"kid": nil}}, verifier.ReasonMalformed},
		"long kid":          {fakeissuer.Claims{Header: map[string]any{"kid": long[:257]}}, verifier.ReasonMalformed},
		"typ a number":      {fakeissuer.Claims{Header: map[string]any{"typ": 1}}, verifier.ReasonMalformed},
		"no iat":            {fakeissuer.Claims{Set: map[string]any{"tenant": 1, "iat": nil}}, verifier.ReasonMissingClaim},
		"unknown kid":       {fakeissuer.Claims{Header: map[string]any{"kid": "x"}}, verifier.ReasonUnknownKey},
		"forged":            {fakeissuer.Claims{Forged: true}, verifier.ReasonBadSignature},
		"too large":         {fakeissuer.Claims{Set: map[string]any{"x": long}}, verifier.ReasonMalformed},
		"required claim":    {fakeissuer.Claims{Set: map[string]any{"tenant": nil}}, verifier.ReasonMissingClaim},
		"too old":           {fakeissuer.Claims{Set: map[string]any{"tenant": 1}, IssuedAgo: 2 * time.Hour}, verifier.ReasonTooOld},
		"scope a list":      {fakeissuer.Claims{Set: map[string]any{"scope": []any{"a", 1}}}, verifier.ReasonMalformed},
		"client a number":   {fakeissuer.Claims{Set: map[string]any{"client_id": 1}}, verifier.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
			v := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) {
				tr.RequiredClaims, tr.MaxAge = []string{"tenant"}, time.Hour
			})
			_, err := v.Verify(t.Context(), w.Issue(east, c.claims))
			require.Equal(t, string(c.want), reasonOf(t, err))
			require.ErrorIs(t, err, verifier.ErrInvalid)
		})
	}
}

// Keys never count for another region's issuer, nor for another provider.
func TestKeysAreBound(t *testing.T) {
	t.Parallel()
	one := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	v := newVerifier(t, one, nil)
	_, err := v.Verify(t.Context(), one.Issue(east, fakeissuer.Claims{KeyOf: west}))
	require.Equal(t, "unknown_key", reasonOf(t, err))
	two := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	_, err = v.Verify(t.Context(), one.Issue(east, fakeissuer.Claims{Signer: two}))
	require.Equal(t, "unknown_key", reasonOf(t, err))
	_, err = v.Verify(t.Context(), one.Issue(east, fakeissuer.Claims{Signer: two, Header: map[string]any{"kid": one.KeyID(east)}}))
	require.Equal(t, "bad_signature", reasonOf(t, err))
}

func TestKeyOutageIsNeverInvalid(t *testing.T) {
	t.Parallel()
	for _, spoil := range []func(*fakeissuer.Server){
		func(w *fakeissuer.Server) { w.Break(east) },
		func(w *fakeissuer.Server) { w.Hang(east) },
		func(w *fakeissuer.Server) { w.Status(east, 503, nil) },
		func(w *fakeissuer.Server) { w.Corrupt(east, []byte("{}")) },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
			spoil(w)
			v := newVerifier(t, w, nil)
			_, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{}))
			require.ErrorIs(t, err, verifier.ErrUnavailable)
			require.NotErrorIs(t, err, verifier.ErrInvalid)
			var e *verifier.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, verifier.ReasonKeysUnavailable, e.Reason)
			require.Equal(t, "test-provider", e.Provider)
			require.Equal(t, east, e.Region)
			require.GreaterOrEqual(t, e.RetryAfter, time.Second)
			fetches := w.Fetches(east)
			for _, c := range []fakeissuer.Claims{
				{ExpiresIn: -time.Hour}, {Audience: []string{"x"}}, {Header: map[string]any{"alg": "none"}},
			} {
				_, err = v.Verify(t.Context(), w.Issue(east, c))
				require.ErrorIs(t, err, verifier.ErrInvalid, "what cannot be valid is told so, whatever the network does")
			}
			require.Equal(t, fetches, w.Fetches(east), "and causes no fetch")
			_, err = v.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{}))
			require.NoError(t, err)
		})
	}
}

// A signature that does not match the known key proves nothing while another region may have a key of the same name.
func TestDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fast(fakeissuer.OneIssuer))
		w.Break(west)
		v := newVerifier(t, w, nil)
		forged := w.Issue(east, fakeissuer.Claims{Forged: true})
		_, err := v.Verify(t.Context(), forged)
		require.Equal(t, "keys_unavailable", reasonOf(t, err))
		w.Restore(west)
		time.Sleep(2 * time.Second)
		_, err = v.Verify(t.Context(), w.Issue(west, fakeissuer.Claims{}))
		require.NoError(t, err)
		_, err = v.Verify(t.Context(), forged)
		require.Equal(t, "bad_signature", reasonOf(t, err))
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	keys := &fixed{}
	with := func(change func(*verifier.Policy)) parts {
		trust := verifier.Policy{Provider: w.Provider(), Audience: verifier.Audience("a")}
		change(&trust)
		return parts{Keys: keys, Policies: []verifier.Policy{trust}}
	}
	other := w.Provider()
	other.ID = "other"
	good := verifier.Policy{Provider: w.Provider(), Audience: verifier.Audience("a")}
	for name, c := range map[string]struct {
		config parts
		want   []string
	}{
		"nothing":        {parts{}, []string{"key source is nil", "there is no Policy"}},
		"no binding":     {with(func(tr *verifier.Policy) { tr.Audience = verifier.AudiencePolicy{} }), []string{"Audience: it is not set"}},
		"no audience":    {with(func(tr *verifier.Policy) { tr.Audience = verifier.Audience() }), []string{"there is no audience"}},
		"empty audience": {with(func(tr *verifier.Policy) { tr.Audience = verifier.Audience("a", "") }), []string{"is empty"}},
		"no client":      {with(func(tr *verifier.Policy) { tr.Audience = verifier.CognitoAccess() }), []string{"there is no audience or client ID"}},
		"empty client":   {with(func(tr *verifier.Policy) { tr.Audience = verifier.CognitoID("") }), []string{"is empty"}},
		"any and some":   {with(func(tr *verifier.Policy) { tr.Audience = verifier.CognitoAccess("c", verifier.AllowAnyClient) }), []string{"is the only client"}},
		"some and any":   {with(func(tr *verifier.Policy) { tr.Audience = verifier.CognitoID(verifier.AllowAnyClient, "c") }), []string{"is the only client"}},
		"empty resource": {with(func(tr *verifier.Policy) {
			tr.Audience = verifier.AnyOf(verifier.CognitoAccess("c"), verifier.Audience(""))
		}), []string{"is empty"}},
		"no parts":      {with(func(tr *verifier.Policy) { tr.Audience = verifier.AnyOf() }), []string{"at least one policy"}},
		"no parts, all": {with(func(tr *verifier.Policy) { tr.Audience = verifier.AnyOf(verifier.Audience("a"), verifier.AllOf()) }), []string{"at least one policy"}},
		"an unset part": {with(func(tr *verifier.Policy) {
			tr.Audience = verifier.AllOf(verifier.Audience("a"), verifier.AudiencePolicy{})
		}), []string{"it is not set"}},
		"both kinds": {with(func(tr *verifier.Policy) {
			tr.Audience = verifier.AllOf(verifier.Audience("a"), verifier.CognitoID("a"))
		}), []string{"an access token and an ID token at once"}},
		"both, nested": {with(func(tr *verifier.Policy) {
			tr.Audience = verifier.AnyOf(verifier.Audience("a"), verifier.AllOf(verifier.IDToken("a"), verifier.AnyOf(verifier.CognitoAccess("a"))))
		}), []string{"an access token and an ID token at once"}},
		"two clients": {with(func(tr *verifier.Policy) {
			tr.Audience = verifier.AllOf(verifier.CognitoAccess("a", "b"), verifier.AllOf(verifier.CognitoAccess("c")))
		}), []string{"two different clients"}},
		"HS256":    {with(func(tr *verifier.Policy) { tr.Algorithms = []string{"HS256", "none"} }), []string{`"HS256"`, `"none"`}},
		"odd type": {with(func(tr *verifier.Policy) { tr.Types = []string{"application/"} }), []string{"not a media type"}},
		"two types in one": {with(func(tr *verifier.Policy) {
			tr.Types = []string{"", "application/vnd.x+jwt", "urn:example:typ", "a/example;part=\"1/2\"", "at+jwt JWT", "at+jwt,JWT", "jwt\n"}
		}), []string{`"at+jwt JWT" of Types is not a media type: list each one by itself`, `"at+jwt,JWT" of`, `"jwt\n" of`}},
		"negative age":  {with(func(tr *verifier.Policy) { tr.MaxAge = -1 }), []string{"MaxAge"}},
		"empty claim":   {with(func(tr *verifier.Policy) { tr.RequiredClaims = []string{""} }), []string{"claim name is empty"}},
		"leeway":        {parts{Config: verifier.Config{Leeway: 6 * time.Minute}}, []string{"Leeway 6m0s is longer than 5m0s"}},
		"size":          {parts{Config: verifier.Config{MaxTokenBytes: -1}}, []string{"MaxTokenBytes"}},
		"same provider": {parts{Keys: keys, Policies: []verifier.Policy{good, good}}, []string{"has two policies"}},
		"same issuer": {
			parts{Keys: keys, Policies: []verifier.Policy{good, {Provider: other, Audience: good.Audience}}},
			[]string{`listed by the providers "test-provider" and "other"`},
		},
		"everything at once": {
			parts{Config: verifier.Config{Leeway: time.Hour}, Policies: []verifier.Policy{{
				Provider:   issuer.Provider{ID: "a", Regions: []issuer.Region{{Name: "r", Issuers: []string{"ftp://idp.example"}}}},
				Algorithms: []string{"HS256"},
			}}},
			[]string{"key source is nil", "Leeway", `issuer "ftp://idp.example": not an https URL`, "Audience: it is not set", "HS256"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.config.New()
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestTypesAreComparedInASCII(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	v := newVerifier(t, w, func(tr *verifier.Policy, _ *parts) { tr.Types = []string{"kb+jwt", "a/kb+jwt"} })
	for typ, want := range map[string]string{"KB+jwt": "", "application/kb+JWT": "", "\u212ab+jwt": "typ_not_allowed", "a/application/kb+jwt": "typ_not_allowed", "A/kb+jwt": "", "application/a/kb+jwt": "typ_not_allowed"} {
		_, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{Header: map[string]any{"typ": typ}}))
		require.Equal(t, want, reasonOf(t, err), typ)
	}
}

// What New has not made refuses, and does not panic.
func TestZeroValues(t *testing.T) {
	t.Parallel()
	tok := new(verifier.Token)
	require.Empty(t, tok.Provider()+tok.Region()+tok.Subject())
	require.Nil(t, tok.Key())
	require.Nil(t, tok.Claim("sub"))
	require.False(t, tok.HasGroup("g") || tok.HasScope("s"))
	_, err := verifier.ClaimsOf[map[string]any](tok)
	require.Error(t, err)
	v := new(verifier.Verifier)
	_, err = v.Verify(t.Context(), "a.b.c")
	require.ErrorIs(t, err, verifier.ErrUnavailable)
	require.ErrorIs(t, v.Recheck(t.Context(), tok), verifier.ErrUnavailable)
	require.Nil(t, v.Changed(), "nothing will ever change")
	require.False(t, new(jwks.Cache).Lookup(t.Context(), jwks.Query{Issuer: "iss", KeyID: "kid"}).Complete)
}

func TestContext(t *testing.T) {
	t.Parallel()
	require.Nil(t, verifier.FromContext(t.Context()))
	require.Nil(t, verifier.FromContext(verifier.NewContext(t.Context(), nil)))
	tok := new(verifier.Token)
	require.Same(t, tok, verifier.FromContext(verifier.NewContext(t.Context(), tok)))
}

func TestErrorsOfOneCategory(t *testing.T) {
	t.Parallel()
	for reason, category := range map[verifier.Reason]error{
		verifier.ReasonMalformed: verifier.ErrInvalid, verifier.ReasonInsufficientScope: verifier.ErrForbidden,
		verifier.ReasonKeysUnavailable: verifier.ErrUnavailable, verifier.ReasonRulesUnavailable: verifier.ErrUnavailable,
		verifier.ReasonUnknownKeyRateLimited: verifier.ErrRateLimited, "of tomorrow": verifier.ErrInvalid, "": verifier.ErrInvalid,
	} {
		err := &verifier.Error{Reason: reason}
		reasonOf(t, err)
		require.ErrorIs(t, err, category, reason)
	}
	require.Equal(t, "token rejected: missing_claim (tenant), provider a: cause", (&verifier.Error{
		Reason: verifier.ReasonMissingClaim, Detail: "tenant", Provider: "a", Err: errors.New("cause"),
	}).Error())
}
