package main_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

// rejectedBy is the check that rejected a token.
func (in inspected) rejectedBy() (name, wanted, found string) {
	for _, c := range in.Checks {
		if c.Result == "rejected" {
			return c.Name, c.Wanted, c.Found
		}
	}
	return "", "", ""
}

// Everything that a policy can say can be said to inspect, and a check that rejects says what it wanted and found.
func TestInspectSaysWantedAndFound(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	iss := w.Provider().Regions[0].Issuers[0]
	keys := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(keys, []byte((&drilled{Server: w}).body(t, w.Provider().Regions[0].JWKSURLs[0])), 0o600))
	tl := tool{}.with("REGIONJWT_ISSUER", east+"="+iss, "REGIONJWT_JWKS", keys, "REGIONJWT_AUDIENCE", fakeissuer.Audience)
	issue := func(c fakeissuer.Claims) string { return w.Issue(east, c) }
	claims := func(pairs ...any) fakeissuer.Claims {
		set := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			set[pairs[i].(string)] = pairs[i+1]
		}
		return fakeissuer.Claims{Set: set}
	}
	for name, test := range map[string]struct {
		token         string
		args          []string
		check         string
		wanted, found string
	}{
		"accepted":          {issue(fakeissuer.Claims{}), nil, "", "", ""},
		"other audience":    {issue(fakeissuer.Claims{Audience: []string{"x"}}), nil, "audience", fakeissuer.Audience, `aud ["x"]`},
		"any audience":      {issue(fakeissuer.Claims{Audience: []string{"x"}}), []string{"--audience-kind", "insecure-any"}, "", "", ""},
		"an ID token":       {issue(fakeissuer.Claims{}), []string{"--audience-kind", "id-token", "--client-id", "c"}, "audience", "nothing but c", "aud "},
		"algorithm":         {issue(fakeissuer.Claims{}), []string{"--algorithm", "RS256,PS256"}, "alg", "alg RS256, PS256", "alg ES256"},
		"type":              {issue(fakeissuer.Claims{}), []string{"--type", "at+jwt"}, "typ", "typ at+jwt", "typ "},
		"required claim":    {issue(claims("tenant", nil)), []string{"--required-claim", "tenant,/a/b"}, "claims", "tenant, /a/b", "tenant"},
		"nested claim":      {issue(claims("a", map[string]any{"b": 1})), []string{"--required-claim", "/a/b"}, "", "", ""},
		"max age":           {issue(fakeissuer.Claims{IssuedAgo: 10 * time.Minute}), []string{"--max-age", "5m"}, "claims", "iat after ", "iat "},
		"lifetime":          {issue(fakeissuer.Claims{}), []string{"--max-lifetime", "30m"}, "claims", "exp at most 30m0s after iat", "exp "},
		"lifetime unknown":  {issue(claims("iat", nil)), []string{"--max-lifetime", "30m"}, "claims", "the claims iat", "iat absent"},
		"an actor":          {issue(claims("act", map[string]any{"sub": "agent"})), nil, "", "", ""},
		"a broken actor":    {issue(claims("act", map[string]any{"client_id": "a"})), nil, "claims", "act an object with a sub", "act "},
		"derived":           {issue(claims("token_use", "access")), []string{"--audience-kind", "cognito-derived", "--client-id", "c", "--algorithm", "ES256"}, "audience", "client_id c, nothing but " + fakeissuer.Audience + " in aud", "token_use access, client_id "},
		"derived, accepted": {issue(claims("token_use", "access")), []string{"--audience-kind", "cognito-derived", "--client-id", fakeissuer.ClientID, "--algorithm", "ES256"}, "", "", ""},
		"scopes elsewhere":  {issue(claims("scp", []string{"a"}, "scope", nil)), []string{"--scope-claim", "scp"}, "", "", ""},
		"scope is a number": {issue(claims("scope", 7)), nil, "claim types", "scope a text", "scope 7"},
		"client in a list":  {issue(claims("a/b", []any{map[string]any{"~": "me"}})), []string{"--client-id-claim", "/a~1b/0/~0"}, "", "", ""},
		"no text in a list": {issue(claims("x", []any{"a", 7})), []string{"--client-id-claim", "/x/1"}, "claim types", "/x/1 a text", "/x/1 7"},
		"events":            {issue(claims("events", "x")), nil, "claim types", "events an object", "events x"},
		"typ is a number":   {issue(fakeissuer.Claims{Header: map[string]any{"typ": 1}}), nil, "header", "typ a text", "typ 1"},
		"no kid":            {issue(fakeissuer.Claims{Header: map[string]any{"kid": nil}}), nil, "header", "kid a text of 1 to 256 bytes", "kid absent"},
		"no kid, allowed":   {issue(fakeissuer.Claims{Header: map[string]any{"kid": nil}}), []string{"--allow-missing-kid"}, "", "", ""},
		"a scope list":      {issue(claims("scope", []string{"a b"})), nil, "claim types", "an array of texts without spaces", "scope "},
		"age is not known":  {issue(claims("iat", nil)), []string{"--max-age", "5m", "--required-claim", "sub"}, "claims", "the claims sub, iat", "iat absent"},
		"client elsewhere":  {issue(claims("azp", "me")), []string{"--client-id-claim", "azp", "--group-claim", "roles"}, "", "", ""},
		"client is a list":  {issue(claims("cid", []int{1})), []string{"--client-id-claim", "cid"}, "claim types", "cid a text", "cid [1]"},
		"exp is a text":     {issue(claims("exp", "soon")), nil, "claim types", "exp a number", "exp soon"},
		"expired":           {issue(fakeissuer.Claims{ExpiresIn: -time.Hour}), nil, "time", "exp after ", "1h0m"},
		"not yet valid":     {issue(fakeissuer.Claims{IssuedAgo: -time.Hour}), nil, "time", "nbf and iat until ", "iat "},
		"other issuer":      {issue(fakeissuer.Claims{Issuer: "https://x.example"}), nil, "issuer", "iss " + iss, "iss https://x.example"},
		"other key":         {issue(fakeissuer.Claims{Header: map[string]any{"kid": "other"}}), nil, "key", "a key of the issuer with this kid", "kid other, alg ES256"},
		"forged":            {issue(fakeissuer.Claims{Forged: true}), nil, "signature", "thumbprint ", "has not made"},
		"too long":          {issue(claims("x", strings.Repeat("x", 17<<10))), nil, "size", "at most 16384 bytes", " bytes"},
		"not a token":       {"aaa", nil, "form", "three parts", "not all of it"},
		"hostile":           {issue(fakeissuer.Claims{Issuer: "\x1b[2J\u202e" + strings.Repeat("x", 5000)}), nil, "issuer", iss, `\u001b[2J\u202e`},
	} {
		code := map[bool]int{true: 1}[test.check != ""]
		in, people := inspect(t, tl, test.token, code, test.args...)
		check, wanted, found := in.rejectedBy()
		require.Equal(t, test.check, check, "%s: %s", name, people.out)
		require.Less(t, len(found), 1000, name)
		if name != "hostile" {
			require.Contains(t, found, test.found, name)
		}
		require.Contains(t, wanted, test.wanted, name)
		if test.check != "" {
			require.Contains(t, people.out, "wanted: ", name)
			require.Contains(t, people.out, "found:  ", name)
			require.Contains(t, people.out, test.found, name)
		}
	}
}

