package verifier_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/conformance"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// corpus is the corpus of the repository, as tokens of the year 2026.
var corpus = sync.OnceValues(func() (*conformance.Corpus, error) { return conformance.Load("../conformance") })

// vectorNow is when the tokens are built and judged.
const vectorNow = 1790000000

type vectorIssuer struct {
	Iss, Region, JWKS string
	Audience          []string
}

type vectorConfig struct {
	Issuers    []vectorIssuer
	Audience   []string
	TokenUse   string
	Algorithms []string
	Typ        []string
	Scopes     []string
	Skew       int
	RevokedJTI []string
}

// vectorCase is a case of the corpus with what this library does.
type vectorCase struct {
	Name, Expect string
	Reasons      []string
	Token        string
	Now          int64
	Config       vectorConfig
}

type vectorFile struct {
	JWKS  map[string][]byte
	Cases []vectorCase
}

// expectation is what this library does where the corpus leaves it open, and the reasons that are right for a rejection.
type expectation struct {
	Expect  string
	Reasons []string
}

// readExpected reads what this library does with the cases and stories of the corpus.
func readExpected(t testing.TB) (cases map[string]expectation, stories map[string][][]string) {
	t.Helper()
	raw, err := os.ReadFile("testdata/expected.json")
	require.NoError(t, err)
	var f struct {
		Cases   map[string]expectation
		Stories map[string][][]string
	}
	require.NoError(t, json.Unmarshal(raw, &f))
	return f.Cases, f.Stories
}

var everyAlgorithm = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// configOf is the policy of the corpus, with all algorithms and three issuers unless the case is about them: a verifier that trusts
// more has more to do wrong.
func configOf(p *conformance.Policy, id string) vectorConfig {
	c := vectorConfig{
		Audience: p.Audience, TokenUse: strings.TrimPrefix(p.Profile, "cognito-"), Algorithms: everyAlgorithm, Typ: []string{"", "JWT", "at+jwt"},
		Scopes: p.Scopes, Skew: p.Leeway, RevokedJTI: p.Revoked,
	}
	if strings.HasPrefix(id, "alg/not-in-allow-list") {
		c.Algorithms = p.Algorithms
	}
	if p.Types != nil {
		c.Typ = p.Types
	}
	if p.Profile == "id-token" {
		c.TokenUse, c.Typ = "id", []string{"", "JWT"}
	}
	for _, i := range p.Issuers {
		c.Issuers = append(c.Issuers, vectorIssuer{i.Issuer, i.Region, i.Keys, i.Audience})
	}
	others := []vectorIssuer{
		{"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_CorpusBBB", "eu-west-1", "B", c.Issuers[0].Audience},
		{"https://cognito-idp.ap-southeast-2.amazonaws.com/ap-southeast-2_CorpusCCC", "ap-southeast-2", "C", c.Issuers[0].Audience},
	}
	if len(c.Issuers) == 1 && c.Issuers[0].Region == "us-east-1" {
		c.Issuers = append(c.Issuers, others...)
	}
	return c
}

var vectors = sync.OnceValues(func() (f vectorFile, err error) {
	c, err := corpus()
	if err != nil {
		return f, err
	}
	f.JWKS = map[string][]byte{}
	for _, name := range c.Sets() {
		f.JWKS[name] = c.Set(name)
	}
	for _, k := range c.Cases {
		v := vectorCase{Name: k.ID, Expect: k.Expect, Now: cmp.Or(k.Clock, vectorNow), Config: configOf(&k.Policy, k.ID)}
		if v.Token, err = c.Build(&k.Token, time.Unix(v.Now, 0)); err != nil {
			return f, err
		}
		f.Cases = append(f.Cases, v)
	}
	return f, nil
})

