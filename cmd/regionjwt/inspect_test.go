package main_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

type inspected struct {
	Header, Claims          map[string]any
	Verdict, Reason, Detail string
	Rule                    string
	Checks                  []struct{ Name, Result, Wanted, Found string }
	Regions                 []string
	Provider, Kid           string
	Thumbprint              string `json:"key_thumbprint"`
	Keys                    []struct{ Region, State, Error string }
}

// inspect runs inspect in both formats, which must agree and hold no signature.
func inspect(t *testing.T, tl tool, token string, code int, args ...string) (inspected, result) {
	t.Helper()
	tl.stdin = token
	machine := tl.run(t, append([]string{"inspect", "--json"}, args...)...)
	people := tl.run(t, append([]string{"inspect"}, args...)...)
	signature := token[strings.LastIndexByte(token, '.')+1:]
	for _, r := range []result{machine, people} {
		require.Equal(t, code, r.code, r.out+r.errors)
		if len(signature) > 8 {
			require.NotContains(t, r.out+r.errors, signature)
		}
		require.False(t, strings.ContainsFunc(r.out+r.errors, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }))
	}
	in := decode[inspected](t, machine.out)
	if in.Reason != "" {
		require.Contains(t, people.out, in.Reason)
	}
	return in, people
}

func (in inspected) results() string {
	var parts []string
	for _, c := range in.Checks {
		parts = append(parts, c.Name+": "+c.Result)
	}
	return strings.Join(parts, "; ")
}

const poolChecks = "size: passed; form: passed; header: passed; claim types: passed; issuer: passed; alg: passed; typ: passed; " +
	"time: passed; audience: passed; "

func TestInspectWithoutKeys(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{})
	good := w.Issue("us-west-2", fakeissuer.Claims{})
	in, people := inspect(t, tool{}, good, 0)
	require.Equal(t, "not_checked", in.Verdict)
	require.Equal(t, "RS256", in.Header["alg"])
	require.Equal(t, fakeissuer.Subject, in.Claims["sub"])
	require.Contains(t, people.out, "expires    ")
	require.Contains(t, people.out, "--user-pool")

	pool := []string{"--user-pool", "us-east-1_Testing01", "--replica", "us-west-2", "--client-id", fakeissuer.ClientID}
	for name, test := range map[string]struct {
		token, verdict, reason, checks string
		more                           []string
	}{
		"good":            {good, "not_rejected", "", poolChecks + "key: not_checked; signature: not_checked; claims: not_checked; revocation: not_checked", nil},
		"with a word":     {"Bearer " + good + "\r\n", "not_rejected", "", "", nil},
		"expired":         {w.Issue("us-west-2", fakeissuer.Claims{ExpiresIn: -time.Hour}), "rejected", "expired", "typ: passed; time: rejected; audience: not_checked", nil},
		"other client":    {w.Issue("us-west-2", fakeissuer.Claims{ClientID: "x"}), "rejected", "bad_audience", "time: passed; audience: rejected; key: not_checked", nil},
		"other kind":      {w.Issue("us-west-2", fakeissuer.Claims{IDToken: true}), "rejected", "bad_audience", "audience: rejected", nil},
		"wanted kind":     {w.Issue("us-west-2", fakeissuer.Claims{IDToken: true}), "not_rejected", "", "audience: passed", []string{"--audience-kind", "cognito-id"}},
		"audience":        {w.Issue("us-west-2", fakeissuer.Claims{Audience: []string{"a"}}), "not_rejected", "", "", []string{"--audience", "a"}},
		"other issuer":    {w.Issue("us-west-2", fakeissuer.Claims{Issuer: "https://x.example"}), "rejected", "unknown_issuer", "claim types: passed; issuer: rejected; alg: not_checked", nil},
		"other mode":      {good, "rejected", "unknown_issuer", "", []string{"--cognito-mode", "updated"}},
		"other alg":       {fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"}).Issue("us-west-2", fakeissuer.Claims{}), "rejected", "alg_not_allowed", "issuer: passed; alg: rejected; typ: not_checked", nil},
		"no alg":          {w.Issue("us-west-2", fakeissuer.Claims{Header: map[string]any{"alg": "none"}}), "rejected", "alg_not_allowed", "issuer: passed; alg: rejected; typ: not_checked", nil},
		"too long":        {w.Issue("us-west-2", fakeissuer.Claims{Set: map[string]any{"x": strings.Repeat("x", 17<<10)}}), "rejected", "malformed", "size: rejected; form: not_checked", nil},
		"two parts":       {"aaaa.bbbb", "rejected", "malformed", "size: passed; form: rejected", nil},
		"no signature":    {good[:strings.LastIndexByte(good, '.')], "rejected", "malformed", "size: passed; form: rejected", nil},
		"header only":     {good[:strings.IndexByte(good, '.')], "rejected", "malformed", "", nil},
		"encrypted":       {"a.b.c.d.e", "rejected", "malformed", "", nil},
		"not base64":      {"a*.b.c", "rejected", "malformed", "", nil},
		"doubled":         {encode(`{"alg":"RS256","kid":"k"}`) + "." + encode(`{"iss":"a","iss":"b"}`) + ".c2ln", "rejected", "malformed", "", nil},
		"no expiry":       {w.Issue("us-west-2", fakeissuer.Claims{Set: map[string]any{"exp": nil}}), "rejected", "malformed", "header: passed; claim types: rejected; issuer: passed; alg: not_checked", nil},
		"no issuer":       {w.Issue("us-west-2", fakeissuer.Claims{Set: map[string]any{"iss": nil}}), "rejected", "malformed", "header: passed; claim types: rejected; issuer: not_checked", nil},
		"critical header": {w.Issue("us-west-2", fakeissuer.Claims{Header: map[string]any{"crit": []string{"x"}}}), "rejected", "malformed", "form: passed; header: rejected; claim types: not_checked", nil},
	} {
		code := map[bool]int{true: 1}[test.verdict == "rejected"]
		in, _ := inspect(t, tool{}, test.token, code, append(pool, test.more...)...)
		require.Equal(t, test.verdict, in.Verdict, name)
		require.Equal(t, test.reason, in.Reason, name)
		require.Contains(t, in.results(), test.checks, name)
		if in.Reason == "malformed" && in.Claims == nil {
			require.NotEmpty(t, in.Detail, name)
		}
	}
	for detail, token := range map[string]string{
		"client_id": w.Issue("us-west-2", fakeissuer.Claims{ClientID: "x"}),
		"token_use": w.Issue("us-west-2", fakeissuer.Claims{IDToken: true}),
		"aud":       w.Issue("us-west-2", fakeissuer.Claims{Audience: []string{"a"}}),
		"exp":       w.Issue("us-west-2", fakeissuer.Claims{Set: map[string]any{"exp": nil}}),
		"crit":      w.Issue("us-west-2", fakeissuer.Claims{Header: map[string]any{"crit": []string{"x"}}}),
		"size":      w.Issue("us-west-2", fakeissuer.Claims{Set: map[string]any{"x": strings.Repeat("x", 17<<10)}}),
	} {
		in, people := inspect(t, tool{}, token, 1, pool...)
		require.Equal(t, detail, in.Detail)
		require.Contains(t, people.out, "rejected: "+in.Reason+" ("+detail+")\n")
	}
	fromEnv := tool{}.with("REGIONJWT_USER_POOL", "us-east-1_Testing01", "REGIONJWT_REPLICA", "us-west-2", "REGIONJWT_CLIENT_ID", "x,"+fakeissuer.ClientID)
	in, _ = inspect(t, fromEnv, good, 0)
	require.Equal(t, "not_rejected", in.Verdict)
}

