package verifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// acting is the payload of a token with an act claim.
func acting(act string) fakeissuer.Claims {
	return fakeissuer.Claims{Set: map[string]any{"act": json.RawMessage(act)}}
}

// handmade is an issuer whose payloads are written by hand.
type handmade struct {
	signer *josetest.Signer
	keys   jwks.Source
}

func newHandmade(t *testing.T) handmade {
	t.Helper()
	signer, err := josetest.NewSigner("ES256")
	require.NoError(t, err)
	document, err := josetest.Set(signer)
	require.NoError(t, err)
	keys, err := jwks.NewStatic(map[string][]byte{"https://idp.example": document})
	require.NoError(t, err)
	return handmade{signer, keys}
}

// verifier returns a Verifier of its tokens.
func (h handmade) verifier(t *testing.T, change func(*verifier.Policy)) *verifier.Verifier {
	t.Helper()
	p := verifier.Policy{Audience: verifier.Audience("api"), Provider: issuer.Provider{
		ID: "handmade", Regions: []issuer.Region{{Name: "only", Issuers: []string{"https://idp.example"}}},
	}}
	change(&p)
	v, err := verifier.New([]verifier.Policy{p}, h.keys, verifier.Config{})
	require.NoError(t, err)
	return v
}

// seconds is the NumericDate of a time from now.
func seconds(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }

// token returns a token of which more says what it has beside the claims that it needs.
func (h handmade) token(t *testing.T, more string) string {
	t.Helper()
	payload := `{"iss":"https://idp.example","aud":"api","sub":"alice"` + more
	if !strings.Contains(more, `"exp":`) {
		payload += `,"exp":` + seconds(time.Hour)
	}
	payload += "}"
	raw, err := h.signer.Sign([]byte(`{"alg":"ES256","kid":"`+h.signer.ID+`"}`), []byte(payload))
	require.NoError(t, err)
	return raw
}

// The current actor is the outermost one, and the chain has all of them.
func TestActor(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	v := newVerifier(t, w, nil)
	own, other := w.Provider().Regions[0].Issuers[0], w.Provider().Regions[1].Issuers[0]
	require.NotEqual(t, own, other)
	chain := func(subjects ...string) (a *verifier.Actor) {
		for _, subject := range slices.Backward(subjects) {
			a = &verifier.Actor{Issuer: own, Provider: w.Provider().ID, Subject: subject, Previous: a}
		}
		return a
	}
	for act, want := range map[string]*verifier.Actor{
		`{"sub":"agent"}`: chain("agent"),
		`{"sub":"agent","iss":"https://agents.example.com"}`:                {Issuer: "https://agents.example.com", Subject: "agent"},
		`{"sub":"agent","iss":"` + other + `"}`:                             {Issuer: other, Provider: w.Provider().ID, Subject: "agent"},
		`{"sub":"a","act":{"sub":"b"}}`:                                     chain("a", "b"),
		`{"act":{"act":{"act":{"sub":"d"},"sub":"c"},"sub":"b"},"sub":"a"}`: chain("a", "b", "c", "d"),
		`{"sub":"a","iss":"x","act":{"sub":"b"}}`:                           {Issuer: "x", Subject: "a", Previous: chain("b")},
		`{"s\u0075b":"\u0061gent"}`:                                         chain("agent"),
		`{"sub":"agent","client_id":7,"SUB":null,"Act":0,"iss ":[],"aud":[{}],"exp":"never","may_act":null,"cnf":{"jkt":null}}`: chain("agent"),
	} {
		tok, err := v.Verify(t.Context(), w.Issue(east, acting(act)))
		require.NoError(t, err, act)
		require.Equal(t, want, tok.Actor(), act)
	}
	for name, set := range map[string]map[string]any{
		"nothing":      nil,
		"may_act":      {"may_act": map[string]any{"sub": "agent"}},
		"another case": {"ACT": map[string]any{"sub": "agent"}, "Act": 1},
	} {
		tok, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{Set: set}))
		require.NoError(t, err, name)
		require.Nil(t, tok.Actor(), name)
	}
	tok, err := v.Verify(t.Context(), w.Issue(east, acting(`{"sub":"agent","client_id":"c1"}`)))
	require.NoError(t, err)
	require.Equal(t, "c1", tok.Claim("/act/client_id"))
	typed, err := verifier.ClaimsOf[struct {
		Act struct{ Sub, ClientID string } `json:"act"`
	}](tok)
	require.NoError(t, err)
	require.Empty(t, typed.Act.Sub, "names match with their case")
	require.Panics(t, func() { (*verifier.Token)(nil).Actor() })
	require.Nil(t, new(verifier.Token).Actor())
}

