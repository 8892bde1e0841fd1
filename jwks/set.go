package jwks

import (
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
	created  instant
	records  map[recordID]*record
	flight   *flight // in progress, or nil
	answered int64   // the turn of the last flight with a good answer
	failed   int64   // the turn of the last flight without
	failures int     // fetches failed in a row
	failedAt instant
	lastErr  *FetchError
	bucket   bucket
	negative *lru.Cache[string, instant] // kids that a good answer did not have; nil until needed
	waiting  int

	restored bool    // its keys come from a snapshot; nothing was fetched yet
	unsaved  bool    // its keys changed since the last snapshot
	saving   bool    // a snapshot is being written
	saved    instant // when the last one was
	saveErr  error   // nil where it could be
}

// endpoint is one mirror of a set. The set's mutex guards what changes.
type endpoint struct {
	url    string // "" where discovery has not answered yet
	issuer string // the iss that the url is discovered from, or ""

	discovered instant
	last       *answer // nil until the first good answer
	lastGood   instant
	answered   int64       // the turn of the last flight with a good answer
	lastErr    *FetchError // nil after a good answer
	failures   int
	failedAt   instant
}

type recordID struct{ kid, thumbprint, alg string }

// record is one key of a set.
type record struct {
	key   *jose.Key
	first instant               // when any mirror first listed it
	seen  *stamp                // when any mirror last did
	by    map[*endpoint]listing // the mirrors that listed it and have not withdrawn it
}

// listing says whether a mirror that once listed a key still did in its last answer.
type listing struct {
	missing bool
	since   instant // the first answer without it
}

// setView is an immutable snapshot of a set, at most one key under each kid.
type setView struct{ byKid map[string]*record }

