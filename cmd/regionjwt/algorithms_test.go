package main_test

import (
	"encoding/base64"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/jose"
)

var mldsa = []string{"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}

// inspect judges tokens of every algorithm that this build supports with the keys of their issuer.
func TestInspectOfAnyAlgorithm(t *testing.T) {
	t.Parallel()
	for _, alg := range append([]string{"Ed25519", "EdDSA", "ES512", "PS256"}, mldsa...) {
		if jose.Support(alg) != nil {
			continue
		}
		w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: alg})
		w.Serve()
		tl := tool{}.with("REGIONJWT_AUDIENCE", fakeissuer.Audience, "REGIONJWT_PROVIDER", "shop", "REGIONJWT_ISSUER", issuers(w))
		args := []string{"--fetch", "--algorithm", alg}
		good := w.Issue("us-west-2", fakeissuer.Claims{})
		in, _ := inspect(t, tl, good, 0, args...)
		require.Equal(t, "accepted", in.Verdict, alg)
		require.Equal(t, alg, in.Header["alg"])
		in, _ = inspect(t, tl, fakeissuer.Tamper(good), 1, args...)
		require.Equal(t, "bad_signature", in.Reason, alg)
		in, _ = inspect(t, tl, good, 1, "--fetch", "--algorithm", "ES256")
		require.Equal(t, "alg_not_allowed", in.Reason, alg)
	}
}

// A build without ML-DSA says so, and does not judge the token.
func TestInspectOfAnUnsupportedAlgorithm(t *testing.T) {
	t.Parallel()
	if jose.Support(mldsa[0]) == nil {
		t.Skip("this build supports ML-DSA")
	}
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	tl := tool{}.with("REGIONJWT_AUDIENCE", fakeissuer.Audience, "REGIONJWT_PROVIDER", "shop", "REGIONJWT_ISSUER", issuers(w))
	tl.stdin = w.Issue("us-west-2", fakeissuer.Claims{Header: map[string]any{"alg": mldsa[0]}})
	tl.fails(t, 2, []string{"ML-DSA-44", "not supported by this build"}, "inspect", "--algorithm", mldsa[0])
}

// check reads keys of ML-DSA, and names those that this build cannot use: their tokens would not be accepted.
func TestDrillOfMLDSAKeys(t *testing.T) {
	t.Parallel()
	d, flags := updatedPool(t)
	good := d.keysOf(t, "https://"+westHost+keysPath)[0]
	key := map[string]any{"kty": "AKP", "kid": "next", "alg": "ML-DSA-65", "pub": base64.RawURLEncoding.EncodeToString(make([]byte, 1952))}
	short := map[string]any{"kty": "AKP", "kid": "short", "alg": "ML-DSA-65", "pub": "AAAA"}
	seed := map[string]any{"kty": "AKP", "kid": "seed", "alg": "ML-DSA-65", "pub": key["pub"], "priv": "AAAA"}
	d.serves(eastHost+keysPath, setOf(t, key, short, seed, good))
	d.serves(westHost+keysPath, setOf(t, key, short, seed, good))
	d.serves(updatedHost+keysPath, setOf(t, key, short, seed, good))
	a, _ := check(t, 0, flags...)
	why := map[string]string{}
	for _, f := range a.has("key_skipped") {
		why[f.Detail] = f.Region
	}
	require.Contains(t, why, "key short: malformed_key")
	require.Contains(t, why, "key seed: private_member")
	set := a.Regions[1].KeySets[0]
	if jose.Support("ML-DSA-65") != nil {
		require.Contains(t, why, "key next: unsupported_by_this_build")
		require.Len(t, set.Keys, 1)
		return
	}
	require.NotContains(t, why, "key next: unsupported_by_this_build")
	require.Len(t, set.Keys, 2)
	require.True(t, slices.ContainsFunc(set.Keys, func(k drillKey) bool { return k.Kid == "next" && k.Alg == "ML-DSA-65" }))
}
