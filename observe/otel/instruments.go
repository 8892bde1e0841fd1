package otel

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// The buckets of durations, in seconds. A remembered token takes a microsecond, a signature tens of them, a wait for keys up to
// two seconds; a fetch has five.
var (
	validationBuckets = []float64{
		0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1, 2.5,
	}
	fetchBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5}
)

type instruments struct {
	validations                            metric.Int64Counter
	validationDuration                     metric.Float64Histogram
	drifts                                 metric.Int64Counter
	fetches                                metric.Int64Counter
	fetchDuration                          metric.Float64Histogram
	moves, healthChanges, missed, troubles metric.Int64Counter
	keySetAge                              metric.Float64ObservableGauge
	keySets, keySetSources, keys           metric.Int64ObservableGauge
	keySetFailures, regionFailures, lacks  metric.Int64ObservableGauge
	driftAge, controlAge                   metric.Float64ObservableGauge
	active, health, pinned                 metric.Int64ObservableGauge
	controlEpoch, controlKnown, inTrouble  metric.Int64ObservableGauge
	rules                                  metric.Int64ObservableGauge
}

// maker makes instruments and keeps what went wrong.
type maker struct {
	metric.Meter
	errs []error
}

func keep[T any](m *maker, i T, err error) T {
	if err != nil {
		m.errs = append(m.errs, err)
	}
	return i
}

func (m *maker) counter(name, unit, text string) metric.Int64Counter {
	i, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(text))
	return keep(m, i, err)
}

func (m *maker) duration(name, text string, buckets []float64) metric.Float64Histogram {
	i, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(text),
		metric.WithExplicitBucketBoundaries(buckets...))
	return keep(m, i, err)
}

func (m *maker) gauge(name, unit, text string) metric.Int64ObservableGauge {
	i, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
	return keep(m, i, err)
}

func (m *maker) age(name, text string) metric.Float64ObservableGauge {
	i, err := m.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(text))
	return keep(m, i, err)
}

func newInstruments(meter metric.Meter) (instruments, error) {
	m := &maker{Meter: meter}
	i := instruments{
		validations:        m.counter("regionjwt.validations", "{validation}", "Tokens judged."),
		validationDuration: m.duration("regionjwt.validation.duration", "Time to judge a token.", validationBuckets),
		drifts:             m.counter("regionjwt.drifts", "{drift}", "Signs that a region does not do what it should."),

		fetches:       m.counter("regionjwt.key.fetches", "{fetch}", "Attempts to fetch keys from one URL."),
		fetchDuration: m.duration("regionjwt.key.fetch.duration", "Time of an attempt to fetch keys.", fetchBuckets),

		moves:         m.counter("regionjwt.failover.moves", "{move}", "Moves of the active region."),
		healthChanges: m.counter("regionjwt.failover.health.changes", "{change}", "Changes of the health of regions."),
		missed:        m.counter("regionjwt.failover.missed_events", "{event}", "Events that came too fast to be told."),
		troubles:      m.counter("regionjwt.control.troubles", "{trouble}", "Troubles with a store that have begun."),

		keySetAge:      m.age("regionjwt.key_set.age", "Time since a JWKS URL last listed a key in use, of the oldest key."),
		keySets:        m.gauge("regionjwt.key_sets", "{set}", "Key sets in a state."),
		keySetSources:  m.gauge("regionjwt.key_set.sources", "{set}", "JWKS URLs by where their keys come from."),
		keySetFailures: m.gauge("regionjwt.key_set.failures", "{fetch}", "Requests to a JWKS URL failed in a row, at most."),
		regionFailures: m.gauge("regionjwt.region.failures", "{fetch}",
			"Fetches of a region's own URLs failed in a row, at most."),
		keys:     m.gauge("regionjwt.keys", "{key}", "Keys in use."),
		lacks:    m.gauge("regionjwt.jwks_url.missing_keys", "{key}", "Keys that another JWKS URL lists and this one does not."),
		driftAge: m.age("regionjwt.drift.age", "Time since a token last showed drift."),

		active:       m.gauge("regionjwt.failover.active", "{authority}", "Authorities of which the region is active."),
		health:       m.gauge("regionjwt.failover.health", "{authority}", "Authorities of which the region has a health."),
		pinned:       m.gauge("regionjwt.failover.pinned", "{authority}", "Authorities of which an operator holds the region."),
		controlEpoch: m.gauge("regionjwt.control.epoch", "{change}", "Changes that were shared, at most."),
		controlAge:   m.age("regionjwt.control.age", "Time since the store last answered, at most."),
		controlKnown: m.gauge("regionjwt.control.known", "{control}", "1 where it is known what operators have said, else 0."),
		inTrouble:    m.gauge("regionjwt.control.trouble", "{control}", "Stores that are in a trouble."),
		rules:        m.gauge("regionjwt.rules", "{rule}", "Revocation rules that count."),
	}
	return i, errors.Join(m.errs...)
}

// observed lists the instruments that are read.
func (i *instruments) observed() []metric.Observable {
	return []metric.Observable{
		i.keySetAge, i.keySets, i.keySetSources, i.keySetFailures, i.regionFailures, i.keys, i.lacks, i.driftAge, i.active,
		i.health, i.pinned, i.controlEpoch, i.controlAge, i.controlKnown, i.inTrouble, i.rules,
	}
}
