package keystate

import (
	"cmp"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
)

// Source is one JWKS URL of an issuer. Set numbers the key set that it belongs to: URLs of one set publish the same keys, so one
// of them can stand in for another. Optional means that 403 and 404 say "not enabled here" until it has answered once.
type Source struct {
	*State
	Set      int
	Optional bool
}

// Region is a region that issues tokens under the issuer's name, with the numbers of its key sets.
type Region struct {
	Name string
	Sets []int
}

// Issuer is all that the URLs of one iss have said.
type Issuer struct {
	*Layout
	Sources []Source // in the order of the configuration
}

// Layout is how an issuer is configured. SeparateKeys means that no region signs with a key that it does not list.
type Layout struct {
	Regions      []Region // in the order of the configuration
	SeparateKeys bool
	Limits       Limits
}

// maxCandidates is how many keys are tried at most.
const maxCandidates = 16

// disabled reports whether source i says that it is not enabled, while another one is usable.
func (e *Issuer) disabled(i int, now clock.Time) bool {
	return e.Sources[i].Optional && e.Sources[i].refused(now) && e.Usable(now)
}

// Usable reports whether any URL is usable.
func (e *Issuer) Usable(now clock.Time) bool {
	return slices.ContainsFunc(e.Sources, func(s Source) bool { return s.Usable(now, e.Limits) })
}

// twin reports whether another URL of the set of source i is usable.
func (e *Issuer) twin(i int, now clock.Time) bool {
	for j, s := range e.Sources {
		if j != i && s.Set == e.Sources[i].Set && s.Usable(now, e.Limits) {
			return true
		}
	}
	return false
}

// inEffect reports whether a key that source i lists is in effect there. It is not if another URL of the set has withdrawn it
// since, or, while source i fails, has missed it in many answers over an hour.
func (e *Issuer) inEffect(i int, k *Listing, now clock.Time) bool {
	s := e.Sources[i]
	if !s.lists(k, now, e.Limits) {
		return false
	}
	for j, other := range e.Sources {
		if j == i || other.Set != s.Set {
			continue
		}
		o := other.find(k.Key)
		if o == nil || !other.withdrawn(o, now, e.Limits) {
			continue
		}
		settled := s.Failure != nil && o.Miss.Count >= withdrawMisses && o.Miss.At.Lived(s.Failure.First) >= unsteadyTime
		if o.Miss.Since.After(k.Last) || settled {
			return false
		}
	}
	return true
}

// Candidate is a key that may verify tokens of the issuer.
type Candidate struct {
	Key     *jose.Key
	Regions []string   // the regions that may have signed with it
	First   clock.Time // when a URL that lists it first did
	Last    clock.Time // when a URL that lists it last did
	Fetched bool       // an answer to this process has listed it
	ranks   []rank
}

// rank is the place of a key among the keys of its name at one URL, the latest first.
type rank struct {
	source int
	first  clock.Time
}

// Candidates returns every key that is in effect, in the order of kid, then of first appearance in the configuration.
func (e *Issuer) Candidates(now clock.Time) []Candidate {
	var all []Candidate
	for i := range e.Sources {
		listed := e.Sources[i].Listed
		for j := range listed {
			k := &listed[j]
			if !e.inEffect(i, k, now) {
				continue
			}
			at := slices.IndexFunc(all, func(c Candidate) bool { return c.Key.Same(k.Key) })
			if at < 0 {
				at = len(all)
				all = append(all, Candidate{Key: k.Key, First: k.First, Last: k.Last})
			}
			c := &all[at]
			c.Last, c.Fetched = clock.Later(c.Last, k.Last), c.Fetched || k.Fetched
			if c.First.After(k.First) {
				c.First = k.First
			}
			c.ranks = append(c.ranks, rank{i, k.First})
		}
	}
	for i := range all {
		all[i].Regions = e.regions(&all[i], now)
		if i > 0 && slices.Equal(all[i].Regions, all[i-1].Regions) {
			all[i].Regions = all[i-1].Regions // keys are kept for long
		}
	}
	slices.SortStableFunc(all, func(a, b Candidate) int { return cmp.Compare(a.Key.ID, b.Key.ID) })
	return slices.Clip(all)
}

