//go:build go1.27

package speed_test

import (
	"crypto"
	"crypto/mldsa"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	ours "github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/jwks"
)

var mldsaAlgorithms = []string{"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}

func newMLDSA(alg string) (crypto.Signer, error) {
	p, ok := map[string]mldsa.Parameters{
		"ML-DSA-44": mldsa.MLDSA44(), "ML-DSA-65": mldsa.MLDSA65(), "ML-DSA-87": mldsa.MLDSA87(),
	}[alg]
	if !ok {
		return nil, fmt.Errorf("there are no keys for %s", alg)
	}
	return mldsa.GenerateKey(p)
}

func publicMLDSA(k crypto.PublicKey) []byte { return k.(*mldsa.PublicKey).Bytes() }

// Tokens of go-jose verify here, with a key set that go-jose has written, and ours verify there.
func TestMLDSAWithGoJose(t *testing.T) {
	t.Parallel()
	for _, alg := range mldsaAlgorithms {
		s := theSite(t, alg)
		token := issue(t, s, claims(s, user), nil)
		require.NoError(t, openGoJose(t, s)(t.Context(), token), "go-jose verifies ours")
		require.NoError(t, openRegionjwt(t, s)(t.Context(), token))

		private := s.keys[0].private.(*mldsa.PrivateKey)
		options := (&jose.SignerOptions{}).WithHeader("kid", "theirs").WithType("JWT")
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: private}, options)
		require.NoError(t, err)
		signed, err := signer.Sign(marshal(t, claims(s, user)))
		require.NoError(t, err)
		theirs, err := signed.CompactSerialize()
		require.NoError(t, err)
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
			Key: private.PublicKey(), KeyID: "theirs", Algorithm: alg, Use: "sig",
		}}})
		require.NoError(t, err)
		source, err := jwks.NewStatic(map[string][]byte{s.iss: set})
		require.NoError(t, err)
		keys := source.Lookup(t.Context(), jwks.Query{Issuer: s.iss, KeyID: "theirs", Algorithm: alg}).Keys
		require.Len(t, keys, 1)
		dot := strings.LastIndexByte(theirs, '.')
		input, signature := parts(t, theirs)
		require.Equal(t, theirs[:dot], string(input))
		require.NoError(t, ours.Verify(alg, keys[0].Public(), input, signature), "we verify go-jose's")
	}
}
