package statuspage

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/jwks"
)

// What may be wrong with an authority, the worst first.
const (
	notReady        = "not_ready"
	regionUnhealthy = "region_unhealthy"
	fetchFailing    = "fetch_failing"
	mirrorsDiffer   = "mirrors_differ"
	ordersUnknown   = "orders_unknown"
	storeTrouble    = "store"
)

// Where the health of a region comes from.
const (
	byEvidence = "evidence"
	byKeys     = "keys"
	byNothing  = "unknown"
)

// snapshot is how things stand at one moment. It is immutable.
type snapshot struct {
	at          time.Time
	authorities []*Authority // by ID
	byID        map[string]*Authority
	byRegion    map[string][]place
	notReady    int
	troubled    int
	rules       *RuleStatus
	ready       bool
	broken      bool // a part has panicked: there is nothing else
}

// place is a region and whose it is.
type place struct {
	authority *Authority
	region    *Region
}

// look asks the parts how they stand.
func (c *Config) look(now time.Time) *snapshot {
	p := &snapshot{at: now, byID: map[string]*Authority{}, byRegion: map[string][]place{}}
	for _, f := range c.Controllers {
		p.addState(f.State())
	}
	if c.Keys != nil {
		for _, s := range c.Keys.Status() {
			r := p.authority(s.Provider).region(s.Region)
			r.KeySets = append(r.KeySets, keySetOf(&s, now))
		}
	}
	slices.SortFunc(p.authorities, func(a, b *Authority) int { return strings.Compare(a.ID, b.ID) })
	for _, a := range p.authorities {
		a.judge()
		for i := range a.Regions {
			r := &a.Regions[i]
			p.byRegion[r.Name] = append(p.byRegion[r.Name], place{a, r})
		}
		if !a.Ready {
			p.notReady++
		}
		if len(a.Trouble) > 0 {
			p.troubled++
		}
	}
	p.ready = p.notReady == 0
	if c.Rules != nil {
		s := c.Rules.Status()
		p.rules = &RuleStatus{
			Known: s.Known, Rules: s.Rules, Epoch: s.Epoch, Age: seconds(s.Age), Trouble: string(s.Trouble), Source: s.Source,
		}
		p.ready = p.ready && (s.Known || c.AllowUnknownRules)
	}
	return p
}

func seconds(d time.Duration) int64 { return int64(max(d, 0) / time.Second) }

// authority returns the authority of that ID, a new one where there is none yet.
func (p *snapshot) authority(id string) *Authority {
	a := p.byID[id]
	if a == nil {
		a = &Authority{ID: id, Trouble: []string{}, Regions: []Region{}}
		p.byID[id] = a
		p.authorities = append(p.authorities, a)
	}
	return a
}

// region returns the region of that name, a new one where there is none yet.
func (a *Authority) region(name string) *Region {
	for i := range a.Regions {
		if a.Regions[i].Name == name {
			return &a.Regions[i]
		}
	}
	a.Regions = append(a.Regions, Region{Name: name, Evidence: []Evidence{}, KeySets: []KeySet{}})
	return &a.Regions[len(a.Regions)-1]
}

func (p *snapshot) addState(s failover.State) {
	a := p.authority(s.Provider)
	a.Failover = &Failover{
		Active: s.Active, Previous: s.Previous, Generation: s.Generation, Since: s.Since.UTC(), Cause: string(s.Cause),
		Manual: s.Manual, Reason: s.Reason, OrderKnown: s.OrderKnown, OrderEpoch: s.OrderEpoch, OrderAt: s.OrderAt.UTC(),
		Confirmed: s.Confirmed.UTC(), Trouble: string(s.Trouble),
	}
	for _, r := range s.Regions {
		to := a.region(r.Name)
		to.Active, to.Health, to.Since, to.Held = r.Name == s.Active, string(r.Health), r.Since.UTC(), r.Held.UTC()
		for _, e := range r.Sources {
			to.Evidence = append(to.Evidence, Evidence{
				Source: e.Source, Health: string(e.Health), Failures: e.Failures, Successes: e.Successes, Last: e.Last.UTC(),
			})
		}
	}
}

