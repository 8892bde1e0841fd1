package otel_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestMistakesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := otel.New(otel.Config{
		Authorities: -1, Issuers: map[string]string{"https://a": ""},
		Attributes: []attribute.KeyValue{attribute.String("regionjwt.region", "x")},
	})
	for _, part := range []string{"MeterProvider", "Authorities", "Issuers", `"regionjwt.region"`} {
		require.ErrorContains(t, err, part)
	}
	_, err = otel.New(otel.Config{MeterProvider: noop.NewMeterProvider(), Authorities: 1001})
	require.ErrorContains(t, err, "1000")
	_, err = otel.New(otel.Config{MeterProvider: noop.NewMeterProvider(), Authorities: 1000})
	require.NoError(t, err)
}

// A region is lost behind a mirror: its keys stay fresh, and still everybody can see which region it is.
func TestARegionIsLostBehindAMirror(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, issuertest.Config{Layout: issuertest.OneIssuerMirrored}, otel.Config{}, nil)
		require.NoError(t, s.rules.Load(t.Context()))
		defer s.run(t, s.Run)()
		failures := func(region string) int {
			return s.value(t, "regionjwt.region.failures", "regionjwt.region", region)
		}
		inState := func(state string) int { return s.value(t, "regionjwt.key_sets", "regionjwt.state", state) }
		time.Sleep(time.Minute)
		require.Zero(t, failures(s.east))
		require.Equal(t, 2, inState("fresh"))
		require.Equal(t, 2, s.value(t, "regionjwt.key_set.sources", "regionjwt.source", "fetched"))
		require.Equal(t, 2, s.value(t, "regionjwt.key_set.sources", "regionjwt.source", "none"), "the other URL need not be asked")

		s.Break(s.east)
		time.Sleep(time.Hour)
		require.GreaterOrEqual(t, failures(s.east), 2)
		require.Zero(t, failures(s.west))
		require.Equal(t, 2, inState("fresh"))
		require.Equal(t, 1, inState("stale"), "its own URL, which the other region need not ask")
		require.Equal(t, 3, s.value(t, "regionjwt.key_set.sources", "regionjwt.source", "fetched"))
		require.Less(t, s.value(t, "regionjwt.key_set.age", "regionjwt.region", s.east), 1000)
		require.Equal(t, -1, s.value(t, "regionjwt.key.fetches", "regionjwt.region", s.west, "regionjwt.result", "failed"))
		require.Positive(t, s.value(t, "regionjwt.key.fetches", "regionjwt.region", s.east, "error.type", "network",
			"regionjwt.demanded", "false"))

		s.Break(s.west)
		time.Sleep(25 * time.Hour)
		require.Equal(t, 3, inState("expired"))
		require.Zero(t, inState("fresh"))
		require.Zero(t, s.value(t, "regionjwt.keys"), "none is in use")
		require.Positive(t, s.value(t, "regionjwt.key_set.failures"))
		require.Greater(t, s.value(t, "regionjwt.key_set.age", "regionjwt.region", s.west), int((24 * time.Hour).Seconds()))
		require.Equal(t, verifier.ReasonKeysUnavailable, s.judge(s.Token(s.east, issuertest.Claims{})))
		require.Equal(t, 1, s.value(t, "regionjwt.validations", "regionjwt.result", "unavailable", "error.type", "keys_unavailable"))

		s.Mend(s.east)
		s.Mend(s.west)
		time.Sleep(5 * time.Minute)
		require.Zero(t, failures(s.east)+failures(s.west))
		require.Equal(t, 2, inState("fresh"))
		require.Positive(t, s.value(t, "regionjwt.keys"))
	})
}

// An optional URL that says 403 or 404 is no outage.
func TestAMirrorThatIsNotEnabledIsNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, issuertest.Config{Layout: issuertest.OneIssuerMirrored}, otel.Config{}, func(trust *verifier.Policy) {
			east := &trust.Provider.Regions[0]
			east.OptionalJWKSURLs = east.JWKSURLs[:1]
		})
		s.Status(s.east, http.StatusForbidden, nil)
		defer s.run(t, s.Run)()
		time.Sleep(3 * time.Hour)
		require.Positive(t, s.value(t, "regionjwt.key.fetches", "regionjwt.region", s.east, "error.type", "not_enabled"))
		require.Zero(t, s.value(t, "regionjwt.region.failures"))
	})
}

