package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// The package documentation numbers the checks in the order in which they are made.
func TestTheDocumentationListsTheChecks(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "verifier.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	require.NoError(t, err)
	var documented []string
	for _, item := range regexp.MustCompile(`(?m)^ *\d+\. (.+(?:\n {4,}\S.*)*)$`).FindAllStringSubmatch(file.Doc.Text(), -1) {
		text := strings.Join(strings.Fields(item[1]), " ")
		documented = append(documented, strings.TrimRight(text, ";."))
	}
	var made []string
	for _, c := range verifier.Checks() {
		made = append(made, c.Text)
	}
	require.Equal(t, made, documented)
}

// defect makes a good token fail one check.
type defect struct {
	policy func(*verifier.Policy, *parts)
	claims map[string]any
	header map[string]any
	forged bool
	raw    func(string) string
	want   string // reason and detail
}

// defects has one for each check, in the order of the list.
func defects() []defect {
	fails := errors.New("it fails")
	return []defect{
		{
			claims: map[string]any{"pad": strings.Repeat("x", 8<<10)},
			policy: func(_ *verifier.Policy, c *parts) { c.MaxTokenBytes = 4 << 10 }, want: "malformed size, see Config.MaxTokenBytes",
		},
		{raw: func(raw string) string { return raw + ".AA" }, want: "malformed "},
		{header: map[string]any{"crit": []string{"b64"}}, want: "malformed crit"},
		{claims: map[string]any{"sub": 1}, want: "malformed sub"},
		{claims: map[string]any{"iss": "https://other.example.com"}, want: "unknown_issuer "},
		{header: map[string]any{"typ": "secevent+jwt"}, want: "typ_not_allowed typ, see Policy.Types"},
		{claims: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, want: "expired "},
		{claims: map[string]any{"aud": "another"}, want: "bad_audience aud"},
		{forged: true, want: "bad_signature "},
		{policy: func(p *verifier.Policy, _ *parts) { p.RequiredClaims = []string{"tenant"} }, want: "missing_claim tenant"},
		{policy: func(p *verifier.Policy, c *parts) { p.MaxAge, c.Leeway = time.Second, -1 }, want: "too_old "},
		{policy: func(p *verifier.Policy, _ *parts) { p.MaxLifetime = time.Minute }, want: "too_old exp"},
		{claims: map[string]any{"act": "agent"}, want: "malformed act"},
		{policy: func(p *verifier.Policy, _ *parts) {
			p.RegionPolicy = func(string, []string, time.Time) error { return fails }
		}, want: "region_inactive "},
		{policy: func(_ *verifier.Policy, c *parts) {
			c.Revocation = revokerFunc(func(*verifier.Token) (string, error) { return "rule", nil })
		}, want: "revoked rule"},
		{policy: func(p *verifier.Policy, _ *parts) {
			p.Check = func(context.Context, *verifier.Token) error { return fails }
		}, want: "check_failed "},
	}
}

// verifyWith verifies a token that has all of the defects.
func verifyWith(t *testing.T, w *fakeissuer.Server, all ...defect) (reason verifier.Reason, found string) {
	t.Helper()
	c := fakeissuer.Claims{Set: map[string]any{}, Header: map[string]any{}}
	for _, d := range all {
		c.Forged = c.Forged || d.forged
		maps.Copy(c.Set, d.claims)
		maps.Copy(c.Header, d.header)
	}
	raw := w.Issue(east, c)
	v := newVerifier(t, w, func(p *verifier.Policy, c *parts) {
		for _, d := range all {
			if d.policy != nil {
				d.policy(p, c)
			}
		}
	})
	for _, d := range all {
		if d.raw != nil {
			raw = d.raw(raw)
		}
	}
	_, err := v.Verify(t.Context(), raw)
	var e *verifier.Error
	require.ErrorAs(t, err, &e)
	return e.Reason, fmt.Sprintf("%s %s", e.Reason, e.Detail)
}

// A token that fails two checks is rejected by the earlier one, with a reason that the list names.
func TestTheEarlierCheckDecides(t *testing.T) {
	t.Parallel()
	checks, defects := verifier.Checks(), defects()
	require.Len(t, defects, len(checks), "each check needs a token that fails it")
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	for i, first := range defects {
		reason, found := verifyWith(t, w, first)
		require.Equal(t, first.want, found)
		require.Contains(t, checks[i].Reasons, reason, checks[i].Text)
		for j, second := range defects[i+1:] {
			_, found := verifyWith(t, w, first, second)
			require.Equal(t, first.want, found, "%s, and then %s", checks[i].Text, checks[i+1+j].Text)
		}
	}
}

// Every reason that Verify gives is one of a check.
func TestEachReasonIsOfACheck(t *testing.T) {
	t.Parallel()
	var given []verifier.Reason
	for _, c := range verifier.Checks() {
		given = append(given, c.Reasons...)
	}
	slices.Sort(given)
	of := []verifier.Reason{
		verifier.ReasonMalformed, verifier.ReasonUnknownIssuer, verifier.ReasonAlgNotAllowed, verifier.ReasonTypNotAllowed,
		verifier.ReasonExpired, verifier.ReasonNotYetValid, verifier.ReasonBadAudience, verifier.ReasonUnknownKey,
		verifier.ReasonKeyNotAllowed, verifier.ReasonKeysUnavailable, verifier.ReasonUnknownKeyRateLimited,
		verifier.ReasonBadSignature, verifier.ReasonMissingClaim, verifier.ReasonTooOld, verifier.ReasonRegionInactive,
		verifier.ReasonRevoked, verifier.ReasonRulesUnavailable, verifier.ReasonCheckFailed,
	}
	slices.Sort(of)
	require.Equal(t, of, slices.Compact(given))
}

// The memory of one token is used for the next one, which must not be checked by what the first one had.
func TestAnAttemptKeepsNothingOfAToken(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	v := newVerifier(t, w, nil)
	empty := verifier.Kept(v, "")
	for _, c := range []fakeissuer.Claims{{}, {Forged: true}, {ExpiresIn: -time.Hour}, {Issuer: "https://other.example.com"}} {
		require.Equal(t, empty, verifier.Kept(v, w.Issue(east, c)))
	}
}
