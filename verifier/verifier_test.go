package verifier_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	east = "us-east-1"
	west = "us-west-2"
)

// newVerifier makes a verifier of one world in memory. change may alter the trust and the configuration.
func newVerifier(t testing.TB, w *issuertest.World, change func(*verifier.Policy, *verifier.Config)) *verifier.Verifier {
	t.Helper()
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	c := verifier.Config{Keys: cache}
	trust := verifier.Policy{
		Provider:   w.Provider(),
		Audience:   verifier.Audience(issuertest.Audience),
		Algorithms: []string{"RS256", "ES256", "EdDSA"},
	}
	if strings.HasPrefix(trust.Provider.Regions[0].Issuers[0], "https://cognito-idp.") {
		trust.Audience = verifier.CognitoAccess(issuertest.ClientID)
	}
	if change != nil {
		change(&trust, &c)
	}
	c.Policies = []verifier.Policy{trust}
	v, err := verifier.New(c)
	require.NoError(t, err)
	return v
}

func fast(layout issuertest.Layout) issuertest.Config {
	return issuertest.Config{Layout: layout, Algorithm: "ES256"}
}

func TestProvenance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config     issuertest.Config
		east, west []string // possible regions
	}{
		"RS256 user pool":            {issuertest.Config{Issuer: issuer.Original}, []string{east, west}, []string{west}},
		"issuer per region, EdDSA":   {issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "EdDSA"}, []string{east}, []string{west}},
		"one issuer, other keys":     {fast(issuertest.OneIssuer), []string{east}, []string{west}},
		"one issuer, mirrored":       {fast(issuertest.OneIssuerMirrored), []string{east, west}, []string{east, west}},
		"discovered, issuer by name": {issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256", Discovery: true}, []string{east}, []string{west}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := issuertest.New(t, c.config)
				v := newVerifier(t, w, nil)
				for _, region := range []string{east, west} { // both regions have answered from here on
					_, err := v.Verify(t.Context(), w.Token(region, issuertest.Claims{}))
					require.NoError(t, err)
				}
				for region, possible := range map[string][]string{east: c.east, west: c.west} {
					tok, err := v.Verify(t.Context(), w.Token(region, issuertest.Claims{Groups: []string{"admin", "ops"}}))
					require.NoError(t, err)
					require.Equal(t, possible, tok.Regions())
					want := ""
					if len(possible) == 1 {
						want = region
					}
					require.Equal(t, want, tok.Region())
					require.Equal(t, w.Provider().ID, tok.Provider())
					require.Equal(t, issuertest.Subject, tok.Subject())
					require.Equal(t, issuertest.ClientID, tok.ClientID())
					require.Equal(t, w.KeyID(region), tok.KeyID())
					require.Len(t, tok.KeyThumbprint(), 43)
					require.Zero(t, tok.KeyAge())
					require.Equal(t, "fetched", tok.KeyOrigin())
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
		claims issuertest.Claims
		want   verifier.Reason
	}{
		"expired":           {issuertest.Claims{ExpiresIn: -time.Minute}, verifier.ReasonExpired},
		"future":            {issuertest.Claims{IssuedAgo: -time.Minute}, verifier.ReasonNotYetValid},
		"nbf":               {issuertest.Claims{Set: map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}}, verifier.ReasonNotYetValid},
		"other audience":    {issuertest.Claims{Audience: []string{"other"}}, verifier.ReasonBadAudience},
		"no audience":       {issuertest.Claims{Set: map[string]any{"aud": nil}}, verifier.ReasonBadAudience},
		"unknown issuer":    {issuertest.Claims{Issuer: "https://idp.example/other"}, verifier.ReasonUnknownIssuer},
		"no issuer":         {issuertest.Claims{Set: map[string]any{"iss": nil}}, verifier.ReasonMalformed},
		"no exp":            {issuertest.Claims{Set: map[string]any{"exp": nil}}, verifier.ReasonMalformed},
		"typ":               {issuertest.Claims{Header: map[string]any{"typ": "dpop+jwt"}}, verifier.ReasonTypNotAllowed},
		"empty typ":         {issuertest.Claims{Header: map[string]any{"typ": ""}}, verifier.ReasonTypNotAllowed},
		"cty":               {issuertest.Claims{Header: map[string]any{"cty": "JWT"}}, verifier.ReasonTypNotAllowed},
		"crit":              {issuertest.Claims{Header: map[string]any{"crit": []string{"exp"}}}, verifier.ReasonMalformed},
		"alg none":          {issuertest.Claims{Header: map[string]any{"alg": "none"}}, verifier.ReasonAlgNotAllowed},
		"alg not allowed":   {issuertest.Claims{Header: map[string]any{"alg": "ES384"}}, verifier.ReasonAlgNotAllowed},
		"alg of other keys": {issuertest.Claims{Header: map[string]any{"alg": "RS256"}}, verifier.ReasonUnknownKey},
		"no alg":            {issuertest.Claims{Header: map[string]any{"alg": nil}}, verifier.ReasonMalformed},
		"no kid":            {issuertest.Claims{Header: map[string]any{"kid": nil}}, verifier.ReasonMalformed},
		"long kid":          {issuertest.Claims{Header: map[string]any{"kid": long[:257]}}, verifier.ReasonMalformed},
		"typ a number":      {issuertest.Claims{Header: map[string]any{"typ": 1}}, verifier.ReasonMalformed},
		"no iat":            {issuertest.Claims{Set: map[string]any{"tenant": 1, "iat": nil}}, verifier.ReasonMissingClaim},
		"unknown kid":       {issuertest.Claims{Header: map[string]any{"kid": "x"}}, verifier.ReasonUnknownKey},
		"forged":            {issuertest.Claims{Forge: true}, verifier.ReasonBadSignature},
		"too large":         {issuertest.Claims{Set: map[string]any{"x": long}}, verifier.ReasonTooLarge},
		"required claim":    {issuertest.Claims{Set: map[string]any{"tenant": nil}}, verifier.ReasonMissingClaim},
		"too old":           {issuertest.Claims{Set: map[string]any{"tenant": 1}, IssuedAgo: 2 * time.Hour}, verifier.ReasonTooOld},
		"scope a list":      {issuertest.Claims{Set: map[string]any{"scope": []string{"a"}}}, verifier.ReasonMalformed},
		"client a number":   {issuertest.Claims{Set: map[string]any{"client_id": 1}}, verifier.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
			v := newVerifier(t, w, func(tr *verifier.Policy, _ *verifier.Config) {
				tr.RequiredClaims, tr.MaxAge = []string{"tenant"}, time.Hour
			})
			_, err := v.Verify(t.Context(), w.Token(east, c.claims))
			require.Equal(t, c.want.String(), reasonOf(t, err))
			require.ErrorIs(t, err, verifier.ErrInvalid)
		})
	}
}

