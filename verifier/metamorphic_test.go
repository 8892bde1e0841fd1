package verifier_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/verifier"
)

// mutations makes, from a token, others that differ in one thing. Each has to be refused.
func mutations(raw string) map[string]string {
	parts := strings.Split(raw, ".")
	h, p, s := parts[0], parts[1], parts[2]
	enc := base64.RawURLEncoding
	decode := func(part string) []byte {
		b, _ := enc.DecodeString(part)
		return b
	}
	rewrite := func(part string, change func(map[string]any)) string {
		var m map[string]any
		_ = json.Unmarshal(decode(part), &m)
		change(m)
		b, _ := json.Marshal(m)
		return enc.EncodeToString(b)
	}
	set := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	all := map[string]string{
		"padded header":        base64.URLEncoding.EncodeToString(append(decode(h), ' ')) + "." + p + "." + s,
		"padded payload":       h + "." + base64.URLEncoding.EncodeToString(append(decode(p), ' ')) + "." + s,
		"standard alphabet":    h + "." + p + "." + base64.StdEncoding.EncodeToString(decode(s)),
		"signature padded":     raw + "=",
		"second signature":     raw + "." + s,
		"empty fourth part":    raw + ".",
		"no signature":         h + "." + p + ".",
		"no signature part":    h + "." + p,
		"signature twice":      h + "." + p + "." + s + s,
		"payload twice":        h + "." + p + p + "." + s,
		"parts exchanged":      p + "." + h + "." + s,
		"signature shortened":  raw[:len(raw)-4],
		"signature lengthened": raw + "AAAA",
		"payload re-encoded":   h + "." + rewrite(p, func(map[string]any) {}) + "." + s,
		"header alg none":      rewrite(h, set("alg", "none")) + "." + p + "." + s,
		"header with jwk":      rewrite(h, set("jwk", map[string]any{"kty": "RSA"})) + "." + p + "." + s,
		"header with crit":     rewrite(h, set("crit", []string{"exp"})) + "." + p + "." + s,
		"header of other kid":  rewrite(h, set("kid", "other")) + "." + p + "." + s,
		"another issuer":       h + "." + rewrite(p, set("iss", "https://evil.example")) + "." + s,
		"later exp":            h + "." + rewrite(p, set("exp", 4102444800)) + "." + s,
		"another subject":      h + "." + rewrite(p, set("sub", "admin")) + "." + s,
		"white space appended": h + "." + enc.EncodeToString(append(decode(p), '\n')) + "." + s,
	}
	for i, dot := 0, 0; i < len(raw); i++ {
		flipped := []byte(raw)
		flipped[i] ^= 1 << (i % 8)
		all[fmt.Sprintf("bit flipped at %d", i)] = string(flipped)
		if raw[i] == '.' {
			dot++
			all[fmt.Sprintf("dot %d to the left", dot)] = raw[:i-1] + "." + raw[i-1:i] + raw[i+1:]
			all[fmt.Sprintf("dot %d to the right", dot)] = raw[:i] + raw[i+1:i+2] + "." + raw[i+2:]
			all[fmt.Sprintf("dot %d twice", dot)] = raw[:i] + "." + raw[i:]
		}
		if i%37 == 0 || raw[i] == '.' || i == len(raw)-1 {
			for _, insert := range []string{" ", "\n", "\r\n", "\x00", "=", "A", "\u200b"} {
				all[fmt.Sprintf("%q inserted at %d", insert, i)] = raw[:i] + insert + raw[i:]
			}
		}
	}
	for _, around := range []string{" ", "\n", "\x00", `"`, "Bearer "} {
		all[fmt.Sprintf("%q before", around)] = around + raw
		all[fmt.Sprintf("%q behind", around)] = raw + around
	}
	return all
}

func TestEveryMutationIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := loadVectors(t)
		tried := 0
		for _, c := range f.Cases {
			if c.Expect != "accept" {
				continue
			}
			raw := c.Token
			v := f.verifier(t, c)
			_, err := v.Verify(t.Context(), raw)
			require.NoError(t, err, c.Name)
			for name, mutant := range mutations(raw) {
				if mutant == raw {
					continue
				}
				_, err := v.Verify(t.Context(), mutant)
				require.Error(t, err, "%s: %s", c.Name, name)
				tried++
			}
		}
		require.Greater(t, tried, 70_000)
		time.Sleep(10 * time.Second) // until the last requests have ended
	})
}

// Every accepted token still is after its keys have been refreshed.
func TestAcceptedAfterRefresh(t *testing.T) {
	t.Parallel()
	f := loadVectors(t)
	synctest.Test(t, func(t *testing.T) {
		verifiers := map[string]*verifier.Verifier{}
		again := 0
		for round := range 3 {
			for _, c := range f.Cases {
				if c.Expect != "accept" {
					continue
				}
				if round == 0 {
					verifiers[c.Name] = f.verifier(t, c)
				}
				_, err := verifiers[c.Name].Verify(t.Context(), c.Token)
				require.NoError(t, err, c.Name)
				again++
			}
			time.Sleep(20 * time.Minute)
			synctest.Wait()
		}
		require.Equal(t, 3*117, again)
	})
}