// An issuer of another provider names other actors, although the Verifier knows it.
func TestAnActorOfAnotherProviderIsNotOfTheTokens(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	policy := func(id, iss string) verifier.Policy {
		return verifier.Policy{Audience: verifier.Audience("api"), Provider: issuer.Provider{
			ID: id, Regions: []issuer.Region{{Name: "only", Issuers: []string{iss}}},
		}}
	}
	v, err := verifier.New([]verifier.Policy{
		policy("handmade", "https://idp.example"), policy("other", "https://other.example"),
	}, h.keys, verifier.Config{})
	require.NoError(t, err)
	tok, err := v.Verify(t.Context(), h.token(t, `,"act":{"sub":"a","iss":"https://other.example","act":{"sub":"b"}}`))
	require.NoError(t, err)
	require.Equal(t, &verifier.Actor{
		Issuer: "https://other.example", Subject: "a",
		Previous: &verifier.Actor{Issuer: "https://idp.example", Provider: "handmade", Subject: "b"},
	}, tok.Actor())
}

// Recheck judges an actor by the issuers that the provider has now, as Verify does: an Update may have added or removed a region.
func TestRecheckJudgesTheActorByTheNewIssuers(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	const west = "https://west.example"
	revoked := errors.New("the agent is revoked")
	policy := func(more ...string) []verifier.Policy {
		return []verifier.Policy{{Audience: verifier.Audience("api"), Provider: issuer.Provider{
			ID: "handmade", Regions: []issuer.Region{{Name: "only", Issuers: append([]string{"https://idp.example"}, more...)}},
		}, Check: func(_ context.Context, tok *verifier.Token) error {
			for a := tok.Actor(); a != nil; a = a.Previous {
				if a.Provider == "handmade" && a.Subject == "agent" {
					return revoked
				}
			}
			return nil
		}}}
	}
	for _, act := range []string{`{"sub":"agent","iss":"` + west + `"}`, `{"sub":"b","act":{"sub":"agent","iss":"` + west + `"}}`} {
		v, err := verifier.New(policy(), h.keys, verifier.Config{})
		require.NoError(t, err)
		raw := h.token(t, `,"act":`+act)
		tok, err := v.Verify(t.Context(), raw)
		require.NoError(t, err)
		before := tok.Actor()
		require.NoError(t, v.Update(policy(west)))
		_, err = v.Verify(t.Context(), raw)
		require.ErrorIs(t, err, revoked)
		require.ErrorIs(t, v.Recheck(t.Context(), tok), revoked, "as Verify says")
		require.Equal(t, before, tok.Actor(), "a token does not change")
		require.NoError(t, v.Update(policy()))
		require.NoError(t, v.Recheck(t.Context(), tok))
	}
}

