package otel_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := otel.Instrument(nil, otel.Config{MaxProviders: -1, IssuerNames: map[string]string{"https://a": ""}})
	for _, part := range []string{"the Validator is nil", "MeterProvider", "MaxProviders", "IssuerNames"} {
		require.ErrorContains(t, err, part)
	}
	_, err = otel.InstrumentSource(&observed{}, otel.Config{MeterProvider: noop.NewMeterProvider(), MaxProviders: 1001})
	require.ErrorContains(t, err, "1000")
	_, err = otel.InstrumentSource(&observed{}, otel.Config{MeterProvider: noop.NewMeterProvider(), MaxProviders: 1000})
	require.NoError(t, err)
}

// A region is unavailable while the other publishes the same keys: they stay fresh, and the metrics still show the region.
func TestARegionIsUnavailableWhileItsKeysStayFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKeyService(t, fakeissuer.Config{Layout: fakeissuer.OneIssuerSharedKeys}, nil)
		defer s.run(t)()
		failures := func(region string) int {
			return s.value(t, "regionjwt.jwks_url.failing", "regionjwt.region", region)
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
			"regionjwt.on_demand", "false"))

		s.Break(s.west)
		time.Sleep(25 * time.Hour)
		require.Equal(t, 3, inState("expired"))
		require.Zero(t, inState("fresh"))
		require.Zero(t, s.value(t, "regionjwt.keys"), "none is in use")
		require.Positive(t, s.value(t, "regionjwt.key_set.failures"))
		require.Greater(t, s.value(t, "regionjwt.key_set.age", "regionjwt.region", s.west), int((24 * time.Hour).Seconds()))
		require.Equal(t, verifier.ReasonKeysUnavailable, s.judge(s.Issue(s.east, fakeissuer.Claims{})))
		require.Equal(t, 1, s.value(t, "regionjwt.token.verifications", "regionjwt.result", "unavailable", "error.type", "keys_unavailable"))

		s.Restore(s.east)
		s.Restore(s.west)
		time.Sleep(5 * time.Minute)
		require.Zero(t, failures(s.east)+failures(s.west))
		require.Equal(t, 2, inState("fresh"))
		require.Positive(t, s.value(t, "regionjwt.keys"))
	})
}

// An optional URL that says 403 or 404 is no outage.
func TestAURLThatIsNotEnabledIsNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKeyService(t, fakeissuer.Config{Layout: fakeissuer.OneIssuerSharedKeys}, func(policy *verifier.Policy) {
			east := &policy.Provider.Regions[0]
			east.OptionalJWKSURLs = east.JWKSURLs[:1]
		})
		s.Server.Status(s.east, http.StatusForbidden, nil)
		defer s.run(t)()
		time.Sleep(3 * time.Hour)
		require.Positive(t, s.value(t, "regionjwt.key.fetches", "regionjwt.region", s.east, "error.type", "not_enabled"))
		require.Zero(t, s.value(t, "regionjwt.jwks_url.failing"))
	})
}

// The failures of a region that is no longer configured are forgotten.
func TestRegionsThatAreGoneAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry(t)
		fake := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
		both := verifier.Policy{Provider: fake.Provider(), Audience: verifier.InsecureAnyAudience()}
		v, err := regionjwt.New(regionjwt.Config{
			Policies: []verifier.Policy{both}, Keys: jwks.Config{HTTPClient: fake.Client()},
		})
		require.NoError(t, err)
		stop, err := otel.Instrument(v, otel.Config{MeterProvider: tel.meters})
		require.NoError(t, err)
		defer stop()
		east := both.Provider.Regions[0].Name
		failing := func() int { return tel.value(t, "regionjwt.jwks_url.failing", "regionjwt.region", east) }
		fake.Break(east)
		_ = v.Preload(t.Context())
		synctest.Wait() // until OnFetch has been called
		require.Positive(t, failing())
		west := both
		west.Provider.Regions = both.Provider.Regions[1:]
		require.NoError(t, v.Update([]verifier.Policy{west}))
		require.Equal(t, -1, failing())
		require.NoError(t, v.Update([]verifier.Policy{both}))
		require.Zero(t, failing())
	})
}

