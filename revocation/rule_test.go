package revocation_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	east = "us-east-1"
	west = "us-west-2"
)

// idp is a fake provider with a verifier of its tokens.
type idp struct {
	t *testing.T
	*fakeissuer.Server
	*verifier.Verifier
}

func newIDP(t *testing.T, revoked verifier.Revocation) idp {
	t.Helper()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	keys, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)},
	}, keys, verifier.Config{Revocation: revoked})
	require.NoError(t, err)
	return idp{t, w, v}
}

func (p idp) verified(region string, c fakeissuer.Claims) *verifier.Token {
	p.t.Helper()
	tok, err := p.Verify(p.t.Context(), p.Issue(region, c))
	require.NoError(p.t, err)
	return tok
}

func TestValidate(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		rule revocation.Rule
		want string
	}{
		"subject":       {revocation.Rule{Provider: "a", Subject: "s"}, ""},
		"everything":    {revocation.Rule{Provider: "*", IssuedBefore: later}, ""},
		"nothing":       {revocation.Rule{}, "required"},
		"provider only": {revocation.Rule{Provider: "a"}, "IssuedBefore"},
		"note only":     {revocation.Rule{Provider: "a", Note: "r", ExpiresAt: later}, "IssuedBefore"},
		"token":         {revocation.Rule{Provider: "a", TokenID: "t"}, ""},
		"session":       {revocation.Rule{Provider: "a", SessionID: "t"}, ""},
		"actor":         {revocation.Rule{Provider: "a", Actor: "t"}, ""},
		"actor issuer":  {revocation.Rule{Provider: "a", ActorIssuer: "t", Subject: "s"}, "ActorIssuer needs Actor"},
		"long":          {revocation.Rule{Provider: "a", Subject: strings.Repeat("s", 768<<10+1)}, "Subject has more than 786432 bytes"},
		"long note":     {revocation.Rule{Provider: "a", Subject: "s", Note: strings.Repeat("s", 513)}, "Note has more than 512 bytes"},
		"control":       {revocation.Rule{Provider: "a", Subject: "s", Note: "s\n"}, "Note holds a control"},
		"C1 control":    {revocation.Rule{Provider: "a", Subject: "s", Note: "\u009b2J"}, "Note holds a control"},
		"direction":     {revocation.Rule{Provider: "a", Subject: "s", Note: "\u202e"}, "Note holds a control"},
		"isolate":       {revocation.Rule{Provider: "a", Subject: "s", Note: "\u2066"}, "Note holds a control"},
		"line":          {revocation.Rule{Provider: "a", Subject: "s", Note: "\u2028"}, "Note holds a control"},
		"note no text":  {revocation.Rule{Provider: "a", Subject: "s", Note: "\xff"}, "Note holds a control"},
		"no text":       {revocation.Rule{Provider: "a", Subject: "\xff"}, "Subject is not valid UTF-8"},
		"half a text":   {revocation.Rule{Provider: "a", KeyID: "k\xed\xa0\x80"}, "KeyID is not valid UTF-8"},
		"other scripts": {revocation.Rule{Provider: "a", Subject: "\u0645\u200d\u00e9\U0001f468"}, ""},
		"far future":    {revocation.Rule{Provider: "a", IssuedBefore: time.Unix(1<<40, 0)}, "IssuedBefore is not within the years 1970 and 9998"},
		"distant past":  {revocation.Rule{Provider: "a", Subject: "s", ExpiresAt: time.Unix(-1, 0)}, "ExpiresAt is not within the years 1970"},
	} {
		err := c.rule.Validate()
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.want, name)
	}
	r := revocation.Rule{Provider: "a", Subject: "s", IssuedBefore: later}
	same := r
	same.IssuedBefore, same.Note, same.Created = later.In(time.FixedZone("x", 3600)), "another note", later
	same.ExpiresAt = later
	require.Equal(t, r.ID(), same.ID())
	same.Subject = "S"
	require.NotEqual(t, r.ID(), same.ID())
	for i := range 1000 {
		require.Regexp(t, `^[A-Za-f][A-Za-z0-9_-]{15}$`, revocation.Rule{Provider: "*", Subject: fmt.Sprint(i)}.ID(), "it looks like no flag")
	}
}

// A rule that no token can ever match is not written. One that another writer has written is read and listed, as before.
func TestARuleThatMatchesNothingIsNotAdded(t *testing.T) {
	t.Parallel()
	thumbprint := strings.Repeat("A", 43)
	for name, c := range map[string]struct {
		rule revocation.Rule
		want string
	}{
		"a kid":               {revocation.Rule{Provider: "a", KeyID: strings.Repeat("k", jose.MaxKeyID)}, ""},
		"a long kid":          {revocation.Rule{Provider: "a", KeyID: strings.Repeat("k", jose.MaxKeyID+1)}, "KeyID has more than 256 bytes"},
		"a thumbprint":        {revocation.Rule{Provider: "a", Thumbprint: thumbprint}, ""},
		"one of SHA-1":        {revocation.Rule{Provider: "a", Thumbprint: thumbprint[:27]}, "Thumbprint is not the SHA-256"},
		"one in hex":          {revocation.Rule{Provider: "a", Thumbprint: strings.Repeat("0", 64)}, "Thumbprint is not the SHA-256"},
		"one with padding":    {revocation.Rule{Provider: "a", Thumbprint: thumbprint + "="}, "Thumbprint is not the SHA-256"},
		"one of other bits":   {revocation.Rule{Provider: "a", Thumbprint: thumbprint[:42] + "B"}, "Thumbprint is not the SHA-256"},
		"one with a line end": {revocation.Rule{Provider: "a", Thumbprint: thumbprint[:42] + "\nA"}, "Thumbprint is not the SHA-256"},
		"every provider":      {revocation.Rule{Provider: "*", Region: "eu", Subject: " s\n"}, ""},
		"provider and space":  {revocation.Rule{Provider: "a ", Subject: "s"}, "Provider has a space"},
		"a long provider":     {revocation.Rule{Provider: strings.Repeat("p", 257), Subject: "s"}, "Provider has a space"},
		"region and line end": {revocation.Rule{Provider: "a", Region: "eu\n"}, "Region has a space"},
	} {
		require.NoError(t, c.rule.Validate(), "%s: a reader applies it", name)
		list, err := revocation.New(revocation.Config{})
		require.NoError(t, err)
		_, err = list.Add(t.Context(), c.rule)
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, "no token can match the rule: "+c.want, name)
		require.Empty(t, list.Rules(), name)
	}
}

