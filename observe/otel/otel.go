// Package otel tells OpenTelemetry what a verifier, its keys, its rules and its controllers do. An [Observer] is made first, for
// its hooks go into the configurations of what it observes; what is made then is handed to [Observer.Watch], for gauges.
//
// The names of instruments and attributes are part of the API and stand in docs/observability.md. Attributes hold names that
// were configured and closed lists, never what a token or a server said, and each is bounded: so many authorities as
// [Config.Authorities] says, 64 regions, and "other" for the rest.
//
// Attributes are named regionjwt.region rather than cloud.region: that is where the service itself runs, which exporters write
// beside them.
//
// The package has the name of its folder; import it under another where go.opentelemetry.io/otel is in use as well.
package otel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	scope          = "github.com/regionjwt/regionjwt/observe/otel"
	maxAuthorities = 1000
	maxRegions     = 64
	maxIssuers     = 64
)

// Config configures an Observer. MeterProvider is required.
type Config struct {
	// MeterProvider takes the metrics.
	MeterProvider metric.MeterProvider
	// TracerProvider takes a span for each attempt to fetch keys. Nil means that there are no spans.
	TracerProvider trace.TracerProvider

	// Authorities is how many authorities are told apart: the first so many that are met have an attribute
	// regionjwt.authority with their ID, all others share "other". 0 means that there is no such attribute, and that all
	// authorities count together. At most 1,000.
	Authorities int

	// Issuers names iss values in the attribute regionjwt.issuer of accepted tokens: {"https://issuer-cognito-idp...": "updated"}
	// shows who still uses the old one. Other values are "other". Nil means that there is no such attribute. At most 64 names.
	Issuers map[string]string

	// Attributes are on everything, to tell apart Observers that share a MeterProvider.
	Attributes []attribute.KeyValue
}

// Watched is what gauges are read from. Each may be nil. A nil or zero Controller is left out.
type Watched struct {
	Keys     *jwks.Cache
	Verifier *verifier.Verifier
	Failover []*failover.Controller
	Rules    *revocation.List
}

// Observer tells of what it is told of, and of what it watches. It is safe for concurrent use, and costs a Verify two
// measurements without an allocation of its own.
type Observer struct {
	config       Config
	instruments  instruments
	tracer       trace.Tracer // nil without
	registration metric.Registration
	watched      atomic.Pointer[Watched]

	authorities, regions names
	places               table[place, *validations]
	durations            table[judgement, []metric.RecordOption]

	mu      sync.Mutex
	failing map[place]int                 // fetches that failed in a row, by the authority itself
	trouble map[string]revocation.Trouble // of the rules, and of their copy
}

// New returns an Observer, or everything that is wrong with c as one joined error. Nothing is told before the hooks are called.
func New(c Config) (*Observer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Issuers, c.Attributes = maps.Clone(c.Issuers), slices.Clone(c.Attributes)
	o := &Observer{config: c, failing: map[place]int{}, trouble: map[string]revocation.Trouble{}}
	o.authorities.most, o.regions.most = c.Authorities, maxRegions
	var err error
	if p := guard.Call("a provider", func() { err = o.register() }); p != nil {
		return nil, fmt.Errorf("otel: %w", p)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// register makes the instruments.
func (o *Observer) register() (err error) {
	if o.config.TracerProvider != nil {
		o.tracer = o.config.TracerProvider.Tracer(scope)
	}
	meter := o.config.MeterProvider.Meter(scope)
	if o.instruments, err = newInstruments(meter); err != nil {
		return fmt.Errorf("otel: instruments: %w", err)
	}
	if o.registration, err = meter.RegisterCallback(o.observe, o.instruments.observed()...); err != nil {
		return fmt.Errorf("otel: gauges: %w", err)
	}
	return nil
}

func (c *Config) check() error {
	var errs []error
	if nils.Is(c.MeterProvider) {
		errs = append(errs, errors.New("otel: MeterProvider is required, and not set or nil"))
	}
	if nils.Typed(c.TracerProvider) {
		errs = append(errs, errors.New("otel: TracerProvider is set, and nil"))
	}
	if c.Authorities < 0 || c.Authorities > maxAuthorities {
		errs = append(errs, fmt.Errorf("otel: Authorities is not within 0 and %d", maxAuthorities))
	}
	values := map[string]bool{}
	for _, name := range c.Issuers {
		values[name] = true
	}
	if len(values) > maxIssuers || values[""] {
		errs = append(errs, fmt.Errorf("otel: Issuers has an empty name, or more than %d names", maxIssuers))
	}
	for _, a := range c.Attributes {
		if !a.Valid() || slices.Contains(ownKeys, a.Key) {
			errs = append(errs, fmt.Errorf("otel: Attributes: %q is empty, or one of this package's", a.Key))
		}
	}
	return errors.Join(errs...)
}

// Watch has the gauges read from w, in place of what was watched before. It is called when everything has been made.
func (o *Observer) Watch(w Watched) {
	if !o.made() {
		return
	}
	w.Failover = slices.DeleteFunc(slices.Clone(w.Failover), func(c *failover.Controller) bool {
		return c.State().Authority == ""
	})
	o.watched.Store(&w)
}

// Close ends the gauges. Hooks that are called later still count.
func (o *Observer) Close() error {
	if !o.made() {
		return errNotMade
	}
	return o.registration.Unregister()
}

var errNotMade = errors.New("otel: the Observer was not made by New")

// made reports whether New has made o. Otherwise there is nothing to count with.
func (o *Observer) made() bool { return o != nil && o.failing != nil }
