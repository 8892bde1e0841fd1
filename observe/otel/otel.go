// Package otel records OpenTelemetry metrics and traces: [Instrument] those of a Validator, [InstrumentTokens] those of a source
// of machine tokens.
//
// The names of instruments and attributes are part of the API; docs/observability.md lists them. Attributes have configured names
// and labels from closed lists, never a value from a token or a server, and each is bounded: [Config.MaxProviders] providers, 64
// regions, and "other" for the rest. If every provider has one region, there is no attribute for regions.
//
// The attribute is regionjwt.region, not cloud.region: that is the region of the service itself, which exporters may add.
//
// The package has the name of its folder; import it under another name if go.opentelemetry.io/otel is in use as well.
package otel

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
)

const (
	scope            = "github.com/regionjwt/regionjwt/observe/otel"
	defaultProviders = 16
	maxProviders     = 1000
	maxRegions       = 64
	maxIssuers       = 64
)

// Config configures the instrumentation. MeterProvider is required.
type Config struct {
	// MeterProvider receives the metrics.
	MeterProvider metric.MeterProvider
	// TracerProvider receives a span for each attempt to fetch keys, or request for a machine token. Nil means that there are no
	// spans.
	TracerProvider trace.TracerProvider

	// MaxProviders is how many providers the attribute regionjwt.provider distinguishes: the first that appear have their ID,
	// all others have "other". 0 means 16; the most is 1,000.
	MaxProviders int

	// IssuerNames gives iss values a name in the attribute regionjwt.issuer of accepted tokens, for example to see which clients
	// still use an old issuer: {"https://issuer-cognito-idp...": "updated"}. Other values have "other". Nil means that there is
	// no such attribute. At most 64 names.
	IssuerNames map[string]string
}

// source is a Validator.
type source interface {
	Status() regionjwt.Status
	Observe(o regionjwt.Observer) (stop func())
}

// instrumentation records what a Validator does. It is safe for concurrent use.
type instrumentation struct {
	config      Config
	source      source
	instruments instruments
	tracer      trace.Tracer // nil without TracerProvider

	regional           atomic.Bool // a provider has had several regions
	providers, regions names
	places             table[place, *verifications]
	durations          table[verification, []metric.RecordOption]

	mu      sync.Mutex
	failing map[location]int // fetches that failed in a row
}

// Instrument records metrics and traces of v until stop is called. It returns an error for each problem with its arguments.
// Gauges read v.Status whenever the metrics are collected. A token costs two measurements, which make no allocation. Call
// Instrument before v is used: see Validator.Observe. Calling stop again does nothing.
func Instrument(v *regionjwt.Validator, c Config) (stop func(), err error) {
	if v == nil || len(v.Status().Keys) == 0 { // a Validator that New has made has JWKS URLs
		return nil, errors.Join(errors.New("otel: the Validator is nil or zero: make it with regionjwt.New"), c.check())
	}
	return instrument(v, c)
}

func instrument(v source, c Config) (stop func(), err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.MaxProviders == 0 {
		c.MaxProviders = defaultProviders
	}
	c.IssuerNames = maps.Clone(c.IssuerNames)
	o := &instrumentation{config: c, source: v, failing: map[location]int{}}
	o.providers.most, o.regions.most = c.MaxProviders, maxRegions
	var gauges metric.Registration
	if p := guard.Call("a provider of metrics or traces", func() { gauges, err = o.register() }); p != nil {
		return nil, fmt.Errorf("otel: %w", p)
	}
	if err != nil {
		return nil, err
	}
	st := v.Status()
	o.notice(st.Keys)
	stopObserving := v.Observe(regionjwt.Observer{Decision: o.decision, Fetch: o.fetch, Failover: o.failover})
	var once sync.Once
	return func() {
		once.Do(func() {
			stopObserving()
			guard.Report(guard.Call("the metrics SDK", func() { _ = gauges.Unregister() })) // it has no error to act on
		})
	}, nil
}

// register makes the instruments.
func (o *instrumentation) register() (gauges metric.Registration, err error) {
	if o.config.TracerProvider != nil {
		o.tracer = o.config.TracerProvider.Tracer(scope)
	}
	meter := o.config.MeterProvider.Meter(scope)
	if o.instruments, err = newInstruments(meter); err != nil {
		return nil, fmt.Errorf("otel: instruments: %w", err)
	}
	if gauges, err = meter.RegisterCallback(o.observe, o.instruments.observed()...); err != nil {
		return nil, fmt.Errorf("otel: gauges: %w", err)
	}
	return gauges, nil
}

// check reports every problem with c.
func (c *Config) check() error {
	var errs []error
	if nils.Is(c.MeterProvider) {
		errs = append(errs, errors.New("otel: MeterProvider is required, and is nil"))
	}
	if nils.Typed(c.TracerProvider) {
		errs = append(errs, errors.New("otel: TracerProvider is a nil pointer in an interface"))
	}
	if c.MaxProviders < 0 || c.MaxProviders > maxProviders {
		errs = append(errs, fmt.Errorf("otel: MaxProviders is not between 0 and %d", maxProviders))
	}
	values := map[string]bool{}
	for _, name := range c.IssuerNames {
		values[name] = true
	}
	if len(values) > maxIssuers || values[""] {
		errs = append(errs, fmt.Errorf("otel: IssuerNames has an empty name, or more than %d names", maxIssuers))
	}
	return errors.Join(errs...)
}
