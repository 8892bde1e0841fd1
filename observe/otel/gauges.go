package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// The replicas of shared documents.
const (
	replicaFailover   = "failover"
	replicaRevocation = "revocation"
	replicaSignals    = "signals"
	localCopy         = "_local_copy" // the suffix of a problem with a local copy
)

var (
	sources       = []string{label.Fetched, label.Snapshot, label.None}
	localProblems = []string{label.Unavailable, label.NotAuthentic, label.Malformed}
)

// observe reads the state of the Validator.
func (o *instrumentation) observe(_ context.Context, to metric.Observer) error {
	st := o.source.Status()
	o.notice(st.Keys)
	o.observeKeys(to, st.Keys)
	r := &replicas{}
	o.observeFailover(to, st.Failover, r)
	o.observeRules(to, st.Revocation, r)
	r.emit(to, &o.instruments)
	return nil
}

// series gathers the values of an instrument, in the order in which they first appear.
type series[V int64 | float64] struct {
	order  []attribute.Set
	values map[attribute.Distinct]V
}

// at changes the value of a series.
func (s *series[V]) at(set attribute.Set, change func(V) V) {
	k := set.Equivalent()
	if s.values == nil {
		s.values = map[attribute.Distinct]V{}
	}
	before, ok := s.values[k]
	if !ok {
		s.order = append(s.order, set)
	}
	s.values[k] = change(before)
}

func (s *series[V]) add(set attribute.Set, v V)     { s.at(set, func(old V) V { return old + v }) }
func (s *series[V]) highest(set attribute.Set, v V) { s.at(set, func(old V) V { return max(old, v) }) }

func (s *series[V]) each(f func(V, metric.ObserveOption)) {
	for _, set := range s.order {
		f(s.values[set.Equivalent()], metric.WithAttributeSet(set))
	}
}

// gauge is an instrument and its series.
type gauge struct {
	of     metric.Int64ObservableGauge
	values *series[int64]
}

