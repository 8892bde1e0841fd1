package speed_test

import (
	"crypto"
	"crypto/mldsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
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
		v, err := verifier.New([]verifier.Policy{{
			Provider: issuer.Provider{ID: "bench", Regions: []issuer.Region{{
				Name: "us-east-1", Issuers: []string{s.iss}, JWKSURLs: []string{s.jwks},
			}}},
			Audience: ofClient, Algorithms: mldsaAlgorithms,
		}}, source, verifier.Config{})
		require.NoError(t, err)
		for range 2 { // the second time, from the cache
			got, err := v.Verify(t.Context(), theirs)
			require.NoError(t, err, "we verify go-jose's")
			require.Equal(t, alg, header(t, theirs)["alg"])
			require.NotEmpty(t, got.Subject())
		}
		key, err := (&jose.JSONWebKey{Key: private.PublicKey()}).Thumbprint(crypto.SHA256)
		require.NoError(t, err)
		keys := source.Lookup(t.Context(), jwks.Query{Issuer: s.iss, KeyID: "theirs", Algorithm: alg}).Keys
		require.Len(t, keys, 1)
		require.Equal(t, b64(key), keys[0].Thumbprint(), "the thumbprints are equal")
		_, err = v.Verify(t.Context(), token)
		require.ErrorIs(t, err, verifier.ErrInvalid, "the key of another name is unknown")
		for _, other := range mldsaAlgorithms { // no parameter set takes the token of another
			changed := s.keys[0].sign(t, map[string]any{"kid": "theirs", "alg": other}, marshal(t, claims(s, user)))
			_, err = v.Verify(t.Context(), changed)
			require.Equal(t, other == alg, err == nil, "%s as %s", alg, other)
		}
	}
}

func header(t *testing.T, token string) (members map[string]any) {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &members))
	return members
}
