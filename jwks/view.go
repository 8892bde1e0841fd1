package jwks

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// issuerEntry is one iss: the key sets of the regions that list it.
type issuerEntry struct {
	*layout
	sets []*set // by number

	building sync.Mutex
	view     atomic.Pointer[issuerView]
	asked    askedKeys // the key IDs that are not there, and who waits
}

// layout is what many entries share. It never changes once the table is built.
type layout struct {
	keystate.Layout
	cache *Cache
}

// fewKeys is how many keys of an issuer are compared again when a token names none.
const fewKeys = 16

// issuerView is an immutable picture of the keys of one iss.
type issuerView struct {
	state keystate.Issuer
	keys  []*Key     // in the order of the kids
	until clock.Time // until when the answer about a kid is complete, whatever alg, except those in rare.open
	rare  *rareKeys  // nil if no two keys share a kid, there are few, and the answer about each kid is complete
}

// rareKeys is what a view says of keys that most issuers do not have.
type rareKeys struct {
	all  []keystate.Candidate // in the order of the keys; nil if no two share a kid, and there are few
	open []bool               // for the first of each kid: the answer is not complete
}

// retired is the view of an issuer whose entry Update has replaced: nothing is known any more, and this is its last view.
var retired = &issuerView{state: keystate.Issuer{Layout: &keystate.Layout{}}}

// add notes that a region lists the iss.
func (e *issuerEntry) add(region string, sets []*set) {
	if e.sets == nil {
		e.sets = slices.Clip(sets)
	}
	r := keystate.Region{Name: region}
	for _, s := range sets {
		i := slices.Index(e.sets, s)
		if i < 0 {
			i = len(e.sets)
			e.sets = append(e.sets, s)
		}
		r.Sets = append(r.Sets, i)
	}
	e.Regions = append(e.Regions, r)
}

// equal reports whether two entries serve the same.
func (e *issuerEntry) equal(o *issuerEntry) bool {
	return e.SeparateKeys == o.SeparateKeys && slices.Equal(e.sets, o.sets) &&
		slices.EqualFunc(e.Regions, o.Regions, func(a, b keystate.Region) bool {
			return a.Name == b.Name && slices.Equal(a.Sets, b.Sets)
		})
}

// state collects what the URLs have said.
func (e *issuerEntry) state() keystate.Issuer {
	n := 0
	for _, s := range e.sets {
		n += len(s.slots)
	}
	st := keystate.Issuer{Layout: &e.Layout, Sources: make([]keystate.Source, 0, n)}
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
			if v != retired && v.state.Sources[n].State != &sl.current().State {
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
	if old == retired {
		return
	}
	v := &issuerView{state: e.state()}
	all := v.state.Candidates(now)
	v.keys = make([]*Key, len(all))
	changed := old == nil || len(old.keys) != len(all)
	if len(all) > fewKeys {
		v.mayBeRare().all = all
	}
	for i := range all {
		k := old.keep(&all[i])
		if k == nil {
			k, changed = &Key{key: all[i].Key, regions: all[i].Regions, issuer: e}, true
		}
		k.last.Store(all[i].Last)
		if all[i].Fetched {
			k.fetched.Store(true)
		}
		v.keys[i] = k
		if i > 0 && all[i].Key.ID == all[i-1].Key.ID {
			v.mayBeRare().all = all
		} else if verdict, until := v.state.Complete(keystate.Question{KeyID: k.key.ID}, now); verdict != keystate.Incomplete {
			v.until = until
		} else {
			v.mayBeRare().open[i] = true
		}
	}
	e.view.Store(v)
	e.attribute(all, now)
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
	e.asked.wake()
}

// mayBeRare returns what is rare of a view that is being built.
func (v *issuerView) mayBeRare() *rareKeys {
	if v.rare == nil {
		v.rare = &rareKeys{open: make([]bool, len(v.keys))}
	}
	return v.rare
}

// complete reports whether the answer about the kid of a key is complete, which is the first of that kid.
func (v *issuerView) complete(key int, now clock.Time) bool {
	return !now.Reached(v.until) && (v.rare == nil || !v.rare.open[key])
}

// retire ends an entry that Update has replaced: its keys are no longer valid, and those who wait look again.
func (e *issuerEntry) retire() {
	e.building.Lock()
	defer e.building.Unlock()
	old := e.view.Swap(retired)
	if old != nil {
		for _, k := range old.keys {
			k.gone.Store(true)
		}
		e.asked.wake()
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
func (e *issuerEntry) attribute(all []keystate.Candidate, now clock.Time) {
	if e.SeparateKeys || len(e.Regions) < 2 {
		return
	}
	for i := range all {
		if len(all[i].Regions) < 2 {
			continue
		}
		for _, r := range e.Regions {
			for _, n := range r.Sets {
				good := e.sets[n].lastGood()
				if good.IsZero() || good.Mono >= all[i].First.Mono {
					continue
				}
				wait := max(attributeAfter-now.Since(good), firstBackOff)
				e.sets[n].dueBy(now.Add(e.cache.jitter(wait)))
			}
		}
	}
}

// dueBy makes the set due at the latest at that time.
func (s *set) dueBy(at clock.Time) {
	if due := s.due.Load(); !due.IsZero() {
		s.due.Store(clock.Sooner(due, at))
	}
}
