package otel_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// memory is a store that can be down, or forget.
type memory struct {
	mu   sync.Mutex
	down bool
	docs map[string]store.Document
	next int
}

func (*memory) Authentic() {}

func (m *memory) Load(_ context.Context, name string) (store.Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return store.Document{}, errors.New("down")
	}
	d, ok := m.docs[name]
	if !ok {
		return store.Document{}, store.ErrNotFound
	}
	return d, nil
}

func (m *memory) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return "", errors.New("down")
	}
	if m.docs[name].Revision != ifRevision {
		return "", store.ErrConflict
	}
	m.next++
	d := store.Document{Data: data, Revision: strconv.Itoa(m.next)}
	if m.docs == nil {
		m.docs = map[string]store.Document{}
	}
	m.docs[name] = d
	return d.Revision, nil
}

func (m *memory) set(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// telemetry is where an Observer tells: an SDK with two readers, and a tracer.
type telemetry struct {
	reader   *metric.ManualReader
	registry *prometheus.Registry
	meters   *metric.MeterProvider
	spans    *tracetest.InMemoryExporter
	tracers  *sdktrace.TracerProvider
}

func newTelemetry(t testing.TB) *telemetry {
	t.Helper()
	tel := &telemetry{
		reader: metric.NewManualReader(), registry: prometheus.NewRegistry(), spans: tracetest.NewInMemoryExporter(),
	}
	prom, err := exporter.New(exporter.WithRegisterer(tel.registry))
	require.NoError(t, err)
	tel.meters = metric.NewMeterProvider(metric.WithReader(tel.reader), metric.WithReader(prom))
	tel.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(tel.spans))
	return tel
}

// collect reads what the SDK has.
func (tel *telemetry) collect(t testing.TB) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, tel.reader.Collect(context.Background(), &all))
	found := map[string]metricdata.Metrics{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			found[m.Name] = m
		}
	}
	return found
}

// point is a series and its value: that of a counter or a gauge, or the count of a histogram.
type point struct {
	set       attribute.Set
	value     float64
	exemplars int
}

func points(t testing.TB, m metricdata.Metrics) (all []point) {
	t.Helper()
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			all = append(all, point{p.Attributes, float64(p.Value), len(p.Exemplars)})
		}
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			all = append(all, point{p.Attributes, float64(p.Value), 0})
		}
	case metricdata.Gauge[float64]:
		for _, p := range d.DataPoints {
			all = append(all, point{p.Attributes, p.Value, 0})
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			all = append(all, point{p.Attributes, float64(p.Count), len(p.Exemplars)})
		}
	default:
		require.Fail(t, "unknown kind of metric", "%s: %T", m.Name, d)
	}
	return all
}

// value adds up the series of an instrument that have these attributes: "key", "value", ...; -1 where there is none. It cuts off
// fractions.
func (tel *telemetry) value(t testing.TB, name string, attrs ...string) int {
	t.Helper()
	sum, found := 0.0, false
	m, ok := tel.collect(t)[name]
	if !ok {
		return -1
	}
next:
	for _, p := range points(t, m) {
		for i := 0; i < len(attrs); i += 2 {
			v, ok := p.set.Value(attribute.Key(attrs[i]))
			if !ok && attrs[i+1] != "" || ok && v.String() != attrs[i+1] {
				continue next
			}
		}
		sum, found = sum+p.value, true
	}
	if !found {
		return -1
	}
	return int(sum)
}

// families reads what Prometheus gets.
func (tel *telemetry) families(t testing.TB) []*dto.MetricFamily {
	t.Helper()
	all, err := tel.registry.Gather()
	require.NoError(t, err)
	return all
}

