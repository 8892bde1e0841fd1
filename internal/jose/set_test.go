package jose_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/conformance"
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
	keys, skipped, err := jose.ParseSet(set(one, "junk", same, two), jose.Limits{})
	require.NoError(t, err)
	require.Len(t, keys, 2, "the very same key twice is one key")
	require.Equal(t, []jose.Skipped{{Index: 1, Why: jose.SkipNotObject}}, skipped)
	for _, twin := range []map[string]any{other, noAlg} { // RFC 7517, section 4.5: several keys may have one kid
		keys, skipped, err = jose.ParseSet(set(one, twin, two), jose.Limits{})
		require.NoError(t, err)
		require.Len(t, keys, 3)
		require.Empty(t, skipped)
		require.False(t, keys[0].Same(keys[1]))
	}
	for doc, want := range map[string]error{
		"":                         strictjson.ErrNotObject,
		"[]":                       strictjson.ErrNotObject,
		"{}":                       jose.ErrNotKeySet,
		`{"keys":{}}`:              jose.ErrNotKeySet,
		`{"KEYS":[]}`:              jose.ErrNotKeySet,
		`{"keys":[],"keys":[]}`:    strictjson.ErrDuplicate,
		`{"keys":[{"a":1,"a":1}]}`: strictjson.ErrDuplicate,
	} {
		_, _, err := jose.ParseSet([]byte(doc), jose.Limits{})
		require.ErrorIs(t, err, want, doc)
	}
}

// Beyond MaxKeys the keys of a set are skipped and named; the others serve. The list of skipped entries is bounded.
func TestParseSetBeyondItsLimits(t *testing.T) {
	t.Parallel()
	list := []any{}
	for range 4 {
		list = append(list, members(t, jose.ES256))
	}
	doc, err := json.Marshal(map[string]any{"keys": list})
	require.NoError(t, err)
	keys, skipped, err := jose.ParseSet(doc, jose.Limits{MaxKeys: 3})
	require.NoError(t, err)
	require.Len(t, keys, 3)
	require.Len(t, skipped, 1)
	require.Equal(t, jose.SkipTooMany, skipped[0].Why)
	require.Equal(t, 3, skipped[0].Index)
	require.Equal(t, list[3].(map[string]any)["kid"], skipped[0].KeyID)
	require.Equal(t, "EC", skipped[0].KeyType)

	_, skipped, err = jose.ParseSet([]byte(`{"keys":[`+strings.Repeat("1,", 5000)+`1]}`), jose.Limits{})
	require.NoError(t, err)
	require.Len(t, skipped, 1000)
}

// A skipped key says of itself what can be read, whatever the reason.
func TestSkippedKeysAreDescribed(t *testing.T) {
	t.Parallel()
	private := members(t, jose.ES256)
	private["d"] = "AQAB"
	enc := members(t, jose.ES256)
	enc["use"] = "enc"
	doc, err := json.Marshal(map[string]any{"keys": []any{private, enc, map[string]any{"kty": "oct", "kid": "s"}}})
	require.NoError(t, err)
	_, skipped, err := jose.ParseSet(doc, jose.Limits{})
	require.NoError(t, err)
	require.Len(t, skipped, 3)
	require.True(t, skipped[0].Why.Policy())
	require.Equal(t, private["kid"], skipped[0].KeyID, "also behind the private member")
	require.True(t, skipped[1].Why.NotForSignatures())
	require.Equal(t, "oct", skipped[2].KeyType)
}

// RSA keys above 4,096 bits are used where that is configured, with the exponent 65537 only.
func TestLongRSAKeys(t *testing.T) {
	t.Parallel()
	modulus := new(big.Int).Lsh(big.NewInt(1), 8191)
	modulus.SetBit(modulus, 0, 1)
	enc := base64.RawURLEncoding.EncodeToString
	doc := func(e string) []byte {
		return []byte(`{"keys":[{"kty":"RSA","kid":"k","n":"` + enc(modulus.Bytes()) + `","e":"` + e + `"}]}`)
	}
	keys, skipped, err := jose.ParseSet(doc("AQAB"), jose.Limits{})
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Equal(t, jose.SkipRSASize, skipped[0].Why)
	keys, _, err = jose.ParseSet(doc("AQAB"), jose.Limits{MaxRSABits: 8192})
	require.NoError(t, err)
	require.Len(t, keys, 1)
	_, skipped, err = jose.ParseSet(doc("AQAD"), jose.Limits{MaxRSABits: 8192})
	require.NoError(t, err)
	require.Equal(t, jose.SkipRSAExponent, skipped[0].Why)
}

// The key of cognito-local, whose private half is in its repository: github.com/jagregory/cognito-local, MIT licence.
const cognitoLocalKey = `{"kty":"RSA","e":"AQAB","use":"sig","kid":"CognitoLocal","alg":"RS256","n":"2uLO7yh1_6Icfd89V3nNTc_qhfpDN7vEmOYlmJQlc9_RmOns26lg88fXXFntZESwHOm7_homO2Ih6NOtu4P5eskGs8d8VQMOQfF4YrP-pawVz-gh1S7eSvzZRDHBT4ItUuoiVP1B9HN_uScKxIqjmitpPqEQB_o2NJv8npCfqUAU-4KmxquGtjdmfctswSZGdz59M3CAYKDfuvLH9_vV6TRGgbUaUAXWC2WJrbbEXzK3XUDBrmF3Xo-yw8f3SgD3JOPl3HaaWMKL1zGVAsge7gQaGiJBzBurg5vwN61uDGGz0QZC1JqcUTl3cZnrx_L8isIR7074SJEuljIZRnCcjQ"}`

func TestPublishedPrivateKeys(t *testing.T) {
	t.Parallel()
	const thumbprint = "jS8J3RuOy291lpsiFe2NfKV6VkdfMF4Q_840qOLXAjs"
	require.True(t, jose.IsPublishedPrivateKey(thumbprint))
	doc := []byte(`{"keys":[` + cognitoLocalKey + `]}`)
	keys, skipped, err := jose.ParseSet(doc, jose.Limits{})
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Equal(t, jose.SkipKnownKey, skipped[0].Why)
	keys, _, err = jose.ParseSet(doc, jose.Limits{Allowed: []string{thumbprint}})
	require.NoError(t, err)
	require.Equal(t, thumbprint, keys[0].Thumbprint.String())
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
	corpus, err := conformance.Load("../../conformance")
	require.NoError(f, err)
	seeds := 0
	for _, name := range corpus.Sets() {
		if doc := corpus.Set(name); len(doc) > 0 && len(doc) < 64<<10 {
			f.Add(doc)
			seeds++
		}
	}
	require.Greater(f, seeds, 80, "the corpus is not whole")
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, _, err := jose.ParseSet(doc, jose.Limits{})
		if err != nil {
			require.Empty(t, keys)
			return
		}
		for i, k := range keys {
			require.LessOrEqual(t, len(k.ID), jose.MaxKeyID)
			require.False(t, slices.ContainsFunc(keys[:i], k.Same), "no key twice")
			require.Len(t, k.Thumbprint.String(), 43)
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
