package jwks_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

const (
	simWait  = 3 * time.Second  // UnknownKeyWait
	simGrace = 11 * time.Second // after which a published key is never called unknown
	simStale = 24 * time.Hour   // MaxStale
	simSkew  = 4 * time.Hour    // by which two readings of the wall clock may differ, the only clock of a snapshot
	simRate  = 24               // requests of one URL in ten seconds
)

// check compares an answer with the truth. The caller holds mu.
func (s *simulation) check(q *simQuestion) {
	s.asked++
	s.suspect = q.iss
	r := q.result
	if len(s.serving(q.iss)) == 0 {
		require.ErrorIs(s.t, r.Err, jwks.ErrUnknownIssuer)
		require.True(s.t, r.Complete)
		return
	}
	require.LessOrEqual(s.t, q.took, simWait, "a caller waits for a bounded time")
	if len(q.atHand) > 0 {
		require.NotEmpty(s.t, r.Keys, "%v of %s was in memory: %+v", q.atHand, q.iss, r)
		require.Zero(s.t, q.took, "%v of %s was in memory", q.atHand, q.iss)
	} else {
		s.worstWait = max(s.worstWait, q.took)
	}
	if s.had[q.iss] == nil {
		s.had[q.iss] = map[simKey]simAge{}
	}
	for k := range s.had[q.iss] {
		if k.kid == q.kid {
			delete(s.had[q.iss], k)
		}
	}
	for i, k := range r.Keys {
		s.checkServed(q, k, q.ages[i])
	}
	for _, k := range q.atHand {
		require.Contains(s.t, s.had[q.iss], k, "it was in memory")
	}
	switch {
	case len(r.Keys) > 0:
		s.served++
		require.Zero(s.t, q.tookTried, "a wrong signature waits for nobody")
		s.checkMaterial(q)
	case r.Complete:
		s.unknown++
		s.checkUnknown(q, "called unknown")
	case r.Limited:
		s.tooOft++
		s.checkDoubt(q)
	default:
		s.unavailable++
		s.checkDoubt(q)
	}
	if len(r.Keys) == 0 && !r.Complete {
		require.GreaterOrEqual(s.t, r.RetryAfter, time.Second)
	}
	if len(q.cached.Keys) == 0 && q.cached.Complete {
		s.checkUnknown(q, "called unknown from memory")
	}
}

// mayBeGone reports whether a URL that listed k may have withdrawn it: its answers have missed it for a minute, or for the
// first time
// in this process.
func (s *simulation) mayBeGone(urls []*simURL, k simKey) bool {
	for _, u := range urls {
		listed, missed := -1, -1
		for i, a := range u.answers {
			switch {
			case slices.Contains(a.keys, k):
				listed, missed = i, -1
				continue
			case listed < 0:
				continue
			case missed < 0:
				missed = i
			}
			if u.answers[listed].epoch < u.epoch || s.lived()-u.answers[missed].lived >= 55*time.Second {
				return true
			}
		}
	}
	return false
}

// checkServed: a key that is served was listed, within MaxStale, by a URL of a region that lists the issuer, and is not one
// that all
// of them have long withdrawn.
func (s *simulation) checkServed(q *simQuestion, k *jwks.Key, age time.Duration) {
	require.Equal(s.t, q.kid, k.ID())
	key := simKey{q.kid, s.material(k)}
	never := time.Duration(1 << 62)
	youngest, own := never, never // own: of this process
	for _, u := range s.serving(q.iss) {
		for _, a := range u.answers {
			if slices.Contains(a.keys, key) {
				youngest = min(youngest, s.age(a))
				if a.epoch == u.epoch {
					own = min(own, s.age(a))
				}
			}
		}
	}
	require.Less(s.t, youngest, never, "nobody listed %v for %s", key, q.iss)
	require.LessOrEqual(s.t, min(youngest+0, own+simSkew), simStale+simSkew, "%v of %s is too old", key, q.iss)
	if own < never && youngest == own {
		require.LessOrEqual(s.t, own, simStale+5*time.Second, "%v of %s is too old", key, q.iss)
	}
	require.GreaterOrEqual(s.t, age+5*time.Second+simSkew, youngest, "it cannot be younger than the last answer that lists it")
	s.had[q.iss][key] = simAge{age, s.lived(), s.wall()}
	s.checkNotWithdrawn(q, key)
}

// returned reports whether a key came back to u within that time: then its answers differ from request to request.
func (s *simulation) returned(u *simURL, within time.Duration) bool {
	gone := map[simKey]bool{} // the keys that were listed: whether the last answer lacked them
	for _, a := range u.answers {
		for _, k := range a.keys {
			if gone[k] && s.lived()-a.lived < within {
				return true
			}
		}
		for k := range gone {
			gone[k] = true
		}
		for _, k := range a.keys {
			gone[k] = false
		}
	}
	return false
}

