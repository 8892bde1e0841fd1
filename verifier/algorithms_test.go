package verifier_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

const algIssuer = "https://idp.example.com"

// supported lists the algorithms that this build supports, one for each kind of key, with both names of Ed25519.
func supported() (all []string) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "ES512", "Ed25519", "EdDSA", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"} {
		if jose.Support(alg) == nil {
			all = append(all, alg)
		}
	}
	return all
}

// algVerifier is a verifier of one issuer with those keys.
func algVerifier(t testing.TB, c verifier.Config, algorithms []string, keys ...map[string]any) *verifier.Verifier {
	t.Helper()
	doc, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	source, err := jwks.NewStatic(map[string][]byte{algIssuer: doc})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{algPolicy(algorithms)}, source, c)
	require.NoError(t, err)
	return v
}

func algPolicy(algorithms []string) verifier.Policy {
	return verifier.Policy{Provider: issuer.OIDC(algIssuer), Audience: verifier.Audience(fakeissuer.Audience), Algorithms: algorithms}
}

// algKeyID is the kid of every key.
const algKeyID = "one"

// algSigner makes a key, and its JWK.
func algSigner(t testing.TB, alg string) (*josetest.Signer, map[string]any) {
	t.Helper()
	s, err := josetest.NewSigner(alg)
	require.NoError(t, err)
	s.ID = algKeyID
	jwk, err := s.JWK()
	require.NoError(t, err)
	return s, jwk
}

// algToken is a good token, with the alg that is given and that many more bytes.
func algToken(t testing.TB, s *josetest.Signer, alg string, padding int) string {
	t.Helper()
	header, err := json.Marshal(map[string]any{"alg": alg, "kid": algKeyID})
	require.NoError(t, err)
	payload, err := json.Marshal(map[string]any{
		"iss": algIssuer, "aud": fakeissuer.Audience, "sub": "alice", "exp": int64(4102444800), "padding": strings.Repeat("x", padding),
	})
	require.NoError(t, err)
	token, err := s.Sign(header, payload)
	require.NoError(t, err)
	return token
}

// A key verifies tokens of its own algorithm, by any of its names, and of no other one: whatever else is allowed, under whatever
// kid other keys are, cached or not.
func TestAKeyVerifiesItsOwnAlgorithmOnly(t *testing.T) {
	t.Parallel()
	all := supported()
	signers, keys := map[string]*josetest.Signer{}, []map[string]any{}
	for _, alg := range all {
		s, jwk := algSigner(t, alg)
		signers[alg], keys = s, append(keys, jwk)
	}
	v := algVerifier(t, verifier.Config{}, all, keys...)
	uncached := algVerifier(t, verifier.Config{CacheSize: -1}, all, keys...)
	for alg, s := range signers {
		for _, named := range all {
			token := algToken(t, s, named, 0)
			good := jose.Canonical(named) == jose.Canonical(alg)
			for range 2 {
				_, err := v.Verify(t.Context(), token)
				_, errUncached := uncached.Verify(t.Context(), token)
				if good {
					require.NoError(t, err, "%s as %s", alg, named)
					require.NoError(t, errUncached, "%s as %s", alg, named)
					continue
				}
				require.ErrorIs(t, err, verifier.ErrInvalid, "%s as %s", alg, named)
				require.ErrorIs(t, errUncached, verifier.ErrInvalid, "%s as %s", alg, named)
			}
		}
		_, err := v.Verify(t.Context(), fakeissuer.Tamper(algToken(t, s, alg, 0)))
		require.ErrorIs(t, err, verifier.ErrInvalid)
	}
}