// A token with a broken act is nobody's: it is not one that the user presents.
func TestABrokenActorIsNoUser(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	v := h.verifier(t, func(*verifier.Policy) {})
	nested := func(n int) string {
		return strings.Repeat(`{"sub":"a","act":`, n-1) + `{"sub":"a"}` + strings.Repeat("}", n-1)
	}
	for act, detail := range map[string]string{
		`null`: "act", `"agent"`: "act", `7`: "act", `true`: "act", `[]`: "act", `[{"sub":"agent"}]`: "act", `""`: "act",
		`{}`:                                 "act",
		`{"iss":"https://x.example"}`:        "act",
		`{"sub":null}`:                       "act",
		`{"sub":""}`:                         "act",
		`{"sub":7}`:                          "act",
		`{"sub":["agent"]}`:                  "act",
		`{"sub":{"sub":"agent"}}`:            "act",
		`{"Sub":"agent"}`:                    "act",
		`{"sub ":"agent"}`:                   "act",
		`{"client_id":"agent"}`:              "act",
		`{"sub":"agent","iss":null}`:         "act",
		`{"sub":"agent","iss":""}`:           "act",
		`{"sub":"agent","iss":7}`:            "act",
		`{"sub":"agent","iss":["x"]}`:        "act",
		`{"sub":"agent","act":null}`:         "act",
		`{"sub":"agent","act":"b"}`:          "act",
		`{"sub":"agent","act":[]}`:           "act",
		`{"sub":"agent","act":{}}`:           "act",
		`{"sub":"a","act":{"sub":""}}`:       "act",
		`{"act":{"sub":"agent"}}`:            "act",
		nested(5):                            "act",
		nested(30):                           "act",
		`{"sub":"a","sub":"a"}`:              "",
		`{"sub":"a","s\u0075b":"b"}`:         "",
		`{"sub":"a","iss":"x","iss":"x"}`:    "",
		`{"sub":"a","act":{},"act":{}}`:      "",
		`{"sub":"a"},"act":{"sub":"b"}`:      "",
		`{"sub":"a"},"\u0061ct":{"sub":"b"}`: "",
		nested(40):                           "", // deeper than any JSON of a token
	} {
		tok, err := v.Verify(t.Context(), h.token(t, `,"act":`+act))
		require.Nil(t, tok, act)
		require.ErrorIs(t, err, verifier.ErrInvalid, act)
		var e *verifier.Error
		require.ErrorAs(t, err, &e, act)
		require.Equal(t, verifier.ReasonMalformed, e.Reason, act)
		require.Equal(t, detail, e.Detail, act)
	}
	tok, err := v.Verify(t.Context(), h.token(t, `,"act":`+nested(4)))
	require.NoError(t, err)
	require.Equal(t, "a", tok.Actor().Previous.Previous.Previous.Subject)
}

// The checks after the signature come in the documented order: of all that is wrong, the first one is told.
func TestTheActorIsCheckedInItsPlace(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	v := h.verifier(t, func(p *verifier.Policy) {
		p.RequiredClaims, p.MaxAge, p.MaxLifetime = []string{"tenant"}, time.Minute, 30*time.Minute
		p.RegionPolicy = func(string, []string, time.Time) error { return errors.New("no") }
	})
	iat := func(ago time.Duration) string { return `,"iat":` + seconds(-ago) }
	exp := `,"exp":` + seconds(20*time.Minute)
	const broken, tenant = `,"act":{}`, `,"tenant":1`
	for _, c := range []struct{ more, reason, detail string }{
		{broken, "missing_claim", "tenant"},
		{broken + tenant, "missing_claim", "iat"},
		{broken + tenant + iat(time.Hour), "too_old", ""},
		{broken + tenant + iat(0), "too_old", "exp"},
		{broken + tenant + iat(0) + exp, "malformed", "act"},
		{tenant + iat(0) + exp, "region_inactive", ""},
	} {
		_, err := v.Verify(t.Context(), h.token(t, c.more))
		require.Equal(t, c.reason, reasonOf(t, err), c.more)
		var e *verifier.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, c.detail, e.Detail, c.more)
		require.Equal(t, "only", e.Region)
	}
}

// A token whose cnf cannot be read is not one of a sender without a key.
func TestABrokenConfirmationIsNoBearer(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	v := h.verifier(t, func(*verifier.Policy) {})
	for _, cnf := range []string{`null`, `"x"`, `7`, `true`, `[]`, `[{"jkt":"x"}]`} {
		_, err := v.Verify(t.Context(), h.token(t, `,"cnf":`+cnf))
		require.Equal(t, "malformed", reasonOf(t, err), cnf)
	}
	tok, err := v.Verify(t.Context(), h.token(t, `,"cnf":{}`))
	require.NoError(t, err)
	require.Equal(t, map[string]any{}, tok.Claim("cnf"))
}

