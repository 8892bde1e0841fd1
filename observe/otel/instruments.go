package otel

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// The buckets of durations, in seconds. A cached token takes a microsecond, a signature tens of them, a wait for keys up to two
// seconds; a fetch has five.
var (
	verificationBuckets = []float64{
		0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1, 2.5,
	}
	fetchBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5}
)

type instruments struct {
	verifications                           metric.Int64Counter
	verificationDuration                    metric.Float64Histogram
	fetches                                 metric.Int64Counter
	fetchDuration                           metric.Float64Histogram
	moves, healthChanges                    metric.Int64Counter
	keySetAge                               metric.Float64ObservableGauge
	keySets, keySetSources, keys            metric.Int64ObservableGauge
	keySetFailures, urlFailing, missingKeys metric.Int64ObservableGauge
	active, health, pinned, conflicts       metric.Int64ObservableGauge
	replicaAge                              metric.Float64ObservableGauge
	replicaEpoch, replicaKnown, problem     metric.Int64ObservableGauge
	stale, rules, unreadable, refused       metric.Int64ObservableGauge
}

// maker makes instruments and keeps the errors.
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
		verifications: m.counter("regionjwt.token.verifications", "{token}", "Tokens that Verify has accepted or rejected."),
		verificationDuration: m.duration("regionjwt.token.verification.duration",
			"Time of Verify, with the wait for keys if there was one.", verificationBuckets),

		fetches:       m.counter("regionjwt.key.fetches", "{fetch}", "Attempts to fetch keys from one URL."),
		fetchDuration: m.duration("regionjwt.key.fetch.duration", "Time of an attempt to fetch keys.", fetchBuckets),

		moves:         m.counter("regionjwt.failover.moves", "{move}", "Changes of the active region."),
		healthChanges: m.counter("regionjwt.failover.health.changes", "{change}", "Changes of the health of regions."),

		keySetAge:      m.age("regionjwt.key_set.age", "Time since a JWKS URL last listed a key in use, of the oldest key."),
		keySets:        m.gauge("regionjwt.key_sets", "{set}", "JWKS URLs in a state."),
		keySetSources:  m.gauge("regionjwt.key_set.sources", "{set}", "JWKS URLs by the source of their keys."),
		keySetFailures: m.gauge("regionjwt.key_set.failures", "{fetch}", "Requests to a JWKS URL failed in a row, at most."),
		urlFailing: m.gauge("regionjwt.jwks_url.failing", "{fetch}",
			"Fetches from a region's own JWKS URLs failed in a row, at most."),
		keys: m.gauge("regionjwt.keys", "{key}", "Keys in use."),
		missingKeys: m.gauge("regionjwt.jwks_url.missing_keys", "{key}",
			"Keys that another JWKS URL lists and this one does not."),

		active: m.gauge("regionjwt.failover.active", "{provider}", "Providers for which the region is active."),
		health: m.gauge("regionjwt.failover.health", "{provider}", "Providers for which the region has a health."),
		pinned: m.gauge("regionjwt.failover.pinned", "{provider}", "Providers for which an operator has pinned the region."),

		replicaEpoch: m.gauge("regionjwt.replica.epoch", "{change}", "Changes that were shared, at most."),
		replicaAge:   m.age("regionjwt.replica.age", "Time since the store last answered, at most."),
		replicaKnown: m.gauge("regionjwt.replica.known", "{replica}", "1 if the document is known, else 0."),
		problem:      m.gauge("regionjwt.replica.problem", "{replica}", "Replicas whose store has a problem."),
		stale:        m.gauge("regionjwt.replica.stale", "{replica}", "Replicas without a recent proof that all is there."),
		rules:        m.gauge("regionjwt.revocation.rules", "{rule}", "Revocation rules in effect."),
		unreadable:   m.gauge("regionjwt.revocation.unreadable", "{rule}", "Rules of a newer version, which are not applied."),
		refused:      m.gauge("regionjwt.revocation.refused", "{rule}", "Rules of receivers of events, which are not applied."),
		conflicts:    m.gauge("regionjwt.failover.conflicts", "{pin}", "Pins in conflict."),
	}
	return i, errors.Join(m.errs...)
}

// observed lists the gauges.
func (i *instruments) observed() []metric.Observable {
	return []metric.Observable{
		i.keySetAge, i.keySets, i.keySetSources, i.keySetFailures, i.urlFailing, i.keys, i.missingKeys, i.active, i.health,
		i.pinned, i.replicaEpoch, i.replicaAge, i.replicaKnown, i.stale, i.problem, i.rules,
		i.unreadable, i.refused, i.conflicts,
	}
}
