package main_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
)

type inspected struct {
	Header, Claims          map[string]any
	Verdict, Reason, Detail string
	Rule                    string
	Checks                  []struct{ Name, Result string }
	Regions                 []string
	Authority, Kid          string
	Thumbprint              string `json:"key_thumbprint"`
	Keys                    []struct{ Region, State, Error string }
}

// inspect runs inspect in both formats, which must agree and hold no signature.
func inspect(t *testing.T, tl tool, token string, code int, args ...string) (inspected, result) {
	t.Helper()
	tl.stdin = token
	machine := tl.run(t, append([]string{"inspect", "-json"}, args...)...)
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

const poolChecks = "size: passed; form: passed; issuer: passed; alg, typ: passed; time: passed; for whom: passed; "

func TestInspectWithoutKeys(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, issuertest.Config{})
	good := w.Token("us-west-2", issuertest.Claims{})
	in, people := inspect(t, tool{}, good, 0)
	require.Equal(t, "not_checked", in.Verdict)
	require.Equal(t, "RS256", in.Header["alg"])
	require.Equal(t, issuertest.Subject, in.Claims["sub"])
	require.Contains(t, people.out, "expires    ")
	require.Contains(t, people.out, "-user-pool")

	pool := []string{"-user-pool", "us-east-1_Testing01", "-replica", "us-west-2", "-client-id", issuertest.ClientID}
	for name, test := range map[string]struct {
		token, verdict, reason, checks string
		more                           []string
	}{
		"good":            {good, "not_refused", "", poolChecks + "key: not_checked; signature: not_checked; claims: not_checked; revocation: not_checked", nil},
		"with a word":     {"Bearer " + good + "\r\n", "not_refused", "", "", nil},
		"expired":         {w.Token("us-west-2", issuertest.Claims{ExpiresIn: -time.Hour}), "refused", "expired", "alg, typ: passed; time: refused; for whom: not_checked", nil},
		"other client":    {w.Token("us-west-2", issuertest.Claims{ClientID: "x"}), "refused", "bad_audience", "time: passed; for whom: refused; key: not_checked", nil},
		"other kind":      {w.Token("us-west-2", issuertest.Claims{Use: "id"}), "refused", "bad_token_use", "for whom: refused", nil},
		"wanted kind":     {w.Token("us-west-2", issuertest.Claims{Use: "id"}), "not_refused", "", "for whom: passed", []string{"-use", "id"}},
		"audience":        {w.Token("us-west-2", issuertest.Claims{Audience: []string{"a"}}), "not_refused", "", "", []string{"-audience", "a"}},
		"other issuer":    {w.Token("us-west-2", issuertest.Claims{Issuer: "https://x.example"}), "refused", "unknown_issuer", "form: passed; issuer: refused; alg, typ: not_checked", nil},
		"other mode":      {good, "refused", "unknown_issuer", "", []string{"-issuer-type", "updated"}},
		"other alg":       {issuertest.New(t, issuertest.Config{Algorithm: "ES256"}).Token("us-west-2", issuertest.Claims{}), "refused", "unsupported_alg", "issuer: passed; alg, typ: refused", nil},
		"no alg":          {w.Token("us-west-2", issuertest.Claims{Header: map[string]any{"alg": "none"}}), "refused", "unsupported_alg", "form: refused; issuer: not_checked", nil},
		"too long":        {w.Token("us-west-2", issuertest.Claims{Set: map[string]any{"x": strings.Repeat("x", 17<<10)}}), "refused", "too_large", "size: refused; form: not_checked", nil},
		"two parts":       {"aaaa.bbbb", "refused", "malformed", "size: passed; form: refused", nil},
		"no signature":    {good[:strings.LastIndexByte(good, '.')], "refused", "malformed", "size: passed; form: refused", nil},
		"header only":     {good[:strings.IndexByte(good, '.')], "refused", "malformed", "", nil},
		"encrypted":       {"a.b.c.d.e", "refused", "malformed", "", nil},
		"not base64":      {"a*.b.c", "refused", "malformed", "", nil},
		"doubled":         {encode(`{"alg":"RS256","kid":"k"}`) + "." + encode(`{"iss":"a","iss":"b"}`) + ".c2ln", "refused", "malformed", "", nil},
		"no expiry":       {w.Token("us-west-2", issuertest.Claims{Set: map[string]any{"exp": nil}}), "refused", "malformed", "issuer: passed; alg, typ: refused", nil},
		"no issuer":       {w.Token("us-west-2", issuertest.Claims{Set: map[string]any{"iss": nil}}), "refused", "malformed", "form: refused", nil},
		"critical header": {w.Token("us-west-2", issuertest.Claims{Header: map[string]any{"crit": []string{"x"}}}), "refused", "malformed", "form: refused", nil},
	} {
		code := map[bool]int{true: 1}[test.verdict == "refused"]
		in, _ := inspect(t, tool{}, test.token, code, append(pool, test.more...)...)
		require.Equal(t, test.verdict, in.Verdict, name)
		require.Equal(t, test.reason, in.Reason, name)
		require.Contains(t, in.results(), test.checks, name)
		if in.Reason == "malformed" && in.Claims == nil {
			require.NotEmpty(t, in.Detail, name)
		}
	}
	fromEnv := tool{}.with("REGIONJWT_USER_POOL", "us-east-1_Testing01", "REGIONJWT_REPLICA", "us-west-2", "REGIONJWT_CLIENT_ID", "x,"+issuertest.ClientID)
	in, _ = inspect(t, fromEnv, good, 0)
	require.Equal(t, "not_refused", in.Verdict)
}

