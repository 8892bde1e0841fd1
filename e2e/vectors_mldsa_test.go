package e2e_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// signatureVectors is a file of Wycheproof about signatures that are not in JOSE. Its bytes are in hexadecimal.
type signatureVectors struct {
	NumberOfTests int
	TestGroups    []struct {
		PublicKey string
		Tests     []struct {
			TcID                           int
			Comment, Msg, Ctx, Sig, Result string
			Flags                          []string
		}
	}
}

// Every signature of ML-DSA with the empty context (RFC 9964) is judged as Wycheproof does, and one with another context is not
// accepted, valid or not. A public key of another length is malformed.
func TestWycheproofMLDSA(t *testing.T) {
	t.Parallel()
	for alg, want := range map[string]struct {
		file                            string
		tests, accepted, context, noKey int
	}{
		"ML-DSA-44": {"mldsa_44_verify_test.json", 180, 75, 7, 4},
		"ML-DSA-65": {"mldsa_65_verify_test.json", 210, 77, 7, 4},
		"ML-DSA-87": {"mldsa_87_verify_test.json", 241, 69, 7, 4},
	} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			if err := jose.Support(alg); err != nil {
				t.Skip(err)
			}
			var file signatureVectors
			require.NoError(t, json.Unmarshal(vectorText(t, want.file), &file))
			require.Equal(t, want.tests, file.NumberOfTests)
			accepted, context, noKey := 0, 0, 0
			for _, g := range file.TestGroups {
				key := oneKey(t, alg, unhex(t, g.PublicKey))
				for _, v := range g.Tests {
					if key == nil {
						noKey++
						require.Equal(t, "invalid", v.Result, "%d %s", v.TcID, v.Comment)
						require.Contains(t, v.Flags, "IncorrectPublicKeyLength")
						continue
					}
					err := jose.Verify(alg, key.Public, unhex(t, v.Msg), unhex(t, v.Sig))
					if v.Ctx != "" {
						context++
						require.ErrorIs(t, err, jose.ErrSignature, "%d %s", v.TcID, v.Comment)
						continue
					}
					require.Equal(t, v.Result == "valid", err == nil, "%d %s", v.TcID, v.Comment)
					if err == nil {
						accepted++
					}
				}
			}
			require.Equal(t, [...]int{want.accepted, want.context, want.noKey}, [...]int{accepted, context, noKey})
		})
	}
}

// oneKey reads a JWK with these bytes. It returns nil if it is malformed.
func oneKey(t *testing.T, alg string, pub []byte) *jose.Key {
	t.Helper()
	doc, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "AKP", "kid": "k", "alg": alg, "pub": base64.RawURLEncoding.EncodeToString(pub),
	}}})
	require.NoError(t, err)
	keys, skipped, err := jose.ParseSet(doc, jose.Limits{})
	require.NoError(t, err)
	if len(keys) == 1 {
		return keys[0]
	}
	require.Equal(t, jose.SkipMalformed, skipped[0].Why)
	return nil
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}
