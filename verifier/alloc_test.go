//go:build !race

package verifier_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// floor checks the signature of a token and does nothing else.
func floor(t *testing.T, public crypto.PublicKey, raw string) func() {
	t.Helper()
	dot := strings.LastIndexByte(raw, '.')
	input := []byte(raw[:dot])
	signature, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
	require.NoError(t, err)
	return func() {
		ok := false
		sum := sha256.Sum256(input)
		switch k := public.(type) {
		case *rsa.PublicKey:
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], signature) == nil
		case *ecdsa.PublicKey:
			r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
			ok = ecdsa.Verify(k, sum[:], r, s)
		case ed25519.PublicKey:
			ok = ed25519.Verify(k, input, signature)
		}
		if !ok {
			t.Error("the signature is wrong")
		}
	}
}

// What a call may allocate, beside the check of the signature where there is one. These are the recorded values: raise one
// only with a reason.
func TestAllocations(t *testing.T) {
	// The texts of the token, the Token, and with RSA the digest, which escapes to the heap. That of ECDSA varies with the
	// signature.
	for alg, most := range map[string]float64{"RS256": 3, "ES256": 4, "EdDSA": 2} {
		w := fakeissuer.New(t, fakeissuer.Config{Algorithm: alg})
		keys, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
		require.NoError(t, err)
		require.NoError(t, keys.Preload(t.Context())) // and nothing else goes on
		config := parts{Keys: keys, Policies: []verifier.Policy{{
			Provider: w.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{alg},
		}}}
		fast, err := config.New()
		require.NoError(t, err)
		config.CacheSize = -1
		slow, err := config.New()
		require.NoError(t, err)
		good := w.Issue(east, fakeissuer.Claims{Groups: []string{"a", "b"}, Audience: nil})
		tok, err := fast.Verify(t.Context(), good)
		require.NoError(t, err)
		of := keyOf(t, keys, tok.Issuer(), tok.Key().ID())
		base := testing.AllocsPerRun(100, floor(t, of.Public(), good))
		allocs := func(v *verifier.Verifier, raw, reason string) float64 {
			return testing.AllocsPerRun(100, func() {
				if _, err := v.Verify(t.Context(), raw); reason == "" && err != nil || reason != "" && err == nil {
					t.Errorf("%v, not %q", err, reason)
				}
			})
		}
		require.Zero(t, allocs(fast, good, ""), "a token that is remembered")
		require.LessOrEqual(t, allocs(slow, good, ""), base+most, "%s: a token that is not", alg)
		for reason, c := range map[string]struct {
			raw  string
			most float64
		}{
			"malformed":      {strings.Repeat("garbage", 150), 1},
			"expired":        {w.Issue(east, fakeissuer.Claims{ExpiresIn: -3600e9}), 2},
			"unknown_issuer": {w.Issue(east, fakeissuer.Claims{Issuer: "https://elsewhere.example.com"}), 2},
			"bad_audience":   {w.Issue(east, fakeissuer.Claims{ClientID: "other"}), 2},
		} {
			require.LessOrEqual(t, allocs(fast, c.raw, reason), c.most, reason)
		}
		// What a fetch that such a token causes allocates is not counted.
		doc, err := json.Marshal(map[string]any{"keys": []any{published(t, w, east)}})
		require.NoError(t, err)
		config.Keys, err = jwks.NewStatic(map[string][]byte{tok.Issuer(): doc})
		require.NoError(t, err)
		still, err := config.New()
		require.NoError(t, err)
		require.LessOrEqual(t, allocs(still, fakeissuer.Tamper(good), "bad_signature"), base+10, alg)
		unknown := w.Issue(east, fakeissuer.Claims{Header: map[string]any{"kid": "unknown"}})
		require.LessOrEqual(t, allocs(still, unknown, "unknown_key"), 6.0)
	}
}

// A token with a made-up key ID costs little where the budget for fetches is used up.
func TestAllocationsInAFlood(t *testing.T) {
	w := fakeissuer.New(t, fakeissuer.Config{})
	keys, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client(), UnknownKeyWait: -1})
	require.NoError(t, err)
	require.NoError(t, keys.Preload(t.Context()))
	config := parts{Keys: keys, Policies: []verifier.Policy{{
		Provider: w.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID),
	}}}
	v, err := config.New()
	require.NoError(t, err)
	forged := make([]string, 200)
	for i := range forged {
		forged[i] = w.Issue(east, fakeissuer.Claims{Header: map[string]any{"kid": fmt.Sprint("forged-", i)}})
	}
	verify := func(raw string) error {
		_, err := v.Verify(t.Context(), raw)
		return err
	}
	limited := func() bool { return errors.Is(verify(forged[0]), verifier.ErrRateLimited) }
	require.Eventually(t, limited, 5*time.Second, 10*time.Millisecond)
	i := 0
	n := testing.AllocsPerRun(len(forged)-1, func() {
		require.ErrorIs(t, verify(forged[i]), verifier.ErrRateLimited)
		i++
	})
	require.LessOrEqual(t, n, 10.0) // with the growth of what is remembered, and a fetch now and then
}
