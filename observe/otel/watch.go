package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// What operators control.
const (
	controlFailover  = "failover"
	controlRules     = "rules"
	controlRulesCopy = "rules_copy"
)

var (
	keyStates = []string{"empty", "fresh", "stale", "expired", "not_enabled"}
	sources   = []string{"fetched", "snapshot", "none"}
	healths   = []failover.Health{failover.Unknown, failover.Healthy, failover.Unhealthy}

	failoverTroubles = []failover.Trouble{
		failover.Unreachable, failover.NotAuthentic, failover.Malformed, failover.Wiped, failover.Behind,
	}
	rulesTroubles = []revocation.Trouble{
		revocation.Unreachable, revocation.NotAuthentic, revocation.Malformed,
		revocation.Wiped, revocation.Missing, revocation.Behind,
	}
)

// observe reads what is watched.
func (o *Observer) observe(_ context.Context, to metric.Observer) error {
	w := o.watched.Load()
	if w == nil {
		return nil
	}
	if w.Keys != nil {
		o.observeKeys(to, w.Keys.Status())
	}
	if w.Verifier != nil {
		o.observeDrift(to, w.Verifier.Status())
	}
	states := make([]failover.State, 0, len(w.Failover))
	for _, c := range w.Failover {
		states = append(states, c.State())
	}
	o.observeFailover(to, states)
	if w.Rules != nil {
		o.observeRules(to, w.Rules.Status())
	}
	return nil
}

// series gathers the values of series, in the order in which they are first met.
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

func (o *Observer) observeKeys(to metric.Observer, all []jwks.Status) {
	var sets, from, failures, failing, keys, lacks series[int64]
	inARow := o.failures(all)
	for i := range all {
		st := &all[i]
		p := o.place(st.Provider, st.Region)
		here := o.set(p)
		for _, state := range keyStates {
			sets.add(o.set(p, keyState.String(state)), count(state == st.State))
		}
		for _, s := range sources {
			from.add(o.set(p, keySource.String(s)), count(s == sourceOf(st)))
		}
		failures.highest(here, int64(st.Failures))
		failing.highest(here, int64(inARow[place{st.Provider, st.Region}]))
		keys.highest(here, int64(len(st.KeyIDs)))
		lacks.highest(here, int64(len(st.MissingKeyIDs)))
	}
	i := &o.instruments
	o.ages(all, time.Now()).each(func(v float64, at metric.ObserveOption) { to.ObserveFloat64(i.keySetAge, v, at) })
	for _, g := range []gauge{
		{i.keySets, &sets},
		{i.keySetSources, &from},
		{i.keySetFailures, &failures},
		{i.regionFailures, &failing},
		{i.keys, &keys},
		{i.lacks, &lacks},
	} {
		g.values.each(func(v int64, at metric.ObserveOption) { to.ObserveInt64(g.of, v, at) })
	}
}

// ages returns how old the keys of each region are: for the key that has gone longest, the time since a URL listed it. A URL that
// is not asked because another one lists the same keys makes nothing old. Without usable keys, it is the time since the last good
// answer.
func (o *Observer) ages(all []jwks.Status, now time.Time) *series[float64] {
	type known struct {
		last time.Time
		keys map[string]time.Time
	}
	regions, order := map[place]*known{}, []place(nil)
	later := func(a, b time.Time) time.Time {
		if a.After(b) {
			return a
		}
		return b
	}
	for i := range all {
		st := &all[i]
		at := place{st.Provider, st.Region}
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
		ages.highest(o.set(o.place(at.authority, at.region)), max(0, now.Sub(oldest).Seconds()))
	}
	return &ages
}

// failures returns the failures in a row of each region, and forgets those of regions that are not configured any more.
func (o *Observer) failures(all []jwks.Status) map[place]int {
	there := make(map[place]int, len(all))
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range all {
		at := place{all[i].Provider, all[i].Region}
		there[at] = o.failing[at]
	}
	for at := range o.failing {
		if _, ok := there[at]; !ok {
			delete(o.failing, at)
		}
	}
	return there
}

// sourceOf says where the keys of a URL come from.
func sourceOf(st *jwks.Status) string {
	switch {
	case st.FromSnapshot:
		return "snapshot"
	case st.LastSuccess.IsZero():
		return "none"
	}
	return "fetched"
}

func (o *Observer) observeDrift(to metric.Observer, all []verifier.RegionStatus) {
	now := time.Now()
	latest := map[place]time.Time{}
	for i := range all {
		p := o.place(all[i].Provider, all[i].Region)
		if all[i].Last.After(latest[p]) {
			latest[p] = all[i].Last
		}
	}
	for p, last := range latest {
		to.ObserveFloat64(o.instruments.driftAge, max(0, now.Sub(last).Seconds()), metric.WithAttributeSet(o.set(p)))
	}
}

func (o *Observer) observeFailover(to metric.Observer, states []failover.State) {
	var active, health, pinned, epoch, unknownOrders, trouble series[int64]
	var age series[float64]
	now := time.Now()
	for i := range states {
		st := &states[i]
		control := place{authority: o.authority(st.Provider)}
		here := o.set(control, keyControl.String(controlFailover))
		epoch.highest(here, int64(st.OrderEpoch))
		unknownOrders.add(here, count(!st.OrderKnown))
		if !st.Confirmed.IsZero() {
			age.highest(here, max(0, now.Sub(st.Confirmed).Seconds()))
		}
		for _, t := range failoverTroubles {
			set := o.set(control, keyControl.String(controlFailover), keyTrouble.String(string(t)))
			trouble.add(set, count(t == st.Trouble))
		}
		for _, r := range st.Regions {
			p := o.place(st.Provider, r.Name)
			active.add(o.set(p), count(r.Name == st.Active))
			pinned.add(o.set(p), count(r.Name == st.Active && st.Manual))
			for _, h := range healths {
				health.add(o.set(p, keyHealth.String(string(h))), count(h == r.Health))
			}
		}
	}
	i := &o.instruments
	for _, g := range []gauge{
		{i.active, &active}, {i.health, &health}, {i.pinned, &pinned}, {i.controlEpoch, &epoch}, {i.inTrouble, &trouble},
	} {
		g.values.each(func(v int64, at metric.ObserveOption) { to.ObserveInt64(g.of, v, at) })
	}
	unknownOrders.each(func(v int64, at metric.ObserveOption) { to.ObserveInt64(i.controlKnown, count(v == 0), at) })
	age.each(func(v float64, at metric.ObserveOption) { to.ObserveFloat64(i.controlAge, v, at) })
}

func (o *Observer) observeRules(to metric.Observer, st revocation.Status) {
	here := metric.WithAttributeSet(o.set(place{}, keyControl.String(controlRules)))
	i := &o.instruments
	to.ObserveInt64(i.rules, int64(st.Rules), metric.WithAttributeSet(o.set(place{})))
	to.ObserveInt64(i.controlEpoch, int64(st.Epoch), here)
	to.ObserveInt64(i.controlKnown, count(st.Known), here)
	if st.Age > 0 || st.Source == "store" {
		to.ObserveFloat64(i.controlAge, st.Age.Seconds(), here)
	}
	for control, now := range map[string]revocation.Trouble{controlRules: st.Trouble, controlRulesCopy: st.CopyTrouble} {
		for _, t := range rulesTroubles {
			set := o.set(place{}, keyControl.String(control), keyTrouble.String(string(t)))
			to.ObserveInt64(i.inTrouble, count(t == now), metric.WithAttributeSet(set))
		}
	}
}
