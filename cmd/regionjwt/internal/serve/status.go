package serve

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/observe/otel"
)

// telemetry is the metrics of a process.
type telemetry struct {
	registry *prometheus.Registry
	meters   *sdk.MeterProvider
	answers  metric.Int64Counter
	stop     func()
}

// newTelemetry measures v, and the answers of doors.
func newTelemetry(v *regionjwt.Validator) (*telemetry, error) {
	t := &telemetry{registry: prometheus.NewRegistry()}
	reader, err := exporter.New(exporter.WithRegisterer(t.registry))
	if err != nil {
		return nil, err
	}
	t.meters = sdk.NewMeterProvider(sdk.WithReader(reader))
	t.answers, err = t.meters.Meter("regionjwt/serve").Int64Counter("regionjwt.serve.answers", metric.WithUnit("{answer}"),
		metric.WithDescription("Answers to proxies, by dialect and by the status that the client gets."))
	if err != nil {
		return nil, err
	}
	t.stop, err = otel.Instrument(v, otel.Config{MeterProvider: t.meters})
	return t, err
}

// count counts an answer.
func (t *telemetry) count(dialect string, status int) {
	t.answers.Add(context.Background(), 1, metric.WithAttributes(
		attribute.String("regionjwt.dialect", dialect), attribute.Int("http.response.status_code", status),
	))
}

func (t *telemetry) close(ctx context.Context) error {
	t.stop()
	return t.meters.Shutdown(ctx)
}

// StatusHandler returns the handler of the status listener: the status page with the health of the regions, /live and /metrics,
// and /verdicts for what monitors post, if there are any.
func StatusHandler(v *regionjwt.Validator, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	if monitors := v.Monitors(); monitors != nil {
		mux.Handle("/verdicts", monitors)
	}
	mux.Handle("/", statuspage.Handler(v, "regionjwt serve"))
	return mux
}

func (t *telemetry) handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{})
}

// health is the health service of gRPC: it serves while tokens can be verified, and not while it shuts down.
type health struct {
	healthpb.UnimplementedHealthServer
	ready func() error
}

var errStopping = errors.New("the server shuts down")

// Check implements the service.
func (h *health) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if h.ready() != nil {
		return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}, nil
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}
