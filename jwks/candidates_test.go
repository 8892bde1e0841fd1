package jwks_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/jwks"
)

// rsaMaterial returns the members of an RSA key, always the same one.
var rsaMaterial = sync.OnceValue(func() map[string]any {
	s, err := josetest.NewSigner("RS256")
	if err != nil {
		panic(err)
	}
	m, err := s.JWK()
	if err != nil {
		panic(err)
	}
	return m
})

// as returns the material under a kid and an alg; "" leaves alg out.
func as(m map[string]any, kid, alg string) map[string]any {
	m = maps.Clone(m)
	m["kid"] = kid
	delete(m, "alg")
	if alg != "" {
		m["alg"] = alg
	}
	return m
}

// thumbprint returns the RFC 7638 thumbprint of a JWK.
func thumbprint(t *testing.T, jwk map[string]any) string {
	t.Helper()
	doc, err := json.Marshal(map[string]any{"keys": []any{jwk}})
	require.NoError(t, err)
	s, err := jwks.NewStatic(map[string][]byte{"x": doc})
	require.NoError(t, err)
	keys := s.Lookup(t.Context(), jwks.Query{Issuer: "x", KeyID: jwk["kid"].(string)}).Keys
	require.Len(t, keys, 1)
	return keys[0].Thumbprint()
}

// publish makes the server list these JWKs.
func (s *server) publish(keys ...map[string]any) {
	s.set(func(s *server) {
		s.kids = nil
		for i, k := range keys {
			name := fmt.Sprint(i)
			s.kids = append(s.kids, name)
			s.keys[name] = k
		}
	})
}

// look asks for a kid and an alg.
func look(t testing.TB, c jwks.Source, kid, alg string, tried ...string) jwks.Result {
	t.Helper()
	return c.Lookup(t.Context(), jwks.Query{Issuer: "https://idp.example/p", KeyID: kid, Algorithm: alg, Tried: tried})
}

// thumbprints lists those of the keys of a Result.
func thumbprints(r jwks.Result) (all []string) {
	for _, k := range r.Keys {
		all = append(all, k.Thumbprint())
	}
	return all
}

// An issuer lists one key once for each alg under one kid, from the start or while the service runs: it verifies with each.
func TestOneKeyListedOncePerAlgorithm(t *testing.T) {
	t.Parallel()
	algs := []string{"RS256", "RS384", "RS512", "PS256"}
	for _, running := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := newServers()
			s := n.at(keysURL)
			c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
			var all []map[string]any
			for _, alg := range algs {
				all = append(all, as(rsaMaterial(), "k", alg))
			}
			if running {
				s.publish(all[0])
				require.Len(t, look(t, c, "k", "RS256").Keys, 1)
				time.Sleep(20 * time.Minute)
			}
			s.publish(all...)
			for range 30 {
				for _, alg := range algs {
					r := look(t, c, "k", alg)
					require.Equal(t, []string{thumbprint(t, all[0])}, thumbprints(r), alg)
					require.True(t, r.Complete)
				}
				time.Sleep(time.Minute)
			}
			require.True(t, look(t, c, "k", "ES256").Complete, "no key of that kid verifies ES256")
		})
	}
}

// An RSA and an EC key stand under one kid, with alg or without: RFC 7517, section 4.5. Each verifies its tokens.
func TestRSAAndECUnderOneKeyID(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		for _, running := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) { testRSAAndEC(t, named, running) })
		}
	}
}

