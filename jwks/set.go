package jwks

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// set is what one list of mirrors publishes. It is fetched as one, whichever authorities and issuers it serves.
type set struct {
	id        string
	endpoints []*endpoint // in the order of preference
	config    *Config

	view atomic.Pointer[setView] // nil until the first good answer
	good stamp                   // the last good answer
	due  stamp                   // when to refresh; the zero stamp is long past

	freshUntil stamp       // when a refresh is overdue
	doubted    atomic.Bool // somebody waits for the next answer to tell whether the set has a key that a sibling has

	mu       sync.Mutex // never held over I/O or a callback
	records  []*record
	flight   *flight // in progress, or nil
	answered int64   // the turn of the last flight with a good answer
	failed   int64   // the turn of the last flight without
	failures int     // fetches failed in a row
	failedAt instant
	lastErr  *FetchError
	bucket   bucket
	negative *lru.Cache[uint64, instant] // hashes of kids that good answers did not have; nil while there is none
	noted    instant                     // when the last one was
	waiting  int

	inspected instant // when a flight last asked every mirror

	expired  bool    // it has been said that its keys are too old
	restored bool    // its keys come from a snapshot; nothing was fetched yet
	unsaved  bool    // its keys changed since the last snapshot
	saving   bool    // a snapshot is being written
	saved    instant // when the last one was
	saveErr  error   // nil where it could be
}

type recordID struct{ kid, thumbprint, alg string }

// record is one key of a set.
type record struct {
	key   *jose.Key
	first instant   // when any mirror first listed it; ordered by the monotonic clock
	seen  *sighting // when any mirror last did
	by    []listing // of the mirrors that listed it and have not withdrawn it
}

// listing says whether a mirror that once listed a key still did in its last answer.
type listing struct {
	ep      *endpoint
	missing bool
	since   instant // the first answer without it
}

func (r *record) id() recordID { return recordID{r.key.ID, r.key.Thumbprint, r.key.Algorithm} }

// listedBy notes that ep lists r.
func (r *record) listedBy(ep *endpoint) {
	if i := r.listing(ep); i >= 0 {
		r.by[i] = listing{ep: ep}
		return
	}
	r.by = append(r.by, listing{ep: ep})
}

// listing returns the place of ep among those that list r, or -1.
func (r *record) listing(ep *endpoint) int {
	return slices.IndexFunc(r.by, func(l listing) bool { return l.ep == ep })
}

// record returns the record of a key, or nil. The caller holds mu.
func (s *set) record(id recordID) *record {
	for _, r := range s.records {
		if r.id() == id {
			return r
		}
	}
	return nil
}

// setView is an immutable snapshot of a set: at most one record for each kid, in the order of the kids. A set has so few that
// this is as fast as a map, and a fraction of its size.
type setView []*record

// find returns the record of kid, or nil.
func (v *setView) find(kid string) *record {
	if v == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(*v, kid, func(r *record, kid string) int { return strings.Compare(r.key.ID, kid) })
	if !found {
		return nil
	}
	return (*v)[i]
}

func newSet(id string, endpoints []*endpoint, c *Config, now instant) *set {
	return &set{
		id: id, endpoints: endpoints, config: c,
		bucket: bucket{burst: c.UnknownKey.Burst, every: c.UnknownKey.Every, last: now},
	}
}

// setID names a set by its URLs, whatever their order.
func setID(urls []string) string {
	sorted := slices.Clone(urls)
	slices.Sort(sorted)
	return "urls " + strings.Join(sorted, " ")
}

// isDue reports whether a refresh is due by either clock.
func (s *set) isDue(now instant) bool { return now.reached(s.due.load()) }

// usable reports whether a good answer is younger than MaxStale.
func (s *set) usable(now instant) bool {
	return s.view.Load() != nil && now.since(s.good.load()) <= s.config.MaxStale
}

// hasJustExpired returns how old the last good answer is where that has become too old since it was last asked; else 0. The
// caller holds mu.
func (s *set) hasJustExpired(now instant) time.Duration {
	if s.expired || s.view.Load() == nil || s.usable(now) {
		return 0
	}
	s.expired = true
	return now.since(s.good.load())
}

// recovery is what a good answer ends.
type recovery struct {
	mirror   bool // the mirror had failed
	failures int  // so often in a row
	keys     bool // the keys of the set had become too old
}

// comesBack returns what a good answer of ep, which has not been taken in yet, ends. The caller holds mu.
func (s *set) comesBack(ep *endpoint) recovery {
	r := recovery{mirror: ep.failures > 0, failures: ep.failures, keys: s.expired}
	s.expired = false
	return r
}

// dark reports whether every mirror has failed for MaxStale. The caller holds mu.
func (s *set) dark() bool {
	for _, ep := range s.endpoints {
		if !ep.dark(s.config.MaxStale) {
			return false
		}
	}
	return true
}

// notEnabled reports whether s never had keys because every mirror says, and said so of late, that it is not there. The caller
// holds mu.
func (s *set) notEnabled(now instant, late time.Duration) bool {
	for _, ep := range s.endpoints {
		if !ep.disabled(now) || now.since(ep.failedAt) > late {
			return false
		}
	}
	return s.view.Load() == nil
}

// change is what an answer changed about the keys of a set.
type change struct {
	added, removed int
	keys           int // after it
	published      bool
}

