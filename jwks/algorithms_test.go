package jwks_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/jwks"
)

// oneOfEach is a key for each algorithm that this build supports, and its JWK, by kid, which is the algorithm.
func oneOfEach(t *testing.T) (signers map[string]*josetest.Signer, jwkOf map[string]map[string]any) {
	t.Helper()
	signers, jwkOf = map[string]*josetest.Signer{}, map[string]map[string]any{}
	for _, alg := range []string{"RS256", "PS384", "ES256", "ES384", "ES512", "Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"} {
		if jose.Support(alg) != nil {
			continue
		}
		s, err := josetest.NewSigner(alg)
		require.NoError(t, err)
		s.ID = alg
		jwkOf[alg], err = s.JWK()
		require.NoError(t, err)
		signers[alg] = s
	}
	return signers, jwkOf
}

// unsupported lists keys that this build cannot use, by their algorithm. The RSA key has an odd number of bits, which only
// GODEBUG=fips140=only refuses.
func unsupported(t *testing.T) map[string]map[string]any {
	t.Helper()
	text := func(n int) string {
		b := make([]byte, n)
		b[0], b[n-1] = 1, 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	all := map[string]map[string]any{
		"ML-DSA-44": {"kty": "AKP", "alg": "ML-DSA-44", "pub": text(1312)},
		"ML-DSA-65": {"kty": "AKP", "alg": "ML-DSA-65", "pub": text(1952)},
		"ML-DSA-87": {"kty": "AKP", "alg": "ML-DSA-87", "pub": text(2592)},
		"RS256":     {"kty": "RSA", "alg": "RS256", "n": text(257), "e": "AQAB"},
	}
	for alg, jwk := range all {
		jwk["kid"] = "k"
		doc, err := json.Marshal(map[string]any{"keys": []any{jwk}})
		require.NoError(t, err)
		keys, skipped, err := jose.ParseSet(doc, jose.Limits{})
		require.NoError(t, err)
		if len(keys) > 0 {
			delete(all, alg)
			continue
		}
		require.Equal(t, jose.SkipUnsupported, skipped[0].Why)
	}
	if len(all) == 0 {
		t.Skip("this build supports every key")
	}
	return all
}

// A key that is restored from a snapshot is the one that was saved, whatever its algorithm: it verifies what it verified, and
// no other algorithm takes it.
func TestRestoredKeysVerify(t *testing.T) {
	t.Parallel()
	signers, jwkOf := oneOfEach(t)
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n, on := newServers(), &shelf{}
		s := n.at(keysURL)
		var all []map[string]any
		for _, jwk := range jwkOf {
			all = append(all, jwk)
		}
		s.publish(all...)
		first := newCache(t, n, jwks.Config{Snapshots: on}, pool("p", []string{keysURL}))
		require.NoError(t, first.Preload(t.Context()))
		synctest.Wait()
		require.Equal(t, 1, on.saves())
		s.set(refuse)
		second := newCache(t, n, jwks.Config{Snapshots: on}, pool("p", []string{keysURL}))
		for alg, signer := range signers {
			was, is := look(t, first, alg, alg).Keys, look(t, second, alg, alg).Keys
			require.Len(t, was, 1, alg)
			require.Len(t, is, 1, alg)
			require.Equal(t, "snapshot", is[0].Origin())
			require.Equal(t, was[0].Thumbprint(), is[0].Thumbprint())
			require.Equal(t, alg, is[0].Algorithm())
			token, err := signer.Sign([]byte(`{"alg":"`+alg+`"}`), []byte(`{}`))
			require.NoError(t, err)
			compact, ok := jose.Split(token)
			require.True(t, ok)
			var buffer jose.Buffer
			jws, ok := buffer.Decode(compact)
			require.True(t, ok)
			require.NoError(t, jose.Verify(alg, is[0].Public(), jws.Input, jws.Signature), alg)
			for other := range signers {
				if other != alg {
					require.Empty(t, look(t, second, alg, other).Keys, "%s as %s", alg, other)
				}
			}
		}
	})
}