// A URL that does not list what another one lists can be seen for as long as that is so.
func TestURLsDiffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKeyService(t, fakeissuer.Config{Layout: fakeissuer.OneIssuerSharedKeys}, nil)
		defer s.run(t)()
		s.Lag(s.west)
		s.Rotate(s.east)
		time.Sleep(49 * time.Hour)
		require.Equal(t, 1, s.value(t, "regionjwt.jwks_url.missing_keys"), "of the second URL of the region that has rotated")
		s.Restore(s.west)
		time.Sleep(49 * time.Hour)
		require.Zero(t, s.value(t, "regionjwt.jwks_url.missing_keys"))
	})
}

// A fetch is counted for the region that its URL belongs to.
func TestAFetchIsCountedOnce(t *testing.T) {
	t.Parallel()
	tel, o := newTelemetry(t), &observed{status: twoRegions}
	_, err := otel.InstrumentSource(o, otel.Config{MeterProvider: tel.meters})
	require.NoError(t, err)
	o.observer.Fetch(jwks.Fetch{Provider: "a", Region: "east", OnDemand: true})
	o.observer.Fetch(jwks.Fetch{Provider: "a", Region: "west", Failure: "status 503"})
	require.Equal(t, 1, tel.value(t, "regionjwt.key.fetches", "regionjwt.region", "east", "regionjwt.on_demand", "true",
		"regionjwt.result", "ok"))
	require.Equal(t, 1, tel.value(t, "regionjwt.key.fetches", "regionjwt.region", "west", "regionjwt.on_demand", "false",
		"regionjwt.result", "failed", "error.type", "status"))
	require.Equal(t, 1, tel.value(t, "regionjwt.key.fetch.duration", "regionjwt.region", "east"))
	require.Equal(t, 2, tel.value(t, "regionjwt.key.fetches"))
}

// The pin and the rules of operators, and the state of their stores.
func TestReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, fakeissuer.Config{}, otel.Config{}, nil)
		value := func(metric, name string) int { return s.value(t, metric, "regionjwt.replica", name) }
		for _, name := range []string{"failover", "revocation"} {
			require.Zero(t, value("regionjwt.replica.known", name), "no store has answered")
			require.Equal(t, -1, value("regionjwt.replica.age", name))
		}
		defer s.run(t)()
		id, err := s.Revocation().Add(t.Context(), revocation.Rule{Provider: "*", Subject: "mallory"})
		require.NoError(t, err)
		require.NoError(t, s.controller().Pin(t.Context(), s.west, "a drill", 0))
		require.Equal(t, 1, s.value(t, "regionjwt.revocation.rules"))
		require.Equal(t, 1, s.value(t, "regionjwt.failover.active", "regionjwt.region", s.west))
		require.Zero(t, s.value(t, "regionjwt.failover.active", "regionjwt.region", s.east))
		require.Equal(t, 1, s.value(t, "regionjwt.failover.pinned", "regionjwt.region", s.west))
		require.Equal(t, 1, s.value(t, "regionjwt.failover.moves", "regionjwt.region", s.west, "regionjwt.cause", "pinned"))
		for _, name := range []string{"failover", "revocation"} {
			require.Equal(t, 1, value("regionjwt.replica.known", name))
			require.Equal(t, 1, value("regionjwt.replica.epoch", name))
			require.Less(t, value("regionjwt.replica.age", name), 2)
			require.Zero(t, value("regionjwt.replica.problem", name))
		}
		require.Equal(t, verifier.ReasonRevoked, s.judge(s.Issue(s.east, fakeissuer.Claims{Subject: "mallory"})))
		require.Equal(t, 1, s.value(t, "regionjwt.token.verifications", "error.type", "revoked"))

		for range 2 {
			s.pins.set(true)
			s.rules.set(true)
			time.Sleep(time.Minute)
			for _, name := range []string{"failover", "revocation"} {
				require.InDelta(t, 60, value("regionjwt.replica.age", name), 2)
				require.Equal(t, 1, s.value(t, "regionjwt.replica.problem", "regionjwt.replica", name,
					"regionjwt.problem", "unavailable"))
			}
			s.pins.set(false)
			s.rules.set(false)
			time.Sleep(10 * time.Second)
			require.Zero(t, s.value(t, "regionjwt.replica.problem"))
		}
		require.NoError(t, s.controller().Unpin(t.Context()))
		require.NoError(t, s.Revocation().Remove(t.Context(), id))
		require.Zero(t, s.value(t, "regionjwt.failover.pinned"))
		require.Zero(t, s.value(t, "regionjwt.revocation.rules"))
	})
}