// Keys never count for another region's issuer, nor for another authority.
func TestKeysAreBound(t *testing.T) {
	t.Parallel()
	one := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	v := newVerifier(t, one, nil)
	_, err := v.Verify(t.Context(), one.Token(east, issuertest.Claims{KeyOf: west}))
	require.Equal(t, "unknown_key", reasonOf(t, err))
	two := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	_, err = v.Verify(t.Context(), one.Token(east, issuertest.Claims{Signer: two}))
	require.Equal(t, "unknown_key", reasonOf(t, err))
	_, err = v.Verify(t.Context(), one.Token(east, issuertest.Claims{Signer: two, Header: map[string]any{"kid": one.KeyID(east)}}))
	require.Equal(t, "bad_signature", reasonOf(t, err))
}

func TestKeyOutageIsNeverInvalid(t *testing.T) {
	t.Parallel()
	for _, spoil := range []func(*issuertest.World){
		func(w *issuertest.World) { w.Break(east) },
		func(w *issuertest.World) { w.Hang(east) },
		func(w *issuertest.World) { w.Status(east, 503, nil) },
		func(w *issuertest.World) { w.Corrupt(east, []byte("{}")) },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
			spoil(w)
			v := newVerifier(t, w, nil)
			_, err := v.Verify(t.Context(), w.Token(east, issuertest.Claims{}))
			require.ErrorIs(t, err, verifier.ErrUnavailable)
			require.NotErrorIs(t, err, verifier.ErrInvalid)
			var e *verifier.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, verifier.ReasonKeysUnavailable, e.Reason)
			require.Equal(t, "test-authority", e.Provider)
			require.Equal(t, east, e.Region)
			require.GreaterOrEqual(t, e.RetryAfter, time.Second)
			fetches := w.Fetches(east)
			for _, c := range []issuertest.Claims{
				{ExpiresIn: -time.Hour}, {Audience: []string{"x"}}, {Header: map[string]any{"alg": "none"}},
			} {
				_, err = v.Verify(t.Context(), w.Token(east, c))
				require.ErrorIs(t, err, verifier.ErrInvalid, "what cannot be valid is told so, whatever the network does")
			}
			require.Equal(t, fetches, w.Fetches(east), "and causes no fetch")
			_, err = v.Verify(t.Context(), w.Token(west, issuertest.Claims{}))
			require.NoError(t, err)
		})
	}
}

