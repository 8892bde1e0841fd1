package verifier_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// referee judges a token by other means than the verifier: encoding/json, encoding/base64 and the standard library's
// signatures, and only what must hold for every accepted token.
type referee struct {
	config vectorConfig
	keys   map[string]map[string]crypto.PublicKey // iss, kid
	now    float64
}

// judge returns why a token may not be accepted, or "".
func (r *referee) judge(raw string) string {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || len(raw) > 16<<10 {
		return "parts"
	}
	var decoded [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(p)
		if err != nil || strings.ContainsAny(p, "\r\n") {
			return "base64"
		}
		decoded[i] = b
	}
	var header, claims map[string]any
	if json.Unmarshal(decoded[0], &header) != nil || json.Unmarshal(decoded[1], &claims) != nil {
		return "JSON"
	}
	for _, name := range []string{"crit", "b64", "enc", "zip", "cty"} {
		if v, ok := header[name]; ok && (v != nil || name != "cty") && (v != "NONE" || name != "zip") { // which say the same as none
			return name
		}
	}
	alg, _ := header["alg"].(string)
	if alg == "Ed25519" {
		alg = "EdDSA" // RFC 9864
	}
	kid, _ := header["kid"].(string)
	iss, _ := claims["iss"].(string)
	key := r.keys[iss][kid]
	if key == nil || !slices.Contains(r.config.Algorithms, alg) {
		return "key"
	}
	if !checkSignature(alg, key, parts[0]+"."+parts[1], decoded[2]) {
		return "signature"
	}
	if exp, ok := claims["exp"].(float64); !ok || exp <= r.now {
		return "exp"
	}
	for _, name := range []string{"nbf", "iat"} {
		if at, ok := claims[name].(float64); ok && at > r.now {
			return name
		}
	}
	for _, i := range r.config.Issuers {
		if i.Iss == iss {
			audience, ok := claims["aud"].([]any)
			if !ok {
				audience = []any{claims["aud"]}
			}
			if !slices.Contains(audience, any(r.config.Audience[0])) {
				return "binding"
			}
			return ""
		}
	}
	return "issuer"
}

// checkSignature checks a JWS signature without package jose.
func checkSignature(alg string, key crypto.PublicKey, input string, sig []byte) bool {
	if ed, ok := key.(ed25519.PublicKey); ok {
		return alg == "EdDSA" && ed25519.Verify(ed, []byte(input), sig)
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[max(0, len(alg)-3):]]
	if hash == 0 {
		return false
	}
	h := hash.New()
	h.Write([]byte(input))
	digest := h.Sum(nil)
	switch k := key.(type) {
	case *rsa.PublicKey:
		if strings.HasPrefix(alg, "RS") {
			return rsa.VerifyPKCS1v15(k, hash, digest, sig) == nil
		}
		return strings.HasPrefix(alg, "PS") &&
			rsa.VerifyPSS(k, hash, digest, sig, &rsa.PSSOptions{SaltLength: hash.Size()}) == nil
	case *ecdsa.PublicKey:
		curve := map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg]
		n := len(sig) / 2
		return k.Params().Name == curve && len(sig) == 2*((k.Params().BitSize+7)/8) &&
			ecdsa.Verify(k, digest, new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
	}
	return false
}

// court is a verifier and a referee over the corpus' usual three issuers.
func court(tb testing.TB, f vectorFile) (*verifier.Verifier, *referee, vectorCase) {
	tb.Helper()
	usual := f.Cases[0]
	require.Equal(tb, "accept/rs256-access", usual.Name)
	r := &referee{config: usual.Config, keys: map[string]map[string]crypto.PublicKey{}, now: float64(usual.Now)}
	for _, i := range usual.Config.Issuers {
		keys, _, err := jose.ParseSet(f.JWKS[i.JWKS], jose.Limits{})
		require.NoError(tb, err)
		r.keys[i.Iss] = map[string]crypto.PublicKey{}
		for _, k := range keys {
			r.keys[i.Iss][k.ID] = k.Public
		}
	}
	return static(tb, f, usual), r, usual
}

// FuzzVerify: no token makes it panic, and it accepts none that the referee refuses.
func FuzzVerify(f *testing.F) {
	vectors := loadVectors(f)
	v, r, _ := court(f, vectors)
	seeds := 0
	for _, c := range vectors.Cases {
		if raw := c.Token; len(raw) <= 16<<10 {
			f.Add(raw)
			seeds++
		}
	}
	require.GreaterOrEqual(f, seeds, 583, "the corpus is not whole")
	f.Fuzz(func(t *testing.T, raw string) {
		tok, err := v.Verify(context.Background(), raw)
		if err != nil {
			require.NotEmpty(t, reasonOf(t, err))
			require.Nil(t, tok)
			return
		}
		require.Empty(t, r.judge(raw))
	})
}

// The referee is not too strict: it agrees with the corpus on the tokens of the usual configuration.
func TestRefereeAgrees(t *testing.T) {
	t.Parallel()
	f := loadVectors(t)
	v, r, usual := court(t, f)
	both := 0
	for _, c := range f.Cases {
		raw := c.Token
		_, err := v.Verify(t.Context(), raw)
		if err == nil {
			require.Empty(t, r.judge(raw), c.Name)
			both++
		}
		if fmt.Sprint(c.Config) == fmt.Sprint(usual.Config) && c.Now == usual.Now && c.Expect == "accept" {
			require.Empty(t, r.judge(raw), c.Name)
		}
	}
	require.Greater(t, both, 30)
}

// static makes a verifier of fixed keys, for tests that are not about fetching.
func static(tb testing.TB, f vectorFile, c vectorCase) *verifier.Verifier {
	tb.Helper()
	trust := c.Config.trust()
	sets := map[string][]byte{}
	for _, i := range c.Config.Issuers {
		sets[i.Iss] = f.JWKS[i.JWKS]
	}
	keys, err := jwks.NewStatic(sets)
	require.NoError(tb, err)
	v, err := verifier.New(trust, keys, verifier.Config{Leeway: -1}.At(func() time.Time { return time.Unix(c.Now, 0) }))
	require.NoError(tb, err)
	return v
}