func loadVectors(t testing.TB) vectorFile {
	t.Helper()
	f, err := vectors()
	require.NoError(t, err)
	expected, _ := readExpected(t)
	require.Len(t, expected, len(f.Cases))
	f.Cases = slices.Clone(f.Cases)
	accept := 0
	for i := range f.Cases {
		c := &f.Cases[i]
		e, ok := expected[c.Name]
		require.True(t, ok, c.Name)
		require.True(t, c.Expect == "either" || c.Expect == e.Expect, "%s: the corpus demands %s", c.Name, c.Expect)
		c.Expect, c.Reasons = e.Expect, e.Reasons
		if c.Expect == "accept" {
			accept++
		}
	}
	require.Len(t, f.Cases, 614, "the corpus is not whole")
	require.Equal(t, 117, accept, "the corpus is not whole")
	return f
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// revokedIDs revokes tokens by their jti.
type revokedIDs map[string]bool

func (r revokedIDs) Revoked(t *verifier.Token) (string, error) {
	if r[t.ID()] {
		return "rule", nil
	}
	return "", nil
}

func (revokedIDs) Changed() <-chan struct{} { return nil }

func (c vectorConfig) trust() []verifier.Policy {
	var all []verifier.Policy
	for _, i := range c.Issuers {
		audience := i.Audience
		if len(audience) == 0 {
			audience = c.Audience
		}
		trust := verifier.Policy{
			Provider: issuer.Provider{ID: "provider-of-" + i.Region, Regions: []issuer.Region{
				{Name: i.Region, Issuers: []string{i.Iss}, JWKSURLs: []string{"https://keys.example/" + i.JWKS}},
			}},
			Algorithms: c.Algorithms,
			Types:      c.Typ,
		}
		switch c.TokenUse {
		case "access":
			trust.Audience = verifier.CognitoAccess(audience...)
		case "id":
			trust.Audience = verifier.CognitoID(audience...)
		default:
			trust.Audience = verifier.Audience(audience...)
		}
		all = append(all, trust)
	}
	return all
}

func authoritiesOf(trust []verifier.Policy) (as []issuer.Provider) {
	for _, t := range trust {
		as = append(as, t.Provider)
	}
	return as
}

func (f vectorFile) verifier(t testing.TB, c vectorCase) *verifier.Verifier {
	t.Helper()
	trust := c.Config.trust()
	cache, err := jwks.New(authoritiesOf(trust), jwks.Config{
		HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			doc, ok := f.JWKS[strings.TrimPrefix(r.URL.Path, "/")]
			require.True(t, ok, "no key set %q", r.URL.Path)
			return &http.Response{
				StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(bytes.NewReader(doc)), ContentLength: -1, Request: r,
			}, nil
		})},
	})
	require.NoError(t, err)
	leeway := time.Duration(c.Config.Skew) * time.Second
	if leeway == 0 {
		leeway = -1
	}
	revoked := revokedIDs{}
	for _, id := range c.Config.RevokedJTI {
		revoked[id] = true
	}
	v, err := verifier.New(trust, cache, verifier.Config{Revocation: revoked, Leeway: leeway}.At(func() time.Time { return time.Unix(c.Now, 0) }))
	require.NoError(t, err)
	return v
}

// acceptable lists the reasons that are right for a rejection. Where the issuer's set has no usable key, no answer was a
// good one, and "unknown_key" means that we cannot tell.
func (f vectorFile) acceptable(c vectorCase) []string {
	want := slices.Clone(c.Reasons)
	for i, r := range want {
		if r == "bad_scope" {
			want[i] = "insufficient_scope"
		}
	}
	if i := slices.Index(want, "unknown_key"); i >= 0 && !f.hasUsableKey(c) {
		want[i] = "keys_unavailable"
	}
	return want
}

// hasUsableKey reports whether the set of the issuer that the token of c names has a usable key.
func (f vectorFile) hasUsableKey(c vectorCase) bool {
	parts := strings.Split(c.Token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return true
	}
	var claims struct{ Iss string }
	if json.Unmarshal(payload, &claims) != nil {
		return true
	}
	for _, i := range c.Config.Issuers {
		if i.Iss == claims.Iss {
			doc := f.JWKS[i.JWKS]
			keys, _, _ := jose.ParseSet(doc, jose.Limits{})
			return len(keys) > 0 && len(doc) <= 256<<10
		}
	}
	return true
}

func TestVectors(t *testing.T) {
	t.Parallel()
	f := loadVectors(t)
	for _, c := range f.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { f.play(t, c) })
		})
	}
}

func (f vectorFile) play(t *testing.T, c vectorCase) {
	tok, err := f.verifier(t, c).Verify(context.Background(), c.Token)
	time.Sleep(10 * time.Second) // until the last requests have ended
	reason := reasonOf(t, err)
	for _, s := range c.Config.Scopes {
		if err == nil && !tok.HasScope(s) {
			reason = string(verifier.ReasonInsufficientScope)
		}
	}
	if c.Expect == "accept" {
		require.Empty(t, reason)
		claims, err := verifier.ClaimsOf[map[string]any](tok)
		require.NoError(t, err)
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(c.Token, ".")[1])
		require.NoError(t, err)
		var want map[string]any
		require.NoError(t, json.Unmarshal(payload, &want))
		require.Equal(t, want, claims)
		return
	}
	require.NotEmpty(t, reason, "accepted")
	require.Contains(t, f.acceptable(c), reason)
}

// reasonOf returns the label of the reason of err, "" for nil.
func reasonOf(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *verifier.Error
	require.ErrorAs(t, err, &e)
	n := 0
	for _, category := range []error{verifier.ErrInvalid, verifier.ErrForbidden, verifier.ErrUnavailable, verifier.ErrRateLimited} {
		if errors.Is(err, category) {
			n++
		}
	}
	require.Equal(t, 1, n, "an error has exactly one category")
	return string(e.Reason)
}