// Either name of Ed25519 works in a key, a policy and a token. A policy without it allows neither.
func TestEitherNameOfEd25519(t *testing.T) {
	t.Parallel()
	names := []string{"Ed25519", "EdDSA"}
	s, jwk := algSigner(t, "Ed25519")
	noAlg := maps.Clone(jwk)
	delete(noAlg, "alg")
	for _, listed := range [][]string{{"Ed25519"}, {"EdDSA"}, names, nil} {
		for _, key := range append([]map[string]any{noAlg}, renamed(jwk, names...)...) {
			v := algVerifier(t, verifier.Config{}, listed, key)
			for _, named := range names {
				tok, err := v.Verify(t.Context(), algToken(t, s, named, 0))
				require.NoError(t, err, "%v %v %v", listed, key["alg"], named)
				require.NoError(t, v.Recheck(t.Context(), tok))
			}
		}
	}
	v := algVerifier(t, verifier.Config{}, []string{"ES256"}, jwk)
	for _, named := range append(names, "Ed448", "ed25519", "EDDSA") {
		_, err := v.Verify(t.Context(), algToken(t, s, named, 0))
		require.Equal(t, "alg_not_allowed", reasonOf(t, err), named)
	}
	given := []string{"EdDSA"}
	algVerifier(t, verifier.Config{}, given, jwk)
	require.Equal(t, []string{"EdDSA"}, given, "the caller's list is not changed")
}

func renamed(jwk map[string]any, names ...string) (all []map[string]any) {
	for _, name := range names {
		k := maps.Clone(jwk)
		k["alg"] = name
		all = append(all, k)
	}
	return all
}

// A remembered token is refused as soon as its algorithm is no longer allowed, and so is one that is checked again.
func TestUpdateForbidsAnAlgorithm(t *testing.T) {
	t.Parallel()
	for _, alg := range supported() {
		s, jwk := algSigner(t, alg)
		v := algVerifier(t, verifier.Config{}, []string{alg, "ES384"}, jwk)
		token := algToken(t, s, alg, 0)
		tok, err := v.Verify(t.Context(), token)
		require.NoError(t, err)
		rest := "RS384"
		require.NoError(t, v.Update([]verifier.Policy{algPolicy([]string{rest})}))
		_, err = v.Verify(t.Context(), token)
		require.Equal(t, "alg_not_allowed", reasonOf(t, err), alg)
		require.Equal(t, "alg_not_allowed", reasonOf(t, v.Recheck(t.Context(), tok)), alg)
	}
}

// A token that is signed with ML-DSA-87 fits the default limit with about 7 KiB of claims.
func TestLongestSignaturesFit(t *testing.T) {
	t.Parallel()
	if err := jose.Support("ML-DSA-87"); err != nil {
		t.Skip(err)
	}
	s, jwk := algSigner(t, "ML-DSA-87")
	v := algVerifier(t, verifier.Config{}, []string{"ML-DSA-87"}, jwk)
	token := algToken(t, s, "ML-DSA-87", 7<<10)
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err, len(token))
	_, err = v.Verify(t.Context(), algToken(t, s, "ML-DSA-87", 8<<10))
	require.Equal(t, "malformed", reasonOf(t, err))
}

// A policy that names an algorithm which this build does not have is a mistake, and the error says what is missing. A token with
// it is refused as any algorithm that is not allowed.
func TestUnsupportedAlgorithms(t *testing.T) {
	t.Parallel()
	_, jwk := algSigner(t, "ES256")
	doc, err := json.Marshal(map[string]any{"keys": []any{jwk}})
	require.NoError(t, err)
	source, err := jwks.NewStatic(map[string][]byte{algIssuer: doc})
	require.NoError(t, err)
	_, err = verifier.New([]verifier.Policy{algPolicy([]string{"ML-DSA-44", "HS256"})}, source, verifier.Config{})
	require.ErrorContains(t, err, `"HS256" is not supported`)
	if jose.Support("ML-DSA-44") != nil {
		require.ErrorContains(t, err, `"ML-DSA-44" is not supported by this build`)
	}
	s, _ := algSigner(t, "ES256")
	_, err = algVerifier(t, verifier.Config{}, nil, jwk).Verify(t.Context(), algToken(t, s, "ML-DSA-44", 0))
	require.Equal(t, "alg_not_allowed", reasonOf(t, err))
}
