package jose_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

func TestParseSet(t *testing.T) {
	t.Parallel()
	one, two := members(t, jose.ES256), members(t, jose.ES256)
	same, other, noAlg := maps.Clone(one), maps.Clone(two), maps.Clone(one)
	other["kid"] = one["kid"]
	delete(noAlg, "alg")
	set := func(keys ...any) []byte {
		doc, err := json.Marshal(map[string]any{"keys": keys})
		require.NoError(t, err)
		return doc
	}
	keys, skipped, err := jose.ParseSet(set(one, "junk", same, two), nil)
	require.NoError(t, err)
	require.Len(t, keys, 2, "the very same key twice is one key")
	require.Equal(t, []jose.Skipped{{Index: 1, Why: jose.SkipNotObject}}, skipped)
	for _, twin := range []map[string]any{other, noAlg} {
		keys, skipped, err = jose.ParseSet(set(one, twin, two), nil)
		require.NoError(t, err)
		require.Len(t, keys, 1, "two keys under one kid: neither counts")
		require.Equal(t, two["kid"], keys[0].ID)
		require.Equal(t, []jose.Skipped{{Index: 0, Why: jose.SkipAmbiguous}, {Index: 1, Why: jose.SkipAmbiguous}}, skipped)
	}
	for doc, want := range map[string]error{
		"":                         strictjson.ErrNotObject,
		"[]":                       strictjson.ErrNotObject,
		"{}":                       jose.ErrNotKeySet,
		`{"keys":{}}`:              jose.ErrNotKeySet,
		`{"KEYS":[]}`:              jose.ErrNotKeySet,
		`{"keys":[],"keys":[]}`:    strictjson.ErrDuplicate,
		`{"keys":[{"a":1,"a":1}]}`: strictjson.ErrDuplicate,
		`{"keys":[` + strings.Repeat("1,", 100) + `1]}`: jose.ErrTooManyKeys,
	} {
		_, _, err := jose.ParseSet([]byte(doc), nil)
		require.ErrorIs(t, err, want, doc)
	}
	_, skipped, err = jose.ParseSet([]byte(`{"keys":[`+strings.Repeat("1,", 99)+`1]}`), nil)
	require.NoError(t, err)
	require.Len(t, skipped, 100)
}

// The key of cognito-local, whose private half is in its repository: github.com/jagregory/cognito-local, MIT licence.
const cognitoLocalKey = `{"kty":"RSA","e":"AQAB","use":"sig","kid":"CognitoLocal","alg":"RS256","n":"2uLO7yh1_6Icfd89V3nNTc_qhfpDN7vEmOYlmJQlc9_RmOns26lg88fXXFntZESwHOm7_homO2Ih6NOtu4P5eskGs8d8VQMOQfF4YrP-pawVz-gh1S7eSvzZRDHBT4ItUuoiVP1B9HN_uScKxIqjmitpPqEQB_o2NJv8npCfqUAU-4KmxquGtjdmfctswSZGdz59M3CAYKDfuvLH9_vV6TRGgbUaUAXWC2WJrbbEXzK3XUDBrmF3Xo-yw8f3SgD3JOPl3HaaWMKL1zGVAsge7gQaGiJBzBurg5vwN61uDGGz0QZC1JqcUTl3cZnrx_L8isIR7074SJEuljIZRnCcjQ"}`

func TestPublishedPrivateKeys(t *testing.T) {
	t.Parallel()
	const thumbprint = "jS8J3RuOy291lpsiFe2NfKV6VkdfMF4Q_840qOLXAjs"
	require.True(t, jose.IsPublishedPrivateKey(thumbprint))
	doc := []byte(`{"keys":[` + cognitoLocalKey + `]}`)
	keys, skipped, err := jose.ParseSet(doc, nil)
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Equal(t, jose.SkipKnownKey, skipped[0].Why)
	keys, _, err = jose.ParseSet(doc, []string{thumbprint})
	require.NoError(t, err)
	require.Equal(t, thumbprint, keys[0].Thumbprint)
}

// FuzzParseSet: no document makes it panic, and every key that it returns is within the bounds.
func FuzzParseSet(f *testing.F) {
	for _, alg := range []string{jose.RS256, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA} {
		doc, err := json.Marshal(map[string]any{"keys": []any{members(f, alg)}})
		require.NoError(f, err)
		f.Add(doc)
	}
	f.Add([]byte(`{"keys":[` + cognitoLocalKey + `]}`))
	f.Add([]byte(`{"keys":[{}]}`))
	raw, err := os.ReadFile("../../verifier/testdata/tokens.json")
	require.NoError(f, err)
	var corpus struct {
		JWKS map[string]struct{ Text string }
	}
	require.NoError(f, json.Unmarshal(raw, &corpus))
	seeds := 0
	for _, doc := range corpus.JWKS {
		if doc.Text != "" && len(doc.Text) < 64<<10 {
			f.Add([]byte(doc.Text))
			seeds++
		}
	}
	require.Greater(f, seeds, 80, "the corpus is not whole")
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, _, err := jose.ParseSet(doc, nil)
		if err != nil {
			require.Empty(t, keys)
			return
		}
		seen := map[string]bool{}
		for _, k := range keys {
			require.NotEmpty(t, k.ID)
			require.False(t, seen[k.ID], "one key under each kid")
			seen[k.ID] = true
			require.Len(t, k.Thumbprint, 43)
			fits := 0
			for _, alg := range algorithms {
				if jose.Fits(alg, k.Public) {
					fits++
				}
			}
			require.Positive(t, fits)
			require.True(t, k.Algorithm == "" || jose.Fits(k.Algorithm, k.Public))
			switch p := k.Public.(type) {
			case *rsa.PublicKey:
				require.GreaterOrEqual(t, p.N.BitLen(), 2048)
				require.LessOrEqual(t, p.N.BitLen(), 4096)
			case *ecdsa.PublicKey:
				require.NotEqual(t, elliptic.P224(), p.Curve)
			case ed25519.PublicKey:
				require.Len(t, p, 32)
			default:
				t.Fatalf("unexpected key %T", p)
			}
		}
	})
}
