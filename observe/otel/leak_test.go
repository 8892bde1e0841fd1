package otel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/verifier"
)

const mark = "mArKeD"

// marked are claims that hold the mark wherever they can, and still make a valid token.
func marked(i int) issuertest.Claims {
	m := fmt.Sprint(mark, i)
	return issuertest.Claims{
		Subject: m + "-sub", ClientID: m + "-client", Scope: m + "-scope", Groups: []string{m + "-group"}, Audience: []string{m + "-aud"},
		Set: map[string]any{
			"jti": m + "-jti", "origin_jti": m, "azp": m, "email": m, "username": m, m + "-claim": m, "tenant": m, "cnf": map[string]any{"jkt": m},
		},
	}
}

// hostile are tokens that hold the mark, for every reason for which a token may be refused before or after its signature.
func (s *service) hostile(i int) (raws []string) {
	m := fmt.Sprint(mark, i)
	add := func(region string, change func(*issuertest.Claims)) {
		c := marked(i)
		change(&c)
		raws = append(raws, s.Token(region, c))
	}
	for _, region := range []string{s.east, s.west} {
		add(region, func(*issuertest.Claims) {})
		for name, value := range map[string]any{
			"kid": m, "typ": m, "cty": m, "alg": m, "jku": "https://" + m, "x5u": "https://" + m, "crit": []string{m}, "zip": m,
		} {
			add(region, func(c *issuertest.Claims) { c.Header = map[string]any{name: value} })
		}
		for name, value := range map[string]any{
			"iss": "https://" + m, "exp": m, "nbf": m, "iat": m, "sub": []string{m}, "aud": map[string]any{m: m}, "tenant": nil,
			"scope": map[string]any{m: m}, "client_id": []any{m},
		} {
			add(region, func(c *issuertest.Claims) { c.Set[name] = value })
		}
		add(region, func(c *issuertest.Claims) { c.Forge = true })
		add(region, func(c *issuertest.Claims) { c.ExpiresIn = -time.Hour })
		add(region, func(c *issuertest.Claims) { c.IssuedAgo = -time.Hour })
		add(region, func(c *issuertest.Claims) { c.Issuer = s.Provider().Regions[0].Issuers[0] + "/" + m })
	}
	return append(raws, m, m+"."+m+"."+m, strings.Repeat(m, 5000), issuertest.Tamper(s.Token(s.east, marked(i))))
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
	s := newService(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, otel.Config{Authorities: 10}, needsTenant)
	require.NoError(t, s.rules.Load(t.Context()))
	ctx, span := s.tracers.Tracer("request").Start(t.Context(), "request") // sampled, so that there are exemplars
	defer span.End()
	reasons := map[string]int{}
	judge := func(i int) {
		for _, raw := range s.hostile(i) {
			_, err := s.Verify(ctx, raw)
			if err == nil {
				reasons["accepted"]++
				_, err = s.Verify(ctx, raw)
				require.NoError(t, err)
				continue
			}
			var e *verifier.Error
			require.ErrorAs(t, err, &e)
			reasons[e.Reason.String()]++
		}
	}
	judge(0)
	s.Corrupt(s.east, []byte(`{"keys":[{"kid":"`+mark+`","kty":"`+mark+`"}],"`+mark+`":1}`))
	_ = s.Keys().Preload(t.Context())
	judge(1)
	s.Status(s.west, 503, map[string][]string{"Retry-After": {mark}, "Server": {mark}})
	_ = s.Keys().Preload(t.Context())
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
		"accepted", "malformed", "too_large", "unsupported_alg", "bad_type", "unknown_issuer", "expired", "not_yet_valid",
		"missing_claim", "bad_signature",
	} {
		require.Positive(t, reasons[reason], "%s: %v", reason, reasons)
	}
	all := s.everything(t)
	require.Contains(t, all, "missing_claim")
	require.Contains(t, all, "regionjwt.fetch_keys")
	require.NotContains(t, strings.ToLower(all), strings.ToLower(mark))
	for _, secret := range []string{"idp.example", s.KeyID(s.east), s.KeyID(s.west), issuertest.Subject} {
		require.NotContains(t, all, secret)
	}
}

// Hundreds of authorities with regions of their own names make a bounded number of series; without Authorities, few.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ authorities, most int }{{0, 3000}, {5, 3200}} {
		tel := newTelemetry(t)
		o, err := otel.New(otel.Config{MeterProvider: tel.meters, Authorities: c.authorities})
		require.NoError(t, err)
		var trust []verifier.Policy
		for i := range 300 {
			a := issuer.Provider{ID: fmt.Sprint("authority-", i)}
			for r := range 2 {
				name := fmt.Sprintf("region-%d-%d", i, r)
				url := "https://" + name + ".example"
				a.Regions = append(a.Regions, issuer.Region{Name: name, Issuers: []string{url}, JWKSURLs: []string{url + "/keys"}})
			}
			trust = append(trust, verifier.Policy{Provider: a, Audience: verifier.InsecureAnyAudience()})
		}
		v, err := regionjwt.New(regionjwt.Config{Policies: trust, Hooks: o.VerifierHooks(), Keys: jwks.Config{OnFetch: o.Fetch}})
		require.NoError(t, err)
		o.Watch(otel.Watched{Keys: v.Keys()})
		hooks := o.VerifierHooks()
		for _, tr := range trust {
			for _, r := range tr.Provider.Regions {
				for reason := verifier.Reason(1); reason.String() != "unknown"; reason++ {
					hooks.Verified(context.Background(),
						verifier.Verified{Err: &verifier.Error{Reason: reason, Provider: tr.Provider.ID, Region: r.Name}})
				}
				o.Fetch(jwks.Fetch{Provider: tr.Provider.ID, Region: r.Name, Failure: "dns", Outage: true})
				hooks.Drifted(context.Background(), verifier.Drift{Kind: verifier.DriftMissingClaim, Provider: tr.Provider.ID, Region: r.Name})
			}
		}
		metrics := tel.collect(t)
		for name, m := range metrics {
			authorities, regions := map[string]bool{}, map[string]bool{}
			for _, p := range points(t, m) {
				if v, ok := p.set.Value("regionjwt.authority"); ok {
					authorities[v.AsString()] = true
				}
				if v, ok := p.set.Value("regionjwt.region"); ok {
					regions[v.AsString()] = true
				}
			}
			require.LessOrEqual(t, len(regions), 65, name)
			require.LessOrEqual(t, len(authorities), c.authorities+1, name)
			require.Equal(t, c.authorities > 0 && len(regions) > 0, len(authorities) > 0, name)
		}
		require.Equal(t, 600, tel.value(t, "regionjwt.key_sets", "regionjwt.state", "empty"), "none is lost")
		require.Equal(t, 600, tel.value(t, "regionjwt.key.fetches"))
		n := tel.series(t)
		require.Less(t, n, c.most)
		t.Log(c.authorities, " authorities: ", n, " series")
	}
}
