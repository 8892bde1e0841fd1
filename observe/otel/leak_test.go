package otel_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/verifier"
)

const mark = "mArKeD"

// marked are claims that hold the mark wherever they can, and still make a valid token.
func marked(i int) fakeissuer.Claims {
	m := fmt.Sprint(mark, i)
	return fakeissuer.Claims{
		Subject: m + "-sub", ClientID: m + "-client", Scope: m + "-scope", Groups: []string{m + "-group"}, Audience: []string{m + "-aud"},
		Set: map[string]any{
			"jti": m + "-jti", "origin_jti": m, "azp": m, "email": m, "username": m, m + "-claim": m, "tenant": m, "cnf": map[string]any{"jkt": m},
		},
	}
}

// hostile are tokens that hold the mark, for every reason for which a token may be refused before or after its signature.
func (s *service) hostile(i int) (raws []string) {
	m := fmt.Sprint(mark, i)
	add := func(region string, change func(*fakeissuer.Claims)) {
		c := marked(i)
		change(&c)
		raws = append(raws, s.Issue(region, c))
	}
	for _, region := range []string{s.east, s.west} {
		add(region, func(*fakeissuer.Claims) {})
		for name, value := range map[string]any{
			"kid": m, "typ": m, "cty": m, "alg": m, "jku": "https://" + m, "x5u": "https://" + m, "crit": []string{m}, "zip": m,
		} {
			add(region, func(c *fakeissuer.Claims) { c.Header = map[string]any{name: value} })
		}
		for name, value := range map[string]any{
			"iss": "https://" + m, "exp": m, "nbf": m, "iat": m, "sub": []string{m}, "aud": map[string]any{m: m}, "tenant": nil,
			"scope": map[string]any{m: m}, "client_id": []any{m},
		} {
			add(region, func(c *fakeissuer.Claims) { c.Set[name] = value })
		}
		add(region, func(c *fakeissuer.Claims) { c.Forged = true })
		add(region, func(c *fakeissuer.Claims) { c.ExpiresIn = -time.Hour })
		add(region, func(c *fakeissuer.Claims) { c.IssuedAgo = -time.Hour })
		add(region, func(c *fakeissuer.Claims) { c.Issuer = s.Provider().Regions[0].Issuers[0] + "/" + m })
	}
	return append(raws, m, m+"."+m+"."+m, strings.Repeat(m, 5000), fakeissuer.Tamper(s.Issue(s.east, marked(i))))
}

// everything is all that was emitted, as text.
func (tel *telemetry) everything(t testing.TB) string {
	t.Helper()
	return tel.page(t) + fmt.Sprintf("%+v", tel.collect(t)) + fmt.Sprintf("%+v", tel.spans.GetSpans())
}

func (tel *telemetry) series(t testing.TB) (n int) {
	t.Helper()
	for _, m := range tel.collect(t) {
		n += len(points(t, m))
	}
	return n
}

// Nothing of a token or of an answer is in a name, an attribute, an exemplar or a span, and no token makes a series of its own.
func TestNothingOfATokenIsEmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testNothingOfATokenIsEmitted)
}

func testNothingOfATokenIsEmitted(t *testing.T) {
	s := newService(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion}, otel.Config{MaxProviders: 10}, needsTenant)
	s.loadRules(t)
	ctx, span := s.tracers.Tracer("request").Start(t.Context(), "request") // sampled, so that there are exemplars
	defer span.End()
	met := map[string]int{}
	judge := func(i int) {
		for _, raw := range s.hostile(i) {
			_, err := s.Verify(ctx, raw)
			if err == nil {
				met["accepted"]++
				_, err = s.Verify(ctx, raw)
				require.NoError(t, err)
				continue
			}
			var e *verifier.Error
			require.ErrorAs(t, err, &e)
			met[string(e.Reason)]++
		}
	}
	judge(0)
	s.Corrupt(s.east, []byte(`{"keys":[{"kid":"`+mark+`","kty":"`+mark+`"}],"`+mark+`":1}`))
	_ = s.Preload(t.Context())
	judge(1)
	s.Server.Status(s.west, 503, map[string][]string{"Retry-After": {mark}, "Server": {mark}})
	_ = s.Preload(t.Context())
	for i := range 5 {
		judge(2 + i)
	}
	before := s.series(t)
	for i := range 20 {
		judge(7 + i)
	}
	require.InDelta(t, before, s.series(t), 10) // fetches may have outcomes that they had not before
	require.Less(t, before, 250)
	for _, reason := range []string{
		"accepted", "malformed", "alg_not_allowed", "typ_not_allowed", "unknown_issuer", "expired", "not_yet_valid",
		"missing_claim", "bad_signature",
	} {
		require.Positive(t, met[reason], "%s: %v", reason, met)
	}
	all := s.everything(t)
	require.Contains(t, all, "missing_claim")
	require.Contains(t, all, "regionjwt.fetch_keys")
	require.NotContains(t, strings.ToLower(all), strings.ToLower(mark))
	for _, secret := range []string{"idp.example", s.KeyID(s.east), s.KeyID(s.west), fakeissuer.Subject} {
		require.NotContains(t, all, secret)
	}
}