func testRSAAndEC(t *testing.T, named, running bool) {
	n := newServers()
	s := n.at(keysURL)
	rs, ec := as(rsaMaterial(), "k", ""), as(material("ec"), "k", "")
	if named {
		rs, ec = as(rs, "k", "RS256"), as(ec, "k", "ES256")
	}
	c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
	if running {
		s.publish(rs)
		require.Len(t, look(t, c, "k", "RS256").Keys, 1)
		time.Sleep(time.Minute)
	}
	s.publish(rs, ec)
	for range 20 {
		require.Equal(t, []string{thumbprint(t, ec)}, thumbprints(look(t, c, "k", "ES256")))
		require.Equal(t, []string{thumbprint(t, rs)}, thumbprints(look(t, c, "k", "RS256")))
		require.True(t, look(t, c, "k", "ES256").Complete)
		require.True(t, look(t, c, "k", "RS256").Complete)
		time.Sleep(time.Minute)
	}
}

// A mirror lists five other keys under the kid of another URL. The key of a URL that was asked stays among the candidates, and an
// answer that had to be cut is not complete.
func TestMirrorWithOtherKeysUnderTheSameKeyID(t *testing.T) {
	t.Parallel()
	const eu, us = "https://eu.example/jwks.json", "https://us.example/jwks.json"
	for _, urls := range [][]string{{eu, us}, {us, eu}} {
		for _, regions := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				n := newServers()
				own := as(material("own"), "k", "ES256")
				n.at(eu).publish(own)
				var others []map[string]any
				for i := range 5 {
					others = append(others, as(material(fmt.Sprint("other-", i)), "k", "ES256"))
				}
				n.at(us).publish(others[0])
				p := pool("p", urls)
				if regions {
					p = pool("p", urls[:1], urls[1:])
				}
				c := newCache(t, n, jwks.Config{}, p)
				require.NoError(t, c.Preload(t.Context()))
				go func() { _ = c.Run(t.Context()) }()
				n.at(us).publish(others...)
				for range 24 {
					r := look(t, c, "k", "ES256")
					require.NotEmpty(t, r.Keys)
					require.LessOrEqual(t, len(r.Keys), 4)
					if n.at(eu).requests() > 0 {
						require.Contains(t, thumbprints(r), thumbprint(t, own))
					}
					time.Sleep(5 * time.Minute)
				}
				candidates := thumbprints(look(t, c, "k", "ES256"))
				r := look(t, c, "k", "ES256", candidates...) // has the key sets fetched, so the candidates may change
				t.Log("first", urls[0], "one set", !regions, "candidates", len(candidates), "complete without a match", r.Complete)
				require.Equal(t, len(candidates) < 4, r.Complete)
			})
		}
	}
}

// An issuer replaces the material of a kid. The first token gets a wrong signature at once; the refresh that it causes, which
// nobody waits for, makes the next one good. Wrong signatures cause no more than one such refresh a minute.
func TestNewMaterialUnderAKeyID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newServers()
		s := n.at(keysURL)
		s.set(func(s *server) { s.delay = 100 * time.Millisecond })
		old, fresh := as(material("old"), "k", "ES256"), as(material("fresh"), "k", "ES256")
		s.publish(old)
		c := newCache(t, n, jwks.Config{}, pool("p", []string{keysURL}))
		require.Len(t, look(t, c, "k", "ES256").Keys, 1)
		time.Sleep(2 * time.Minute)
		s.publish(fresh)
		began := time.Now()
		r := look(t, c, "k", "ES256", thumbprint(t, old))
		require.Empty(t, r.Keys)
		require.True(t, r.Complete)
		require.Zero(t, time.Since(began), "nobody waits")
		for !slices.Contains(thumbprints(look(t, c, "k", "ES256")), thumbprint(t, fresh)) {
			time.Sleep(50 * time.Millisecond)
			require.Less(t, time.Since(began), time.Minute)
		}
		t.Log("verified after", time.Since(began))
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
		before := s.requests()
		for range 600 { // ten minutes of wrong signatures
			look(t, c, "k", "ES256", thumbprint(t, old), thumbprint(t, fresh))
			time.Sleep(time.Second)
		}
		t.Log("fetches in ten minutes of wrong signatures", s.requests()-before)
		require.LessOrEqual(t, s.requests()-before, 13)
		require.Greater(t, s.requests()-before, 5)
	})
}