func count(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

func (o *instrumentation) observeKeys(to metric.Observer, all []jwks.Status) {
	var sets, from, failures, failing, keys, missing series[int64]
	inARow := o.failures(all)
	for i := range all {
		st := &all[i]
		p := o.place(st.Provider, st.Region)
		here := set(p)
		for _, state := range label.States() {
			sets.add(set(p, keyState.String(state)), count(state == st.State))
		}
		for _, s := range sources {
			from.add(set(p, keySource.String(s)), count(s == sourceOf(st)))
		}
		failures.highest(here, int64(st.Failures))
		failing.highest(here, int64(inARow[location{st.Provider, st.Region}]))
		keys.highest(here, int64(len(st.KeyIDs)))
		missing.highest(here, int64(len(st.MissingKeyIDs)))
	}
	i := &o.instruments
	o.ages(all, time.Now()).each(func(v float64, at metric.ObserveOption) { to.ObserveFloat64(i.keySetAge, v, at) })
	emit(to, []gauge{
		{i.keySets, &sets},
		{i.keySetSources, &from},
		{i.keySetFailures, &failures},
		{i.urlFailing, &failing},
		{i.keys, &keys},
		{i.missingKeys, &missing},
	})
}

func emit(to metric.Observer, all []gauge) {
	for _, g := range all {
		g.values.each(func(v int64, at metric.ObserveOption) { to.ObserveInt64(g.of, v, at) })
	}
}

// ages returns the age of the keys of each region: the time since a URL last listed the key that has not been listed for
// longest. A URL that is not fetched because another one lists the same keys has no effect. Without usable keys, it is the time
// since the last good answer.
func (o *instrumentation) ages(all []jwks.Status, now time.Time) *series[float64] {
	type known struct {
		last time.Time
		keys map[string]time.Time
	}
	regions, order := map[location]*known{}, []location(nil)
	later := func(a, b time.Time) time.Time {
		if a.After(b) {
			return a
		}
		return b
	}
	for i := range all {
		st := &all[i]
		at := location{st.Provider, st.Region}
		if st.LastSuccess.IsZero() {
			continue
		}
		if regions[at] == nil {
			regions[at] = &known{keys: map[string]time.Time{}}
			order = append(order, at)
		}
		r := regions[at]
		r.last = later(r.last, st.LastSuccess)
		for _, kid := range st.KeyIDs {
			r.keys[kid] = later(r.keys[kid], st.LastSuccess)
		}
	}
	var ages series[float64]
	for _, at := range order {
		oldest := regions[at].last
		for _, last := range regions[at].keys {
			if last.Before(oldest) {
				oldest = last
			}
		}
		ages.highest(set(o.place(at.provider, at.region)), max(0, now.Sub(oldest).Seconds()))
	}
	return &ages
}

// failures returns the failures in a row of each region, and forgets those of regions that are no longer configured.
func (o *instrumentation) failures(all []jwks.Status) map[location]int {
	there := make(map[location]int, len(all))
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range all {
		at := location{all[i].Provider, all[i].Region}
		there[at] = o.failing[at]
	}
	for at := range o.failing {
		if _, ok := there[at]; !ok {
			delete(o.failing, at)
		}
	}
	return there
}

// sourceOf returns the source of the keys of a URL.
func sourceOf(st *jwks.Status) string {
	switch {
	case st.State == label.Snapshot:
		return label.Snapshot
	case st.LastSuccess.IsZero():
		return label.None
	}
	return label.Fetched
}

// replicas gathers the state of the shared documents.
type replicas struct {
	epoch, unknown, problem, stale series[int64]
	age                            series[float64]
}

// add adds the replica of a document; that of a failover without a store is the zero value.
func (r *replicas) add(p place, name string, st *store.ReplicaStatus) {
	if st.Origin == "" {
		return
	}
	here := set(p, keyReplica.String(name))
	r.epoch.highest(here, int64(st.Epoch))
	r.unknown.add(here, count(st.Origin == label.None))
	r.stale.add(here, count(st.Stale))
	if !st.Confirmed.IsZero() {
		r.age.highest(here, max(0, time.Since(st.Confirmed).Seconds()))
	}
	for _, problem := range label.Problems() {
		r.problem.add(set(p, keyReplica.String(name), keyProblem.String(problem)), count(problem == st.StoreProblem))
	}
	for _, problem := range localProblems {
		r.problem.add(set(p, keyReplica.String(name+localCopy), keyProblem.String(problem)), count(problem == st.LocalProblem))
	}
}

func (r *replicas) emit(to metric.Observer, i *instruments) {
	emit(to, []gauge{{i.replicaEpoch, &r.epoch}, {i.problem, &r.problem}, {i.stale, &r.stale}})
	r.unknown.each(func(v int64, at metric.ObserveOption) { to.ObserveInt64(i.replicaKnown, count(v == 0), at) })
	r.age.each(func(v float64, at metric.ObserveOption) { to.ObserveFloat64(i.replicaAge, v, at) })
}

func (o *instrumentation) observeFailover(to metric.Observer, all []failover.Status, r *replicas) {
	var active, health, pinned, conflicts series[int64]
	for i := range all {
		st := &all[i]
		p := place{provider: o.provider(st.Provider)}
		r.add(p, replicaFailover, &st.Replica)
		conflicts.add(set(p), int64(len(st.Conflicts)))
		for _, region := range st.Regions {
			p := o.place(st.Provider, region.Region)
			active.add(set(p), count(region.Region == st.Active))
			pinned.add(set(p), count(region.Region == st.Active && st.Pinned))
			for _, h := range label.Healths() {
				health.add(set(p, keyHealth.String(h)), count(h == region.Health))
			}
		}
	}
	i := &o.instruments
	emit(to, []gauge{{i.active, &active}, {i.health, &health}, {i.pinned, &pinned}, {i.conflicts, &conflicts}})
}

func (o *instrumentation) observeRules(to metric.Observer, st *revocation.Status, r *replicas) {
	if st == nil {
		return
	}
	to.ObserveInt64(o.instruments.rules, int64(st.Rules), metric.WithAttributeSet(attribute.NewSet()))
	to.ObserveInt64(o.instruments.unreadable, int64(st.Unreadable), metric.WithAttributeSet(attribute.NewSet()))
	r.add(place{}, replicaRevocation, &st.Replica)
	if len(st.Signals) == 0 {
		return
	}
	refused := 0
	for i := range st.Signals {
		refused += st.Signals[i].Refused
		r.add(place{}, replicaSignals, &st.Signals[i].Replica)
	}
	to.ObserveInt64(o.instruments.refused, int64(refused), metric.WithAttributeSet(attribute.NewSet()))
}