func keySetOf(s *jwks.Status, now time.Time) KeySet {
	k := KeySet{
		Freshness: s.State, Keys: len(s.KeyIDs), KeyIDs: []string{}, Ignored: len(s.Skipped), Skipped: []Skipped{},
		Lacks: len(s.MissingKeyIDs), Failures: s.Failures, LastError: s.Failure,
	}
	if !s.LastSuccess.IsZero() {
		k.Age = seconds(now.Sub(s.LastSuccess))
	}
	if !s.NextRefresh.IsZero() {
		k.NextRefresh = seconds(s.NextRefresh.Sub(now))
	}
	if s.FromSnapshot {
		k.Source = "snapshot"
	} else {
		k.Source, _, _ = strings.Cut(s.URL, "?")
	}
	for _, id := range s.KeyIDs[:min(len(s.KeyIDs), maxKeyIDs)] {
		k.KeyIDs = append(k.KeyIDs, shortened(id))
	}
	for _, text := range s.Skipped[:min(len(s.Skipped), maxSkipped)] {
		i := strings.LastIndex(text, ": ")
		k.Skipped = append(k.Skipped, Skipped{Key: shortened(text[:max(i, 0)]), Why: text[i+len(": "):]})
	}
	if status, ok := strings.CutPrefix(s.Failure, "status "); ok {
		k.LastError = "status"
		k.LastStatus, _ = strconv.Atoi(status)
	}
	return k
}

// shortened cuts a name that a server has chosen.
func shortened(s string) string {
	count := 0
	for i := range s {
		if count == maxName {
			return s[:i] + "…"
		}
		count++
	}
	return s
}

// usable reports whether the keys of the set are used.
func (k *KeySet) usable() bool {
	return k.Freshness == "fresh" || k.Freshness == "stale"
}

// enabled reports whether the URL is expected to answer.
func (k *KeySet) enabled() bool { return k.Freshness != "not_enabled" }

// judge says how a region stands, by what is in it.
func (r *Region) judge() {
	failing, enabled, usable := 0, 0, false
	for i := range r.KeySets {
		if !r.KeySets[i].enabled() {
			continue
		}
		enabled++
		if r.KeySets[i].Failures >= failingAfter {
			failing++
		}
		usable = usable || r.KeySets[i].usable()
	}
	switch {
	case r.Health == string(failover.Healthy), r.Health == string(failover.Unhealthy):
		r.Healthy, r.Why = r.Health == string(failover.Healthy), byEvidence
	case failing > 0 && failing == enabled:
		r.Healthy, r.Why = false, byKeys
	case usable:
		r.Healthy, r.Why = true, byKeys
	default:
		r.Healthy, r.Why = true, byNothing
	}
}

// judge says how an authority stands, by what is in it.
func (a *Authority) judge() {
	sets, usable, unhealthy, failing, differ := 0, false, false, false, false
	for i := range a.Regions {
		r := &a.Regions[i]
		r.judge()
		unhealthy = unhealthy || !r.Healthy
		for j := range r.KeySets {
			k := &r.KeySets[j]
			sets++
			usable = usable || k.usable()
			failing = failing || k.Failures > 0 && k.enabled()
			differ = differ || k.Lacks > 0
		}
	}
	a.Ready = usable || sets == 0
	f := a.Failover
	for _, t := range []struct {
		wrong bool
		name  string
	}{
		{!a.Ready, notReady},
		{unhealthy, regionUnhealthy},
		{failing, fetchFailing},
		{differ, mirrorsDiffer},
		{f != nil && !f.OrderKnown, ordersUnknown},
		{f != nil && f.Trouble != "", storeTrouble},
	} {
		if t.wrong {
			a.Trouble = append(a.Trouble, t.name)
		}
	}
}

// rank orders authorities by what is worst about them.
func (a *Authority) rank() int {
	switch {
	case len(a.Trouble) == 0:
		return 3
	case a.Trouble[0] == notReady:
		return 0
	case a.Trouble[0] == regionUnhealthy:
		return 1
	}
	return 2
}

// first returns up to n authorities, those in trouble first.
func (p *snapshot) first(n int) []*Authority {
	if p.troubled == 0 {
		return p.authorities[:min(n, len(p.authorities))]
	}
	all := slices.Clone(p.authorities)
	slices.SortStableFunc(all, func(a, b *Authority) int { return cmp.Compare(a.rank(), b.rank()) })
	return all[:min(n, len(all))]
}

// after returns up to n authorities whose ID is greater than id, and the last of their IDs where there are more.
func (p *snapshot) after(id string, n int) (some []*Authority, next string) {
	byID := func(a *Authority, id string) int { return strings.Compare(a.ID, id) }
	from, found := slices.BinarySearchFunc(p.authorities, id, byID)
	if found {
		from++
	}
	some = p.authorities[from:]
	if len(some) > n {
		some = some[:n]
		next = some[n-1].ID
	}
	return some, next
}