// A problem with a local copy has its own series, and a failover without a store has none. What is stale, not applied or in
// conflict shows.
func TestProblemsOfReplicas(t *testing.T) {
	t.Parallel()
	tel := newTelemetry(t)
	o := &observed{status: func() regionjwt.Status {
		return regionjwt.Status{
			Failover: []failover.Status{{Provider: "a", Active: "east", Conflicts: []string{"east", "west"}}},
			Revocation: &revocation.Status{
				Rules: 3, Unreadable: 2,
				Replica: store.ReplicaStatus{Origin: "local copy", Stale: true, StoreProblem: "lost", LocalProblem: "malformed"},
			},
		}
	}}
	_, err := otel.InstrumentSource(o, otel.Config{MeterProvider: tel.meters})
	require.NoError(t, err)
	require.Equal(t, 2, tel.value(t, "regionjwt.replica.problem"))
	require.Equal(t, 1, tel.value(t, "regionjwt.replica.problem", "regionjwt.replica", "revocation", "regionjwt.problem", "lost"))
	require.Equal(t, 1, tel.value(t, "regionjwt.replica.problem", "regionjwt.replica", "revocation_local_copy",
		"regionjwt.problem", "malformed"))
	require.Equal(t, 3, tel.value(t, "regionjwt.revocation.rules"))
	require.Equal(t, 2, tel.value(t, "regionjwt.revocation.unreadable"))
	require.Equal(t, 2, tel.value(t, "regionjwt.failover.conflicts"))
	require.Equal(t, 1, tel.value(t, "regionjwt.replica.stale", "regionjwt.replica", "revocation"))
	for _, name := range []string{"known", "epoch", "age", "problem", "stale"} {
		require.Equal(t, -1, tel.value(t, "regionjwt.replica."+name, "regionjwt.replica", "failover"), name)
	}
	require.Equal(t, -1, tel.value(t, "regionjwt.replica.age"), "no store has answered")
}

// A change of health and a move are counted from two states, also if one observer call has both.
func TestChangesOfTheFailover(t *testing.T) {
	t.Parallel()
	tel, o := newTelemetry(t), &observed{status: twoRegions}
	_, err := otel.InstrumentSource(o, otel.Config{MeterProvider: tel.meters})
	require.NoError(t, err)
	state := func(active, cause, east string) failover.Status {
		return failover.Status{Provider: "a", Active: active, Cause: cause, Regions: []failover.RegionStatus{
			{Region: "east", Health: east}, {Region: "west", Health: "healthy"},
		}}
	}
	o.observer.Failover(state("east", "start", "healthy"), state("west", "failed", "unhealthy"))
	o.observer.Failover(state("west", "failed", "unhealthy"), state("west", "failed", "unhealthy"))
	require.Equal(t, 1, tel.value(t, "regionjwt.failover.moves"))
	require.Equal(t, 1, tel.value(t, "regionjwt.failover.moves", "regionjwt.region", "west", "regionjwt.cause", "failed"))
	require.Equal(t, 1, tel.value(t, "regionjwt.failover.health.changes"))
	require.Equal(t, 1, tel.value(t, "regionjwt.failover.health.changes", "regionjwt.region", "east", "regionjwt.health", "unhealthy"))
}

// If every provider has one region, there is no attribute for regions, until a provider has several.
func TestOneRegion(t *testing.T) {
	t.Parallel()
	tel := newTelemetry(t)
	st := regionjwt.Status{Keys: []jwks.Status{{Provider: "login", Region: "default"}, {Provider: "partner", Region: "default"}}}
	o := &observed{status: func() regionjwt.Status { return st }}
	_, err := otel.InstrumentSource(o, otel.Config{MeterProvider: tel.meters, TracerProvider: tel.tracers})
	require.NoError(t, err)
	record := func() {
		o.observer.Decision(t.Context(), verifier.Decision{Err: &verifier.Error{Reason: verifier.ReasonExpired, Provider: "login", Region: "default"}})
		o.observer.Decision(t.Context(), verifier.Decision{Err: &verifier.Error{Reason: verifier.ReasonUnknownIssuer}})
		o.observer.Fetch(jwks.Fetch{Provider: "login", Region: "default"})
	}
	record()
	require.NotContains(t, tel.everything(t), "default")
	require.NotContains(t, tel.everything(t), "regionjwt_region")
	require.Equal(t, 2, tel.value(t, "regionjwt.token.verifications"))
	st.Keys = append(st.Keys, jwks.Status{Provider: "partner", Region: "second"})
	tel.collect(t)
	record()
	require.Equal(t, 1, tel.value(t, "regionjwt.token.verifications", "regionjwt.region", "default"))
	require.Equal(t, 4, tel.value(t, "regionjwt.token.verifications"))
}