// regions lists the regions that may have signed with a key: those that list it, those that have never answered, and those whose
// last good answer is older than the key.
func (e *Issuer) regions(c *Candidate, now clock.Time) []string {
	var names []string
	for _, r := range e.Regions {
		lists, known, good := false, false, clock.Time{}
		for _, s := range e.Sources {
			if !slices.Contains(r.Sets, s.Set) {
				continue
			}
			lists = lists || slices.ContainsFunc(s.Listed, func(k Listing) bool {
				return k.Key.ID == c.Key.ID && k.Key.Thumbprint == c.Key.Thumbprint && s.lists(&k, now, e.Limits)
			})
			known, good = known || s.Known, clock.Later(good, s.Good)
		}
		if lists || !e.SeparateKeys && (!known || good.Mono < c.First.Mono) {
			names = append(names, r.Name)
		}
	}
	return slices.Clip(names)
}

// Most is how many keys are tried for a token.
func (e *Issuer) Most() int { return min(max(4, len(e.Sources)), maxCandidates) }

// Choose returns the candidates to try for q, which are all of one kid if q names one, in the order in which to try them. cut
// reports that there were more. No URL can crowd out the first key of another: a key goes by its best place at any URL.
func (e *Issuer) Choose(all []Candidate, q Question) (chosen []Candidate, cut bool) {
	index := map[jose.Thumbprint]int{}
	for _, c := range all {
		if !q.Matches(c.Key) {
			continue
		}
		at, known := index[c.Key.Thumbprint]
		if !known {
			index[c.Key.Thumbprint] = len(chosen)
			chosen = append(chosen, c)
			continue
		}
		chosen[at].ranks = slices.Concat(chosen[at].ranks, c.ranks) // one key, listed with and without alg
	}
	if len(chosen) < 2 {
		return chosen, false
	}
	places, most := e.places(chosen), e.Most()
	cut = len(chosen) > most
	chosen = slices.DeleteFunc(chosen, func(c Candidate) bool { return places[c.Key].rank >= most }) // before they are sorted
	slices.SortStableFunc(chosen, func(a, b Candidate) int {
		pa, pb := places[a.Key], places[b.Key]
		return cmp.Or(cmp.Compare(pa.rank, pb.rank), cmp.Compare(pa.source, pb.source),
			a.Key.Thumbprint.Compare(b.Key.Thumbprint))
	})
	return chosen[:min(len(chosen), most)], cut
}

// place is the best place of a key: its rank at a source, and that source.
type place struct{ rank, source int }

// places returns the best place of each candidate: at each URL, the key that it first listed latest comes first.
func (e *Issuer) places(chosen []Candidate) map[*jose.Key]place {
	type entry struct {
		key   *jose.Key
		first clock.Time
	}
	at := make([][]entry, len(e.Sources))
	places := make(map[*jose.Key]place, len(chosen))
	for i := range chosen {
		key := chosen[i].Key
		places[key] = place{len(chosen), len(e.Sources)}
		for _, r := range chosen[i].ranks {
			of := &at[r.source]
			if n := len(*of); n == 0 || (*of)[n-1].key != key {
				*of = append(*of, entry{key, r.first})
			} else if r.first.After((*of)[n-1].first) {
				(*of)[n-1].first = r.first
			}
		}
	}
	for source, entries := range at {
		slices.SortFunc(entries, func(a, b entry) int {
			switch {
			case a.first.After(b.first):
				return -1
			case b.first.After(a.first):
				return 1
			}
			return a.key.Thumbprint.Compare(b.key.Thumbprint)
		})
		for rank, k := range entries {
			if rank < places[k.key].rank {
				places[k.key] = place{rank, source}
			}
		}
	}
	return places
}

// Verdict says what an answer about q is worth.
type Verdict uint8

// The verdicts.
const (
	Incomplete Verdict = iota // a key that q asks for may exist
	Complete                  // there is none but the candidates
	NotAllowed                // complete, and a key of that name is published that this process does not allow
)