// page is what Prometheus scrapes.
func (tel *telemetry) page(t testing.TB) string {
	t.Helper()
	rec := httptest.NewRecorder()
	handler := promhttp.HandlerFor(tel.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	handler.ServeHTTP(rec, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, rec.Code)
	return rec.Body.String()
}

// service is everything that can be observed, in a world of two regions.
type service struct {
	*telemetry
	*issuertest.World
	*regionjwt.Validator
	observer   *otel.Observer
	controller *failover.Controller
	rules      *revocation.List
	orders     *memory // of the controller
	ruleStore  *memory
	east, west string
}

func newService(t testing.TB, wc issuertest.Config, c otel.Config, change func(*verifier.Policy)) *service {
	t.Helper()
	s := &service{telemetry: newTelemetry(t), orders: &memory{}, ruleStore: &memory{}}
	wc.Algorithm = "ES256"
	s.World = issuertest.New(t, wc)
	authority := s.Provider()
	s.east, s.west = authority.Regions[0].Name, authority.Regions[1].Name
	var err error
	c.MeterProvider, c.TracerProvider = s.meters, s.tracers
	s.observer, err = otel.New(c)
	require.NoError(t, err)
	s.controller, err = failover.New(failover.Config{
		Provider: authority, Automatic: true, Store: s.orders, OnEvent: s.observer.FailoverEvent,
	})
	require.NoError(t, err)
	s.rules, err = revocation.New(revocation.Config{
		Store: s.ruleStore, LocalCopy: &memory{}, OnEvent: s.observer.RulesEvent,
	})
	require.NoError(t, err)
	trust := verifier.Policy{Provider: authority, Audience: verifier.InsecureAnyAudience(), Algorithms: []string{"ES256"}}
	if change != nil {
		change(&trust)
	}
	controllers := []*failover.Controller{s.controller, nil}
	s.Validator, err = regionjwt.New(regionjwt.Config{
		Keys: jwks.Config{HTTPClient: s.Client(), OnFetch: s.observer.Fetch}, Policies: []verifier.Policy{trust}, Revocation: s.rules, Failover: controllers[:1],
		Hooks: s.observer.VerifierHooks(),
	})
	require.NoError(t, err)
	s.observer.Watch(otel.Watched{Keys: s.Keys(), Verifier: s.Verifier(), Failover: controllers, Rules: s.rules})
	return s
}

// run runs parts, or everything, until stop is called. It is for bubbles.
func (s *service) run(t testing.TB, parts ...func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	if len(parts) == 0 {
		parts = append(parts, s.Run, s.controller.Run, s.rules.Run)
	}
	for _, run := range parts {
		all.Go(func() { _ = run(ctx) })
	}
	stop = func() {
		cancel()
		all.Wait()
	}
	t.Cleanup(stop)
	synctest.Wait() // until the stores have answered
	return stop
}

func (s *service) judge(raw string) verifier.Reason {
	_, err := s.Verify(context.Background(), raw)
	var e *verifier.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return 0
}

// story has everything happen that an Observer can tell of. It runs in a bubble.
func (s *service) story(t testing.TB) {
	t.Helper()
	for _, region := range []string{s.east, s.west} {
		good := s.Token(region, issuertest.Claims{Set: map[string]any{"tenant": "a"}})
		for range 3 {
			require.Zero(t, s.judge(good))
		}
	}
	require.Equal(t, verifier.ReasonMalformed, s.judge("x"))
	require.Equal(t, verifier.ReasonExpired, s.judge(s.Token(s.east, issuertest.Claims{ExpiresIn: -time.Hour})))
	require.Equal(t, verifier.ReasonMissingClaim, s.judge(s.Token(s.west, issuertest.Claims{})))
	require.Equal(t, verifier.ReasonUnknownKey,
		s.judge(s.Token(s.west, issuertest.Claims{Issuer: s.Provider().Regions[0].Issuers[0]})))
	require.Equal(t, verifier.ReasonBadSignature, s.judge(s.Token(s.east, issuertest.Claims{Forge: true})))

	s.Rotate(s.west)
	require.Zero(t, s.judge(s.Token(s.west, issuertest.Claims{Set: map[string]any{"tenant": "a"}})))

	s.Break(s.east)
	time.Sleep(90 * time.Minute)
	require.Equal(t, s.west, s.controller.Active())
	s.Mend(s.east)
	time.Sleep(90 * time.Minute)
	require.Equal(t, s.east, s.controller.Active())
	s.Status(s.east, http.StatusForbidden, nil)
	time.Sleep(30 * time.Minute)
	s.Mend(s.east)

	s.orders.set(true)
	s.ruleStore.set(true)
	time.Sleep(5 * time.Second)
	s.orders.set(false)
	s.ruleStore.set(false)
	time.Sleep(5 * time.Second)
	_, err := s.rules.Add(t.Context(), revocation.Rule{AllProviders: true, Subject: "mallory"})
	require.NoError(t, err)
	require.NoError(t, s.controller.Activate(t.Context(), s.west, "a drill"))
	s.observer.FailoverEvent(failover.Event{Kind: failover.Resumed, Missed: 2, State: s.controller.State()}) // as after a slow OnEvent
}

func needsTenant(trust *verifier.Policy) { trust.RequiredClaims = []string{"tenant"} }
