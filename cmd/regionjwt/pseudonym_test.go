package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/verifier"
)

// pseudonymous writes a key of audit records, in base64 and as it is, and returns the tool that uses the first.
func pseudonymous(t *testing.T, key string) (tl tool, raw string) {
	t.Helper()
	dir := t.TempDir()
	encoded, raw := filepath.Join(dir, "encoded"), filepath.Join(dir, "raw")
	require.NoError(t, os.WriteFile(encoded, []byte(base64.StdEncoding.EncodeToString([]byte(key))+"\n"), 0o600))
	require.NoError(t, os.WriteFile(raw, []byte(key), 0o600))
	return tool{}.with("REGIONJWT_PSEUDONYM_KEY", encoded, "REGIONJWT_PROVIDER", "shop"), raw
}

// What the tool computes is what a record has.
func TestPseudonymsAreThoseOfRecords(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("\x00k\n", 11) // bytes that are no text
	tl, raw := pseudonymous(t, key)
	var records bytes.Buffer
	recorder, err := audit.New(slog.NewJSONHandler(&records, nil), audit.Config{PseudonymKey: []byte(key)})
	require.NoError(t, err)
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", ID: "shop"})
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	policy := verifier.Policy{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}
	v, err := verifier.New([]verifier.Policy{policy}, cache, verifier.Config{OnDecision: recorder.Record})
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), w.Issue("us-west-2", fakeissuer.Claims{Subject: "Ålice  x", Set: map[string]any{"jti": "-j"}}))
	require.NoError(t, err)
	var record map[string]any
	require.NoError(t, json.Unmarshal(records.Bytes(), &record))

	require.Equal(t, record["subject"], tl.ok(t, "pseudonym", "Ålice  x"))
	require.Equal(t, record["subject"], tl.ok(t, "pseudonym", "--raw", "--pseudonym-key", raw, "--field", "subject", "Ålice  x"))
	require.Equal(t, record["client_id"], tl.ok(t, "pseudonym", "--field", "client_id", fakeissuer.ClientID))
	require.Equal(t, record["token_id"], tl.ok(t, "pseudonym", "--field", "token_id", "--", "-j"))
	require.NotEqual(t, record["subject"], tl.ok(t, "pseudonym", "--provider", "other", "Ålice  x"))

	tl.stdin = "bob\r\nÅlice  x"
	both := strings.Split(tl.ok(t, "pseudonym"), "\n")
	require.Len(t, both, 2)
	require.Equal(t, record["subject"], both[1])
	require.Equal(t, map[string]any{"provider": "shop", "field": "subject", "pseudonyms": []any{
		map[string]any{"value": "bob", "pseudonym": both[0]}, map[string]any{"value": "Ålice  x", "pseudonym": both[1]},
	}}, decode[map[string]any](t, tl.ok(t, "pseudonym", "--json")))
}

func TestPseudonymsThatAreNotComputed(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("TOPSECRET", 4)
	tl, raw := pseudonymous(t, key)
	short, shortRaw := pseudonymous(t, "31 bytes are not enough for it.")
	for name, test := range map[string]struct {
		tool tool
		args []string
		says string
	}{
		"no key":                    {tl.with("REGIONJWT_PSEUDONYM_KEY", ""), []string{"x"}, "--pseudonym-key"},
		"no provider":               {tl.with("REGIONJWT_PROVIDER", ""), []string{"x"}, "--provider"},
		"unknown field":             {tl, []string{"--field", "sub", "x"}, "subject, client_id, token_id, actor"},
		"a key that is no base64":   {tl, []string{"--pseudonym-key", raw + "\x00", "x"}, "--pseudonym-key"},
		"a short key":               {short, []string{"x"}, "31 bytes"},
		"a short key as it is":      {tl, []string{"--raw", "--pseudonym-key", shortRaw, "x"}, "31 bytes"},
		"a key that is a directory": {tl, []string{"--pseudonym-key", filepath.Dir(raw), "x"}, "not a regular file"},
		"no value":                  {tl, nil, "no value"},
		"an empty value":            {tl, []string{"x", ""}, "empty"},
		"a long line":               {tool{env: tl.env, stdin: "a\n" + strings.Repeat("x", 2<<20)}, nil, "line 2"},
		"an empty line":             {tool{env: tl.env, stdin: "a\n\nb\n"}, nil, "empty"},
	} {
		r := test.tool.fails(t, 2, []string{test.says}, append([]string{"pseudonym"}, test.args...)...)
		require.Empty(t, r.out, name)
		require.NotContains(t, r.errors, "TOPSECRET", name)
		require.Less(t, len(r.errors), 400, name)
	}
	require.NoError(t, os.WriteFile(raw, []byte("TOPSECRET*"), 0o600))
	require.NotContains(t, tl.fails(t, 2, []string{"base64"}, "pseudonym", "--pseudonym-key", raw, "x").errors, "TOPSECRET")
	require.NoError(t, os.Chmod(raw, 0o640))
	tl.fails(t, 2, []string{"chmod 600"}, "pseudonym", "--pseudonym-key", raw, "x")
}