// Random rules against random tokens: a token is revoked if and only if every field of some rule matches.
func TestRulesMatch(t *testing.T) {
	t.Parallel()
	p := newIDP(t, nil)
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(values ...string) string { return values[r.IntN(len(values))] }
	type issuedToken struct {
		tok    *verifier.Token
		origin string
		iat    time.Time
	}
	var tokens []issuedToken
	for range 60 {
		origin := pick("o1", "o2")
		c := fakeissuer.Claims{
			Subject: pick("s1", "s2", "s3"), ClientID: pick("c1", "c2"),
			IssuedAgo: time.Duration(1+r.IntN(4)) * 10 * time.Minute,
			Set:       map[string]any{"jti": pick("t1", "t2"), "origin_jti": origin},
		}
		if r.IntN(6) == 0 {
			c.Set["iat"] = nil
		}
		tok := p.verified(pick(east, west), c)
		tokens = append(tokens, issuedToken{tok, origin, tok.IssuedAt()})
	}
	one := tokens[0].tok
	matched := 0
	for range 3000 {
		list, err := revocation.New(revocation.Config{})
		require.NoError(t, err)
		var rules []revocation.Rule
		for range 1 + r.IntN(3) {
			rule := randomRule(r, pick, one)
			if rule.Validate() != nil {
				continue
			}
			_, err := list.Add(t.Context(), rule)
			require.NoError(t, err)
			rules = append(rules, rule)
		}
		for _, m := range tokens[:10+r.IntN(50)] {
			want := slices.ContainsFunc(rules, func(rule revocation.Rule) bool { return holds(rule, m.tok, m.origin, m.iat) })
			id, err := list.Revoked(m.tok)
			require.NoError(t, err)
			require.Equal(t, want, id != "", "%+v", rules)
			if want {
				matched++
			}
		}
	}
	require.Greater(t, matched, 1000)
}

func randomRule(r *rand.Rand, pick func(...string) string, one *verifier.Token) revocation.Rule {
	rule := revocation.Rule{Provider: pick(one.Provider(), one.Provider(), "other")}
	if r.IntN(3) == 0 {
		rule.Provider = "*"
	}
	for _, set := range []func(){
		func() { rule.Region = pick(east, west) },
		func() { rule.KeyID = pick(one.Key().ID(), "k") },
		func() { rule.Thumbprint = pick(one.Key().Thumbprint(), strings.Repeat("A", 43)) },
		func() { rule.ClientID = pick("c1", "c2") },
		func() { rule.Subject = pick("s1", "s2", "s3") },
		func() { rule.TokenID, rule.ExpiresAt = pick("t1", "t2"), time.Now().Add(time.Hour) },
		func() { rule.OriginTokenID = pick("o1", "o2") },
		func() { rule.IssuedBefore = time.Now().Add(-time.Duration(r.IntN(5)) * 10 * time.Minute) },
	} {
		if r.IntN(5) == 0 {
			set()
		}
	}
	return rule
}

// holds is the oracle: each field that is set matches.
func holds(r revocation.Rule, t *verifier.Token, origin string, iat time.Time) bool {
	if r.Provider != "*" && r.Provider != t.Provider() {
		return false
	}
	for _, pair := range [][2]string{
		{r.KeyID, t.Key().ID()},
		{r.Thumbprint, t.Key().Thumbprint()},
		{r.ClientID, t.ClientID()},
		{r.Subject, t.Subject()},
		{r.TokenID, t.ID()},
		{r.OriginTokenID, origin},
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	if r.Region != "" && !slices.Contains(t.Regions(), r.Region) {
		return false
	}
	return r.IssuedBefore.IsZero() || iat.IsZero() || iat.Before(r.IssuedBefore)
}

// What a look costs does not grow with the number of rules.
func BenchmarkRevoked(b *testing.B) {
	w := fakeissuer.New(b, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	keys, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(b, err)
	v, err := verifier.New([]verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)},
	}, keys, verifier.Config{})
	require.NoError(b, err)
	tok, err := v.Verify(b.Context(), w.Issue(east, fakeissuer.Claims{}))
	require.NoError(b, err)
	for _, n := range []int{0, 1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			list, err := revocation.New(revocation.Config{})
			require.NoError(b, err)
			for i := range n {
				r := revocation.Rule{Provider: w.Provider().ID, Subject: fmt.Sprint("s", i)}
				if i%2 == 1 {
					r = revocation.Rule{Provider: "*", ClientID: fmt.Sprint("c", i)}
				}
				_, err := list.Add(b.Context(), r)
				require.NoError(b, err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if id, err := list.Revoked(tok); id != "" || err != nil {
					b.Fatal(id, err)
				}
			}
		})
	}
}
