package jose_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
)

// A key in another spelling is the very key of the right spelling: the same material, the same thumbprint, the same name.
func TestSpellingsOfOneKey(t *testing.T) {
	t.Parallel()
	null := json.RawMessage("null")
	zero := func(v any, n int) string {
		return enc.EncodeToString(append(make([]byte, n), decoded(t, v)...))
	}
	pad := func(v any) string { return v.(string) + strings.Repeat("=", (4-len(v.(string))%4)%4) }
	rs, es, ed := members(t, jose.RS256), withShortX(t), members(t, jose.EdDSA)
	for name, c := range map[string]struct {
		base, change map[string]any
	}{
		"n with a leading zero":   {rs, map[string]any{"n": zero(rs["n"], 1)}},
		"n with many zeros":       {rs, map[string]any{"n": zero(rs["n"], 9)}},
		"e with leading zeros":    {rs, map[string]any{"e": zero(rs["e"], 5)}},
		"n padded":                {rs, map[string]any{"n": pad(rs["n"])}},
		"n padded, with a zero":   {rs, map[string]any{"n": pad(zero(rs["n"], 1))}},
		"x without its zero":      {es, map[string]any{"x": enc.EncodeToString(decoded(t, es["x"])[1:])}},
		"x and y too wide":        {es, map[string]any{"x": zero(es["x"], 2), "y": zero(es["y"], 34)}},
		"x and y padded":          {es, map[string]any{"x": pad(es["x"]), "y": pad(es["y"])}},
		"x of Ed25519 padded":     {ed, map[string]any{"x": pad(ed["x"])}},
		"use is null":             {rs, map[string]any{"use": null}},
		"key_ops is null":         {rs, map[string]any{"key_ops": null}},
		"private members null":    {rs, map[string]any{"d": null, "p": null, "q": null, "dp": null, "dq": null, "qi": null}},
		"others of .NET null":     {rs, map[string]any{"oth": null, "k": null, "priv": null}},
		"private exponent null":   {es, map[string]any{"d": null}},
		"certificates are null":   {es, map[string]any{"x5c": null, "x5t": null, "x5u": null, "x5t#S256": null}},
		"every optional one null": {ed, map[string]any{"use": null, "key_ops": null, "d": null, "x5c": null}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, skip := parseKey(t, c.base)
			require.Empty(t, skip)
			other := maps.Clone(c.base)
			maps.Copy(other, c.change)
			got, skip := parseKey(t, other)
			require.Empty(t, skip)
			require.Equal(t, want, got)
			require.True(t, want.Same(got))
			doc, err := json.Marshal(map[string]any{"keys": []any{c.base, other}})
			require.NoError(t, err)
			keys, _, err := jose.ParseSet(doc, jose.Limits{})
			require.NoError(t, err)
			require.Len(t, keys, 1, "both are one key")
		})
	}
	for _, m := range []map[string]any{{"alg": null}, {"kid": null}, {"alg": null, "kid": null}} {
		other, absent := maps.Clone(rs), maps.Clone(rs)
		maps.Copy(other, m)
		for name := range m {
			delete(absent, name)
		}
		got, skip := parseKey(t, other)
		require.Empty(t, skip)
		want, _ := parseKey(t, absent)
		require.Equal(t, want, got)
	}
}

// withShortX makes the members of a P-256 key whose x begins with a zero byte.
func withShortX(t *testing.T) map[string]any {
	t.Helper()
	for {
		m := members(t, jose.ES256)
		if decoded(t, m["x"])[0] == 0 {
			return m
		}
	}
}

// A key whose private half is public is recognized in every spelling.
func TestPublishedPrivateKeysInEverySpelling(t *testing.T) {
	t.Parallel()
	for _, spelled := range []string{
		strings.Replace(cognitoLocalKey, `"e":"AQAB"`, `"e":"AAAAAQAB"`, 1),
		strings.Replace(cognitoLocalKey, `"n":"2uLO7yh1_6Icfd8`, `"n":"AAAA2uLO7yh1_6Icfd8`, 1),
		strings.Replace(cognitoLocalKey, `RnCcjQ"`, `RnCcjQ=="`, 1),
		strings.Replace(cognitoLocalKey, `"kid":"CognitoLocal"`, `"kid":null`, 1),
	} {
		require.NotEqual(t, cognitoLocalKey, spelled)
		keys, skipped, err := jose.ParseSet([]byte(`{"keys":[`+spelled+`]}`), jose.Limits{})
		require.NoError(t, err)
		require.Empty(t, keys)
		require.Equal(t, jose.SkipKnownKey, skipped[0].Why)
	}
}

// A key without a name keeps none when it is written and read again.
func TestKeyWithoutNameIsKept(t *testing.T) {
	t.Parallel()
	s, err := josetest.NewSigner(jose.ES256)
	require.NoError(t, err)
	m, err := s.JWK()
	require.NoError(t, err)
	delete(m, "kid")
	k, skip := parseKey(t, m)
	require.Empty(t, skip)
	require.Empty(t, k.ID)
	text, err := k.JWK()
	require.NoError(t, err)
	require.NotContains(t, string(text), "kid")
	again, _, err := jose.ParseSet([]byte(`{"keys":[`+string(text)+`]}`), jose.Limits{})
	require.NoError(t, err)
	require.Equal(t, []*jose.Key{k}, again)
	require.IsType(t, &ecdsa.PublicKey{}, k.Public)
}
