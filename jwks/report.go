package jwks

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
)

// onFetch calls the hook of the configuration.
func (c *Cache) onFetch(q *request, got *answer, outage bool) {
	if c.config.OnFetch == nil {
		return
	}
	told := map[string]bool{}
	f := Fetch{URL: q.attempt.slot.name(), Duration: time.Since(q.began), OnDemand: q.urgent}
	if got.failed != nil {
		f.Failure, f.Outage = got.failed.String(), outage
		if got.failed.refused() && q.attempt.slot.optional && !q.attempt.slot.current().Known {
			f.Failure = label.NotEnabled
		}
	}
	for _, home := range c.table.Load().homes(q.set, q.attempt.slot) {
		if told[home.provider] {
			continue
		}
		told[home.provider] = true
		f.Provider, f.Region = home.provider, home.name
		c.hook(f)
	}
}

// isOutage reports whether a failure says that the region fails. One of a round that a token caused does not: anybody can
// send tokens. A host may also reject requests because a flood of tokens makes them too many. So while there is one, a status
// says something only of a host that has answered none well for a while. The caller holds the set's mutex.
func (q *request) isOutage(f *failure) bool {
	if f == nil || !f.outage() {
		return false
	}
	switch q.round.cause {
	case causeRefresh:
		return true
	case causeToken:
	case causeFlood:
		return f.status == 0 || !q.cache.hosts.serves(q.ticket, limitedTime)
	}
	return false
}

// hook calls OnFetch, unless too many calls have not returned.
func (c *Cache) hook(f Fetch) {
	defer c.hooks.Add(-1)
	if c.hooks.Add(1) > maxHooks {
		return
	}
	if err := guard.Call("OnFetch", func() { c.config.OnFetch(f) }); err != nil {
		c.log.Error("OnFetch panicked", "error", err)
	}
}

// homes lists the regions that a URL of a set belongs to, those first that list it furthest in front.
func (t *table) homes(s *set, sl *slot) []regionSets {
	var of []regionSets
	for _, r := range t.regions {
		if slices.Contains(r.sets, s) {
			of = append(of, r)
		}
	}
	slices.SortStableFunc(of, func(a, b regionSets) int { return a.place(sl) - b.place(sl) })
	home := of[:0:0]
	for _, r := range of { // another region of the provider may list the URL further in front, in another set
		if !slices.ContainsFunc(t.regions, func(o regionSets) bool {
			at := o.place(sl)
			return o.provider == r.provider && at >= 0 && at < r.place(sl)
		}) {
			home = append(home, r)
		}
	}
	return home
}

// place returns at which place the region lists the URL, or -1.
func (r *regionSets) place(sl *slot) int {
	return slices.IndexFunc(r.sets[0].slots, func(o *slot) bool { return sl.url != "" && o.url == sl.url })
}
