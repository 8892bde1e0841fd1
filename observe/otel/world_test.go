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
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// kept is what a memory holds under a name.
type kept struct {
	Data     []byte
	Revision string
}

// memory is a trusted store that can be down, or forget.
type memory struct {
	store.Trusted

	mu   sync.Mutex
	down bool
	docs map[string]kept
	next int
}

func (*memory) TrustInfo() trust.Info { return trust.Info{} }

func (m *memory) Load(_ context.Context, name, _ string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, "", errors.New("down")
	}
	d, ok := m.docs[name]
	if !ok {
		return nil, "", store.ErrNotFound
	}
	return d.Data, d.Revision, nil
}

func (*memory) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
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
	d := kept{Data: data, Revision: strconv.Itoa(m.next)}
	if m.docs == nil {
		m.docs = map[string]kept{}
	}
	m.docs[name] = d
	return d.Revision, nil
}

func (m *memory) set(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// telemetry is an SDK with two readers, and a tracer.
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

// value adds up the series of an instrument that have these attributes: "key", "value", ...; -1 if there is none. It cuts off
// fractions. The value "" means that the attribute is absent.
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

// service is a Validator with every part, and a fake provider with two regions.
type service struct {
	*telemetry
	*fakeissuer.Server
	*regionjwt.Validator
	policies   []verifier.Policy
	stop       func() // ends the instrumentation
	pins       *memory
	rules      *memory
	east, west string
}

// newService returns a service with stores, which Run polls.
func newService(t testing.TB, fc fakeissuer.Config, c otel.Config, change func(*verifier.Policy)) *service {
	t.Helper()
	return start(t, fc, c, change, true)
}

// newKeyService returns a service without stores, whose days are cheap to simulate.
func newKeyService(t testing.TB, fc fakeissuer.Config, change func(*verifier.Policy)) *service {
	t.Helper()
	return start(t, fc, otel.Config{}, change, false)
}

func start(t testing.TB, fc fakeissuer.Config, c otel.Config, change func(*verifier.Policy), stores bool) *service {
	t.Helper()
	s := &service{telemetry: newTelemetry(t), pins: &memory{}, rules: &memory{}}
	fc.Algorithm = "ES256"
	s.Server = fakeissuer.New(t, fc)
	provider := s.Provider()
	provider.HTTPClient = s.Client()
	s.east, s.west = provider.Regions[0].Name, provider.Regions[1].Name
	policy := verifier.Policy{Provider: provider, Audience: verifier.InsecureAnyAudience(), Algorithms: []string{"ES256"}}
	if change != nil {
		change(&policy)
	}
	s.policies = []verifier.Policy{policy}
	var err error
	config := regionjwt.Config{Policies: s.policies}
	if stores {
		config.Revocation = &revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{s.rules}, LocalCopy: &memory{}}}
		config.Revocation.Signals = []revocation.Signals{{
			Replica: store.ReplicaConfig{Stores: []store.Trusted{s.rules}}, Providers: []string{provider.ID},
		}}
		config.Failover = map[string]failover.Config{
			provider.ID: {Automatic: true, Replica: store.ReplicaConfig{Stores: []store.Trusted{s.pins}}},
		}
	}
	s.Validator, err = regionjwt.New(config)
	require.NoError(t, err)
	c.MeterProvider, c.TracerProvider = s.meters, s.tracers
	s.stop, err = otel.Instrument(s.Validator, c)
	require.NoError(t, err)
	return s
}

func (s *service) controller() *failover.Controller { return s.Failover(s.Provider().ID) }

// loadRules loads the rules, without which no token is accepted.
func (s *service) loadRules(t testing.TB) {
	t.Helper()
	require.NoError(t, s.Revocation().Load(context.Background()))
}

// run runs the Validator until stop is called. It is for bubbles.
func (s *service) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = s.Run(ctx) })
	stop = func() {
		cancel()
		all.Wait()
	}
	t.Cleanup(stop)
	synctest.Wait() // until the stores have answered
	return stop
}

// observed is a source whose observer a test calls itself.
type observed struct {
	status   func() regionjwt.Status
	observer regionjwt.Observer
}

