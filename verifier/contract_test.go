package verifier_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// The contract for leniency: another spelling of a token or key set is accepted only if the right spelling of the same token
// would be accepted with the same issuer, key and claims. canonical is the test's own reader of what is allowed: it knows
// nothing of the library's.

// canonicalHeader removes the nulls that mean "absent", and names the key.
func canonicalHeader(h set, kid string) set {
	c := maps.Clone(h)
	for _, name := range []string{"typ", "cty", "kid"} {
		if v, ok := c[name]; ok && v == nil {
			delete(c, name)
		}
	}
	if kid != "" {
		c["kid"] = kid
	}
	return c
}

// canonicalClaims removes the nulls that mean "absent", and writes scopes as one text.
func canonicalClaims(p set) set {
	c := maps.Clone(p)
	for _, name := range []string{
		"nbf", "iat", "sub", "jti", "azp", "client_id", "scope", "scp", "sid", "auth_time", "acr", "amr",
	} {
		if v, ok := c[name]; ok && v == nil {
			delete(c, name)
		}
	}
	for _, name := range []string{"scope", "scp"} {
		list, ok := c[name].([]any)
		if !ok {
			continue
		}
		var texts []string
		for _, e := range list {
			text, ok := e.(string)
			if !ok || text == "" || strings.ContainsAny(text, " \t\r\n\x00\x7f") {
				texts = nil
				break
			}
			texts = append(texts, text)
		}
		if len(texts) == len(list) {
			c[name] = strings.Join(texts, " ")
		}
	}
	return c
}

// canonicalKey removes the nulls that mean "absent" and padding, and gives numbers their right width.
func canonicalKey(m map[string]any) map[string]any {
	c := maps.Clone(m)
	for name, v := range c {
		switch name {
		case "use", "alg", "key_ops", "kid", "d", "p", "q", "dp", "dq", "qi", "x5c", "x5t", "x5u", "x5t#S256":
			if v == nil {
				delete(c, name)
			}
		case "x", "y", "n", "e":
			text, _ := v.(string)
			b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
			if err != nil {
				continue
			}
			if b = bytes.TrimLeft(b, "\x00"); c["kty"] == "EC" {
				b = append(make([]byte, max(32-len(b), 0)), b...) // P-256 only
			}
			c[name] = base64.RawURLEncoding.EncodeToString(b)
		}
	}
	return c
}

// object reads JSON that the strict reader may refuse, with numbers as they stand.
func object(text []byte) (m set, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return m, d.Decode(&m) == nil && m != nil
}

// fulfils demands that what is accepted in its spelling is accepted in the right one, as the same. It reports whether it was.
func (s *scene) fulfils(n int, header, payload []byte, what string) bool {
	s.t.Helper()
	raw := s.signText(n, header, payload)
	tok, rejected := s.verify(raw)
	if rejected != nil {
		require.NotEmpty(s.t, rejected.Reason, what)
		return false
	}
	h, ok1 := object(header)
	p, ok2 := object(payload)
	require.True(s.t, ok1 && ok2, what)
	right := *s
	right.policy.AllowMissingKeyID = false
	right.members = nil
	kid := ""
	for i, m := range s.members {
		c := canonicalKey(m)
		if text, _ := c["kid"].(string); text == "" {
			c["kid"] = fmt.Sprint("key-", i)
		}
		if i == n {
			kid = c["kid"].(string)
		}
		right.members = append(right.members, c)
	}
	again, rejected := right.verify(s.signText(n, encoded(s.t, canonicalHeader(h, kid)), encoded(s.t, canonicalClaims(p))))
	require.Nil(s.t, rejected, "%s: accepted only in another spelling: %s %s", what, header, payload)
	require.Equal(s.t, summary(again), summary(tok), what)
	return true
}

// spell writes a token in a way that it may be written in, or in one that it may not.
func spell(r *rand.Rand, header, claims set) {
	values := []any{
		nil, "", "x", "a b", 1, -1, 1.5, true,
		[]any{},
		[]any{"a"},
		[]any{"a", "b"},
		[]any{"a b"},
		[]any{""},
		[]any{nil},
		[]any{1},
		set{},
		set{"a": nil},
		"api",
		[]any{"api"},
		[]any{"api", nil},
		json.Number("1e400"),
	}
	names := []string{
		"nbf", "iat", "sub", "jti", "azp", "client_id", "scope", "scp", "sid", "auth_time", "acr", "amr", "iss", "aud", "exp", "token_use",
		"at_hash", "c_hash", "events", "cnf", "act", "status", "groups", "appid", "nonce", "typ",
	}
	for range r.IntN(4) {
		claims[names[r.IntN(len(names))]] = values[r.IntN(len(values))]
	}
	parameters := []string{"typ", "cty", "kid", "crit", "b64", "enc", "zip", "jwk", "jku", "x5c", "x5t", "alg"}
	for range r.IntN(3) {
		header[parameters[r.IntN(len(parameters))]] = values[r.IntN(len(values))]
	}
	if r.IntN(4) == 0 {
		delete(header, "kid")
	}
}

// spellKey does the same to a key.
func spellKey(r *rand.Rand, m map[string]any) {
	values := []any{nil, "", "sig", "enc", "ES256", "ES384", 1, []any{"verify"}, []any{"sign"}, "AA==", set{}}
	names := []string{"use", "alg", "key_ops", "kid", "d", "p", "x5c", "x5t", "k", "oth", "kty", "crv", "x", "y"}
	for range r.IntN(3) {
		switch name := names[r.IntN(len(names))]; name {
		case "x", "y":
			b, _ := base64.RawURLEncoding.DecodeString(strings.TrimRight(fmt.Sprint(m[name]), "="))
			m[name] = base64.URLEncoding.EncodeToString(append(make([]byte, r.IntN(3)), b...))
		default:
			m[name] = values[r.IntN(len(values))]
		}
	}
}