// What was known of a region that is not configured any more is forgotten.
func TestRegionsThatAreGoneAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, otel.Config{}, nil)
		s.Break(s.east)
		_ = s.Keys().Preload(t.Context())
		require.Positive(t, s.value(t, "regionjwt.region.failures", "regionjwt.region", s.east))
		both := s.Provider()
		west := both
		west.Regions = both.Regions[1:]
		require.NoError(t, s.Keys().Update([]issuer.Provider{west}))
		require.Equal(t, -1, s.value(t, "regionjwt.region.failures", "regionjwt.region", s.east))
		require.NoError(t, s.Keys().Update([]issuer.Provider{both}))
		require.Zero(t, s.value(t, "regionjwt.region.failures", "regionjwt.region", s.east))
	})
}

// A URL that does not list what another one lists can be seen for as long as that is so. That is no drift of tokens.
func TestMirrorsDiffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, issuertest.Config{Layout: issuertest.OneIssuerMirrored}, otel.Config{}, nil)
		require.NoError(t, s.rules.Load(t.Context()))
		defer s.run(t, s.Run)()
		s.Lag(s.west)
		s.Rotate(s.east)
		time.Sleep(49 * time.Hour)
		require.Equal(t, 1, s.value(t, "regionjwt.jwks_url.missing_keys"), "of the second URL of the region that has rotated")
		s.Mend(s.west)
		time.Sleep(49 * time.Hour)
		require.Zero(t, s.value(t, "regionjwt.jwks_url.missing_keys"))
	})
}

// A fetch is counted for the region that its URL belongs to.
func TestAFetchIsCountedOnce(t *testing.T) {
	t.Parallel()
	tel := newTelemetry(t)
	o, err := otel.New(otel.Config{MeterProvider: tel.meters})
	require.NoError(t, err)
	o.Fetch(jwks.Fetch{Provider: "a", Region: "east", OnDemand: true})
	o.Fetch(jwks.Fetch{Provider: "a", Region: "west", Failure: "status 503"})
	require.Equal(t, 1, tel.value(t, "regionjwt.key.fetches", "regionjwt.region", "east", "regionjwt.demanded", "true",
		"regionjwt.result", "ok"))
	require.Equal(t, 1, tel.value(t, "regionjwt.key.fetches", "regionjwt.region", "west", "regionjwt.demanded", "false",
		"regionjwt.result", "failed", "error.type", "status"))
	require.Equal(t, 1, tel.value(t, "regionjwt.key.fetch.duration", "regionjwt.region", "east"))
	require.Equal(t, 2, tel.value(t, "regionjwt.key.fetches"))
}

