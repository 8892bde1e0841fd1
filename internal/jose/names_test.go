package jose_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// RFC 8037, appendix A: its key, its signature under the old name, and one of the same key and payload under the new name.
const (
	rfc8037X          = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
	rfc8037Thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
	rfc8037EdDSA      = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	rfc8037Ed25519 = "eyJhbGciOiJFZDI1NTE5In0.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
		"UxhIYLHGg39NVCLpQAVD_UcfOmnGSCzLFZoXYkLiIbFccmOb_qObsgjzLKsfJw-4NlccUgvYrEHrRbNV0HcZAQ"
)

// Ed25519 and EdDSA are two names of one algorithm, in a token and in a key: RFC 9864.
func TestTwoNamesOfEd25519(t *testing.T) {
	t.Parallel()
	key := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": rfc8037X, "kid": "k"}
	named := func(alg string) map[string]any {
		k := maps.Clone(key)
		k["alg"] = alg
		return k
	}
	for _, jwk := range []map[string]any{key, named("EdDSA"), named("Ed25519")} {
		k, skip := parseKey(t, jwk)
		require.Empty(t, skip, jwk)
		require.Equal(t, rfc8037Thumbprint, k.Thumbprint.String(), "it does not depend on alg")
		require.Equal(t, jwk["alg"] != nil, k.Algorithm == jose.Ed25519)
		for alg, token := range map[string]string{jose.EdDSA: rfc8037EdDSA, jose.Ed25519: rfc8037Ed25519} {
			dot := strings.LastIndexByte(token, '.')
			signature, err := enc.DecodeString(token[dot+1:])
			require.NoError(t, err)
			require.True(t, jose.Fits(alg, k.Public))
			require.True(t, jose.TypeFits(alg, "OKP"))
			require.NoError(t, jose.Verify(alg, k.Public, []byte(token[:dot]), signature))
			for _, other := range []string{jose.ES256, jose.RS256, jose.MLDSA44, "Ed448"} {
				require.ErrorIs(t, jose.Verify(other, k.Public, []byte(token[:dot]), signature), jose.ErrKeyType)
			}
		}
	}
	doc, err := json.Marshal(map[string]any{"keys": []any{named("EdDSA"), named("Ed25519")}})
	require.NoError(t, err)
	keys, skipped, err := jose.ParseSet(doc, jose.Limits{})
	require.NoError(t, err)
	require.Empty(t, skipped)
	require.Len(t, keys, 1, "a key that is listed under both names is one key")
	for _, alg := range []string{"Ed448", "ES256", "ed25519", "ML-DSA-44"} {
		_, skip := parseKey(t, named(alg))
		require.Equal(t, jose.SkipAlgorithm, skip, alg)
	}
}

func TestCanonicalChangesOneName(t *testing.T) {
	t.Parallel()
	require.Equal(t, jose.Ed25519, jose.Canonical(jose.EdDSA))
	for _, alg := range []string{"", "none", "eddsa", "Ed448", jose.RS256, jose.Ed25519, jose.MLDSA87} {
		require.Equal(t, alg, jose.Canonical(alg))
	}
}