// Hundreds of providers with regions of their own names make a bounded number of series.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ configured, providers, most int }{{0, 16, 3000}, {1, 1, 3000}, {5, 5, 3000}} {
		tel := newTelemetry(t)
		var policies []verifier.Policy
		for i := range 300 {
			p := issuer.Provider{ID: fmt.Sprint("provider-", i)}
			for r := range 2 {
				name := fmt.Sprintf("region-%d-%d", i, r)
				url := "https://" + name + ".example"
				p.Regions = append(p.Regions, issuer.Region{Name: name, Issuers: []string{url}, JWKSURLs: []string{url + "/keys"}})
			}
			policies = append(policies, verifier.Policy{Provider: p, Audience: verifier.InsecureAnyAudience()})
		}
		v, err := regionjwt.New(regionjwt.Config{Policies: policies})
		require.NoError(t, err)
		o := &observed{status: v.Status}
		_, err = otel.InstrumentSource(o, otel.Config{MeterProvider: tel.meters, MaxProviders: c.configured})
		require.NoError(t, err)
		for _, p := range policies {
			for _, r := range p.Provider.Regions {
				for _, reason := range reasons {
					o.observer.Decision(t.Context(),
						verifier.Decision{Err: &verifier.Error{Reason: reason, Provider: p.Provider.ID, Region: r.Name}})
				}
				o.observer.Fetch(jwks.Fetch{Provider: p.Provider.ID, Region: r.Name, Failure: "dns", Outage: true})
			}
		}
		for name, m := range tel.collect(t) {
			providers, regions := map[string]bool{}, map[string]bool{}
			for _, p := range points(t, m) {
				if v, ok := p.set.Value("regionjwt.provider"); ok {
					providers[v.AsString()] = true
				}
				if v, ok := p.set.Value("regionjwt.region"); ok {
					regions[v.AsString()] = true
				}
			}
			require.LessOrEqual(t, len(regions), 65, name)
			require.LessOrEqual(t, len(providers), c.providers+1, name)
			require.Equal(t, len(regions) > 0, len(providers) > 0, name)
		}
		require.Equal(t, 600, tel.value(t, "regionjwt.key_sets", "regionjwt.state", "empty"), "none is lost")
		require.Equal(t, 600, tel.value(t, "regionjwt.key.fetches"))
		n := tel.series(t)
		require.Less(t, n, c.most)
		t.Log(c.providers, " providers: ", n, " series")
	}
}

// reasons are those of package verifier.
var reasons = []verifier.Reason{
	verifier.ReasonTokenMissing, verifier.ReasonBadRequest, verifier.ReasonMalformed, verifier.ReasonUnknownIssuer,
	verifier.ReasonAlgNotAllowed, verifier.ReasonTypNotAllowed, verifier.ReasonExpired, verifier.ReasonNotYetValid,
	verifier.ReasonBadAudience, verifier.ReasonUnknownKey, verifier.ReasonKeyNotAllowed, verifier.ReasonKeysUnavailable,
	verifier.ReasonUnknownKeyRateLimited, verifier.ReasonBadSignature, verifier.ReasonMissingClaim, verifier.ReasonTooOld,
	verifier.ReasonRegionInactive, verifier.ReasonRevoked, verifier.ReasonRulesUnavailable, verifier.ReasonCheckFailed,
	verifier.ReasonInsufficientScope, verifier.ReasonInsufficientUserAuthentication, verifier.ReasonProofFailed,
}