// Who still presents tokens of the old issuer can be counted, and only accepted tokens have an issuer.
func TestIssuersAreNamed(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{})
	original := w.Provider().Regions[0].Issuers[0]
	s := newService(t, fakeissuer.Config{}, otel.Config{
		IssuerNames: map[string]string{original: "original"},
	}, nil)
	s.loadRules(t)
	require.Empty(t, s.judge(s.Issue(s.east, fakeissuer.Claims{Issuer: original})))
	require.Empty(t, s.judge(s.Issue(s.west, fakeissuer.Claims{Issuer: s.Provider().Regions[1].Issuers[0]})))
	require.Equal(t, verifier.ReasonExpired, s.judge(s.Issue(s.east, fakeissuer.Claims{Issuer: original, ExpiresIn: -time.Hour})))
	for name, n := range map[string]int{"original": 1, "other": 1, "": 1} {
		require.Equal(t, n, s.value(t, "regionjwt.token.verifications", "regionjwt.issuer", name), name)
	}
}

func TestSpansOfFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion}, otel.Config{}, nil)
		s.Slow(s.east, 300*time.Millisecond)
		s.Server.Status(s.west, http.StatusTooManyRequests, nil)
		began := time.Now()
		_ = s.Preload(t.Context())
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
				require.Equal(t, "us-east-1", attrs["regionjwt.region"])
				require.Equal(t, 300*time.Millisecond, span.EndTime.Sub(span.StartTime))
				require.Equal(t, codes.Unset, span.Status.Code)
				continue
			}
			require.Equal(t, map[attribute.Key]string{
				"regionjwt.result": "failed", "error.type": "status", "regionjwt.region": "us-west-2", "regionjwt.provider": s.Provider().ID,
				"regionjwt.on_demand": attrs["regionjwt.on_demand"], "http.response.status_code": "429",
			}, attrs)
			require.Equal(t, codes.Error, span.Status.Code)
			require.Equal(t, "status", span.Status.Description)
		}
	})
}

// The trace of a sampled request is an exemplar of what was measured of it.
func TestExemplars(t *testing.T) {
	t.Parallel()
	s := newService(t, fakeissuer.Config{}, otel.Config{}, nil)
	s.loadRules(t)
	exemplars := func(name string) (n int) {
		for _, p := range points(t, s.collect(t)[name]) {
			n += p.exemplars
		}
		return n
	}
	raw := s.Issue(s.east, fakeissuer.Claims{})
	require.Empty(t, s.judge(raw))
	require.Zero(t, exemplars("regionjwt.token.verification.duration"))
	ctx, span := s.tracers.Tracer("request").Start(t.Context(), "request")
	defer span.End()
	_, err := s.Verify(ctx, raw)
	require.NoError(t, err)
	require.Equal(t, 1, exemplars("regionjwt.token.verification.duration"))
	require.Equal(t, 1, exemplars("regionjwt.token.verifications"))
}

// After stop there are no gauges and no further measurements, and the Validator works on.
func TestStop(t *testing.T) {
	t.Parallel()
	s := newService(t, fakeissuer.Config{}, otel.Config{}, nil)
	require.Equal(t, verifier.ReasonMalformed, s.judge("x"))
	require.Contains(t, s.collect(t), "regionjwt.key_sets")
	require.Contains(t, s.collect(t), "regionjwt.replica.known")
	s.stop()
	s.stop()
	require.NotContains(t, s.collect(t), "regionjwt.key_sets")
	require.NotContains(t, s.collect(t), "regionjwt.replica.known")
	require.Equal(t, verifier.ReasonMalformed, s.judge("x"))
	require.Equal(t, 1, s.value(t, "regionjwt.token.verifications"))
}
