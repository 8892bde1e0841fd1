package keystate_test

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// The truth judges the same questions as the code, from the ledgers of the URLs. It calls no predicate of the code.

func (l *layout) stale(now, t reading) bool { return now.since(t) > l.maxStale }

func (r *ledger) usable(now reading, l *layout) bool { return r.known && !l.stale(now, r.good) }

func (r *ledger) unsteady(now reading, l *layout) bool {
	return r.flapped && !l.over(now, r.returned, day)
}

func (r *ledger) failingNow() bool { return r.failures > 0 }

// withdrew reports whether two answers a minute apart do not list a key that the URL listed, or ten over an hour if the
// URL is unsteady. One is enough for a key of an old snapshot.
func (r *ledger) withdrew(k int, now reading, l *layout) bool {
	s := &r.keys[k]
	if r.unsteady(now, l) {
		return s.misses >= 10 && l.over(s.upTo, s.since, hour)
	}
	return s.misses > 0 && (s.once || s.upTo.lived(s.since) >= minute)
}

func (r *ledger) lists(k int, now reading, l *layout) bool {
	return r.keys[k].known && !l.stale(now, r.keys[k].last) && !r.withdrew(k, now, l)
}

// inEffect reports whether the listing of key k by URL i is in effect: no other URL of the set has withdrawn the key
// since, nor in ten answers, the last one an hour after URL i began to fail.
func (w *world) inEffect(i, k int) bool {
	r := &w.sites[i].ledger
	if !r.lists(k, w.now, w.layout) {
		return false
	}
	for j := range w.sites {
		other := &w.sites[j].ledger
		s := &other.keys[k]
		if j == i || w.sets[j] != w.sets[i] || !s.known || !other.withdrew(k, w.now, w.layout) {
			continue
		}
		if s.since.after(r.keys[k].last) || r.failingNow() && s.misses >= 10 && s.upTo.lived(r.ailing) >= hour {
			return false
		}
	}
	return true
}

func (w *world) accepted() (s keySet) {
	for k := range keyCount {
		for i := range w.sites {
			if w.inEffect(i, k) {
				s |= 1 << k
			}
		}
	}
	return s
}

func (w *world) someUsable() bool {
	return slices.ContainsFunc(w.sites, func(s site) bool { return s.ledger.usable(w.now, w.layout) })
}

// standIn reports whether another URL of the set of URL i is usable.
func (w *world) standIn(i int) bool {
	for j := range w.sites {
		if j != i && w.sets[j] == w.sets[i] && w.sites[j].ledger.usable(w.now, w.layout) {
			return true
		}
	}
	return false
}

// disabled reports whether URL i has said "not enabled" within the last hour, and nothing else ever.
func (w *world) disabled(i int) bool {
	r := &w.sites[i].ledger
	return w.optional[i] && !r.known && r.failingNow() && r.refused && w.now.since(r.failed) < hour && w.someUsable()
}

func (w *world) down(i int) bool {
	r := &w.sites[i].ledger
	return r.failingNow() && r.failed.lived(r.failing) > w.maxStale
}

// unreadable reports whether the last answer of URL i has an entry of that kid that cannot be read.
func (w *world) unreadable(i int, kid string) bool {
	return w.sites[i].ledger.said.unreadable&named[kid] != 0
}

// mayList reports whether URL i may list a key of that kid, although its last answer does not.
func (w *world) mayList(i int, kid string) bool {
	if w.unreadable(i, kid) {
		return true
	}
	r := &w.sites[i].ledger
	for k := range named[kid].each {
		s := &r.keys[k]
		if s.known && s.misses > 0 && !w.over(w.now, s.last, day) && (s.misses < missesOfUnknown || r.unsteady(w.now, w.layout)) {
			return true
		}
	}
	return false
}

// listsStill reports whether the last answer of URL i that says anything about a key of that kid lists it.
func (w *world) listsStill(i int, kid string) bool {
	r := &w.sites[i].ledger
	for k := range named[kid].each {
		if s := &r.keys[k]; s.known && (s.misses == 0 || r.said.listed&(1<<k) != 0) {
			return true
		}
	}
	return false
}

// vouches reports whether the last answer of a URL proves what it does not list: it is no copy, or it was made two
// minutes after the token was issued. 304 and an answer of a URL that may have moved never do.
func (r *ledger) vouches(issued int32) bool {
	return r.answered && !r.unmodified && !r.partial && !r.failingNow() && (r.age <= second || r.made.wall > issued+2*minute)
}

func (w *world) absent(kid string, answered func(i int, r *ledger) bool) bool {
	for i := range w.sites {
		if w.down(i) && w.standIn(i) && !w.mayList(i, kid) {
			continue
		}
		if w.mayList(i, kid) || w.listsStill(i, kid) || !answered(i, &w.sites[i].ledger) {
			return false
		}
	}
	return w.someUsable()
}

func (w *world) absentSince(kid string, arrived uint64, issued int32) bool {
	return w.absent(kid, func(i int, r *ledger) bool {
		return r.vouches(issued) && r.started > arrived || w.disabled(i) && r.failStarted > arrived
	})
}

func (w *world) absentRecently(kid string, issued int32) bool {
	return w.absent(kid, func(i int, r *ledger) bool {
		return r.vouches(issued) && w.now.since(r.begun) <= 10 || w.disabled(i) && w.now.since(r.failed) <= 10
	})
}

func (w *world) onlyAge(kid string, arrived uint64) bool {
	return w.absent(kid, func(i int, r *ledger) bool {
		return r.answered && !r.unmodified && !r.failingNow() && r.started > arrived || w.disabled(i) && r.failStarted > arrived
	})
}

func (w *world) complete(kid string) keystate.Verdict {
	forbidden := false
	for i := range w.sites {
		r := &w.sites[i].ledger
		if w.unreadable(i, kid) || r.unsteady(w.now, w.layout) && w.mayList(i, kid) {
			return keystate.Incomplete
		}
		if !r.usable(w.now, w.layout) && !w.disabled(i) && !w.standIn(i) {
			return keystate.Incomplete
		}
		forbidden = forbidden || r.said.forbidden&named[kid] != 0
	}
	switch {
	case !w.someUsable():
		return keystate.Incomplete
	case forbidden:
		return keystate.NotAllowed
	}
	return keystate.Complete
}

// signers returns the regions that may have signed with key k.
func (w *world) signers(k int) []string {
	var first reading
	found := false
	for i := range w.sites {
		if s := &w.sites[i].ledger.keys[k]; w.inEffect(i, k) && (!found || first.after(s.first)) {
			first, found = s.first, true
		}
	}
	var names []string
	for _, region := range w.regions {
		lists, known, good := false, false, reading{}
		for i := range w.sites {
			r := &w.sites[i].ledger
			if !slices.Contains(region.Sets, w.sets[i]) {
				continue
			}
			lists = lists || r.lists(k, w.now, w.layout)
			if r.known && (!known || r.good.after(good)) {
				known, good = true, r.good
			}
		}
		if lists || !w.separate && (!known || good.mono < first.mono) {
			names = append(names, region.Name)
		}
	}
	return names
}

// issuedAt is a wall time as the claim of a token.
func issuedAt(wall int32) time.Time { return time.Unix(epoch+int64(wall), 0) }
