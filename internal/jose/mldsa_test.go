package jose_test

import (
	"crypto/fips140"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// The lengths of FIPS 204, section 4, table 2.
var mldsaSizes = map[string]struct{ public, signature int }{
	jose.MLDSA44: {1312, 2420}, jose.MLDSA65: {1952, 3309}, jose.MLDSA87: {2592, 4627},
}

// akp is an ML-DSA key of that many bytes, all of them zero: FIPS 204 calls no encoding of the right length invalid.
func akp(alg string, bytes int) map[string]any {
	return map[string]any{"kty": "AKP", "kid": "k", "alg": alg, "pub": enc.EncodeToString(make([]byte, bytes))}
}

// A build without ML-DSA says that the key is unsupported, and never that it is malformed; a malformed key is that in any build.
func TestMLDSAKeys(t *testing.T) {
	t.Parallel()
	for alg, size := range mldsaSizes {
		require.True(t, jose.Known(alg))
		require.True(t, jose.TypeFits(alg, "AKP"))
		require.False(t, jose.TypeFits(alg, "OKP"))
		good := akp(alg, size.public)
		k, skip := parseKey(t, good)
		if jose.Support(alg) != nil {
			require.ErrorIs(t, jose.Support(alg), jose.ErrUnsupported)
			require.Equal(t, jose.SkipUnsupported, skip)
			require.False(t, skip.Policy(), "its tokens are not bad")
			require.False(t, skip.NotForSignatures())
		} else {
			require.Empty(t, skip)
			require.Equal(t, "AKP", k.Type())
			require.Equal(t, alg, k.Algorithm)
			for other := range mldsaSizes {
				require.Equal(t, other == alg, jose.Fits(other, k.Public))
			}
			require.False(t, jose.Fits(jose.Ed25519, k.Public))
		}
		for _, c := range []struct {
			name   string
			change map[string]any
			why    jose.Skip
		}{
			{"no alg", map[string]any{"alg": nil}, jose.SkipMalformed},
			{"alg empty", map[string]any{"alg": ""}, jose.SkipAlgorithm},
			{"alg of another type", map[string]any{"alg": "RS256"}, jose.SkipAlgorithm},
			{"alg Ed25519", map[string]any{"alg": "Ed25519"}, jose.SkipAlgorithm},
			{"alg unknown", map[string]any{"alg": "ML-DSA-45"}, jose.SkipAlgorithm},
			{"alg in lower case", map[string]any{"alg": "ml-dsa-44"}, jose.SkipAlgorithm},
			{"no pub", map[string]any{"pub": nil}, jose.SkipMalformed},
			{"pub no text", map[string]any{"pub": 1}, jose.SkipMalformed},
			{"pub empty", map[string]any{"pub": ""}, jose.SkipMalformed},
			{"pub one short", map[string]any{"pub": akp(alg, size.public-1)["pub"]}, jose.SkipMalformed},
			{"pub one long", map[string]any{"pub": akp(alg, size.public+1)["pub"]}, jose.SkipMalformed},
			{"a seed", map[string]any{"priv": enc.EncodeToString(make([]byte, 32))}, jose.SkipPrivate},
			{"kty OKP", map[string]any{"kty": "OKP", "crv": "Ed25519", "x": rfc8037X}, jose.SkipAlgorithm},
			{"for encryption", map[string]any{"use": "enc"}, jose.SkipUse},
		} {
			jwk := maps.Clone(good)
			maps.Copy(jwk, c.change)
			maps.DeleteFunc(jwk, func(_ string, v any) bool { return v == nil })
			_, skip := parseKey(t, jwk)
			require.Equal(t, c.why, skip, "%s: %s", alg, c.name)
		}
		for other, size := range mldsaSizes { // the length of another parameter set
			if other != alg {
				_, skip := parseKey(t, akp(alg, size.public))
				require.Equal(t, jose.SkipMalformed, skip)
			}
		}
	}
}

// What a set says of a key that this build cannot use is enough to tell for which tokens it is.
func TestUnsupportedKeysAreNamed(t *testing.T) {
	t.Parallel()
	if jose.Support(jose.MLDSA65) == nil {
		t.Skip("this build supports ML-DSA")
	}
	doc, err := json.Marshal(map[string]any{"keys": []any{akp(jose.MLDSA65, 1952)}})
	require.NoError(t, err)
	keys, skipped, err := jose.ParseSet(doc, jose.Limits{})
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Equal(t, []jose.Skipped{{
		Why: jose.SkipUnsupported, KeyID: "k", KeyType: "AKP", Algorithm: jose.MLDSA65,
	}}, skipped)
}

// Signatures of ML-DSA have one length each.
func TestMLDSASignatures(t *testing.T) {
	t.Parallel()
	for alg, size := range mldsaSizes {
		if err := jose.Support(alg); err != nil {
			t.Skip(err)
		}
		public, input, signature := signed(t, alg)
		require.Len(t, signature, size.signature)
		require.NoError(t, jose.Verify(alg, public, input, signature))
		for i := 0; i < len(signature); i += 97 {
			signature[i] ^= 1
			require.ErrorIs(t, jose.Verify(alg, public, input, signature), jose.ErrSignature)
			signature[i] ^= 1
		}
		for _, s := range [][]byte{nil, {}, signature[1:], signature[:len(signature)-1], append(slices.Clip(signature), 0)} {
			require.ErrorIs(t, jose.Verify(alg, public, input, s), jose.ErrSignature)
		}
		require.ErrorIs(t, jose.Verify(alg, public, append(input, '.'), signature), jose.ErrSignature)
		for _, other := range []string{jose.RS256, jose.ES256, jose.EdDSA, jose.MLDSA44, jose.MLDSA65, jose.MLDSA87} {
			if other != alg {
				require.ErrorIs(t, jose.Verify(other, public, input, signature), jose.ErrKeyType)
			}
		}
		jwk := members(t, alg)
		k, skip := parseKey(t, jwk)
		require.Empty(t, skip)
		text, err := k.JWK()
		require.NoError(t, err)
		top, err := strictjson.Parse(nil, `{"k":`+string(text)+`}`)
		require.NoError(t, err)
		again, skip := jose.ParseKey(strictjson.Find(top, "k"), jose.MaxRSABits)
		require.Empty(t, skip)
		require.True(t, again.Same(k))
	}
}

func TestSupport(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		require.NoError(t, jose.Support(alg))
	}
	for _, alg := range []string{"", "none", "HS256", "Ed448", "ML-DSA-45", "rs256"} {
		require.ErrorContains(t, jose.Support(alg), "is not supported: use RS256,")
		require.NotErrorIs(t, jose.Support(alg), jose.ErrUnsupported)
	}
}

// Where FIPS 140-3 is enforced, a key of an odd size cannot be used: it is unsupported, and its tokens are not bad. Everywhere
// else it verifies.
func TestKeysThatOnlyFIPSRefuses(t *testing.T) {
	t.Parallel()
	n := new(big.Int).SetBit(big.NewInt(1), 2048, 1) // 2,049 bits, and odd
	jwk := map[string]any{"kty": "RSA", "kid": "k", "n": enc.EncodeToString(n.Bytes()), "e": "AQAB"}
	k, skip := parseKey(t, jwk)
	if fips140.Enabled() && skip != "" {
		require.Equal(t, jose.SkipUnsupported, skip)
		require.False(t, skip.Policy())
		return
	}
	require.Empty(t, skip)
	require.IsType(t, &rsa.PublicKey{}, k.Public)
	require.ErrorIs(t, jose.Verify(jose.RS256, k.Public, nil, make([]byte, 257)), jose.ErrSignature)
}
