package jwks

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// served is one iss: the sets of the regions that list it.
type served struct {
	authority string
	parts     []part
	building  sync.Mutex
	view      atomic.Pointer[servedView]
}

type part struct {
	region string
	set    *set
}

// servedView is an immutable picture of the keys of one iss, made from the views of its sets.
type servedView struct {
	from  []*setView // of each part
	names []named    // in the order of the kids
}

// named are the keys of one kid.
type named struct {
	kid        string
	candidates []*candidate
	keys       []*Key // the same keys, ready to be returned
}

// candidate is a key with the records that list it: its life is that of the one listed last.
type candidate struct {
	key     *Key
	records []*record
}

// place says where a key stands: in which view, and as which candidate.
type place struct {
	view      *servedView
	candidate *candidate
}

// find returns the keys of that name, or nil.
func (v *servedView) find(kid string) *named {
	if v == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(v.names, kid, func(n named, kid string) int { return strings.Compare(n.kid, kid) })
	if !found {
		return nil
	}
	return &v.names[i]
}

// lookup returns the keys of that name which an answer listed within MaxStale.
func (e *served) lookup(c *Cache, kid string, now instant) []*Key {
	n := e.current(c).find(kid)
	if n == nil {
		return nil
	}
	for i, cand := range n.candidates {
		if !cand.usable(now, c) {
			return n.usableOnly(c, i, now)
		}
	}
	return n.keys
}

// usableOnly returns the usable keys of n, the first of which are.
func (n *named) usableOnly(c *Cache, from int, now instant) []*Key {
	keys := n.keys[:from:from]
	for _, cand := range n.candidates[from:] {
		if cand.usable(now, c) {
			keys = append(keys, cand.key)
		}
	}
	return keys
}

// holds reports whether k is one of the keys that lookup would return.
func (e *served) holds(c *Cache, k *Key, now instant) bool {
	if k.place == nil {
		return false
	}
	p := k.place.Load()
	return p != nil && p.candidate.key == k && p.view == e.current(c) && p.candidate.usable(now, c)
}

// usable reports whether any set of e has keys that may be used.
func (e *served) usable(now instant) bool {
	return slices.ContainsFunc(e.parts, func(p part) bool { return p.set.usable(now) })
}

func (cand *candidate) usable(now instant, c *Cache) bool {
	for _, r := range cand.records {
		if now.since(r.seen.load()) <= c.config.MaxStale {
			return true
		}
	}
	return false
}

// current returns a view that is made from what the sets publish now.
func (e *served) current(c *Cache) *servedView {
	if v := e.view.Load(); v != nil && e.fresh(v) {
		return v
	}
	e.building.Lock()
	defer e.building.Unlock()
	old := e.view.Load()
	if old != nil && e.fresh(old) {
		return old
	}
	v := e.build(c, old)
	e.view.Store(v)
	return v
}

func (e *served) fresh(v *servedView) bool {
	for i := range e.parts {
		if e.parts[i].set.view.Load() != v.from[i] {
			return false
		}
	}
	return true
}

func (e *served) build(c *Cache, old *servedView) *servedView {
	v := &servedView{from: make([]*setView, 0, len(e.parts))}
	for _, p := range e.parts {
		sv := p.set.view.Load()
		v.from = append(v.from, sv)
		if sv == nil {
			continue
		}
		for _, r := range *sv {
			v.add(r, p.region, c.clock)
		}
	}
	v.names = slices.Clip(v.names)
	for i := range v.names {
		n := &v.names[i]
		n.keys = make([]*Key, len(n.candidates))
		for j, cand := range n.candidates {
			cand.key.Regions = e.possible(cand, v.from, c.clock())
			cand.key = old.keep(n.kid, cand)
			cand.key.place.Store(&place{v, cand})
			n.keys[j] = cand.key
		}
	}
	return v
}

// add notes that a region lists a key.
func (v *servedView) add(r *record, region string, clock clock) {
	at, found := slices.BinarySearchFunc(v.names, r.key.ID, func(n named, kid string) int { return strings.Compare(n.kid, kid) })
	if !found {
		v.names = slices.Insert(v.names, at, named{kid: r.key.ID})
	}
	n := &v.names[at]
	for _, cand := range n.candidates {
		if cand.key.Thumbprint == r.key.Thumbprint && cand.key.Algorithm == r.key.Algorithm {
			if !slices.Contains(cand.key.Regions, region) {
				cand.key.Regions = append(cand.key.Regions, region)
			}
			cand.records = append(cand.records, r)
			return
		}
	}
	n.candidates = append(n.candidates, &candidate{
		records: []*record{r},
		key: &Key{
			ID: r.key.ID, Algorithm: r.key.Algorithm, Thumbprint: r.key.Thumbprint, Public: r.key.Public,
			Regions: []string{region}, now: clock, place: new(atomic.Pointer[place]),
		},
	})
}

// possible lists the regions that may sign with a key, in the order of the authority: those that list it, those that have
// published nothing yet, and those that last answered before the key first appeared and so may have it by now.
func (e *served) possible(cand *candidate, from []*setView, now instant) []string {
	var regions []string
	for i, p := range e.parts {
		if slices.Contains(regions, p.region) {
			continue
		}
		if slices.Contains(cand.key.Regions, p.region) || from[i] == nil || p.set.answeredBefore(cand.first(), now) {
			regions = append(regions, p.region)
		}
	}
	return slices.Clip(regions)
}

// first is when a region first listed the key.
func (cand *candidate) first() instant {
	first := cand.records[0].first
	for _, r := range cand.records[1:] {
		if r.first.mono < first.mono {
			first = r.first
		}
	}
	return first
}

// answeredBefore reports whether the last good answer of s is older than t. If so, a refresh is due soon, and its answer gives
// s a new view, so that the question is put again. The monotonic clock decides: the wall clock may have been set in between.
func (s *set) answeredBefore(t instant, now instant) bool {
	if s.good.load().mono >= t.mono {
		return false
	}
	s.doubted.Store(true)
	good := s.good.load()
	if good.mono >= t.mono { // an answer came before doubted was set
		return false
	}
	if wait := jitter(max(attributeAfter-now.since(good), firstBackOff)); now.until(s.due.load()) > wait {
		s.due.store(now.plus(wait))
	}
	return true
}

// keep returns the key of the old view if nothing that cand says is different, so that its pointer stays.
func (v *servedView) keep(kid string, cand *candidate) *Key {
	sightings := make([]*sighting, 0, len(cand.records))
	for _, r := range cand.records {
		sightings = append(sightings, r.seen)
	}
	cand.key.seen = sightings
	n := v.find(kid)
	if n == nil {
		return cand.key
	}
	for _, old := range n.candidates {
		if old.key.Thumbprint == cand.key.Thumbprint && old.key.Algorithm == cand.key.Algorithm &&
			slices.Equal(old.key.Regions, cand.key.Regions) && slices.Equal(old.key.seen, sightings) {
			return old.key
		}
	}
	return cand.key
}
