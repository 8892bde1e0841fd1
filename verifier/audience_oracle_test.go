package verifier_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// tree is an AudiencePolicy as the test sees it: a leaf with values, or AnyOf or AllOf with parts.
type tree struct {
	kind  string // api, access, derived, cid, oidc, anybody, any, all
	aud   string // of derived
	ids   []string
	parts []tree
}

func (n tree) policy() verifier.AudiencePolicy {
	var parts []verifier.AudiencePolicy
	for _, p := range n.parts {
		parts = append(parts, p.policy())
	}
	switch n.kind {
	case "api":
		return verifier.Audience(n.ids...)
	case "access":
		return verifier.CognitoAccess(n.ids...)
	case "derived":
		return verifier.CognitoDerived(n.aud, n.ids...)
	case "cid":
		return verifier.CognitoID(n.ids...)
	case "oidc":
		return verifier.IDToken(n.ids...)
	case "any":
		return verifier.AnyOf(parts...)
	case "all":
		return verifier.AllOf(parts...)
	}
	return verifier.InsecureAnyAudience()
}

// judge says what the documentation says: whether a token is accepted as one of that kind, "access" or "ID", and whether a policy
// that accepts it names its aud.
func (n tree) judge(h, c set, kind string) (accepted, named bool) {
	switch n.kind {
	case "any":
		for _, p := range n.parts {
			ok, name := p.judge(h, c, kind)
			accepted, named = accepted || ok, named || ok && name
		}
		return accepted, named
	case "all":
		accepted = true
		for _, p := range n.parts {
			ok, name := p.judge(h, c, kind)
			accepted, named = accepted && ok, named || name
		}
		return accepted, accepted && named
	}
	return n.judgeLeaf(h, c, kind)
}

func (n tree) judgeLeaf(h, c set, kind string) (accepted, named bool) {
	forID := n.kind == "cid" || n.kind == "oidc"
	both := n.kind == "anybody"
	if !both && forID != (kind == "ID") {
		return false, false
	}
	_, hash := c["at_hash"]
	_, events := c["events"]
	use, _ := c["token_use"].(string)
	isID, isAccess := hash || use == "id", use == "access" || h["typ"] == "at+jwt"
	if events || !both && (isID && !forID || isAccess && forID) {
		return false, false
	}
	aud := audOf(c)
	listed := func(id any) bool { return slices.ContainsFunc(n.ids, func(one string) bool { return one == id }) }
	someone := slices.Equal(n.ids, []string{"*"})
	inAud := slices.ContainsFunc(aud, func(a string) bool { return listed(a) })
	switch n.kind {
	case "api":
		return inAud, true
	case "access":
		return use == "access" && (someone || listed(c["client_id"])), c["aud"] == nil
	case "derived":
		return use == "access" && (someone || listed(c["client_id"])) && slices.Equal(aud, []string{n.aud}), true
	case "cid":
		return use == "id" && (inAud || someone && len(aud) > 0), true
	case "oidc":
		azp, hasAzp := c["azp"]
		only := len(aud) > 0 && !slices.ContainsFunc(aud, func(a string) bool { return !listed(a) })
		return only && (listed(azp) || !hasAzp && len(aud) == 1) && c["sub"] != nil && c["iat"] != nil, true
	}
	return true, true
}

func audOf(c set) []string {
	switch aud := c["aud"].(type) {
	case string:
		return []string{aud}
	case []string:
		return aud
	}
	return nil
}

// has reports whether a leaf of that kind is in the tree.
func (n tree) has(kind string) bool {
	return n.kind == kind || slices.ContainsFunc(n.parts, func(p tree) bool { return p.has(kind) })
}

// accepts says whether a policy accepts a token. Clients that differ are never accepted where a leaf grants something to one.
func (n tree) accepts(h, c set) bool {
	client, azp := c["client_id"], c["azp"]
	if client != nil && azp != nil && client != azp && n.has("oidc") {
		return false
	}
	for _, kind := range []string{"access", "ID"} {
		if accepted, named := n.judge(h, c, kind); accepted && named {
			return true
		}
	}
	return false
}

