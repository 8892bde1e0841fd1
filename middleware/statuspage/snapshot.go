package statuspage

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/jwks"
)

// The problems of a provider, the worst first.
const (
	notReady         = "not_ready"
	regionUnhealthy  = "region_unhealthy"
	fetchFailing     = "fetch_failing"
	keysInconsistent = "keys_inconsistent"
	pinConflict      = "pin_conflict"
	pinUnknown       = "pin_unknown"
	storeProblem     = "store_problem"
)

// Where the health of a region comes from.
const (
	byReports = "reports"
	byKeys    = "keys"
	byNothing = "unknown"
)

// snapshot is the state at one moment. It is immutable.
type snapshot struct {
	at        time.Time
	status    regionjwt.Status
	providers []*provider // by ID
	byID      map[string]*provider
	byRegion  map[string][]place
	notReady  int
	problems  int // providers with a problem
}

// place is a region and its provider.
type place struct {
	provider *provider
	region   *region
}

// provider is the state of one provider.
type provider struct {
	ID       string
	Ready    bool // a region has usable keys
	Problems []string
	Failover *failover.Status // nil if it does not fail over
	Regions  []region
}

// region is the state of one region of a provider.
type region struct {
	Name    string
	Healthy bool
	Why     string // where Healthy comes from
	Active  bool
	Health  string // by the reports
	Held    time.Time
	Reports []report
	URLs    []jwks.Status
}

// newSnapshot sorts a status by provider and region.
func newSnapshot(st regionjwt.Status, now time.Time) *snapshot {
	s := &snapshot{at: now, status: st, byID: map[string]*provider{}, byRegion: map[string][]place{}}
	for i := range st.Failover {
		s.addFailover(&st.Failover[i])
	}
	for _, u := range st.Keys {
		r := s.provider(u.Provider).region(u.Region)
		r.URLs = append(r.URLs, u)
	}
	slices.SortFunc(s.providers, func(a, b *provider) int { return strings.Compare(a.ID, b.ID) })
	for _, p := range s.providers {
		p.judge()
		for i := range p.Regions {
			r := &p.Regions[i]
			s.byRegion[r.Name] = append(s.byRegion[r.Name], place{p, r})
		}
		if !p.Ready {
			s.notReady++
		}
		if len(p.Problems) > 0 {
			s.problems++
		}
	}
	return s
}

// provider returns the provider with that ID, a new one if there is none yet.
func (s *snapshot) provider(id string) *provider {
	p := s.byID[id]
	if p == nil {
		p = &provider{ID: id}
		s.byID[id] = p
		s.providers = append(s.providers, p)
	}
	return p
}

// region returns the region with that name, a new one if there is none yet.
func (p *provider) region(name string) *region {
	for i := range p.Regions {
		if p.Regions[i].Name == name {
			return &p.Regions[i]
		}
	}
	p.Regions = append(p.Regions, region{Name: name})
	return &p.Regions[len(p.Regions)-1]
}

func (s *snapshot) addFailover(f *failover.Status) {
	p := s.provider(f.Provider)
	p.Failover = f
	for _, r := range f.Regions {
		to := p.region(r.Region)
		to.Active, to.Health, to.Held = r.Region == f.Active, r.Health, r.HoldDownUntil
		for _, line := range r.Reports {
			to.Reports = append(to.Reports, reportOf(line))
		}
	}
}

// usable reports whether the keys of a JWKS URL are used.
func usable(u *jwks.Status) bool {
	return u.State == label.Fresh || u.State == label.Stale || u.State == label.Snapshot
}

// enabled reports whether a JWKS URL is expected to answer.
func enabled(u *jwks.Status) bool { return u.State != label.NotEnabled }

// judge decides whether a region is healthy.
func (r *region) judge() {
	failing, count, anyUsable := 0, 0, false
	for i := range r.URLs {
		u := &r.URLs[i]
		if !enabled(u) {
			continue
		}
		count++
		if u.Failures >= failingAfter {
			failing++
		}
		anyUsable = anyUsable || usable(u)
	}
	switch {
	case r.Health == label.Healthy, r.Health == label.Unhealthy:
		r.Healthy, r.Why = r.Health == label.Healthy, byReports
	case failing > 0 && failing == count:
		r.Healthy, r.Why = false, byKeys
	case anyUsable:
		r.Healthy, r.Why = true, byKeys
	default:
		r.Healthy, r.Why = true, byNothing
	}
}

// judge finds the problems of a provider.
func (p *provider) judge() {
	urls, anyUsable, anyUnhealthy, failing, missing := 0, false, false, false, false
	for i := range p.Regions {
		r := &p.Regions[i]
		r.judge()
		anyUnhealthy = anyUnhealthy || !r.Healthy
		for j := range r.URLs {
			u := &r.URLs[j]
			urls++
			anyUsable = anyUsable || usable(u)
			failing = failing || u.Failures > 0 && enabled(u)
			missing = missing || len(u.MissingKeyIDs) > 0
		}
	}
	p.Ready = anyUsable || urls == 0
	f := p.Failover
	for _, t := range []struct {
		found bool
		name  string
	}{
		{!p.Ready, notReady},
		{anyUnhealthy, regionUnhealthy},
		{failing, fetchFailing},
		{missing, keysInconsistent},
		{f != nil && len(f.Conflicts) > 0, pinConflict},
		{f != nil && f.Replica.Origin == label.None, pinUnknown},
		{f != nil && (f.Replica.Stale || f.Replica.StoreProblem != "" || f.Replica.LocalProblem != ""), storeProblem},
	} {
		if t.found {
			p.Problems = append(p.Problems, t.name)
		}
	}
}

// rank orders providers by their worst problem.
func (p *provider) rank() int {
	switch {
	case len(p.Problems) == 0:
		return 3
	case p.Problems[0] == notReady:
		return 0
	case p.Problems[0] == regionUnhealthy:
		return 1
	}
	return 2
}

// first returns up to n providers, those with problems first.
func (s *snapshot) first(n int) []*provider {
	if s.problems == 0 {
		return s.providers[:min(n, len(s.providers))]
	}
	all := slices.Clone(s.providers)
	slices.SortStableFunc(all, func(a, b *provider) int { return cmp.Compare(a.rank(), b.rank()) })
	return all[:min(n, len(all))]
}

// after returns up to n providers whose ID is greater than id, and the last of their IDs if there are more.
func (s *snapshot) after(id string, n int) (some []*provider, next string) {
	byID := func(p *provider, id string) int { return strings.Compare(p.ID, id) }
	from, found := slices.BinarySearchFunc(s.providers, id, byID)
	if found {
		from++
	}
	some = s.providers[from:]
	if len(some) > n {
		some = some[:n]
		next = some[n-1].ID
	}
	return some, next
}