// A signature that does not match the known key proves nothing while another region may have a key of the same name.
func TestDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := issuertest.New(t, fast(issuertest.OneIssuer))
		w.Break(west)
		v := newVerifier(t, w, nil)
		forged := w.Token(east, issuertest.Claims{Forge: true})
		_, err := v.Verify(t.Context(), forged)
		require.Equal(t, "keys_unavailable", reasonOf(t, err))
		w.Mend(west)
		time.Sleep(2 * time.Second)
		_, err = v.Verify(t.Context(), w.Token(west, issuertest.Claims{}))
		require.NoError(t, err)
		_, err = v.Verify(t.Context(), forged)
		require.Equal(t, "bad_signature", reasonOf(t, err))
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	keys := &fixed{}
	with := func(change func(*verifier.Policy)) verifier.Config {
		trust := verifier.Policy{Provider: w.Provider(), Audience: verifier.Audience("a")}
		change(&trust)
		return verifier.Config{Keys: keys, Policies: []verifier.Policy{trust}}
	}
	other := w.Provider()
	other.ID = "other"
	good := verifier.Policy{Provider: w.Provider(), Audience: verifier.Audience("a")}
	for name, c := range map[string]struct {
		config verifier.Config
		want   []string
	}{
		"nothing":        {verifier.Config{}, []string{"Keys is not set", "Policies is empty"}},
		"no binding":     {with(func(tr *verifier.Policy) { tr.Audience = verifier.AudiencePolicy{} }), []string{"binding: none is set"}},
		"no audience":    {with(func(tr *verifier.Policy) { tr.Audience = verifier.Audience() }), []string{"no audience"}},
		"empty audience": {with(func(tr *verifier.Policy) { tr.Audience = verifier.Audience("a", "") }), []string{"is empty"}},
		"no client":      {with(func(tr *verifier.Policy) { tr.Audience = verifier.CognitoAccess() }), []string{"no audience or client ID"}},
		"empty client":   {with(func(tr *verifier.Policy) { tr.Audience = verifier.CognitoID("") }), []string{"is empty"}},
		"any and some":   {with(func(tr *verifier.Policy) { tr.Audience = verifier.CognitoAccess("c").AllowAnyClient() }), []string{"AllowAnyClient beside"}},
		"empty resource": {with(func(tr *verifier.Policy) { tr.Audience = verifier.CognitoAccess("c").WithAudience("") }), []string{"is empty"}},
		"require what":   {with(func(tr *verifier.Policy) { tr.Audience = verifier.CognitoAccess("c").RequireAudience() }), []string{"RequireAudience without"}},
		"misused":        {with(func(tr *verifier.Policy) { tr.Audience = verifier.Audience("c").WithAudience("d") }), []string{"for CognitoAccess only"}},
		"HS256":          {with(func(tr *verifier.Policy) { tr.Algorithms = []string{"HS256", "none"} }), []string{`"HS256"`, `"none"`}},
		"odd type":       {with(func(tr *verifier.Policy) { tr.Types = []string{"application/"} }), []string{"not a media type"}},
		"negative age":   {with(func(tr *verifier.Policy) { tr.MaxAge = -1 }), []string{"MaxAge"}},
		"empty claim":    {with(func(tr *verifier.Policy) { tr.RequiredClaims = []string{""} }), []string{"claim name is empty"}},
		"leeway":         {verifier.Config{Leeway: 6 * time.Minute}, []string{"Leeway 6m0s is longer than 5m0s"}},
		"size":           {verifier.Config{MaxTokenBytes: -1}, []string{"MaxTokenBytes"}},
		"same authority": {verifier.Config{Keys: keys, Policies: []verifier.Policy{good, good}}, []string{"trusted twice"}},
		"same issuer": {
			verifier.Config{Keys: keys, Policies: []verifier.Policy{good, {Provider: other, Audience: good.Audience}}},
			[]string{`listed by the authorities "test-authority" and "other"`},
		},
		"everything at once": {
			verifier.Config{Leeway: time.Hour, Policies: []verifier.Policy{{
				Provider:   issuer.Provider{ID: "a", Regions: []issuer.Region{{Name: "r", Issuers: []string{"http://idp.example"}}}},
				Algorithms: []string{"HS256"},
			}}},
			[]string{"Keys is not set", "Leeway", "http is refused", "binding: none is set", "HS256"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := verifier.New(c.config)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestTypesAreComparedInASCII(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, fast(issuertest.IssuerPerRegion))
	v := newVerifier(t, w, func(tr *verifier.Policy, _ *verifier.Config) { tr.Types = []string{"kb+jwt"} })
	for typ, want := range map[string]string{"KB+jwt": "", "application/kb+JWT": "", "\u212ab+jwt": "bad_type", "a/application/kb+jwt": "bad_type"} {
		_, err := v.Verify(t.Context(), w.Token(east, issuertest.Claims{Header: map[string]any{"typ": typ}}))
		require.Equal(t, want, reasonOf(t, err), typ)
	}
}

// What New has not made refuses, and does not panic.
func TestZeroValues(t *testing.T) {
	t.Parallel()
	tok := new(verifier.Token)
	require.Empty(t, tok.Provider()+tok.Region()+tok.KeyID()+tok.KeyThumbprint()+tok.Subject())
	require.Zero(t, tok.KeyAge())
	require.Empty(t, tok.KeyOrigin())
	require.False(t, tok.HasGroup("g") || tok.HasScope("s"))
	require.Error(t, tok.Claims(new(map[string]any)))
	v := new(verifier.Verifier)
	_, err := v.Verify(t.Context(), "a.b.c")
	require.ErrorIs(t, err, verifier.ErrUnavailable)
	require.ErrorIs(t, v.Recheck(t.Context(), tok), verifier.ErrUnavailable)
	require.Nil(t, v.Changed(), "nothing will ever change")
	require.False(t, new(jwks.Cache).Lookup(t.Context(), jwks.Query{Issuer: "iss", KeyID: "kid"}).Complete)
}

func TestContext(t *testing.T) {
	t.Parallel()
	_, ok := verifier.FromContext(t.Context())
	require.False(t, ok)
	_, ok = verifier.FromContext(verifier.NewContext(t.Context(), nil))
	require.False(t, ok)
	tok := new(verifier.Token)
	got, ok := verifier.FromContext(verifier.NewContext(t.Context(), tok))
	require.True(t, ok)
	require.Same(t, tok, got)
}

func TestReasons(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for r := verifier.ReasonTokenMissing; r <= verifier.ReasonKeyNotAllowed; r++ {
		label := r.String()
		require.NotEqual(t, "unknown", label)
		require.Regexp(t, `^[a-z_]+$`, label)
		require.False(t, seen[label], label)
		seen[label] = true
		reasonOf(t, &verifier.Error{Reason: r})
	}
	require.Len(t, seen, 28)
	require.Equal(t, "unknown", verifier.Reason(0).String())
	require.Equal(t, "unknown", (verifier.ReasonKeyNotAllowed + 1).String())
	require.ErrorIs(t, &verifier.Error{}, verifier.ErrInvalid)
	require.Equal(t, "token not accepted: expired (authority a): cause",
		(&verifier.Error{Reason: verifier.ReasonExpired, Provider: "a", Err: errors.New("cause")}).Error())
}