func TestInspectWithKeys(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	tl, _ := signing(t)
	rules := tl.env["REGIONJWT_STORE"]
	tl = tl.with("REGIONJWT_STORE", "", "REGIONJWT_AUDIENCE", fakeissuer.Audience, "REGIONJWT_PROVIDER", "shop", "REGIONJWT_ISSUER", issuers(w))
	good := w.Issue("us-west-2", fakeissuer.Claims{Subject: "bob"})
	in, people := inspect(t, tl, good, 0, "--fetch")
	require.Equal(t, "accepted", in.Verdict)
	require.Equal(t, []string{"us-west-2"}, in.Regions)
	require.Equal(t, "shop", in.Provider)
	require.Equal(t, w.KeyID("us-west-2"), in.Kid)
	require.Len(t, in.Thumbprint, 43)
	require.Contains(t, people.out, in.Thumbprint)
	require.Contains(t, in.results(), "signature: passed; claims: passed; revocation: not_checked")

	in, _ = inspect(t, tl, w.Issue("us-west-2", fakeissuer.Claims{Forged: true}), 1, "--fetch")
	require.Equal(t, "bad_signature", in.Reason)
	require.Contains(t, in.results(), "key: passed; signature: rejected; claims: not_checked")
	in, _ = inspect(t, tl, w.Issue("us-west-2", fakeissuer.Claims{Header: map[string]any{"alg": "RS256"}}), 1, "--fetch")
	require.Equal(t, "unknown_key", in.Reason, "the key of that name is for another algorithm")
	require.Contains(t, in.results(), "audience: passed; key: rejected")
	in, _ = inspect(t, tl, w.Issue("us-west-2", fakeissuer.Claims{Header: map[string]any{"kid": "x"}}), 1, "--fetch")
	require.Equal(t, "unknown_key", in.Reason)
	require.Contains(t, in.results(), "audience: passed; key: rejected")

	tl = tl.with("REGIONJWT_STORE", rules)
	in, _ = inspect(t, tl, good, 0, "--fetch")
	require.Contains(t, in.results(), "revocation: passed")
	id := tl.ok(t, "revoke", "--provider", "shop", "--subject", "bob")
	in, people = inspect(t, tl, good, 1, "--fetch")
	require.Equal(t, "revoked", in.Reason)
	require.Equal(t, id, in.Rule)
	require.Contains(t, people.out, "by the rule "+id)
	require.Contains(t, in.results(), "claims: passed; revocation: rejected")
	tl.with("REGIONJWT_PROVIDER", "").fails(t, 2, []string{"--provider"}, "inspect", "--fetch")

	other := w.Issue("us-west-2", fakeissuer.Claims{})
	in, _ = inspect(t, tl.with("REGIONJWT_SIGN_KEY", "", "REGIONJWT_FLEET", ""), other, 3, "--fetch")
	require.Equal(t, "rules_unavailable", in.Reason)
	require.Contains(t, in.results(), "revocation: cannot_tell")

	w.Break("us-west-2")
	in, _ = inspect(t, tl, other, 3, "--fetch")
	require.Equal(t, "cannot_tell", in.Verdict)
	require.Equal(t, "keys_unavailable", in.Reason)
	require.Equal(t, "network", in.Keys[1].Error)
	require.Equal(t, "fresh", in.Keys[0].State)
}

