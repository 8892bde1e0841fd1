package verifier_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// changedCases lists every case of the corpus whose expectation this edition of the library changed to "accept", each with the
// reason. No other case of the corpus may be accepted that a standard does not allow.
var changedCases = map[string]string{
	"header-json/typ-type-null":  "null for typ says the same as no typ",
	"payload-json/jti-type-null": "null for jti says the same as no jti, which is not required",
	"payload-json/nbf-type-null": "null for nbf says the same as no nbf: there is no date that could forbid the token",
	"payload-json/scope-type-array": "Spring Authorization Server, Duende and WSO2 write scopes as an array; an element with a space " +
		"is malformed",
	"alg/ed25519-fully-specified": "Ed25519 and EdDSA are two names of one algorithm for these keys (RFC 9864)",
	"jwks/bom":                    "a byte order mark in front of a key set changes nothing that it says (RFC 8259 section 8.1)",
	"jwks/n-padded":               "padded base64url encodes the same number",
	"jwks/e-leading-zero":         "leading zeros do not change a number; the thumbprint is that of the canonical form",
	"jwks/ec-x-long":              "leading zeros do not change a coordinate; the thumbprint is that of the canonical form",
	"jwks/use-null":               "null for use says the same as no use, which is optional",
	"jwks/kid-twice-ours-first":   "several keys may have one kid (RFC 7517 section 4.5); every one of them is a key of the issuer",
	"jwks/kid-twice-ours-last":    "several keys may have one kid (RFC 7517 section 4.5); every one of them is a key of the issuer",
}

func TestChangedCasesAreThoseOfTheList(t *testing.T) {
	t.Parallel()
	f := loadVectors(t)
	found := 0
	for _, c := range f.Cases {
		if changedCases[c.Name] != "" {
			require.Equal(t, "accept", c.Expect, c.Name)
			found++
		}
	}
	require.Equal(t, len(changedCases), found)
}

// scene is an issuer with keys of its own, and verifiers of one policy with and without a cache.
type scene struct {
	t       testing.TB
	signers []*josetest.Signer
	members []map[string]any // of the key set
	policy  verifier.Policy
}

const sceneIssuer = "https://idp.example/shapes"

func newScene(t testing.TB, keys int) *scene {
	t.Helper()
	s := &scene{t: t, policy: verifier.Policy{
		Provider: issuer.OIDC(sceneIssuer), Audience: verifier.Audience("api"), Algorithms: []string{"ES256", "EdDSA"},
	}}
	for range keys {
		signer, err := josetest.NewSigner("ES256")
		require.NoError(t, err)
		m, err := signer.JWK()
		require.NoError(t, err)
		s.signers, s.members = append(s.signers, signer), append(s.members, m)
	}
	return s
}

func (s *scene) keySet() []byte {
	doc, err := json.Marshal(map[string]any{"keys": s.members})
	require.NoError(s.t, err)
	return doc
}