// Keys are where the flags say: at a URL, at another address, behind a private certificate authority.
func TestInspectReachesKeysAsCheckDoes(t *testing.T) {
	t.Parallel()
	d, flags := updatedPool(t)
	token := d.Issue(east, fakeissuer.Claims{})
	args := append([]string{"--fetch", "--client-id", fakeissuer.ClientID}, flags...)
	in, _ := inspect(t, tool{}, token, 0, args...)
	require.Equal(t, "accepted", in.Verdict)
	in, _ = inspect(t, tool{}, token, 3, "--fetch", "--client-id", fakeissuer.ClientID, "--user-pool", poolID, "--resolve", updatedHost+":443=127.0.0.1:1",
		"--resolve", eastHost+":443=127.0.0.1:1")
	require.Equal(t, "keys_unavailable", in.Reason)

	iss := "https://" + updatedHost + "/" + poolID
	other := append([]string{"--fetch", "--audience-kind", "cognito-access", "--client-id", fakeissuer.ClientID, "--issuer", "eu=" + iss}, d.flags...)
	for _, where := range []string{"https://" + westHost + keysPath, "eu=https://" + westHost + keysPath} {
		in, _ = inspect(t, tool{}, token, 0, append(other, "--jwks", where)...)
		require.Equal(t, "accepted", in.Verdict)
	}
	junk := filepath.Join(t.TempDir(), "junk")
	require.NoError(t, os.WriteFile(junk, pem.EncodeToMemory(&pem.Block{Type: "X"}), 0o600))
	for _, where := range []string{junk, "/nonexistent", t.TempDir(), junk + "," + junk} {
		tl := tool{stdin: token}
		tl.fails(t, 2, []string{"--jwks"}, append([]string{"inspect", "--jwks", where}, other...)...)
	}
}
