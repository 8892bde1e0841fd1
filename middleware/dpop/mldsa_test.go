package dpop_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

var mldsaAlgorithms = []string{"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}

// The seed of an ML-DSA key makes a proof worthless, in any build and whatever it says: anyone who reads it can sign.
func TestProofThatShowsItsSeed(t *testing.T) {
	t.Parallel()
	checker := newChecker(t, dpop.Config{})
	for _, jwk := range []map[string]any{
		{"kty": "AKP", "alg": "ML-DSA-44", "pub": b64(make([]byte, 1312)), "priv": b64(make([]byte, 32))},
		{"kty": "AKP", "alg": "ML-DSA-44", "pub": b64(make([]byte, 1312)), "priv": nil},
		{"kty": "AKP", "alg": "ML-DSA-44", "pub": b64(make([]byte, 1312)), "priv": ""},
	} {
		s := *signerFor(t, "ES256")
		s.setJWK(t, jwk)
		requireRejected(t, dpop.CheckPresentation(t.Context(), checker, s.request(s.proof(t, nil, nil))),
			verifier.ReasonProofFailed, dpop.ErrPrivate)
	}
}

// ML-DSA must be listed. A build that does not have it says so at the start.
func TestMLDSAMustBeListed(t *testing.T) {
	t.Parallel()
	byDefault := newChecker(t, dpop.Config{})
	for _, alg := range mldsaAlgorithms {
		require.NotContains(t, byDefault.Algorithms(), alg)
		_, err := dpop.New(dpop.Config{Algorithms: []string{alg}})
		if jose.Support(alg) == nil {
			require.NoError(t, err)
			s := signerFor(t, alg)
			requireRejected(t, dpop.CheckPresentation(t.Context(), byDefault, s.request(s.proof(t, nil, nil))),
				verifier.ReasonProofFailed, dpop.ErrAlgorithm)
			continue
		}
		require.ErrorContains(t, err, `"`+alg+`" is not supported by this build`)
	}
}

// A proof with an ML-DSA key, which RFC 9964 lets name its algorithm, is for that algorithm only. Its thumbprint is over alg, kty
// and pub: a token that is bound to the key is bound to its algorithm too.
func TestMLDSAProofs(t *testing.T) {
	t.Parallel()
	for i, alg := range mldsaAlgorithms {
		if err := jose.Support(alg); err != nil {
			t.Skip(err)
		}
		other := mldsaAlgorithms[(i+1)%len(mldsaAlgorithms)]
		checker := newChecker(t, dpop.Config{Algorithms: append([]string{"ES256", "EdDSA"}, mldsaAlgorithms...)})
		s := signerFor(t, alg)
		good := s.proof(t, nil, nil)
		t.Log(alg, len(good), "bytes")
		require.NoError(t, dpop.CheckPresentation(t.Context(), checker, s.request(good)))
		requireRejected(t, dpop.CheckPresentation(t.Context(), checker, s.request(good)), verifier.ReasonProofFailed, dpop.ErrUsed)
		with := func(name string, v any) map[string]any {
			jwk := maps.Clone(s.jwk)
			jwk[name] = v
			maps.DeleteFunc(jwk, func(_ string, v any) bool { return v == nil })
			return jwk
		}
		for name, c := range map[string]struct {
			header members
			cause  error
		}{
			"a seed":                   {members{"jwk": with("priv", b64(make([]byte, 32)))}, dpop.ErrPrivate},
			"no alg in the key":        {members{"jwk": with("alg", nil)}, dpop.ErrKey},
			"another alg in the key":   {members{"jwk": with("alg", other)}, dpop.ErrThumbprint},
			"another alg in both":      {members{"jwk": with("alg", other), "alg": other}, dpop.ErrThumbprint},
			"another alg":              {members{"alg": other}, dpop.ErrKey},
			"an alg of another type":   {members{"alg": "ES256"}, dpop.ErrKey},
			"another type":             {members{"jwk": with("kty", "OKP")}, dpop.ErrKey},
			"members of another type":  {members{"jwk": with("x", b64(make([]byte, 32)))}, nil},
			"a key that is not public": {members{"jwk": with("pub", nil)}, dpop.ErrKey},
			"a key that is one short":  {members{"jwk": with("pub", s.jwk["pub"].(string)[4:])}, dpop.ErrThumbprint},
			"the key of another":       {members{"jwk": newSigner(t, alg, 0).jwk}, dpop.ErrThumbprint},
		} {
			checker := newChecker(t, dpop.Config{Algorithms: append([]string{"ES256", "EdDSA"}, mldsaAlgorithms...)})
			err := dpop.CheckPresentation(t.Context(), checker, s.request(s.proof(t, c.header, nil)))
			if c.cause == nil {
				require.NoError(t, err, name) // other members are ignored: RFC 7517, section 4
				continue
			}
			t.Log(name)
			requireRejected(t, err, verifier.ReasonProofFailed, c.cause)
		}
		broken := []byte(good)
		broken[len(broken)-100] = map[bool]byte{true: 'B', false: 'A'}[good[len(good)-100] == 'A']
		requireRejected(t, dpop.CheckPresentation(t.Context(), checker, s.request(string(broken))), verifier.ReasonProofFailed, dpop.ErrSignature)

		bound := *s // to a key that claims another parameter set: it has the wrong length
		bound.setJWK(t, with("alg", other))
		requireRejected(t, dpop.CheckPresentation(t.Context(), checker, bound.request(bound.proof(t, members{"alg": other}, nil))),
			verifier.ReasonProofFailed, dpop.ErrKey)
	}
}