// What operators say, and the health of what they say it through.
func TestControl(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, issuertest.Config{}, otel.Config{}, nil)
		value := func(name, control string) int { return s.value(t, name, "regionjwt.control", control) }
		for _, control := range []string{"failover", "rules"} {
			require.Zero(t, value("regionjwt.control.known", control), "no store has answered")
			require.Equal(t, -1, value("regionjwt.control.age", control))
		}
		defer s.run(t)()
		id, err := s.rules.Add(t.Context(), revocation.Rule{AllProviders: true, Subject: "mallory"})
		require.NoError(t, err)
		require.NoError(t, s.controller.Activate(t.Context(), s.west, "a drill"))
		require.Equal(t, 1, s.value(t, "regionjwt.rules"))
		require.Equal(t, 1, s.value(t, "regionjwt.failover.active", "regionjwt.region", s.west))
		require.Zero(t, s.value(t, "regionjwt.failover.active", "regionjwt.region", s.east))
		require.Equal(t, 1, s.value(t, "regionjwt.failover.pinned", "regionjwt.region", s.west))
		require.Equal(t, 1, s.value(t, "regionjwt.failover.moves", "regionjwt.region", s.west, "regionjwt.cause", "manual"))
		for _, control := range []string{"failover", "rules"} {
			require.Equal(t, 1, value("regionjwt.control.known", control))
			require.Equal(t, 1, value("regionjwt.control.epoch", control))
			require.Less(t, value("regionjwt.control.age", control), 2)
			require.Zero(t, value("regionjwt.control.trouble", control))
		}
		require.Equal(t, verifier.ReasonRevoked, s.judge(s.Token(s.east, issuertest.Claims{Subject: "mallory"})))
		require.Equal(t, 1, s.value(t, "regionjwt.validations", "error.type", "revoked"))

		for range 2 {
			s.orders.set(true)
			s.ruleStore.set(true)
			time.Sleep(time.Minute)
			for _, control := range []string{"failover", "rules"} {
				require.InDelta(t, 60, value("regionjwt.control.age", control), 2)
				require.Equal(t, 1, s.value(t, "regionjwt.control.trouble", "regionjwt.control", control,
					"regionjwt.trouble", "unreachable"))
			}
			s.orders.set(false)
			s.ruleStore.set(false)
			time.Sleep(10 * time.Second)
			require.Zero(t, s.value(t, "regionjwt.control.trouble"))
		}
		for _, control := range []string{"failover", "rules"} {
			require.Equal(t, 2, value("regionjwt.control.troubles", control), "each once, when it began")
		}
		require.NoError(t, s.controller.Resume(t.Context()))
		require.NoError(t, s.rules.Remove(t.Context(), id))
		require.Zero(t, s.value(t, "regionjwt.failover.pinned"))
		require.Zero(t, s.value(t, "regionjwt.rules"))
	})
}

// A trouble is counted when it begins or becomes another, not with each event while it lasts.
func TestATroubleIsCountedWhenItBegins(t *testing.T) {
	t.Parallel()
	tel := newTelemetry(t)
	o, err := otel.New(otel.Config{MeterProvider: tel.meters})
	require.NoError(t, err)
	for _, trouble := range []revocation.Trouble{"", revocation.Unreachable, revocation.Unreachable, revocation.Wiped, ""} {
		o.RulesEvent(revocation.Event{Trouble: trouble, CopyTrouble: revocation.Unreachable})
	}
	for control, troubles := range map[string]map[string]int{
		"rules": {"unreachable": 1, "wiped": 1}, "rules_copy": {"unreachable": 1},
	} {
		for trouble, n := range troubles {
			require.Equal(t, n, tel.value(t, "regionjwt.control.troubles", "regionjwt.control", control, "regionjwt.trouble", trouble))
		}
	}
	require.Equal(t, 3, tel.value(t, "regionjwt.control.troubles"))
}

// Who still presents tokens of the old issuer can be counted, and only accepted tokens have an issuer.
func TestIssuersAreNamed(t *testing.T) {
	t.Parallel()
	w := issuertest.New(t, issuertest.Config{})
	original := w.Provider().Regions[0].Issuers[0]
	s := newService(t, issuertest.Config{}, otel.Config{
		Issuers: map[string]string{original: "original"}, Attributes: []attribute.KeyValue{attribute.String("verifier", "orders")},
	}, nil)
	require.NoError(t, s.rules.Load(t.Context()))
	require.Zero(t, s.judge(s.Token(s.east, issuertest.Claims{Issuer: original})))
	require.Zero(t, s.judge(s.Token(s.west, issuertest.Claims{Issuer: s.Provider().Regions[1].Issuers[0]})))
	require.Equal(t, verifier.ReasonExpired, s.judge(s.Token(s.east, issuertest.Claims{Issuer: original, ExpiresIn: -time.Hour})))
	for name, n := range map[string]int{"original": 1, "other": 1, "": 1} {
		require.Equal(t, n, s.value(t, "regionjwt.validations", "regionjwt.issuer", name), name)
	}
	for _, m := range s.collect(t) {
		for _, p := range points(t, m) {
			require.True(t, p.set.HasValue("verifier"), m.Name)
		}
	}
}

func TestSpansOfFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, otel.Config{}, nil)
		s.Slow(s.east, 300*time.Millisecond)
		s.Status(s.west, http.StatusTooManyRequests, nil)
		began := time.Now()
		_ = s.Keys().Preload(t.Context())
		synctest.Wait() // OnFetch is called when nobody waits for the keys any longer
		spans := s.spans.GetSpans()
		require.Len(t, spans, 2)
		for _, span := range spans {
			attrs := map[attribute.Key]string{}
			for _, a := range span.Attributes {
				attrs[a.Key] = a.Value.String()
			}
			require.Equal(t, "regionjwt.fetch_keys", span.Name)
			require.Equal(t, trace.SpanKindClient, span.SpanKind)
			require.False(t, span.Parent.IsValid())
			require.Equal(t, began, span.StartTime)
			if attrs["regionjwt.result"] == "ok" {
				require.Equal(t, `["us-east-1"]`, attrs["regionjwt.region"])
				require.Equal(t, 300*time.Millisecond, span.EndTime.Sub(span.StartTime))
				require.Equal(t, codes.Unset, span.Status.Code)
				continue
			}
			require.Equal(t, map[attribute.Key]string{
				"regionjwt.result": "failed", "error.type": "status", "regionjwt.region": `["us-west-2"]`,
				"regionjwt.demanded": attrs["regionjwt.demanded"], "http.response.status_code": "429",
			}, attrs)
			require.Equal(t, codes.Error, span.Status.Code)
			require.Equal(t, "status", span.Status.Description)
		}
	})
}

// The trace of a sampled request is an exemplar of what was measured of it.
func TestExemplars(t *testing.T) {
	t.Parallel()
	s := newService(t, issuertest.Config{}, otel.Config{}, nil)
	require.NoError(t, s.rules.Load(t.Context()))
	exemplars := func(name string) (n int) {
		for _, p := range points(t, s.collect(t)[name]) {
			n += p.exemplars
		}
		return n
	}
	raw := s.Token(s.east, issuertest.Claims{})
	require.Zero(t, s.judge(raw))
	require.Zero(t, exemplars("regionjwt.validation.duration"))
	ctx, span := s.tracers.Tracer("request").Start(t.Context(), "request")
	defer span.End()
	_, err := s.Verify(ctx, raw)
	require.NoError(t, err)
	require.Equal(t, 1, exemplars("regionjwt.validation.duration"))
	require.Equal(t, 1, exemplars("regionjwt.validations"))
}

// Before Watch there are no gauges, and after Close there are none any more; what is not watched has none.
func TestWatchAndClose(t *testing.T) {
	t.Parallel()
	s := newService(t, issuertest.Config{}, otel.Config{}, nil)
	require.Contains(t, s.collect(t), "regionjwt.key_sets")
	require.Contains(t, s.collect(t), "regionjwt.control.known")
	s.observer.Watch(otel.Watched{Keys: s.Keys(), Failover: []*failover.Controller{nil, {}}})
	require.Contains(t, s.collect(t), "regionjwt.key_sets")
	require.NotContains(t, s.collect(t), "regionjwt.control.known")
	s.observer.Watch(otel.Watched{})
	require.NotContains(t, s.collect(t), "regionjwt.key_sets")
	s.observer.Watch(otel.Watched{Keys: s.Keys(), Rules: s.rules})
	require.NoError(t, s.observer.Close())
	require.NoError(t, s.observer.Close())
	require.Empty(t, s.collect(t))
	require.Equal(t, verifier.ReasonMalformed, s.judge("x"))
	require.Equal(t, 1, s.value(t, "regionjwt.validations"), "hooks still count")
}

// Everything may be called at once.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	s := newService(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, otel.Config{Authorities: 1}, nil)
	require.NoError(t, s.rules.Load(t.Context()))
	raws := s.hostile(1)
	done := make(chan struct{})
	for i := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for j, raw := range raws {
				_, _ = s.Verify(context.Background(), raw)
				if (i+j)%8 == 0 {
					s.observer.Watch(otel.Watched{Keys: s.Keys(), Rules: s.rules})
					s.collect(t)
				}
			}
		}()
	}
	for range 4 {
		<-done
	}
	require.Equal(t, 4*len(raws), s.value(t, "regionjwt.validations"))
}