func (o *observed) Status() regionjwt.Status {
	if o.status == nil {
		return regionjwt.Status{}
	}
	return o.status()
}

func (o *observed) Observe(observer regionjwt.Observer) (stop func()) {
	o.observer = observer
	return func() { o.observer = regionjwt.Observer{} }
}

// twoRegions is the state of a provider with two regions.
func twoRegions() regionjwt.Status {
	return regionjwt.Status{Keys: []jwks.Status{{Provider: "a", Region: "east"}, {Provider: "a", Region: "west"}}}
}

func (s *service) judge(raw string) verifier.Reason {
	_, err := s.Verify(context.Background(), raw)
	var e *verifier.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// story has everything happen that can be recorded. It runs in a bubble.
func (s *service) story(t testing.TB) {
	t.Helper()
	for _, region := range []string{s.east, s.west} {
		good := s.Issue(region, fakeissuer.Claims{Set: map[string]any{"tenant": "a"}})
		for range 3 {
			require.Empty(t, s.judge(good))
		}
	}
	require.Equal(t, verifier.ReasonMalformed, s.judge("x"))
	require.Equal(t, verifier.ReasonExpired, s.judge(s.Issue(s.east, fakeissuer.Claims{ExpiresIn: -time.Hour})))
	require.Equal(t, verifier.ReasonMissingClaim, s.judge(s.Issue(s.west, fakeissuer.Claims{})))
	require.Equal(t, verifier.ReasonUnknownKey,
		s.judge(s.Issue(s.west, fakeissuer.Claims{Issuer: s.Provider().Regions[0].Issuers[0]})))
	require.Equal(t, verifier.ReasonBadSignature, s.judge(s.Issue(s.east, fakeissuer.Claims{Forged: true})))

	s.Rotate(s.west)
	require.Empty(t, s.judge(s.Issue(s.west, fakeissuer.Claims{Set: map[string]any{"tenant": "a"}})))

	s.Break(s.east)
	time.Sleep(90 * time.Minute)
	require.Equal(t, s.west, s.controller().Active())
	s.machineTokens(t)
	s.Restore(s.east)
	time.Sleep(90 * time.Minute)
	require.Equal(t, s.east, s.controller().Active())
	s.Server.Status(s.east, http.StatusForbidden, nil)
	time.Sleep(30 * time.Minute)
	s.Restore(s.east)

	s.pins.set(true)
	s.rules.set(true)
	time.Sleep(5 * time.Second)
	s.pins.set(false)
	s.rules.set(false)
	time.Sleep(5 * time.Second)
	_, err := s.Revocation().Add(t.Context(), revocation.Rule{Provider: "*", Subject: "mallory"})
	require.NoError(t, err)
	require.NoError(t, s.controller().Pin(t.Context(), s.west, "a drill", 0))
	onEvent, err := otel.SignalEvents(otel.Config{MeterProvider: s.meters, MaxProviders: 1})
	require.NoError(t, err)
	onEvent("shop", "session-revoked", "applied", "rule")
	onEvent("shop", "session-revoked", "applied", "rule")
	onEvent("shop", "verification", "verified", "")
	for _, outcome := range []string{"repeated", "no_rule", "ignored", "noted"} {
		onEvent("shop", "other", outcome, "")
	}
	onEvent("bank", "", "bad_signature", "")
	time.Sleep(time.Minute)
}

// machineTokens has a machine client get a token, while the region that it asks first is unavailable, and be rejected.
func (s *service) machineTokens(t testing.TB) {
	t.Helper()
	source, err := clientcredentials.New(s.policies[0].Provider, clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: "machine", Secret: "secret"},
	})
	require.NoError(t, err)
	_, err = otel.InstrumentTokens(source, otel.Config{MeterProvider: s.meters, TracerProvider: s.tracers})
	require.NoError(t, err)
	_, err = source.Token(t.Context())
	require.NoError(t, err)
	_, err = source.Exchange(t.Context(), clientcredentials.Exchange{SubjectToken: "x"})
	require.ErrorIs(t, err, clientcredentials.ErrRejected)
	synctest.Wait()
}

func needsTenant(p *verifier.Policy) { p.RequiredClaims = []string{"tenant"} }