// A token that is cached has its actor, and so has one that is checked again.
func TestACachedTokenHasItsActor(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	var cached []bool
	v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) {
		c.OnDecision = func(_ context.Context, d verifier.Decision) { cached = append(cached, d.Cached) }
	})
	raw, plain := w.Issue(east, acting(`{"sub":"a","act":{"sub":"b"}}`)), w.Issue(east, fakeissuer.Claims{})
	for range 2 {
		tok, err := v.Verify(t.Context(), raw)
		require.NoError(t, err)
		require.Equal(t, "a", tok.Actor().Subject)
		require.Equal(t, "b", tok.Actor().Previous.Subject)
		tok.Actor().Previous.Subject = "changed"
		tok.Actor().Subject = "changed"
		*tok.Actor().Previous = verifier.Actor{}
		require.NoError(t, v.Recheck(t.Context(), tok))
		tok, err = v.Verify(t.Context(), plain)
		require.NoError(t, err)
		require.Nil(t, tok.Actor())
	}
	require.Equal(t, []bool{false, false, true, true}, cached)
}

func TestMaxLifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHandmade(t)
		v := h.verifier(t, func(p *verifier.Policy) { p.MaxLifetime = time.Hour })
		iat := func(d time.Duration) string { return `,"iat":` + seconds(d) }
		for more, want := range map[string]string{
			iat(0):                        "",
			iat(time.Second):              "", // up to an hour
			iat(-time.Second):             "too_old",
			iat(-23 * time.Hour):          "too_old",
			"":                            "missing_claim",
			iat(0) + ".5":                 "", // fractions are seen
			`,"iat":0,"exp":253402300799`: "too_old",
			`,"iat":-253402300799,"exp":253402300799`:              "too_old",
			iat(0) + `,"exp":` + seconds(time.Hour) + `.000000001`: "too_old",
		} {
			tok, err := v.Verify(t.Context(), h.token(t, more))
			require.Equal(t, want, reasonOf(t, err), more)
			var e *verifier.Error
			if errors.As(err, &e) {
				require.Equal(t, map[string]string{"too_old": "exp", "missing_claim": "iat"}[want], e.Detail)
				require.ErrorIs(t, err, verifier.ErrInvalid)
				continue
			}
			require.NoError(t, v.Recheck(t.Context(), tok))
		}
		// A stream that began under a longer limit ends.
		long := h.verifier(t, func(*verifier.Policy) {})
		tok, err := long.Verify(t.Context(), h.token(t, iat(-time.Minute)))
		require.NoError(t, err)
		require.Equal(t, "too_old", reasonOf(t, v.Recheck(t.Context(), tok)))
		tok, err = long.Verify(t.Context(), h.token(t, ""))
		require.NoError(t, err)
		require.Equal(t, "missing_claim", reasonOf(t, v.Recheck(t.Context(), tok)))
		time.Sleep(2 * time.Hour) // it has expired, and that is not all
		require.Equal(t, "missing_claim", reasonOf(t, v.Recheck(t.Context(), tok)))
	})
}

func TestMaxLifetimeIsChecked(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	for text, change := range map[string]func(*verifier.Policy){
		"MaxLifetime is negative":                               func(p *verifier.Policy) { p.MaxLifetime = -1 },
		"MaxAge 1h0m0s has no effect, as MaxLifetime is 1h0m0s": func(p *verifier.Policy) { p.MaxAge, p.MaxLifetime = time.Hour, time.Hour },
		"CognitoDerived and CognitoID, and is the only client":  func(p *verifier.Policy) { p.Audience = verifier.CognitoDerived("api", "a", verifier.AllowAnyClient) },
		"AllowAnyClient is for CognitoAccess":                   func(p *verifier.Policy) { p.Audience = verifier.CognitoDerived(verifier.AllowAnyClient, "a") },
		"there is no audience or client ID":                     func(p *verifier.Policy) { p.Audience = verifier.CognitoDerived("api") },
		"an audience or client ID is empty":                     func(p *verifier.Policy) { p.Audience = verifier.CognitoDerived("", "a") },
	} {
		p := verifier.Policy{Audience: verifier.Audience("api"), Provider: issuer.OIDC("https://idp.example")}
		change(&p)
		_, err := verifier.New([]verifier.Policy{p}, h.keys, verifier.Config{})
		require.ErrorContains(t, err, text)
	}
}

