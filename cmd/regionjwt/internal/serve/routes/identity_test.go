package routes_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve/routes"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// tokens returns a function that issues and verifies a token.
func tokens(t testing.TB) func(testing.TB, fakeissuer.Claims) *verifier.Token {
	t.Helper()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", ID: "shop"})
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{{
		Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience), GroupClaims: []string{"groups"},
	}}, cache, verifier.Config{})
	require.NoError(t, err)
	return func(t testing.TB, c fakeissuer.Claims) *verifier.Token {
		tok, err := v.Verify(context.Background(), w.Issue("us-east-1", c))
		require.NoError(t, err)
		return tok
	}
}

// header reads the one header of a file.
func header(t testing.TB, members string) *routes.Header {
	t.Helper()
	return table(t, `{"routes": [{"path": "/"}], "headers": [{"name": "X-Auth-User", `+members+`}]}`).Headers[0]
}

func TestHeadersSayWhoSentTheRequest(t *testing.T) {
	t.Parallel()
	issue := tokens(t)
	home := issue(t, fakeissuer.Claims{}).Issuer()
	elsewhere := strings.Replace(home, "us-east-1", "us-west-2", 1) // of the same provider
	require.NotEqual(t, home, elsewhere)
	set := func(name string, v any) fakeissuer.Claims {
		return fakeissuer.Claims{Subject: "alice", Set: map[string]any{name: v}}
	}
	for name, c := range map[string]struct {
		members string
		claims  fakeissuer.Claims
		want    string // "" is removed, "-" is denied
	}{
		"subject":                     {`"value": "subject"`, fakeissuer.Claims{Subject: "alice"}, "alice"},
		"provider":                    {`"value": "provider"`, fakeissuer.Claims{}, "shop"},
		"region":                      {`"value": "region"`, fakeissuer.Claims{}, "us-east-1"},
		"scopes":                      {`"value": "scopes", "list": "comma"`, fakeissuer.Claims{Scope: "a b/c"}, "a,b/c"},
		"a scope with a comma":        {`"value": "scopes", "list": "comma"`, fakeissuer.Claims{Scope: "a,admin b"}, "-"},
		"no groups":                   {`"value": "groups", "list": "json"`, fakeissuer.Claims{}, ""},
		"groups with commas":          {`"value": "groups", "list": "comma"`, set("groups", []string{"users,admins"}), "-"},
		"groups with spaces":          {`"value": "groups", "list": "comma"`, set("groups", []string{"users admins"}), "-"},
		"a subject with a space":      {`"value": "subject"`, fakeissuer.Claims{Subject: "alice root"}, "-"},
		"a subject in Greek":          {`"value": "subject"`, fakeissuer.Claims{Subject: "αλίκη"}, "-"},
		"a claim":                     {`"claim": "tenant"`, set("tenant", "t1"), "t1"},
		"a claim inside":              {`"claim": "/org/id"`, set("org", map[string]any{"id": "o1"}), "o1"},
		"a number":                    {`"claim": "level"`, set("level", 7), "7"},
		"a fraction":                  {`"claim": "level"`, set("level", 7.5), "-"},
		"a huge number":               {`"claim": "level"`, set("level", 1e300), "-"},
		"a number beyond float64":     {`"claim": "level"`, set("level", json.RawMessage("1e999")), "-"},
		"true":                        {`"claim": "staff"`, set("staff", true), "true"},
		"an object":                   {`"claim": "org"`, set("org", map[string]any{"id": "o1"}), "-"},
		"no claim":                    {`"claim": "tenant"`, fakeissuer.Claims{}, ""},
		"null":                        {`"claim": "tenant"`, set("tenant", nil), ""},
		"an empty text":               {`"claim": "tenant"`, set("tenant", ""), ""},
		"a line break":                {`"claim": "tenant"`, set("tenant", "t1\r\nX-Auth-User: root"), "-"},
		"a tab":                       {`"claim": "tenant"`, set("tenant", "t\t1"), "-"},
		"DEL":                         {`"claim": "tenant"`, set("tenant", "t\x7f"), "-"},
		"4 KiB":                       {`"claim": "tenant"`, set("tenant", strings.Repeat("a", 4096)), strings.Repeat("a", 4096)},
		"more than 4 KiB":             {`"claim": "tenant"`, set("tenant", strings.Repeat("a", 4097)), "-"},
		"a list for one value":        {`"claim": "tenant"`, set("tenant", []string{"a", "b"}), "-"},
		"a list of one for one value": {`"claim": "tenant"`, set("tenant", []string{"a"}), "a"},
		"a list with a number":        {`"claim": "tenant", "list": "json"`, set("tenant", []any{"a", 1}), "-"},
		"a list with an empty text":   {`"claim": "tenant", "list": "comma"`, set("tenant", []string{"a", ""}), "-"},
		"a long list":                 {`"claim": "tenant", "list": "json"`, set("tenant", slices.Repeat([]string{"abcdefgh"}, 300)), "-"},
		"nobody acts":                 {`"value": "actor"`, fakeissuer.Claims{}, ""},
		"an actor":                    {`"value": "actor"`, set("act", map[string]any{"sub": "agent"}), "agent"},
		"an actor of another region":  {`"value": "actor"`, set("act", map[string]any{"sub": "agent", "iss": elsewhere}), "agent"},
		"an actor of another issuer":  {`"value": "actor"`, set("act", map[string]any{"sub": "agent", "iss": "https://x.example"}), "-"},
	} {
		got, err := header(t, c.members).Value(issue(t, c.claims))
		if c.want == "-" {
			require.Error(t, err, name)
			require.Empty(t, got, name)
			require.NotContains(t, err.Error(), "root", name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	got, err := header(t, `"value": "groups", "list": "json"`).Value(issue(t, set("groups", []string{"a,b", "c d", "é<\"\r\n"})))
	require.NoError(t, err)
	decoded, err := base64.RawURLEncoding.DecodeString(got)
	require.NoError(t, err)
	require.JSONEq(t, `["a,b", "c d", "é<\"\r\n"]`, string(decoded))
	got, err = header(t, `"value": "subject"`).Value(nil)
	require.NoError(t, err)
	require.Empty(t, got, "an anonymous request has no identity")
}

// What Value returns can neither end a line nor split a list, whatever a claim holds.
func FuzzHeader(f *testing.F) {
	issue := tokens(f)
	for _, s := range []string{"a", "a,b", "a b", "a\r\nb", "é", "\x00", strings.Repeat("x", 5000)} {
		f.Add(s, s)
	}
	list, comma, single := header(f, `"claim": "c", "list": "json"`), header(f, `"claim": "c", "list": "comma"`), header(f, `"claim": "d"`)
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = strings.ToValidUTF8(a, ""), strings.ToValidUTF8(b, "")
		if claims, err := json.Marshal([]string{a, a, b}); err != nil || len(claims) > 10_000 { // a control character takes six bytes
			t.Skip("the token would be too long")
		}
		tok := issue(t, fakeissuer.Claims{Set: map[string]any{"c": []string{a, b}, "d": a}})
		if v, err := comma.Value(tok); err == nil && v != "" {
			require.Equal(t, []string{a, b}, strings.Split(v, ","))
		}
		if v, err := single.Value(tok); err == nil {
			require.Equal(t, a, v)
		}
		if v, err := list.Value(tok); err == nil && v != "" {
			decoded, err := base64.RawURLEncoding.DecodeString(v)
			require.NoError(t, err)
			var got []string
			require.NoError(t, json.Unmarshal(decoded, &got))
			require.Equal(t, []string{a, b}, got)
		}
		for _, h := range []*routes.Header{list, comma, single} {
			v, _ := h.Value(tok)
			require.LessOrEqual(t, len(v), 4096)
			require.False(t, strings.ContainsFunc(v, func(c rune) bool { return c <= ' ' || c > '~' }), "%q", v)
		}
	})
}

func TestAliasesAreAllNamesWithAnUnderscore(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"x_auth-user", "x-auth_user", "x_auth_user"}, header(t, `"value": "subject"`).Aliases)
	h := table(t, `{"routes": [{"path": "/"}], "headers": [{"name": "X-A-B-C-D", "value": "subject"}, {"name": "User", "value": "issuer"}]}`).Headers
	require.Len(t, h[0].Aliases, 15)
	require.Empty(t, h[1].Aliases)
	for _, a := range h[0].Aliases {
		require.Equal(t, "x-a-b-c-d", routes.Canonical(a))
	}
}