// issuers writes the regions of a provider as --issuer has them.
func issuers(w *fakeissuer.Server) string {
	var all []string
	for _, r := range w.Provider().Regions {
		all = append(all, r.Name+"="+r.Issuers[0])
	}
	return strings.Join(all, ",")
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// What is on standard input may want to take over the terminal, or the tool.
func TestHostileTokens(t *testing.T) {
	t.Parallel()
	evil := "\x1b[2J\x1b]0;owned\x07\u009b31m\u202e\u200b\x7f\x00\r\b"
	header := encode(`{"alg":"RS256","kid":"k"}`)
	escapes := `\u001b[2J\u0007\u009b\u202e\ud83d\ude00\r\n`
	visible, _ := inspect(t, tool{}, header+"."+encode(`{"sub":"`+escapes+`","`+escapes+`":1}`)+".c2lnbmF0dXJlc2lnbmF0dXJl", 0)
	require.Equal(t, "\x1b[2J\x07\u009b\u202e\U0001F600\r\n", visible.Claims["sub"])
	raw, people := inspect(t, tool{}, header+"."+encode("{\"sub\":\"\u009b31m\u202e\U000E0041\u007f\"}")+".c2ln", 0)
	require.Equal(t, "\u009b31m\u202e\U000E0041\u007f", raw.Claims["sub"])
	require.Contains(t, people.out, `\u009b31m\u202e\udb40\udc41\u007f`)
	cut := header + "." + encode(`{"x":"`+strings.Repeat("x", 700_000)+`"}`) + "." + strings.Repeat("c", 200_000)
	long := decode[inspected](t, tool{stdin: cut}.run(t, "inspect", "--json").out)
	require.Equal(t, "malformed", long.Reason)
	require.Equal(t, "size", long.Detail)
	pool := []string{"--user-pool", "us-east-1_Testing01", "--client-id", "c"}
	for name, token := range map[string]string{
		"controls":             evil + "x",
		"controls in parts":    evil + "." + evil + "." + evil + "x",
		"raw controls in JSON": header + "." + encode(`{"sub":"`+evil+`"}`) + ".c2ln",
		"not UTF-8":            header + "." + encode("{\"sub\":\"\xff\xfe\"}") + ".c2ln",
		"binary":               strings.Repeat("\xff\x00", 1000),
		"deep":                 header + "." + encode(strings.Repeat(`{"a":`, 5000)+"1"+strings.Repeat("}", 5000)) + ".c2ln",
		"1 MB of dots":         strings.Repeat(".", 1<<20),
		"1 MB of letters":      strings.Repeat("a", 1<<20),
		"1 MB token":           header + "." + encode(`{"sub":"`+strings.Repeat("x", 700_000)+`"}`) + ".c2ln",
		"8 MB":                 strings.Repeat("eyJ", 8<<20/3) + "." + strings.Repeat(".", 100),
		"huge numbers":         header + "." + encode(`{"exp":1e999999,"iat":-1e400,"nbf":`+strings.Repeat("9", 5000)+`}`) + ".c2ln",
	} {
		began := time.Now()
		tl := tool{stdin: token}
		for _, args := range [][]string{{"inspect"}, {"inspect", "--json"}, append([]string{"inspect", "--json"}, pool...)} {
			r := tl.run(t, args...)
			require.LessOrEqual(t, r.code, 1, name)
			require.Empty(t, r.errors, name)
			require.False(t, strings.ContainsFunc(r.out, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }), name)
			require.NotContains(t, r.out, "c2ln", name)
			if len(args) > 1 {
				require.Contains(t, []string{"rejected", "not_checked"}, decode[struct{ Verdict string }](t, r.out).Verdict, name)
			}
			if len(args) > 2 {
				require.Equal(t, 1, r.code, name)
				if len(token) > 1<<20-100 {
					require.Contains(t, r.out, `"detail": "size"`, name)
				}
			}
		}
		require.Less(t, time.Since(began), 20*time.Second, name)
	}
}

// A token of a load balancer is no JWT, and is told apart from one that is cut off.
func TestInspectOfALoadBalancersToken(t *testing.T) {
	t.Parallel()
	r := tool{stdin: "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0=.AAAA"}.run(t, "inspect", "--issuer", "a=https://a.example", "--audience", "a")
	require.Equal(t, 1, r.code, r.out)
	require.Contains(t, r.out, "x-amzn-oidc-data")
}