func TestInspectWithKeys(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	tl, _ := signing(t)
	rules := tl.env["REGIONJWT_STORE"]
	tl = tl.with("REGIONJWT_STORE", "", "REGIONJWT_AUDIENCE", issuertest.Audience, "REGIONJWT_AUTHORITY", "shop", "REGIONJWT_ISSUER", issuers(w))
	good := w.Token("us-west-2", issuertest.Claims{Subject: "bob"})
	in, people := inspect(t, tl, good, 0, "-fetch")
	require.Equal(t, "accepted", in.Verdict)
	require.Equal(t, []string{"us-west-2"}, in.Regions)
	require.Equal(t, "shop", in.Authority)
	require.Equal(t, w.KeyID("us-west-2"), in.Kid)
	require.Len(t, in.Thumbprint, 43)
	require.Contains(t, people.out, in.Thumbprint)
	require.Contains(t, in.results(), "signature: passed; claims: passed; revocation: not_checked")

	in, _ = inspect(t, tl, w.Token("us-west-2", issuertest.Claims{Forge: true}), 1, "-fetch")
	require.Equal(t, "bad_signature", in.Reason)
	require.Contains(t, in.results(), "key: passed; signature: refused; claims: not_checked")
	in, _ = inspect(t, tl, w.Token("us-west-2", issuertest.Claims{Header: map[string]any{"alg": "RS256"}}), 1, "-fetch")
	require.Equal(t, "unknown_key", in.Reason, "the key of that name is for another algorithm")
	require.Contains(t, in.results(), "for whom: passed; key: refused")
	in, _ = inspect(t, tl, w.Token("us-west-2", issuertest.Claims{Header: map[string]any{"kid": "x"}}), 1, "-fetch")
	require.Equal(t, "unknown_key", in.Reason)
	require.Contains(t, in.results(), "for whom: passed; key: refused")

	tl = tl.with("REGIONJWT_STORE", rules)
	in, _ = inspect(t, tl, good, 0, "-fetch")
	require.Contains(t, in.results(), "revocation: passed")
	id := tl.ok(t, "revoke", "-authority", "shop", "-subject", "bob")
	in, people = inspect(t, tl, good, 1, "-fetch")
	require.Equal(t, "revoked", in.Reason)
	require.Equal(t, id, in.Rule)
	require.Contains(t, people.out, "by the rule "+id)
	require.Contains(t, in.results(), "claims: passed; revocation: refused")
	tl.with("REGIONJWT_AUTHORITY", "").fails(t, 2, []string{"-authority"}, "inspect", "-fetch")

	other := w.Token("us-west-2", issuertest.Claims{})
	in, _ = inspect(t, tl.with("REGIONJWT_SIGN_KEY", ""), other, 3, "-fetch")
	require.Equal(t, "rules_unavailable", in.Reason)
	require.Contains(t, in.results(), "revocation: cannot_tell")

	w.Break("us-west-2")
	in, _ = inspect(t, tl, other, 3, "-fetch")
	require.Equal(t, "cannot_tell", in.Verdict)
	require.Equal(t, "keys_unavailable", in.Reason)
	require.Equal(t, "network", in.Keys[1].Error)
	require.Equal(t, "fresh", in.Keys[0].State)
}

// issuers writes the regions of a world as -issuer has them.
func issuers(w *issuertest.World) string {
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
	require.Equal(t, "too_large", decode[inspected](t, tool{stdin: cut}.run(t, "inspect", "-json").out).Reason)
	pool := []string{"-user-pool", "us-east-1_Testing01", "-client-id", "c"}
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
		for _, args := range [][]string{{"inspect"}, {"inspect", "-json"}, append([]string{"inspect", "-json"}, pool...)} {
			r := tl.run(t, args...)
			require.LessOrEqual(t, r.code, 1, name)
			require.Empty(t, r.errors, name)
			require.False(t, strings.ContainsFunc(r.out, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }), name)
			require.NotContains(t, r.out, "c2ln", name)
			if len(args) > 1 {
				require.Contains(t, []string{"refused", "not_checked"}, decode[struct{ Verdict string }](t, r.out).Verdict, name)
			}
			if len(args) > 2 {
				require.Equal(t, 1, r.code, name)
				if len(token) > 1<<20-100 {
					require.Contains(t, r.out, "too_large", name)
				}
			}
		}
		require.Less(t, time.Since(began), 20*time.Second, name)
	}
}