func randomTree(r *rand.Rand, depth int) tree {
	names := []string{"a", "b", "c"}
	if depth > 0 && r.IntN(3) > 0 {
		n := tree{kind: []string{"any", "all"}[r.IntN(2)]}
		for range 1 + r.IntN(3) {
			n.parts = append(n.parts, randomTree(r, depth-1))
		}
		return n
	}
	kinds := []string{"api", "api", "access", "access", "access", "derived", "cid", "oidc", "anybody"}
	n := tree{kind: kinds[r.IntN(len(kinds))], aud: names[r.IntN(3)], ids: []string{names[r.IntN(3)]}}
	if r.IntN(3) == 0 {
		n.ids = append(n.ids, names[r.IntN(3)])
	}
	if r.IntN(5) == 0 && slices.Contains([]string{"access", "derived", "cid"}, n.kind) {
		n.ids = []string{"*"}
	}
	return n
}

// randomKind makes a token of one of the kinds, or of something between them.
func randomKind(r *rand.Rand) (header, claims set) {
	pick := func(values ...any) any { return values[r.IntN(len(values))] }
	header, claims = set{"typ": pick("JWT", "JWT", "at+jwt")}, set{}
	for name, v := range map[string]any{
		"aud":       pick(nil, nil, "a", "b", []string{"c"}, []string{"a", "b"}, []string{"b", "a"}, []string{}, []string{"a", "a"}, "x"),
		"client_id": pick(nil, "a", "b", "c", "x"), "azp": pick(nil, nil, nil, "a", "b", "x"),
		"token_use": pick(nil, "access", "access", "access", "id", "id", "x"), "at_hash": pick(nil, nil, nil, nil, "x"),
		"events": pick(nil, nil, nil, nil, nil, nil, nil, set{}), "act": pick(nil, nil, set{"sub": "agent"}),
		"sub": pick("alice", "alice", "alice", nil), "iat": pick(time.Now().Unix(), time.Now().Unix(), time.Now().Unix(), nil),
	} {
		if v != nil {
			claims[name] = v
		}
	}
	if claims["token_use"] == "id" && len(audOf(claims)) > 1 {
		claims["aud"] = audOf(claims)[0] // an ID token of Cognito has one
	}
	return header, claims
}

// Whatever a policy is made of, it accepts a token exactly if its documentation says so: without a cache, with one, and when a token
// that another policy accepted is checked again.
func TestCombinedPoliciesAcceptWhatTheySay(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	keys, err := jwks.NewStatic(map[string][]byte{sceneIssuer: s.keySet()})
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(3, 4)) // the same each time
	type token struct {
		raw            string
		header, claims set
		before         *verifier.Token // under another policy
	}
	policy := func(a verifier.AudiencePolicy) []verifier.Policy {
		return []verifier.Policy{{Provider: issuer.OIDC(sceneIssuer), Audience: a, Algorithms: []string{"ES256"}}}
	}
	anybody, err := verifier.New(policy(verifier.InsecureAnyAudience()), keys, verifier.Config{})
	require.NoError(t, err)
	var tokens []token
	var all []set // their claims
	for range 150 {
		h, c := randomKind(r)
		absent := set{"aud": nil, "sub": nil, "iat": nil} // sign adds them otherwise
		maps.Copy(absent, c)
		one := token{raw: s.sign(0, h, absent), header: h, claims: c}
		one.before, err = anybody.Verify(t.Context(), one.raw)
		require.Equal(t, c["events"] != nil, err != nil, "%v: %v", c, err)
		tokens, all = append(tokens, one), append(all, c)
	}
	accepted, rejected, dead := 0, 0, 0
	for range 80 {
		n := randomTree(r, 3)
		v, err := verifier.New(policy(n.policy()), keys, verifier.Config{})
		if err != nil {
			dead++
			require.True(t, n.dead(all), "New rejects %+v: %v", n, err)
			continue
		}
		for range 40 {
			one := tokens[r.IntN(len(tokens))]
			want := n.accepts(one.header, one.claims)
			for range 2 {
				_, err := v.Verify(t.Context(), one.raw)
				require.Equal(t, want, err == nil, "%+v %v %v: %v", n, one.header, one.claims, err)
			}
			if one.before != nil {
				err := v.Recheck(t.Context(), one.before)
				require.Equal(t, want, err == nil, "again: %+v %v %v: %v", n, one.header, one.claims, err)
			}
			if want {
				accepted++
			} else {
				rejected++
			}
		}
	}
	require.Greater(t, accepted, 200)
	require.Greater(t, rejected, 200)
	require.Greater(t, dead, 5)
}