// The token of a key that this build cannot use is not called bad, by a cache or by fixed keys, however the token names it. Other
// keys serve, and other unknown names are unknown.
func TestTokensOfUnsupportedKeysAreNotBad(t *testing.T) {
	t.Parallel()
	for alg, jwk := range unsupported(t) {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Minute)
				n := newServers()
				good := as(material("good"), "good", "ES256")
				n.at(keysURL).publish(good, jwk)
				c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
				require.NoError(t, c.Preload(t.Context()))
				require.Equal(t, []string{"k: unsupported_by_this_build"}, c.Status()[0].Skipped)
				time.Sleep(time.Hour) // the limits of unknown names are far away
				for _, kid := range []string{"k", ""} {
					require.Equal(t, 503, outcome(look(t, c, kid, alg), "k"), "kid %q", kid)
				}
				require.Equal(t, 200, ask(t.Context(), c, "p", "good"))
				require.Equal(t, 401, outcome(look(t, c, "good", alg), "k"))
				require.Equal(t, 401, ask(t.Context(), c, "p", "k"), "the key is not for ES256")
				require.Equal(t, 401, ask(t.Context(), c, "p", "other"))

				fixed := fixedKeys(t, good, jwk)
				for kid, want := range map[string]int{"k": 503, "": 503, "good": 401, "other": 401} {
					require.Equal(t, want, outcome(look(t, fixed, kid, alg), "k"), "kid %q", kid)
				}
				require.GreaterOrEqual(t, look(t, fixed, "k", alg).RetryAfter, time.Second)
				require.Equal(t, 200, ask(t.Context(), fixed, "p", "good"))
				require.Equal(t, 401, ask(t.Context(), fixed, "p", "k"))
				require.Equal(t, 401, ask(t.Context(), fixed, "p", "other"))
			})
		})
	}
}

// fixedKeys is a Source of keys of the provider p.
func fixedKeys(t *testing.T, keys ...map[string]any) jwks.Source {
	t.Helper()
	doc, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	s, err := jwks.NewStatic(map[string][]byte{"https://idp.example/p": doc})
	require.NoError(t, err)
	return s
}

// What a fixed set says of a key that cannot be used is what a fetched one says: an entry that cannot be read may be the key, one
// that is not allowed is named, and one that is not for signatures is no key.
func TestFixedKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	broken, private, encryption := as(material("b"), "broken", "ES256"), as(material("p"), "private", "ES256"), as(material("e"), "enc", "ES256")
	broken["y"], private["d"], encryption["use"] = "AAAA", "AAAA", "enc"
	s := fixedKeys(t, as(material("good"), "good", "ES256"), as(material("good2"), "private", "RS256"), broken, private, encryption)
	for kid, want := range map[string]int{"good": 200, "broken": 503, "private": 401, "enc": 401, "other": 401, "": 503} {
		got := look(t, s, kid, "ES256")
		require.Equal(t, want, outcome(got, kid), kid)
		require.Equal(t, kid == "private", errors.Is(got.Err, jwks.ErrKeyNotAllowed), kid)
	}
	good := look(t, s, "good", "ES256")
	require.True(t, good.Complete)
	tried := look(t, s, "good", "ES256", good.Keys[0].Thumbprint())
	require.True(t, tried.Complete)
	require.NoError(t, tried.Err)
	doubled := fixedKeys(t, as(material("good"), "k", "ES256"), as(private, "k", "ES256"))
	tried = look(t, doubled, "k", "ES256", good.Keys[0].Thumbprint())
	require.True(t, tried.Complete)
	require.NoError(t, tried.Err, "a key of that name was tried: its signature is bad")
}

// A set that lists a key without the support of this build and one with it, under one kid: the second serves its own algorithm.
func TestUnsupportedKeyBesideAnotherOfItsName(t *testing.T) {
	t.Parallel()
	for alg, jwk := range unsupported(t) {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Minute)
				n := newServers()
				n.at(keysURL).publish(jwk, maps.Clone(as(material("x"), "k", "ES256")))
				c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
				require.NoError(t, c.Preload(t.Context()))
				require.Equal(t, 200, ask(t.Context(), c, "p", "k"))
				require.Equal(t, 503, outcome(c.Lookup(t.Context(), jwks.Query{
					Issuer: "https://idp.example/p", KeyID: "k", Algorithm: alg, Tried: thumbprints(look(t, c, "k", "ES256")),
				}), "k"))
			})
		})
	}
}

// A kid under which an entry cannot be read has no complete answer, even where another key has it. Other kids do.
func TestUnreadableEntryBesideAnotherOfItsName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		n := newServers()
		broken := as(material("b"), "k", "ES256")
		broken["y"] = "AAAA"
		n.at(keysURL).publish(as(material("a"), "a", "ES256"), as(material("k"), "k", "ES256"), broken, as(material("z"), "z", "ES256"))
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.NoError(t, c.Preload(t.Context()))
		for kid, complete := range map[string]bool{"a": true, "k": false, "z": true} {
			r := look(t, c, kid, "ES256")
			require.Len(t, r.Keys, 1, kid)
			require.Equal(t, complete, r.Complete, kid)
			require.Equal(t, complete, look(t, c, kid, "ES256", thumbprints(r)...).Complete, kid)
		}
	})
}