// merge takes in a good answer of ep, and returns what that changed. The caller holds mu.
//
// What an answer lists is added. What it does not list any more is withdrawn when the same mirror says so again a minute
// later and no other mirror has listed the key in between: a mirror that lags behind adds what it has, but removes nothing. As
// long as only such a mirror lists a key, every refresh asks it, too, so that its own withdrawal is seen.
func (s *set) merge(ep *endpoint, a *answer, now instant) (ch change) {
	ep.last, ep.known, ep.lastGood, ep.lastErr, ep.failures = a, true, now, nil, 0
	ep.keep(difference{lacks: ep.difference().lacks})
	s.good.store(now)
	s.failures, s.lastErr, s.restored = 0, nil, false
	present, kids := map[recordID]bool{}, map[string]bool{}
	for i, k := range a.keys {
		id := recordID{k.ID, k.Thumbprint, k.Algorithm}
		present[id], kids[k.ID] = true, true
		r := s.record(id)
		if r == nil {
			r = &record{key: k, first: now, seen: new(sighting)}
			s.records = append(s.records, r)
			ch.added++
		}
		a.keys[i] = r.key // the same, and already there
		r.listedBy(ep)
		r.seen.fetch(now)
	}
	if s.negative != nil && now.since(s.noted) >= negativeFor {
		s.negative = nil
	}
	next := s.interval(a.maxAge)
	s.records = slices.DeleteFunc(s.records, func(r *record) bool {
		if !present[r.id()] && s.misses(ep, r, kids[r.key.ID], now) {
			next = min(next, withdrawAfter)
		}
		gone := len(r.by) == 0 || now.since(r.seen.load()) > s.config.MaxStale
		if gone {
			ch.removed++
		}
		return gone
	})
	ch.keys = len(s.records)
	s.due.store(now.plus(next))
	s.freshUntil.store(now.plus(next))
	if s.doubted.Swap(false) || ch.added+ch.removed > 0 || s.view.Load() == nil {
		s.publish()
		ch.published, s.unsaved = true, true
	}
	return ch
}

// misses notes that an answer of ep does not list r, whose name it may have given to another key. It reports whether ep has to
// be asked again soon to tell.
func (s *set) misses(ep *endpoint, r *record, replaced bool, now instant) (again bool) {
	i := r.listing(ep)
	if i < 0 {
		return false
	}
	l := r.by[i]
	switch {
	case replaced:
		r.by = slices.Delete(r.by, i, i+1)
	case !l.missing:
		r.by[i] = listing{ep: ep, missing: true, since: now}
		return true
	case now.since(l.since) < withdrawAfter:
		return true
	default:
		r.by = slices.Delete(r.by, i, i+1)
		if now.since(r.seen.load()) > now.since(l.since) { // nobody has listed it since
			r.by = nil
		}
	}
	return false
}

// publish makes the records visible to readers. Under one kid, the key that appeared last counts.
func (s *set) publish() {
	v := setView(slices.Clone(s.records))
	slices.SortFunc(v, func(a, b *record) int {
		return cmp.Or(strings.Compare(a.key.ID, b.key.ID), -cmp.Compare(a.first.mono, b.first.mono),
			strings.Compare(a.key.Thumbprint, b.key.Thumbprint))
	})
	v = slices.Clip(slices.CompactFunc(v, func(a, b *record) bool { return a.key.ID == b.key.ID }))
	s.view.Store(&v)
}

// interval is the time to the next refresh.
func (s *set) interval(maxAge time.Duration) time.Duration {
	d := s.config.Refresh
	if maxAge > 0 {
		d = min(max(maxAge, minCacheControl), maxCacheControl)
	}
	return min(jitter(d), s.config.MaxStale/2)
}

// isAbsent reports whether good answers of late did not have kid. The caller holds mu.
func (s *set) isAbsent(kid string, now instant) bool {
	if s.negative == nil {
		return false
	}
	if now.since(s.noted) >= negativeFor {
		s.negative = nil
		return false
	}
	at, ok := s.negative.Peek(maphash.String(seed, kid))
	return ok && now.since(at) < negativeFor
}

// noteAbsent remembers that good answers did not have kid. The caller holds mu.
func (s *set) noteAbsent(kid string, now instant) {
	if s.negative == nil {
		s.negative, _ = lru.New[uint64, instant](negativeEntries) // fails for sizes below 1 only
	}
	s.negative.Add(maphash.String(seed, kid), now)
	s.noted = now
}

// seed keeps anyone outside the process from making two kids look alike.
var seed = maphash.MakeSeed()

// knows reports whether the answers of late show that no mirror has kid. The caller holds mu.
func (s *set) knows(kid string, now instant) bool {
	return s.isAbsent(kid, now) || s.everyMirror(now, func(ep *endpoint) bool {
		return ep.lastErr == nil && now.since(ep.lastGood) <= s.config.UnknownKey.Every
	})
}

// everyMirror reports whether good holds for every mirror that counts. One does not where it has said of late that it is not
// enabled, or has been dark for MaxStale. The caller holds mu.
func (s *set) everyMirror(now instant, good func(*endpoint) bool) bool {
	some := false
	for _, ep := range s.endpoints {
		if s.toldOfLate(ep, now) || ep.dark(s.config.MaxStale) {
			continue
		}
		if ep.last == nil || !good(ep) {
			return false
		}
		some = true
	}
	return some
}