// Generated tokens and keys in every spelling, with and without the cache, under policies of every kind.
func TestContractForGeneratedTokens(t *testing.T) {
	t.Parallel()
	policies := []func(*verifier.Policy){
		func(*verifier.Policy) {},
		func(p *verifier.Policy) { p.AllowMissingKeyID = true },
		func(p *verifier.Policy) { p.Audience, p.AllowMissingKeyID = verifier.IDToken("api"), true },
		func(p *verifier.Policy) {
			p.Audience = verifier.AnyOf(verifier.Audience("api"), verifier.IDToken("app"))
		},
		func(p *verifier.Policy) { p.ScopeClaims = []string{"scp", "scope"} },
		func(p *verifier.Policy) { p.ClientIDClaims = []string{"azp", "client_id", "appid"} },
		func(p *verifier.Policy) { p.Types, p.MaxAge = []string{"JWT"}, time.Hour },
		func(p *verifier.Policy) { p.RequiredClaims = []string{"scope", "sub"} },
	}
	accepted, spelled := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 18))
		s := newScene(t, 2)
		policies[seed%uint64(len(policies))](&s.policy)
		if r.IntN(2) == 0 {
			spellKey(r, s.members[0])
		}
		if r.IntN(4) == 0 {
			delete(s.members[r.IntN(2)], "kid")
		}
		if _, err := jwks.NewStatic(map[string][]byte{sceneIssuer: s.keySet()}); err != nil {
			continue
		}
		for range 25 {
			n := r.IntN(2)
			h := set{"alg": "ES256", "kid": s.signers[n].ID, "typ": "JWT"}
			p := set{
				"iss": sceneIssuer, "sub": "alice", "aud": "api", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
				"scope": "a b", "client_id": "app",
			}
			before := fmt.Sprint(h, p)
			spell(r, h, p)
			if s.fulfils(n, encoded(t, h), encoded(t, p), fmt.Sprint("seed ", seed)) {
				if accepted++; before != fmt.Sprint(h, p) {
					spelled++
				}
			}
		}
	}
	require.Greater(t, accepted, 200)
	require.Greater(t, spelled, 100)
}

// The header and payload of every case of the corpus, signed with a key of the test: what is accepted is accepted in the right
// spelling, too. The policies are those of the case, and the same with every leniency on.
func TestContractForTheCorpus(t *testing.T) {
	t.Parallel()
	accepted := 0
	signer, err := josetest.NewSigner("ES256")
	require.NoError(t, err)
	members, err := signer.JWK()
	require.NoError(t, err)
	for _, c := range loadVectors(t).Cases {
		segments := strings.Split(c.Token, ".")
		if len(segments) != 3 || len(c.Token) > 16<<10 {
			continue
		}
		header, err1 := base64.RawURLEncoding.DecodeString(segments[0])
		payload, err2 := base64.RawURLEncoding.DecodeString(segments[1])
		h, ok := object(header)
		if err1 != nil || err2 != nil || !ok {
			continue
		}
		const alg = "ES256" // this is not about algorithms
		if said, ok := h["alg"].(string); ok {
			header = bytes.Replace(header, []byte(`"`+said+`"`), []byte(`"ES256"`), 1)
		}
		m := maps.Clone(members)
		if kid, ok := h["kid"].(string); ok {
			m["kid"] = kid
		}
		for _, lax := range []bool{false, true} {
			config := c.Config
			config.Algorithms = []string{alg}
			for _, policy := range config.trust() {
				iss := policy.Provider.Regions[0].Issuers[0]
				policy.AllowMissingKeyID = lax
				doc := encoded(t, map[string]any{"keys": []any{m}})
				keys, err := jwks.NewStatic(map[string][]byte{iss: doc})
				if err != nil {
					continue
				}
				verify := func(h, p []byte, policy verifier.Policy) *verifier.Token {
					raw, err := signer.Sign(h, p)
					require.NoError(t, err)
					var found *verifier.Token
					for _, size := range []int{16, -1} {
						at := func() time.Time { return time.Unix(c.Now, 0) }
						v, err := verifier.New([]verifier.Policy{policy}, keys, verifier.Config{CacheSize: size}.At(at))
						require.NoError(t, err)
						first, _ := v.Verify(t.Context(), raw)
						again, _ := v.Verify(t.Context(), raw)
						require.Equal(t, first == nil, again == nil, c.Name)
						require.True(t, size > 0 || (found == nil) == (first == nil), c.Name)
						found = first
					}
					return found
				}
				tok := verify(header, payload, policy)
				if tok == nil {
					continue
				}
				accepted++
				p, ok := object(payload)
				require.True(t, ok, c.Name)
				policy.AllowMissingKeyID = false
				kid, _ := m["kid"].(string)
				right := verify(encoded(t, canonicalHeader(h2(header), kid)), encoded(t, canonicalClaims(p)), policy)
				require.NotNil(t, right, "%s: accepted only in another spelling", c.Name)
				require.Equal(t, summary(right), summary(tok), c.Name)
			}
		}
	}
	require.Greater(t, accepted, 150)
}

func h2(header []byte) set {
	h, _ := object(header)
	return h
}
