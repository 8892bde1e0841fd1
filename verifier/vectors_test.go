package verifier_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// blob is a text that may hold bytes which are not UTF-8, or be too long to be written out.
type blob struct {
	Text   string
	B64    []byte
	Recipe []struct {
		S string
		N int
	}
}

func (b blob) bytes() []byte {
	switch {
	case b.B64 != nil:
		return b.B64
	case b.Recipe != nil:
		var out bytes.Buffer
		for _, r := range b.Recipe {
			out.WriteString(strings.Repeat(r.S, r.N))
		}
		return out.Bytes()
	}
	return []byte(b.Text)
}

type vectorIssuer struct {
	Iss, Region, JWKS string
	Audience          []string
}

type vectorConfig struct {
	Issuers    []vectorIssuer
	Audience   []string
	TokenUse   string `json:"token_use"`
	Algorithms []string
	Typ        []string
	Scopes     []string
	Skew       int
	RevokedJTI []string `json:"revoked_jti"`
}

type vectorCase struct {
	Name, Expect, Reason string
	ReasonAlso           []string `json:"reason_also"`
	Token                blob
	Now                  int64
	Config               vectorConfig
	Claims               map[string]any
}

type vectorFile struct {
	JWKS  map[string]blob
	Cases []vectorCase
}

func loadVectors(t testing.TB) vectorFile {
	t.Helper()
	raw, err := os.ReadFile("testdata/tokens.json")
	require.NoError(t, err)
	var f vectorFile
	require.NoError(t, json.Unmarshal(raw, &f))
	accept := 0
	for _, c := range f.Cases {
		if c.Expect == "accept" {
			accept++
		}
	}
	require.Len(t, f.Cases, 585, "the corpus is not whole")
	require.Equal(t, 87, accept, "the corpus is not whole")
	for i := range f.Cases {
		if decided, ok := expectations[f.Cases[i].Name]; ok {
			f.Cases[i].Expect = decided.expect
		}
	}
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
				Body: io.NopCloser(bytes.NewReader(doc.bytes())), ContentLength: -1, Request: r,
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

// argued lists the cases whose reason differs from the corpus, each with why that is right.
var argued = map[string][]string{}

// acceptable lists the reasons that are right for a rejection. Where the issuer's set has no usable key, no answer was a
// good one, and "unknown_key" means that we cannot tell.
func (f vectorFile) acceptable(c vectorCase) []string {
	want := append([]string{c.Reason}, c.ReasonAlso...)
	for i, r := range want {
		if r == "bad_scope" {
			want[i] = "insufficient_scope"
		}
	}
	if i := slices.Index(want, "unknown_key"); i >= 0 && !f.hasUsableKey(c) {
		want[i] = "keys_unavailable"
	}
	return append(want, argued[c.Name]...)
}

// hasUsableKey reports whether the set of the issuer that the token of c names has a usable key.
func (f vectorFile) hasUsableKey(c vectorCase) bool {
	parts := strings.Split(string(c.Token.bytes()), ".")
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
			doc := f.JWKS[i.JWKS].bytes()
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
	raw := string(c.Token.bytes())
	tok, err := f.verifier(t, c).Verify(context.Background(), raw)
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
		for name, want := range c.Claims {
			require.Equal(t, want, claims[name], name)
		}
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