// checkNotWithdrawn: a key goes once every URL that listed it has given answers without it for long enough: four in five
// minutes, or if the answers of the URL differ from request to request, a dozen in more than an hour.
func (s *simulation) checkNotWithdrawn(q *simQuestion, k simKey) {
	for _, u := range s.serving(q.iss) {
		without, first, last, listed := 0, time.Duration(0), time.Duration(0), time.Duration(0)
		ever := false
		for _, a := range u.answers {
			switch {
			case a.came >= q.began, u.document != "" && a.came >= q.began-5*time.Second: // its metadata may be read meanwhile
				if slices.Contains(a.keys, k) {
					return // it has just come
				}
			case slices.Contains(a.keys, k):
				ever, without, listed = true, 0, a.lived
			case u.document != "" && ever && a.lived-listed < 5*time.Second: // its request may have begun before the one that lists k
			case a.epoch == u.epoch && !a.aside && (without == 0 || a.lived-last > 2*time.Second):
				if without++; without == 1 {
					first = a.lived
				}
				last = a.lived
			}
		}
		if !ever || without >= 12 && last-first >= 65*time.Minute {
			continue
		}
		if without < 4 || last-first < 5*time.Minute || s.returned(u, 26*time.Hour) {
			return // this one may still list it, as far as the cache knows
		}
	}
	s.t.Fatalf("%v of %s was withdrawn everywhere", k, q.iss)
}

// checkUnknown: a key that has been published for a while by a URL that counts is never called unknown, nor is one that was
// listed and has been missing from few answers.
func (s *simulation) checkUnknown(q *simQuestion, what string) {
	for _, u := range s.serving(q.iss) {
		s.checkDropped(q, u, what)
		for _, k := range s.published(u).keys {
			if k.kid == q.kid && !s.excused(q, u, k, simGrace) {
				s.t.Fatalf("%v of %s is published by %s for %v, and %s", k, q.iss, u.url, s.truth()-s.since(u, k), what)
			}
		}
	}
}

// since is from when on a URL publishes a key.
func (s *simulation) since(u *simURL, k simKey) time.Duration {
	return max(s.published(u).since[k], u.changed)
}

// excused reports whether a good token that k signed may be called bad.
func (s *simulation) excused(q *simQuestion, u *simURL, k simKey, grace time.Duration) bool {
	ago := s.truth() - s.since(u, k)
	switch {
	case ago < grace, u.optional && !u.good && u.fault == simMissing:
		return true
	case u.document != "" && s.truth()-u.moved < time.Minute+grace:
		return true // see "jwks_uri moved"
	case u.ttl > 0 && !q.noIAT && ago < q.iat+grace-2*time.Minute:
		return true // published more than two minutes after it signed
	case u.fault != simFlapping || slices.Contains(u.thin.keys, k):
	case !s.listed(u, k, s.lived()-ago, q.began), s.listed(u, k, q.began, s.lived()):
		return true // it answers, and had not listed it since it was published, or has meanwhile
	case !s.returned(u, 23*time.Hour):
		n, _ := s.misses(u, k, s.lived())
		return n >= 5 // not yet known to be unsteady
	}
	if len(u.answers) > 0 && s.age(u.answers[len(u.answers)-1]) <= simStale || len(u.answers) == 0 && s.lived()-s.began < simStale {
		return false
	}
	return slices.ContainsFunc(u.region.urls, func(o *simURL) bool { // another one stands in for it
		return o != u && len(o.answers) > 0 && s.age(o.answers[len(o.answers)-1]) <= simStale+simSkew
	})
}

// listed reports whether u has listed k to this process in that time.
func (s *simulation) listed(u *simURL, k simKey, from, to time.Duration) bool {
	return slices.ContainsFunc(u.answers, func(a simAnswer) bool {
		return a.epoch == u.epoch && a.came >= from && a.came <= to && slices.Contains(a.keys, k)
	})
}

// misses counts the answers of u since it last listed k that came until then. Of those that were made within two seconds, or are
// older than one before, least counts one.
func (s *simulation) misses(u *simURL, k simKey, until time.Duration) (n, least int) {
	last := time.Duration(0)
	for _, a := range u.answers {
		if a.came > until {
			break
		}
		n++
		if least == 0 || a.lived-last > 2*time.Second {
			least++
			last = a.lived
		}
		if slices.Contains(a.keys, k) {
			n, least = 0, 0
		}
	}
	return n, least
}

