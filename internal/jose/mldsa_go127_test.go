//go:build go1.27

package jose_test

import (
	"crypto/mldsa"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// The examples of RFC 9964, appendix (under the IETF Trust Legal Provisions), as facts: the key of 32 zero bytes, and hashes of
// what it makes. Their published form is examples/jose of the repository cose-wg/draft-ietf-cose-dilithium.
func TestExamplesOfRFC9964(t *testing.T) {
	t.Parallel()
	const payload = "It\u2019s a dangerous business, Frodo, going out your door."
	for _, c := range []struct {
		alg        string
		parameters mldsa.Parameters
		thumbprint string
		public     string // SHA-256
		signature  string // SHA-256
		length     int    // of the compact form
	}{
		{
			jose.MLDSA44, mldsa.MLDSA44(), "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o",
			"eb4e7302842153b0fa19e8620739ad258af4929c26dd89079a7ec7d4282208e1",
			"8651ad35f71a6e01bf62569ad21822c635f1b6cf3c35037bb689074dca560bfa", 3399,
		},
		{
			jose.MLDSA65, mldsa.MLDSA65(), "Suiu29qbfuaBaR4Ats-c6XQBePB_OpAxAwcTR_0KXVM",
			"085ba380ff386dd52e42349c6eb88489d6058ea541a4e3fb0dce9a3fd1f7a911",
			"2d3d1ba6581e89392226d707e2fe24e3326f80b9f7c6865707be9bd6f89d6ec6", 4584,
		},
		{
			jose.MLDSA87, mldsa.MLDSA87(), "tRn1JNIkgMsABVQBlXeDHxAIcclh-2IX0UdDEzPt5XU",
			"1d4a461707fc50a7ec93a9c02454778a8b82321ca460eea345e7bbfaff38a3aa",
			"c521622a50722e369f511589f8405b7d3624b6fb39ae4045333f6485f4d9d42c", 6342,
		},
	} {
		t.Run(c.alg, func(t *testing.T) {
			t.Parallel()
			if err := jose.Support(c.alg); err != nil {
				t.Skip(err)
			}
			private, err := mldsa.NewPrivateKey(c.parameters, make([]byte, mldsa.PrivateKeySize))
			require.NoError(t, err)
			pub := private.PublicKey().Bytes()
			require.Equal(t, c.public, hash(pub))
			k, skip := parseKey(t, map[string]any{"kty": "AKP", "alg": c.alg, "kid": c.thumbprint, "pub": enc.EncodeToString(pub)})
			require.Empty(t, skip)
			require.Equal(t, c.thumbprint, k.Thumbprint.String())
			input := enc.EncodeToString([]byte(`{"alg":"`+c.alg+`","kid":"`+c.thumbprint+`"}`)) + "." + enc.EncodeToString([]byte(payload))
			signature, err := private.SignDeterministic([]byte(input), nil)
			require.NoError(t, err)
			require.Equal(t, c.signature, hash(signature))
			require.Len(t, input+"."+enc.EncodeToString(signature), c.length)
			require.NoError(t, jose.Verify(c.alg, k.Public, []byte(input), signature))

			for _, context := range []string{"a", "JOSE"} { // RFC 9964: the context is empty
				signature, err := private.SignDeterministic([]byte(input), &mldsa.Options{Context: context})
				require.NoError(t, err)
				require.ErrorIs(t, jose.Verify(c.alg, k.Public, []byte(input), signature), jose.ErrSignature)
			}
		})
	}
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// A nil key is none.
func TestNilMLDSAKey(t *testing.T) {
	t.Parallel()
	var k *mldsa.PublicKey
	require.False(t, jose.Fits(jose.MLDSA44, k))
	require.ErrorIs(t, jose.Verify(jose.MLDSA44, k, nil, make([]byte, 2420)), jose.ErrKeyType)
	require.Empty(t, (&jose.Key{Public: k}).Type())
}