func newSet(id string, endpoints []*endpoint, c *Config, now instant) *set {
	return &set{
		id: id, endpoints: endpoints, config: c, created: now, records: map[recordID]*record{},
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

// dark reports whether no good answer came for MaxStale, or ever since the set was made.
func (s *set) dark(now instant) bool {
	if s.view.Load() == nil {
		return now.since(s.created) > s.config.MaxStale
	}
	return !s.usable(now)
}

// merge takes in a good answer of ep. It reports whether the keys of the set changed. The caller holds mu.
//
// What an answer lists is added. What it does not list any more is withdrawn when the same mirror says so again a minute
// later and no other mirror has listed the key in between: a mirror that lags behind adds what it has, but removes nothing.
func (s *set) merge(ep *endpoint, a *answer, now instant) (changed bool) {
	ep.last, ep.lastGood, ep.lastErr, ep.failures = a, now, nil, 0
	s.good.store(now)
	s.failures, s.lastErr, s.restored = 0, nil, false
	present, kids := map[recordID]bool{}, map[string]bool{}
	for _, k := range a.keys {
		id := recordID{k.ID, k.Thumbprint, k.Algorithm}
		present[id], kids[k.ID] = true, true
		r := s.records[id]
		if r == nil {
			r = &record{key: k, first: now, seen: new(stamp), by: map[*endpoint]listing{}}
			s.records[id] = r
			changed = true
		}
		r.by[ep] = listing{}
		r.seen.store(now)
	}
	next := s.interval(a.maxAge)
	for id, r := range s.records {
		l, listed := r.by[ep]
		switch {
		case !listed || present[id]:
		case kids[id.kid]: // the mirror has another key under this name now
			delete(r.by, ep)
			changed = true
		case !l.missing:
			r.by[ep] = listing{missing: true, since: now}
			next = min(next, withdrawAfter)
		case now.since(l.since) < withdrawAfter:
			next = min(next, withdrawAfter-now.since(l.since))
		default:
			delete(r.by, ep)
			if now.since(r.seen.load()) > now.since(l.since) {
				clear(r.by)
			}
		}
		if len(r.by) == 0 || now.since(r.seen.load()) > s.config.MaxStale {
			delete(s.records, id)
			changed = true
		}
	}
	s.due.store(now.plus(next))
	s.freshUntil.store(now.plus(next))
	if s.doubted.Swap(false) || changed || s.view.Load() == nil {
		s.publish(now)
		changed, s.unsaved = true, true
	}
	return changed
}

// publish makes the records visible to readers. Under one kid, the key that was listed last counts.
func (s *set) publish(now instant) {
	v := &setView{byKid: make(map[string]*record, len(s.records))}
	for _, r := range s.records {
		old := v.byKid[r.key.ID]
		if old == nil || now.since(r.seen.load()) < now.since(old.seen.load()) {
			v.byKid[r.key.ID] = r
		}
	}
	s.view.Store(v)
}

// interval is the time to the next refresh.
func (s *set) interval(maxAge time.Duration) time.Duration {
	d := s.config.Refresh
	if maxAge > 0 {
		d = min(max(maxAge, minCacheControl), maxCacheControl)
	}
	return jitter(d)
}

// missed notes a failed attempt. The caller holds mu.
func (ep *endpoint) missed(e *FetchError, now instant) {
	ep.failures++
	ep.failedAt, ep.lastErr = now, e
}

// rests is how much longer ep has asked not to be asked. The caller holds mu.
func (ep *endpoint) rests(now instant) time.Duration {
	if ep.lastErr == nil {
		return 0
	}
	return max(0, ep.lastErr.RetryAfter-now.since(ep.failedAt))
}

// disabled reports whether ep never answered well and says, within the last hour, that it is not there. The caller
// holds mu.
func (ep *endpoint) disabled(now instant) bool {
	return ep.last == nil && ep.lastErr != nil && (ep.lastErr.Status == 403 || ep.lastErr.Status == 404) &&
		now.since(ep.failedAt) < disabledFor
}

// leavesOut reports whether ep is not asked because it is not enabled and a sibling works.
func (s *set) leavesOut(ep *endpoint, now instant) bool {
	return s.view.Load() != nil && ep.disabled(now)
}

// order lists the mirrors to ask, in turn. A refresh begins with the preferred one, so that it is found to have come
// back; a fetch that somebody waits for begins with those that answered last. The caller holds mu.
func (s *set) order(now instant, demand bool) []*endpoint {
	var first, later []*endpoint
	for _, ep := range s.endpoints {
		switch {
		case ep.rests(now) > 0 || s.leavesOut(ep, now):
		case ep.failures > 0 && (demand || now.since(ep.failedAt) < backOff(ep.failures)):
			later = append(later, ep)
		default:
			first = append(first, ep)
		}
	}
	return append(first, later...)
}

// resting is how long the set is not to be fetched after failures. The caller holds mu.
func (s *set) resting(now instant, demand bool) time.Duration {
	var wait time.Duration
	if s.failures > 0 {
		wait = backOff(s.failures)
		if demand && !s.usable(now) {
			wait = min(wait, firstBackOff)
		}
		wait = max(0, wait-now.since(s.failedAt))
	}
	soonest := maxRetryAfter
	for _, ep := range s.endpoints {
		if !s.leavesOut(ep, now) {
			soonest = min(soonest, ep.rests(now))
		}
	}
	return max(wait, soonest)
}

// backOff doubles from one second to a minute.
func backOff(failures int) time.Duration {
	return min(firstBackOff<<min(max(failures-1, 0), 10), maxBackOff)
}

// isAbsent reports whether a good answer of late did not have kid. The caller holds mu.
func (s *set) isAbsent(kid string, now instant) bool {
	if s.negative == nil {
		return false
	}
	at, ok := s.negative.Peek(kid)
	return ok && now.since(at) < negativeFor
}

// noteAbsent remembers that a good answer did not have kid. The caller holds mu.
func (s *set) noteAbsent(kid string, now instant) {
	if s.negative == nil {
		s.negative, _ = lru.New[string, instant](negativeEntries) // fails for sizes below 1 only
	}
	s.negative.Add(kid, now)
}

// knows reports whether the answers of late show that no mirror has kid. The caller holds mu.
func (s *set) knows(kid string, now instant) bool {
	return s.isAbsent(kid, now) || s.everyMirror(now, func(ep *endpoint) bool {
		return now.since(ep.lastGood) <= s.config.UnknownKey.Every
	})
}

// everyMirror reports whether good holds for every mirror that has answered and counts, and all that count have. A mirror
// does not count where it is not enabled, or has been dark for MaxStale. The caller holds mu.
func (s *set) everyMirror(now instant, good func(*endpoint) bool) bool {
	some := false
	for _, ep := range s.endpoints {
		since := s.created
		if ep.last != nil {
			since = ep.lastGood
		}
		if ep.disabled(now) || now.since(since) > s.config.MaxStale {
			continue
		}
		if ep.last == nil || !good(ep) {
			return false
		}
		some = true
	}
	return some
}