// checkDropped: a kid that u listed within a day, and that has been missing from fewer than five answers since, is not unknown.
func (s *simulation) checkDropped(q *simQuestion, u *simURL, what string) {
	for n := range min(5, len(u.answers)) {
		a := u.answers[len(u.answers)-1-n]
		if !slices.ContainsFunc(a.keys, func(k simKey) bool { return k.kid == q.kid }) {
			continue
		}
		if n > 0 && a.epoch == u.epoch && !a.aside && s.age(a) < 24*time.Hour-time.Minute && a.came < q.began {
			s.t.Fatalf("%s was listed by %s %v ago, misses %d answers, and is %s", q.kid, u.url, s.age(a), n, what)
		}
		return
	}
}

// checkMaterial: where a kid is in use with other material than is published, the refresh that the token causes finds it.
func (s *simulation) checkMaterial(q *simQuestion) {
	for _, u := range s.serving(q.iss) {
		for _, k := range s.published(u).keys {
			if k.kid != q.kid {
				continue
			}
			id := fmt.Sprint(q.iss, " ", u.url, " ", k, " ", s.since(u, k)) // of this publication
			if slices.ContainsFunc(q.result.Keys, func(o *jwks.Key) bool { return s.material(o) == k.material }) || !q.wrong ||
				s.excused(q, u, k, simGrace) || s.calmFor(q.iss) < 3*time.Minute || u.ttl > 0 || s.quiet() < 3*time.Minute {
				delete(s.mismatch, id)
				continue
			}
			first, known := s.mismatch[id]
			if !known {
				s.mismatch[id] = s.lived()
			} else if s.lived()-first > 130*time.Second {
				s.t.Fatalf("%v of %s is published by %s for %v, and its signature called wrong since %v", k, q.iss, u.url,
					s.truth()-s.since(u, k), s.lived()-first)
			}
		}
	}
}

// quiet is the time since the last flood.
func (s *simulation) quiet() time.Duration {
	if s.flooded == 0 {
		return s.lived()
	}
	return s.lived() - s.flooded
}

// checkDoubt: "cannot tell" has a reason. A limit on unknown keys is one only in floods, for names that are asked for again and
// again and that no URL publishes, and where copies or a key set that moved keep answers from proving anything. An optional URL
// that says 404 publishes nothing.
func (s *simulation) checkDoubt(q *simQuestion) {
	calm := s.calmFor(q.iss)
	if calm < 3*time.Minute {
		return
	}
	published := false
	for _, u := range s.serving(q.iss) {
		if q.result.Limited && (u.ttl > 0 && !u.honors || u.document != "" && s.truth()-u.moved < 2*time.Minute) {
			return
		}
		for _, k := range s.published(u).keys {
			published = published || u.fault < simContent && k.kid == q.kid && s.truth()-s.since(u, k) > simGrace
		}
		if s.dropped(u, q) {
			return
		}
	}
	if q.result.Limited && (s.quiet() < time.Minute || q.again && !published) {
		return
	}
	s.t.Fatalf("cannot tell %q of %s (%+v, waited %v), though all has been well for %v", q.kid, q.iss, q.result, q.took, calm)
}

// dropped reports whether u listed the kid of a question within a day, and might list it still when that was answered.
func (s *simulation) dropped(u *simURL, q *simQuestion) bool {
	listed := map[simKey]bool{}
	for _, a := range u.answers {
		for _, k := range a.keys {
			if k.kid == q.kid && s.lived()-a.lived <= 26*time.Hour {
				listed[k] = true
			}
		}
	}
	for k := range listed {
		if _, least := s.misses(u, k, q.began+q.took); least < 7 {
			return true
		}
	}
	return len(listed) > 0 && s.returned(u, 26*time.Hour)
}

// checkRates: a burst of five rounds, one in two seconds, refreshes, and one request a second while a URL hangs. In a flood,
// rounds for
// kids that are asked for again and again come on top.
func (s *simulation) checkRates() {
	for _, u := range s.urls {
		for i, from := range u.asked {
			n := 0
			for _, at := range u.asked[i:] {
				if at-from > 10*time.Second {
					break
				}
				n++
			}
			s.suspect = u.region.iss
			if s.flooded == 0 || from > s.flooded+15*time.Second {
				s.worstRate = max(s.worstRate, n)
				require.LessOrEqual(s.t, n, simRate, "requests of %s within ten seconds", u.url)
			} else {
				s.worstFlood = max(s.worstFlood, n)
				require.LessOrEqual(s.t, n, simRate, "requests of %s within ten seconds in a flood", u.url)
			}
		}
	}
}