// A Cognito token with an aud passes only where that aud is named, whether it was derived from another token or not.
func TestDerivedTokensOfCognito(t *testing.T) {
	t.Parallel()
	const client, api = fakeissuer.ClientID, "https://api.example.com"
	actor := map[string]any{"act": map[string]any{"sub": "agent"}}
	direct, derived := verifier.CognitoAccess(client), verifier.CognitoDerived(api, client)
	named := verifier.AnyOf(direct, verifier.AllOf(direct, verifier.Audience(api)))
	one, other := []string{api}, []string{"https://other.example.com"}
	for name, c := range map[string]struct {
		claims                 fakeissuer.Claims
		direct, named, derived string
	}{
		"direct":                   {fakeissuer.Claims{}, "", "", "bad_audience"},
		"direct, machine":          {fakeissuer.Claims{Machine: true}, "", "", "bad_audience"},
		"an actor and no aud":      {fakeissuer.Claims{Set: actor}, "", "", "bad_audience"},
		"derived":                  {fakeissuer.Claims{Audience: one}, "bad_audience", "", ""},
		"derived, text":            {fakeissuer.Claims{Set: map[string]any{"aud": api}}, "bad_audience", "", ""},
		"derived, with an actor":   {fakeissuer.Claims{Audience: one, Set: actor}, "bad_audience", "", ""},
		"derived for another":      {fakeissuer.Claims{Audience: other}, "bad_audience", "bad_audience", "bad_audience"},
		"derived for another, too": {fakeissuer.Claims{Audience: append(one, other...)}, "bad_audience", "", "bad_audience"},
		"twice the same":           {fakeissuer.Claims{Audience: append(one, one...)}, "bad_audience", "", "bad_audience"},
		"no value":                 {fakeissuer.Claims{Set: map[string]any{"aud": []string{}}}, "bad_audience", "bad_audience", "bad_audience"},
		"another case":             {fakeissuer.Claims{Audience: []string{"https://API.example.com"}}, "bad_audience", "bad_audience", "bad_audience"},
		"another client":           {fakeissuer.Claims{Audience: one, ClientID: "x"}, "bad_audience", "bad_audience", "bad_audience"},
		"ID token":                 {fakeissuer.Claims{IDToken: true, Audience: one}, "bad_audience", "bad_audience", "bad_audience"},
		"ID token with a client":   {fakeissuer.Claims{IDToken: true, Audience: one, Set: map[string]any{"client_id": client}}, "bad_audience", "bad_audience", "bad_audience"},
		"with at_hash":             {fakeissuer.Claims{Audience: one, Set: map[string]any{"at_hash": "x"}}, "bad_audience", "bad_audience", "bad_audience"},
		"an actor without sub":     {fakeissuer.Claims{Audience: one, Set: map[string]any{"act": map[string]any{"client_id": "x"}}}, "bad_audience", "malformed", "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for want, audience := range map[string]verifier.AudiencePolicy{
				c.direct + "#1": direct, c.named + "#2": named, c.derived + "#3": derived,
				c.derived + "#4": verifier.CognitoDerived(api, "x", client),
			} {
				w := fakeissuer.New(t, fast(fakeissuer.Cognito))
				v := newVerifier(t, w, func(p *verifier.Policy, _ *parts) { p.Audience = audience })
				_, err := v.Verify(t.Context(), w.Issue(west, c.claims))
				if name == "another client" && strings.HasSuffix(want, "#4") {
					require.NoError(t, err)
					continue
				}
				require.Equal(t, want[:len(want)-2], reasonOf(t, err), want)
			}
		})
	}
}
