package otel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/tokenwatch"
)

// tokens records what a TokenSource does. It is safe for concurrent use.
type tokens struct {
	source   *clientcredentials.TokenSource
	provider string
	regional bool
	tracer   trace.Tracer // nil without TracerProvider

	requests  metric.Int64Counter
	duration  metric.Float64Histogram
	expiresIn metric.Float64ObservableGauge
}

// InstrumentTokens records metrics of a source of machine tokens until stop is called, and a span for each request if c has a
// TracerProvider: its requests to token endpoints, those of exchanges as well, and how long the token in memory is still valid.
// The source may be one of package workload, whose provider is "sts". MaxProviders and IssuerNames have no effect.
//
// Sources of one provider share their series: counters add up, and the gauge has the token of one of them. It returns an error
// for each problem with its arguments. Calling stop again does nothing.
func InstrumentTokens(s *clientcredentials.TokenSource, c Config) (stop func(), err error) {
	st := tokenwatch.StatusOf(s)
	errs := []error{c.check()}
	if st.Provider == "" {
		errs = append(errs, errors.New("otel: the TokenSource is nil or zero: make it with clientcredentials.New"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	o := &tokens{source: s, provider: st.Provider, regional: st.Regional}
	var gauge metric.Registration
	if p := guard.Call("a provider of metrics or traces", func() { gauge, err = o.register(&c) }); p != nil {
		return nil, fmt.Errorf("otel: %w", p)
	}
	if err != nil {
		return nil, err
	}
	stopWatching := tokenwatch.Watch(s, o.request)
	var once sync.Once
	return func() {
		once.Do(func() {
			stopWatching()
			guard.Report(guard.Call("the metrics SDK", func() { _ = gauge.Unregister() })) // it has no error to act on
		})
	}, nil
}

// register makes the instruments.
func (o *tokens) register(c *Config) (metric.Registration, error) {
	if c.TracerProvider != nil {
		o.tracer = c.TracerProvider.Tracer(scope)
	}
	meter := c.MeterProvider.Meter(scope)
	m := &maker{Meter: meter}
	o.requests = m.counter("regionjwt.machine_token.requests", "{request}", "Requests for machine tokens.")
	o.duration = m.duration("regionjwt.machine_token.request.duration", "Time of a request for a machine token.", fetchBuckets)
	o.expiresIn = m.age("regionjwt.machine_token.expires_in", "Time until the machine token in memory expires.")
	if err := errors.Join(m.errs...); err != nil {
		return nil, fmt.Errorf("otel: instruments: %w", err)
	}
	gauge, err := meter.RegisterCallback(o.observe, o.expiresIn)
	if err != nil {
		return nil, fmt.Errorf("otel: gauges: %w", err)
	}
	return gauge, nil
}

// place names a region if there are several.
func (o *tokens) place(region string) place {
	if !o.regional {
		return place{provider: o.provider}
	}
	return place{provider: o.provider, region: region}
}

// request records a request that has ended.
func (o *tokens) request(r tokenwatch.Request) {
	p, result, ctx := o.place(r.Region), resultOfRequest(r.Failure), context.Background()
	o.requests.Add(ctx, 1, metric.WithAttributeSet(set(p, result...)))
	o.duration.Record(ctx, r.Duration.Seconds(), metric.WithAttributeSet(set(p, result[0])))
	if o.tracer != nil {
		span(o.tracer, "regionjwt.request_token", r.Failure, r.Duration, p, result)
	}
}

// resultOfRequest returns the result of a request for a token, and for a failure its type: the code of a rejection, or the
// failure without the number. Both are closed lists.
func resultOfRequest(failure string) []attribute.KeyValue {
	code, rejected := strings.CutPrefix(failure, "rejected ")
	switch {
	case failure == "":
		return []attribute.KeyValue{keyResult.String("ok")}
	case rejected:
		return []attribute.KeyValue{keyResult.String("rejected"), keyErrorType.String(code)}
	}
	return []attribute.KeyValue{keyResult.String("failed"), keyErrorType.String(label.Class(failure))}
}

// observe reads the state of the TokenSource.
func (o *tokens) observe(_ context.Context, to metric.Observer) error {
	if st := tokenwatch.StatusOf(o.source); !st.Expires.IsZero() {
		left := max(0, time.Until(st.Expires).Seconds())
		to.ObserveFloat64(o.expiresIn, left, metric.WithAttributeSet(set(o.place(st.Region))))
	}
	return nil
}