// Complete judges the candidates of q: whether a key that none of them is could verify the token. until is when the verdict can
// change without an event; it is zero if it cannot.
func (e *Issuer) Complete(q Question, now clock.Time) (v Verdict, until clock.Time) {
	some, policy := false, false
	for i, s := range e.Sources {
		for _, u := range s.Unusable {
			if !u.StandsFor(q) {
				continue
			}
			if !u.Policy {
				return Incomplete, clock.Time{}
			}
			policy = true
		}
		if s.Unsteady(now, e.Limits) && s.MayList(q, now, e.Limits) {
			return Incomplete, clock.Time{}
		}
		switch {
		case s.Usable(now, e.Limits):
			some = true
		case e.disabled(i, now):
			until = clock.Sooner(until, s.Failure.At.Add(DisabledFor))
		case !e.twin(i, now):
			return Incomplete, clock.Time{}
		}
	}
	if !some {
		return Incomplete, clock.Time{}
	}
	for i := range e.Sources { // each set stays usable as long as its last usable URL
		if end := e.usableUntil(e.Sources[i].Set); !end.IsZero() {
			until = clock.Sooner(until, end)
		}
	}
	if policy {
		return NotAllowed, until
	}
	return Complete, until
}

// usableUntil returns when the last usable URL of a set stops being so.
func (e *Issuer) usableUntil(set int) clock.Time {
	var end clock.Time
	for _, s := range e.Sources {
		if s.Set == set && s.Known {
			end = clock.Later(end, s.Good.Add(e.Limits.MaxStale))
		}
	}
	return end
}

// Absent reports whether it is certain that no URL lists a key that q asks for, for a token that arrived at that number of the
// sequence of requests: every URL has answered a request that began later, and none may list it. tried are the thumbprints of
// keys that it is not.
func (e *Issuer) Absent(q Question, arrived uint64, issuedAt time.Time, now clock.Time, tried ...string) bool {
	return e.absent(q, tried, now, func(i int, s Source) bool {
		return s.proves(issuedAt) && s.Answer.Started > arrived || e.disabled(i, now) && s.Failure.Started > arrived
	})
}

// AbsentRecently reports the same for answers that began within Window.
func (e *Issuer) AbsentRecently(q Question, issuedAt time.Time, now clock.Time) bool {
	return e.absent(q, nil, now, func(i int, s Source) bool {
		return s.proves(issuedAt) && now.Since(s.Answer.StartedAt) <= Window ||
			e.disabled(i, now) && now.Since(s.Failure.At) <= Window
	})
}

func (e *Issuer) absent(q Question, tried []string, now clock.Time, answered func(int, Source) bool) bool {
	for i, s := range e.Sources {
		out := s.Down(e.Limits) && e.twin(i, now)
		if !out && !answered(i, s) || s.MayList(q, now, e.Limits) || !out && s.listsAny(q, tried) { // the cheap question first
			return false
		}
	}
	return e.Usable(now)
}

// OnlyAge reports whether nothing but the Age of answers stands in the way of Absent: every URL has answered a request that began
// after arrived.
func (e *Issuer) OnlyAge(q Question, arrived uint64, now clock.Time, tried ...string) bool {
	return e.absent(q, tried, now, func(i int, s Source) bool {
		return s.Failure == nil && s.Answer.Started > arrived && s.Answer.Whole() ||
			e.disabled(i, now) && s.Failure.Started > arrived
	})
}

// Unreadable reports whether an answer younger than a minute has an entry that can be the key that q asks for, and cannot be
// read: asking again would not help.
func (e *Issuer) Unreadable(q Question, now clock.Time) bool {
	for i := range e.Sources {
		s := &e.Sources[i]
		if s.Failure != nil || now.Since(s.Answer.StartedAt) >= withdrawTime {
			continue
		}
		for j := range s.Unusable {
			if u := &s.Unusable[j]; !u.Policy && u.StandsFor(q) {
				return true
			}
		}
	}
	return false
}
