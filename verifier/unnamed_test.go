package verifier_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// Without the option a token without kid is malformed, and no token is tried with a key without kid.
func TestMissingKeyIDIsNotAllowedByDefault(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	_, err := s.verify(s.sign(0, set{"kid": nil}, nil))
	require.Equal(t, "malformed", reasonOf(t, errOf(err)))
	require.Equal(t, "kid, see Policy.AllowMissingKeyID", err.Detail)
	delete(s.members[0], "kid")
	_, err = s.verify(s.sign(0, nil, nil))
	require.Equal(t, "unknown_key", reasonOf(t, errOf(err)))
	_, err = s.verify(s.sign(0, set{"kid": nil}, nil))
	require.Equal(t, "malformed", reasonOf(t, errOf(err)))
}

// With the option, the keys that fit are tried: all of them for a token without kid, and those without kid for one whose kid no
// key has.
func TestMissingKeyIDs(t *testing.T) {
	t.Parallel()
	unnamed := set{"kid": nil}
	for name, c := range map[string]struct {
		keys   int
		alter  func(*scene)
		signer int
		header set
		want   string
	}{
		"token without, one key":        {1, nil, 0, unnamed, ""},
		"token without, four keys":      {4, nil, 3, unnamed, ""},
		"token without, five keys":      {5, nil, 0, unnamed, "malformed"},
		"null":                          {2, nil, 1, set{"kid": null}, ""},
		"an empty kid":                  {1, nil, 0, set{"kid": ""}, "malformed"},
		"a number for kid":              {1, nil, 0, set{"kid": 1}, "malformed"},
		"neither has one":               {2, func(s *scene) { delete(s.members[1], "kid") }, 1, unnamed, ""},
		"key without, token with":       {2, func(s *scene) { delete(s.members[1], "kid") }, 1, nil, ""},
		"key with null, token with":     {2, func(s *scene) { s.members[1]["kid"] = null }, 1, nil, ""},
		"only a key without, with":      {1, func(s *scene) { delete(s.members[0], "kid") }, 0, set{"kid": "any"}, ""},
		"the kid of another key":        {2, func(s *scene) { delete(s.members[1], "kid") }, 1, set{"kid": "taken"}, ""},
		"not published":                 {1, nil, 1, unnamed, "unknown_key"},
		"kid that is not there":         {2, nil, 1, set{"kid": "other"}, "unknown_key"},
		"kid there, other material":     {2, nil, 1, set{"kid": "first"}, "bad_signature"},
		"five keys, with kid":           {5, nil, 4, nil, ""},
		"five, four of another alg":     {5, func(s *scene) { others(s) }, 4, unnamed, ""},
		"alg that the policy has not":   {1, nil, 0, set{"kid": nil, "alg": "ES384"}, "alg_not_allowed"},
		"alg that no key has":           {1, nil, 0, set{"kid": nil, "alg": "EdDSA"}, "unknown_key"},
		"key for encryption":            {1, func(s *scene) { s.members[0]["use"] = "enc"; addKey(s) }, 0, unnamed, "unknown_key"},
		"key without, wrong alg":        {1, func(s *scene) { delete(s.members[0], "kid"); s.members[0]["alg"] = "ES384"; addKey(s) }, 0, nil, "unknown_key"},
		"listed twice is one key":       {4, func(s *scene) { s.members = append(s.members, s.members[0], without(s.members[1], "alg")) }, 3, unnamed, ""},
		"one kid for all, another kid":  {2, func(s *scene) { s.members[1]["kid"] = s.members[0]["kid"] }, 1, set{"kid": "x"}, "unknown_key"},
		"token without, forged by none": {3, nil, 3, unnamed, "unknown_key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, c.keys)
			s.policy.AllowMissingKeyID = true
			for len(s.signers) <= c.signer { // a key that is not published
				other := newScene(t, 1)
				s.signers = append(s.signers, other.signers...)
			}
			if c.header["kid"] == "first" {
				c.header = set{"kid": s.signers[0].ID}
			}
			if c.header["kid"] == "taken" {
				c.header = set{"kid": s.signers[1].ID + "x"}
			}
			if c.alter != nil {
				c.alter(s)
			}
			tok, err := s.verify(s.sign(c.signer, c.header, nil))
			require.Equal(t, c.want, reasonOf(t, errOf(err)))
			if err == nil {
				require.Equal(t, "alice", tok.Subject())
			}
			if c.want == "malformed" && c.keys == 5 {
				require.Equal(t, "kid, see Policy.AllowMissingKeyID", err.Detail)
			}
		})
	}
}

func without(m map[string]any, name string) map[string]any {
	c := map[string]any{}
	for k, v := range m {
		if k != name {
			c[k] = v
		}
	}
	return c
}