// sign signs a token with key n, whose kid it names unless header says something else. A nil value removes a member.
func (s *scene) sign(n int, header, claims set) string {
	h := set{"alg": s.signers[n].Algorithm, "kid": s.signers[n].ID, "typ": "JWT"}
	p := set{"iss": sceneIssuer, "sub": "alice", "aud": "api", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	for into, from := range map[*set]set{&h: header, &p: claims} {
		maps.Copy(*into, from)
		maps.DeleteFunc(*into, func(_ string, v any) bool { return v == nil })
	}
	return s.signText(n, encoded(s.t, h), encoded(s.t, p))
}

func (s *scene) signText(n int, header, payload []byte) string {
	raw, err := s.signers[n].Sign(header, payload)
	require.NoError(s.t, err)
	return raw
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

// verify verifies a token with and without a cache, twice each, and demands one answer.
func (s *scene) verify(raw string) (*verifier.Token, *verifier.Error) {
	s.t.Helper()
	keys, err := jwks.NewStatic(map[string][]byte{sceneIssuer: s.keySet()})
	require.NoError(s.t, err)
	return verifyTwice(s.t, s.policy, keys, raw)
}

func verifyTwice(t testing.TB, policy verifier.Policy, keys jwks.Source, raw string) (first *verifier.Token, firstErr *verifier.Error) {
	t.Helper()
	for i, size := range []int{16, -1} {
		v, err := verifier.New([]verifier.Policy{policy}, keys, verifier.Config{CacheSize: size})
		require.NoError(t, err)
		for j := range 2 {
			tok, err := v.Verify(t.Context(), raw)
			var e *verifier.Error
			if err != nil {
				require.ErrorAs(t, err, &e)
			}
			if i == 0 && j == 0 {
				first, firstErr = tok, e
				continue
			}
			require.Equal(t, reasonOf(t, errOf(firstErr)), reasonOf(t, errOf(e)))
			require.Equal(t, firstErr == nil, tok != nil)
			if tok != nil {
				require.NoError(t, v.Recheck(t.Context(), tok))
				require.Equal(t, summary(first), summary(tok))
			}
		}
	}
	return first, firstErr
}

func errOf(e *verifier.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// summary is what a token grants, and to whom.
func summary(tok *verifier.Token) map[string]any {
	scopes := slices.Sorted(tok.Scopes())
	return map[string]any{
		"iss": tok.Issuer(), "sub": tok.Subject(), "client": tok.ClientID(), "aud": slices.Collect(tok.Audience()),
		"scopes": slices.Compact(scopes), "groups": slices.Sorted(tok.Groups()), "jti": tok.ID(), "exp": tok.Expiry().UnixNano(),
		"iat": tok.IssuedAt().UnixNano(), "until": tok.ValidUntil().UnixNano(), "key": tok.Key().Thumbprint(),
	}
}

var null = json.RawMessage("null")

// Null for a claim or parameter of the list is as if it were absent: also where that is a reason to reject the token.
func TestNullIsAbsentForAClosedList(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	for _, name := range []string{
		"nbf", "iat", "sub", "jti", "azp", "client_id", "scope", "scp", "sid", "auth_time", "acr", "amr",
	} {
		tok, err := s.verify(s.sign(0, nil, set{name: null}))
		require.Nil(t, err, name)
		require.Nil(t, tok.Claim(name), name)
		absent, err := s.verify(s.sign(0, nil, set{name: nil}))
		require.Nil(t, err, name)
		got, want := summary(tok), summary(absent)
		for _, text := range []string{"exp", "until", "iat"} { // two tokens of two moments
			delete(got, text)
			delete(want, text)
		}
		require.Equal(t, want, got, name)
		s.policy.RequiredClaims = []string{name}
		_, err = s.verify(s.sign(0, nil, set{name: null}))
		require.Equal(t, "missing_claim", reasonOf(t, errOf(err)), name)
		s.policy.RequiredClaims = nil
	}
	for _, name := range []string{"typ", "cty"} {
		_, err := s.verify(s.sign(0, set{name: null}, nil))
		require.Nil(t, err, name)
	}
	s.policy.Types = []string{"at+jwt"}
	_, err := s.verify(s.sign(0, set{"typ": null}, nil))
	require.Equal(t, "typ_not_allowed", reasonOf(t, errOf(err)), "an absent typ is not allowed either")
	s.policy.Types = nil
	_, err = s.verify(s.sign(0, set{"kid": null}, nil))
	require.Equal(t, "malformed", reasonOf(t, errOf(err)))
	require.Equal(t, "kid, see Policy.AllowMissingKeyID", err.Detail)
	s.policy.AllowMissingKeyID = true
	_, err = s.verify(s.sign(0, set{"kid": null}, nil))
	require.Nil(t, err)
	s.policy.MaxAge = time.Hour
	_, err = s.verify(s.sign(0, nil, set{"iat": null}))
	require.Equal(t, "missing_claim", reasonOf(t, errOf(err)))
	s.policy.MaxAge, s.policy.Audience = 0, verifier.IDToken("api")
	for _, name := range []string{"sub", "iat"} {
		_, err = s.verify(s.sign(0, nil, set{name: null}))
		require.Equal(t, "missing_claim", reasonOf(t, errOf(err)), name)
	}
	_, err = s.verify(s.sign(0, nil, set{"aud": []string{"api", "api"}, "azp": null}))
	require.Equal(t, "bad_audience", reasonOf(t, errOf(err)), "several values of aud need an azp")
}

// Null for anything else that is known is malformed, and named.
func TestNullIsMalformedElsewhere(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	s.policy.ClientIDClaims = []string{"client_id", "appid"}
	s.policy.ScopeClaims = []string{"scope", "permissions", "/a/scope"}
	for _, name := range []string{
		"iss", "aud", "exp", "token_use", "at_hash", "c_hash", "events", "cnf", "act", "status", "appid", "permissions",
	} {
		_, err := s.verify(s.sign(0, nil, set{name: null}))
		require.Equal(t, "malformed", reasonOf(t, errOf(err)), name)
		require.Equal(t, name, err.Detail)
	}
	_, err := s.verify(s.sign(0, nil, set{"a": set{"scope": null}}))
	require.Equal(t, "malformed", reasonOf(t, errOf(err)))
	require.Equal(t, "/a/scope", err.Detail)
	for _, name := range []string{
		"alg", "crit", "b64", "enc", "zip", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256",
	} {
		_, err := s.verify(s.sign(0, set{name: null}, nil))
		require.Equal(t, "malformed", reasonOf(t, errOf(err)), name)
		require.Equal(t, name, err.Detail)
	}
	_, err = s.verify(s.sign(0, nil, set{"private": null, "groups": null}))
	require.Nil(t, err, "what the library does not know is the issuer's")
}

// ForgeRock and OpenAM write zip NONE into each header. It says that nothing was done; any other zip is malformed.
func TestZipNoneChangesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	_, err := s.verify(s.sign(0, set{"zip": "NONE"}, nil))
	require.Nil(t, err)
	for _, zip := range []any{"", "none", "NONE ", "DEF", "NONE,DEF", true, 0, []string{"NONE"}, set{"NONE": "NONE"}} {
		_, err := s.verify(s.sign(0, set{"zip": zip}, nil))
		require.Equal(t, "malformed", reasonOf(t, errOf(err)), zip)
		require.Equal(t, "zip", err.Detail)
	}
}

// A scope claim is one text or an array of texts. Scope comes before scp unless the policy names the claims.
func TestScopesInEveryShape(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	for name, c := range map[string]struct {
		named  []string
		claims set
		want   []string
		wrong  string // the claim that is malformed
	}{
		"text":                   {nil, set{"scope": "a b"}, []string{"a", "b"}, ""},
		"array":                  {nil, set{"scope": []string{"a", "b"}}, []string{"a", "b"}, ""},
		"array of none":          {nil, set{"scope": []string{}}, nil, ""},
		"scp text":               {nil, set{"scp": "a b"}, []string{"a", "b"}, ""},
		"scp array":              {nil, set{"scp": []string{"a", "b"}}, []string{"a", "b"}, ""},
		"scope before scp":       {nil, set{"scope": "a", "scp": "b"}, []string{"a"}, ""},
		"array before scp":       {nil, set{"scope": []string{"a"}, "scp": "b"}, []string{"a"}, ""},
		"empty scope before scp": {nil, set{"scope": "", "scp": "b"}, nil, ""},
		"null scope, scp":        {nil, set{"scope": null, "scp": "b"}, []string{"b"}, ""},
		"both null":              {nil, set{"scope": null, "scp": null}, nil, ""},
		"scp not looked at":      {nil, set{"scope": "a", "scp": 1}, []string{"a"}, ""},
		"a union":                {[]string{"scp", "scope"}, set{"scope": "a b", "scp": []string{"c"}}, []string{"a", "b", "c"}, ""},
		"a union of texts":       {[]string{"scp", "scope"}, set{"scope": "a b", "scp": "b  c"}, []string{"a", "b", "c"}, ""},
		"a union with null":      {[]string{"scp", "scope"}, set{"scope": "a", "scp": null}, []string{"a"}, ""},
		"a path":                 {[]string{"/x/scopes"}, set{"scope": "a", "x": set{"scopes": []string{"b"}}}, []string{"b"}, ""},
		"only what is named":     {[]string{"scope"}, set{"scp": "b"}, nil, ""},
		"a space within":         {nil, set{"scope": []string{"a", "b admin"}}, nil, "scope"},
		"an empty element":       {nil, set{"scope": []string{"a", ""}}, nil, "scope"},
		"a tab within":           {nil, set{"scope": []string{"a\tb"}}, nil, "scope"},
		"a NUL within":           {nil, set{"scp": []string{"a\x00"}}, nil, "scp"},
		"a C1 control within":    {nil, set{"scp": []string{"a\u0085"}}, nil, "scp"},
		"a number within":        {nil, set{"scope": []any{"a", 1}}, nil, "scope"},
		"null within":            {nil, set{"scope": []any{"a", nil}}, nil, "scope"},
		"an array within":        {nil, set{"scope": []any{[]string{"a"}}}, nil, "scope"},
		"a number":               {nil, set{"scope": 1}, nil, "scope"},
		"an object":              {nil, set{"scope": set{"a": true}}, nil, "scope"},
		"a second one is wrong":  {[]string{"scope", "scp"}, set{"scope": "a", "scp": true}, nil, "scp"},
	} {
		s.policy.ScopeClaims = c.named
		tok, err := s.verify(s.sign(0, nil, c.claims))
		if c.wrong != "" {
			require.Equal(t, "malformed", reasonOf(t, errOf(err)), name)
			require.Equal(t, c.wrong, err.Detail, name)
			continue
		}
		require.Nil(t, err, name)
		require.ElementsMatch(t, c.want, slices.Compact(slices.Sorted(tok.Scopes())), name)
		require.False(t, tok.HasScope(""), name)
	}
}

// Groups of every claim that is named are groups of the user. A client ID with a dot or a slash is found by a pointer.
func TestGroupsOfSeveralClaims(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	s.policy.GroupClaims = []string{
		"/realm_access/roles", "/resource_access/my.api/roles", "/resource_access/https:~1~1api.example/roles", "roles",
	}
	tok, err := s.verify(s.sign(0, nil, set{
		"realm_access": set{"roles": []string{"user", "admin"}},
		"resource_access": set{
			"my.api": set{"roles": []any{"reader", 7, "user"}}, "https://api.example": set{"roles": "writer"}, "other": set{"roles": []string{"no"}},
		},
		"roles": 1, "groups": []string{"no"},
	}))
	require.Nil(t, err)
	require.Equal(t, []string{"user", "admin", "reader", "writer"}, slices.Collect(tok.Groups()))
	require.True(t, tok.HasGroup("writer"))
	require.False(t, tok.HasGroup("no"))
	for range tok.Groups() {
		break
	}
}

// A token whose claims name different clients grants nothing to either.
func TestClientsThatDiffer(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	access, id := verifier.Audience("api"), verifier.IDToken("api", "other")
	cognito := verifier.CognitoAccess(verifier.AllowAnyClient)
	for name, c := range map[string]struct {
		audience verifier.AudiencePolicy
		named    []string
		claims   set
		client   string
		conflict string
	}{
		"one":                      {access, []string{"azp", "appid"}, set{"appid": "a"}, "a", ""},
		"the same":                 {access, []string{"azp", "appid"}, set{"azp": "a", "appid": "a"}, "a", ""},
		"null beside":              {access, []string{"azp", "client_id"}, set{"azp": null, "client_id": "a"}, "a", ""},
		"different":                {access, []string{"azp", "appid"}, set{"azp": "a", "appid": "b"}, "", "appid"},
		"one is empty":             {access, []string{"azp", "appid"}, set{"azp": "a", "appid": ""}, "", "appid"},
		"not named":                {access, nil, set{"client_id": "a", "azp": "b"}, "a", ""},
		"azp of an ID token":       {id, nil, set{"client_id": "api", "azp": "other"}, "", "azp"},
		"azp of an ID token, same": {id, nil, set{"client_id": "api", "azp": "api"}, "api", ""},
		"an empty azp":             {verifier.AnyOf(access, id), nil, set{"client_id": "api", "azp": ""}, "", "azp"},
		"client_id of Cognito":     {cognito, []string{"azp"}, set{"aud": nil, "token_use": "access", "client_id": "a", "azp": "b"}, "", "client_id"},
		"one of Cognito":           {cognito, []string{"azp"}, set{"aud": nil, "token_use": "access", "client_id": "a", "azp": "a"}, "a", ""},
	} {
		s.policy.Audience, s.policy.ClientIDClaims = c.audience, c.named
		tok, err := s.verify(s.sign(0, nil, c.claims))
		if c.conflict != "" {
			require.Equal(t, "bad_audience", reasonOf(t, errOf(err)), name)
			require.Equal(t, c.conflict+", see Policy.ClientIDClaims", err.Detail, name)
			continue
		}
		require.Nil(t, err, name)
		require.Equal(t, c.client, tok.ClientID(), name)
	}
}

// A byte order mark or padding in front of or within a token is not a spelling of it.
func TestTokensThemselvesStayStrict(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	bom := []byte("\xEF\xBB\xBF")
	h, p := []byte(`{"alg":"ES256","kid":"`+s.signers[0].ID+`"}`), encoded(t, set{
		"iss": sceneIssuer, "aud": "api", "exp": time.Now().Add(time.Hour).Unix(),
	})
	_, err := s.verify(s.signText(0, h, p))
	require.Nil(t, err)
	padded := slices.Clone(h)
	for len(padded)%3 != 1 {
		padded = append(padded, ' ')
	}
	for _, raw := range []string{
		s.signText(0, append(slices.Clone(bom), h...), p), s.signText(0, h, append(slices.Clone(bom), p...)),
		base64.URLEncoding.EncodeToString(padded) + "." + base64.RawURLEncoding.EncodeToString(p) + ".AAAA",
	} {
		_, err := s.verify(raw)
		require.Equal(t, "malformed", reasonOf(t, errOf(err)))
	}
}

// static is a source of the scene's keys.
func (s *scene) static() jwks.Source {
	s.t.Helper()
	keys, err := jwks.NewStatic(map[string][]byte{sceneIssuer: s.keySet()})
	require.NoError(s.t, err)
	return keys
}
