package jwks

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// issuerEntry is one iss: the key sets of the regions that list it.
type issuerEntry struct {
	cache          *Cache
	name, provider string
	separate       bool // Provider.SeparateKeys
	regions        []keystate.Region
	sets           []*set // by number

	building sync.Mutex
	view     atomic.Pointer[issuerView]
	asked    askedKeys // the key IDs that are not there
}

// issuerView is an immutable picture of the keys of one iss.
type issuerView struct {
	state   keystate.Issuer
	all     []keystate.Candidate // in the order of the kids
	keys    []*Key               // the same
	until   []keystate.Time      // for the first of each kid: until when the answer is complete, whatever alg; zero if it is not
	changed chan struct{}        // closed when another view replaces this one
	retired bool                 // Update has replaced the entry: nothing is known any more, and this is its last view
}

// add notes that a region lists the iss.
func (e *issuerEntry) add(region string, sets []*set) {
	r := keystate.Region{Name: region}
	for _, s := range sets {
		i := slices.Index(e.sets, s)
		if i < 0 {
			i = len(e.sets)
			e.sets = append(e.sets, s)
		}
		r.Sets = append(r.Sets, i)
	}
	e.regions = append(e.regions, r)
}

// equal reports whether two entries serve the same.
func (e *issuerEntry) equal(o *issuerEntry) bool {
	return e.provider == o.provider && e.separate == o.separate && slices.Equal(e.sets, o.sets) &&
		slices.EqualFunc(e.regions, o.regions, func(a, b keystate.Region) bool {
			return a.Name == b.Name && slices.Equal(a.Sets, b.Sets)
		})
}

// state collects what the URLs have said.
func (e *issuerEntry) state() keystate.Issuer {
	st := keystate.Issuer{Regions: e.regions, SeparateKeys: e.separate, Limits: e.cache.config.limits()}
	n := 0
	for _, s := range e.sets {
		n += len(s.slots)
	}
	st.Sources = make([]keystate.Source, 0, n)
	for i, s := range e.sets {
		for _, sl := range s.slots {
			st.Sources = append(st.Sources, keystate.Source{State: &sl.current().State, Set: i, Optional: sl.optional})
		}
	}
	return st
}

// rebuild makes a new view of what the URLs have said, and wakes those who wait for one.
func (e *issuerEntry) rebuild() {
	e.building.Lock()
	defer e.building.Unlock()
	e.build()
}

// catchUp makes a new view if a URL has said something that is not in this one. Each new view wakes all who wait, so that one
// for each caller would be too dear.
func (e *issuerEntry) catchUp() {
	if e.view.Load().holds(e) {
		return
	}
	e.building.Lock()
	defer e.building.Unlock()
	if !e.view.Load().holds(e) {
		e.build()
	}
}

// holds reports whether the view holds all that the URLs of its issuer have said.
func (v *issuerView) holds(e *issuerEntry) bool {
	n := 0
	for _, s := range e.sets {
		for _, sl := range s.slots {
			if !v.retired && v.state.Sources[n].State != &sl.current().State {
				return false
			}
			n++
		}
	}
	return true
}

// build makes the new view. The caller holds the mutex.
func (e *issuerEntry) build() {
	now := e.cache.clock()
	e.asked.tidy(now)
	old := e.view.Load()
	if old != nil && old.retired {
		return
	}
	v := &issuerView{state: e.state(), changed: make(chan struct{})}
	v.all = v.state.Candidates(now)
	v.keys, v.until = make([]*Key, len(v.all)), make([]keystate.Time, len(v.all))
	changed := old == nil || len(old.all) != len(v.all)
	for i := range v.all {
		k := old.keep(&v.all[i])
		if k == nil {
			k, changed = &Key{key: v.all[i].Key, regions: v.all[i].Regions, issuer: e}, true
		}
		k.last.store(v.all[i].Last)
		if v.all[i].Fetched {
			k.fetched.Store(true)
		}
		v.keys[i] = k
		if i == 0 || v.all[i].Key.ID != v.all[i-1].Key.ID {
			ask := keystate.Question{KeyID: v.all[i].Key.ID}
			if verdict, until := v.state.Complete(ask, now); verdict != keystate.Incomplete {
				v.until[i] = until
			}
		}
	}
	e.view.Store(v)
	e.attribute(v, now)
	if old == nil {
		return
	}
	if changed {
		for _, k := range old.keys {
			if !slices.Contains(v.keys, k) {
				k.gone.Store(true)
			}
		}
		defer e.cache.changes.Send()
	}
	close(old.changed)
}

// retire ends an entry that Update has replaced: its keys are no longer valid, and those who wait look again.
func (e *issuerEntry) retire() {
	e.building.Lock()
	defer e.building.Unlock()
	old := e.view.Load()
	e.view.Store(&issuerView{changed: make(chan struct{}), retired: true})
	if old != nil {
		for _, k := range old.keys {
			k.gone.Store(true)
		}
		close(old.changed)
	}
}

// keep returns the key of the old view if nothing that it says differs from the candidate, so that its pointer stays.
func (v *issuerView) keep(cand *keystate.Candidate) *Key {
	if v == nil {
		return nil
	}
	for i := v.find(cand.Key.ID); i < len(v.keys) && v.keys[i].key.ID == cand.Key.ID; i++ {
		if v.keys[i].key.Same(cand.Key) && slices.Equal(v.keys[i].regions, cand.Regions) {
			return v.keys[i]
		}
	}
	return nil
}

// find returns the place of the first key of that name, or where it would stand.
func (v *issuerView) find(kid string) int {
	i, _ := slices.BinarySearchFunc(v.keys, kid, func(k *Key, kid string) int { return strings.Compare(k.key.ID, kid) })
	return i
}

// attribute makes a refresh due soon where a region may have begun to sign with a key since its last answer: only its next answer
// tells.
func (e *issuerEntry) attribute(v *issuerView, now keystate.Time) {
	if e.separate || len(e.regions) < 2 {
		return
	}
	for i := range v.all {
		if len(v.all[i].Regions) < 2 {
			continue
		}
		for _, r := range e.regions {
			for _, n := range r.Sets {
				good := e.sets[n].lastGood()
				if good.IsZero() || good.Mono >= v.all[i].First.Mono {
					continue
				}
				wait := max(attributeAfter-now.Since(good), firstBackOff)
				e.sets[n].dueBy(now.Add(e.cache.jitter(wait)))
			}
		}
	}
}

// dueBy makes the set due at the latest at that time.
func (s *set) dueBy(at keystate.Time) {
	if due := s.due.load(); !due.IsZero() {
		s.due.store(keystate.Sooner(due, at))
	}
}