// others makes all keys but the last Ed25519 keys.
func others(s *scene) {
	for i := range s.members[:len(s.members)-1] {
		signer, err := josetest.NewSigner("EdDSA")
		require.NoError(s.t, err)
		m, err := signer.JWK()
		require.NoError(s.t, err)
		s.signers[i], s.members[i] = signer, m
	}
}

func addKey(s *scene) {
	more := newScene(s.t, 1)
	s.members = append(s.members, more.members...)
}

// A token without kid proves itself only by a key of its own issuer.
func TestMissingKeyIDStaysWithinTheIssuer(t *testing.T) {
	t.Parallel()
	one, two := newScene(t, 1), newScene(t, 1)
	delete(two.members[0], "kid")
	const other = "https://other.example"
	keys, err := jwks.NewStatic(map[string][]byte{sceneIssuer: one.keySet(), other: two.keySet()})
	require.NoError(t, err)
	one.policy.AllowMissingKeyID = true
	second := one.policy
	second.Provider = issuer.OIDC(other)
	v, err := verifier.New([]verifier.Policy{one.policy, second}, keys, verifier.Config{})
	require.NoError(t, err)
	for _, header := range []set{{"kid": nil}, nil, {"kid": "x"}, {"kid": one.signers[0].ID}} {
		_, err = v.Verify(t.Context(), two.sign(0, header, nil))
		require.ErrorIs(t, err, verifier.ErrInvalid)
		_, err = v.Verify(t.Context(), one.sign(0, header, set{"iss": other}))
		require.ErrorIs(t, err, verifier.ErrInvalid)
	}
	_, err = v.Verify(t.Context(), two.sign(0, set{"kid": nil}, set{"iss": other}))
	require.NoError(t, err)
}

// What the option allowed ends with it: a policy without it rejects the tokens that it accepted.
func TestMissingKeyIDEndsWithThePolicy(t *testing.T) {
	t.Parallel()
	for _, header := range []set{{"kid": nil}, {"kid": "any"}} {
		s := newScene(t, 1)
		delete(s.members[0], "kid")
		keys, err := jwks.NewStatic(map[string][]byte{sceneIssuer: s.keySet()})
		require.NoError(t, err)
		s.policy.AllowMissingKeyID = true
		v, err := verifier.New([]verifier.Policy{s.policy}, keys, verifier.Config{})
		require.NoError(t, err)
		raw := s.sign(0, header, nil)
		tok, err := v.Verify(t.Context(), raw)
		require.NoError(t, err)
		require.NoError(t, v.Recheck(t.Context(), tok))
		s.policy.AllowMissingKeyID = false
		require.NoError(t, v.Update([]verifier.Policy{s.policy}))
		require.ErrorIs(t, v.Recheck(t.Context(), tok), verifier.ErrInvalid)
		_, err = v.Verify(t.Context(), raw)
		require.ErrorIs(t, err, verifier.ErrInvalid)
	}
}

// A key without kid is found by the token that first needs it, also when the set is empty or the key is new. A rotation to a
// fifth key that fits is the operator's to see, and nothing is accepted by chance.
func TestMissingKeyIDsOfAServerThatRotates(t *testing.T) {
	t.Parallel()
	for _, header := range []set{{"kid": nil}, {"kid": "any"}} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, 6)
			for _, m := range s.members {
				delete(m, "kid")
			}
			p := issuer.Provider{ID: "p", Regions: []issuer.Region{
				{Name: west, Issuers: []string{sceneIssuer}, JWKSURLs: []string{"https://keys.example/jwks"}},
			}}
			w := fakeissuer.New(t, fakeissuer.Config{Provider: &p, Algorithm: "ES256"})
			listed := 1
			w.Handle(west, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(rw).Encode(map[string]any{"keys": s.members[:listed]})
			}))
			cache, err := jwks.New([]issuer.Provider{p}, jwks.Config{HTTPClient: w.Client()})
			require.NoError(t, err)
			s.policy.Provider, s.policy.AllowMissingKeyID = p, true
			v, err := verifier.New([]verifier.Policy{s.policy}, cache, verifier.Config{})
			require.NoError(t, err)
			for n := range 4 {
				listed = n + 1
				_, err := v.Verify(t.Context(), s.sign(n, header, nil))
				require.NoError(t, err, n)
				_, err = v.Verify(t.Context(), s.sign(0, header, nil))
				require.NoError(t, err, n)
				time.Sleep(time.Minute)
			}
			_, err = v.Verify(t.Context(), s.sign(5, header, nil))
			require.ErrorIs(t, err, verifier.ErrInvalid, "nobody has published it")
			listed = 5
			time.Sleep(time.Minute)
			require.NoError(t, cache.Preload(t.Context()))
			_, err = v.Verify(t.Context(), s.sign(4, header, nil))
			require.ErrorIs(t, err, verifier.ErrInvalid)
			time.Sleep(time.Minute)
		})
	}
}