// What a refusal says holds nothing of the token: no part, no claim, no control character.
func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	t.Parallel()
	f := loadVectors(t)
	scanned := 0
	for _, c := range f.Cases {
		raw := c.Token
		_, err := f.verifier(t, c).Verify(t.Context(), raw)
		if err == nil {
			continue
		}
		text := err.Error()
		require.Less(t, len(text), 300, c.Name)
		require.False(t, strings.ContainsFunc(text, unicode.IsControl), c.Name)
		for secret := range secrets(raw, c) {
			require.NotContains(t, text, secret, c.Name)
		}
		scanned++
	}
	require.GreaterOrEqual(t, scanned, 480)
}

// secrets yields the parts of a token and the texts in it that were not configured.
func secrets(raw string, c vectorCase) map[string]bool {
	out := map[string]bool{}
	for _, part := range strings.SplitN(raw, ".", 10) {
		if len(part) > 8 && len(part) < 20_000 {
			out[part] = true
		}
		b, err := base64.RawURLEncoding.DecodeString(part)
		var v any
		if err == nil && json.Unmarshal(b, &v) == nil {
			collectTexts(v, out)
		}
	}
	for _, i := range c.Config.Issuers {
		delete(out, i.Region)
	}
	ours := "token not accepted provider malformed expired"
	maps.DeleteFunc(out, func(s string, _ bool) bool { return len(s) < 5 || strings.Contains(ours, s) })
	return out
}

func collectTexts(v any, into map[string]bool) {
	switch v := v.(type) {
	case string:
		into[v] = true
	case []any:
		for _, e := range v {
			collectTexts(e, into)
		}
	case map[string]any:
		for _, e := range v {
			collectTexts(e, into)
		}
	}
}

// A claim that differs from a checked one in case only is another claim, whatever it is decoded into.
func TestClaimsTellWhatWasChecked(t *testing.T) {
	t.Parallel()
	f := loadVectors(t)
	i := slices.IndexFunc(f.Cases, func(c vectorCase) bool { return c.Name == "payload-json/case-ISS-beside" })
	c := f.Cases[i]
	tok, err := static(t, f, c).Verify(t.Context(), c.Token)
	require.NoError(t, err)
	typed, err := verifier.ClaimsOf[struct {
		Issuer string `json:"iss"`
	}](tok)
	require.NoError(t, err)
	require.Equal(t, tok.Issuer(), typed.Issuer)
	require.Equal(t, c.Config.Issuers[0].Iss, typed.Issuer)
	folded, err := verifier.ClaimsOf[struct{ Iss string }](tok)
	require.NoError(t, err)
	require.Empty(t, folded.Iss, "the field's name is Iss, and no claim is called so")
}

// Tokens are shared between requests: a handler tries to change one through everything that it returns.
func TestTokensCannotBeChanged(t *testing.T) {
	t.Parallel()
	f := loadVectors(t)
	c := f.Cases[0]
	v := static(t, f, c)
	tok, err := v.Verify(t.Context(), c.Token)
	require.NoError(t, err)
	snapshot := func() string {
		claims, err := verifier.ClaimsOf[map[string]any](tok)
		require.NoError(t, err)
		return fmt.Sprint(claims, tok.Regions(), slices.Collect(tok.Scopes()), slices.Collect(tok.Groups()), slices.Collect(tok.Audience()),
			tok.Provider(), tok.Issuer(), tok.Subject(), tok.ClientID(), tok.ID(), tok.Claim("token_use"), tok.Expiry(), tok.Key().ID(), tok.Key().Thumbprint())
	}
	before := snapshot()
	regions := tok.Regions()
	for i := range regions {
		regions[i] = "changed"
	}
	raw, err := verifier.ClaimsOf[map[string]json.RawMessage](tok)
	require.NoError(t, err)
	for _, m := range raw {
		for i := range m {
			m[i] = 'x'
		}
	}
	whole, err := verifier.ClaimsOf[json.RawMessage](tok)
	require.NoError(t, err)
	for i := range whole {
		whole[i] = 'x'
	}
	grabbed, err := verifier.ClaimsOf[grabber](tok)
	require.NoError(t, err)
	for i := range grabbed.kept {
		grabbed.kept[i] = 'x'
	}
	require.Equal(t, before, snapshot())
	again, err := v.Verify(t.Context(), c.Token)
	require.NoError(t, err)
	require.Equal(t, tok.Subject(), again.Subject())
}

// grabber keeps the bytes that it is handed, which UnmarshalJSON may not do.
type grabber struct{ kept []byte }

func (g *grabber) UnmarshalJSON(b []byte) error {
	g.kept = b
	return nil
}

// Memory is bounded by the input: a few bytes for each of the token's, whatever it holds.
func TestMemoryIsBounded(t *testing.T) {
	f := loadVectors(t)
	v, _, _ := court(t, f)
	for _, c := range f.Cases { // the keys are fetched
		_, _ = v.Verify(t.Context(), c.Token)
	}
	for _, c := range f.Cases {
		raw := c.Token
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = v.Verify(t.Context(), raw)
		runtime.ReadMemStats(&after)
		limit := uint64(64<<10 + 64*min(len(raw), 16<<10))
		require.Less(t, after.TotalAlloc-before.TotalAlloc, limit, c.Name)
	}
	tooLarge := strings.Repeat(".", 100<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := v.Verify(t.Context(), tooLarge)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10), "bytes")
	require.Equal(t, string(verifier.ReasonMalformed), reasonOf(t, err))
}
