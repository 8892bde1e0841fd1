// Package keys is what is known of the keys of one load balancer: a state that reads no clock and does no I/O. Times and
// answers are given to it.
//
// Each key has a URL of its own, and never changes. A key that has verified a token is kept for 24 hours after the server has
// last returned it, and renewed on use. Keys that have verified nothing yet have few places: anybody can name the key of
// another load balancer of the Region. Requests for unknown keys are bounded, whatever tokens arrive.
package keys

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
)

const (
	// Kept is how long a key is used after the begin of the last request that returned it.
	Kept = 24 * time.Hour
	// MaxProven is how many keys are kept that have verified a token.
	MaxProven = 64
	// MaxProbation is how many other keys are kept.
	MaxProbation = 8
	// MaxWaiting is how many unknown keys callers can wait for.
	MaxWaiting = 1024
	// MaxAgain is how many more they can wait for that were asked for before.
	MaxAgain = 64

	// Burst is how many requests for unknown keys may begin at once.
	Burst = 5
	// Every is the time in which one more may begin.
	Every = 2 * time.Second

	renewAfter = 12 * time.Hour   // of the age of a key
	renewEvery = 10 * time.Minute // while that fails
	maxRest    = time.Minute      // that a server can ask for
	maxNoted   = 4096             // unknown keys
	notedFor   = 10 * time.Second // at least, after they were asked for
)

// Key is a key that the server has returned. V is what the caller makes of it.
type Key[V comparable] struct {
	ID     string
	Value  V
	Listed clock.Time // when the last request began that returned it
	Proven bool       // it has verified a token

	renewed clock.Time // when the last request to renew it began
	used    uint64     // when it was last used
}

// Request is a request for one key.
type Request struct {
	ID      string
	Renews  bool // nobody waits for it
	started uint64
	began   clock.Time
}

// Outcome is what a request found out.
type Outcome int

// The outcomes. The zero Outcome is Failed.
const (
	Failed Outcome = iota // it cannot be told
	Absent                // the server says that there is no such key
	Found
)

// Verdict is what a caller learns about a key.
type Verdict int

// The verdicts.
const (
	Open    Verdict = iota // nothing yet
	Unknown                // there is no such key: the server has said so to a request that began after the caller had arrived
	Unclear                // a request failed
)

// wait is an unknown key that callers wait for, or have asked for.
type wait struct {
	callers int
	asked   int        // callers since the last request for it began
	first   uint64     // when the first of these came
	last    clock.Time // when the last one came
	running int        // requests

	absent uint64 // when the last request began that the server answered with Absent
	failed uint64 // when a request last failed
}

// State is what is known. The zero State is ready for use. Its methods are not safe for concurrent use.
type State[V comparable] struct {
	keys    []Key[V]
	waits   map[string]*wait
	waiting int        // of waits, those with callers
	swept   clock.Time // when waits were last looked through
	seq     uint64     // of events
	starts  int        // of requests for unknown keys
	full    clock.Time // when the burst is complete again, by GCRA
	resting clock.Time // until when the server has asked not to be asked
}

func (s *State[V]) next() uint64 {
	s.seq++
	return s.seq
}

// Find returns a key that may be used, or nil.
func (s *State[V]) Find(id string, now clock.Time) *Key[V] {
	for i := range s.keys {
		if k := &s.keys[i]; k.ID == id && now.Since(k.Listed) <= Kept {
			return k
		}
	}
	return nil
}

// Usable reports whether there is a key that has verified a token.
func (s *State[V]) Usable(now clock.Time) bool {
	return slices.ContainsFunc(s.keys, func(k Key[V]) bool { return k.Proven && now.Since(k.Listed) <= Kept })
}

// Held returns what was last made of a key, even if it is too old to be used.
func (s *State[V]) Held(id string) (value V) {
	if i := slices.IndexFunc(s.keys, func(k Key[V]) bool { return k.ID == id }); i >= 0 {
		value = s.keys[i].Value
	}
	return value
}

// Use is Find for a token that may be verified with the key. It returns a request to renew the key if one should begin.
func (s *State[V]) Use(id string, now clock.Time) (*Key[V], *Request) {
	k := s.Find(id, now)
	if k == nil {
		return nil, nil
	}
	if !k.Proven { // its place goes by its age, so that nobody can hold it
		return k, nil
	}
	k.used = s.next()
	if now.Since(k.Listed) < renewAfter || !k.renewed.IsZero() && now.Since(k.renewed) < renewEvery ||
		now.Until(s.resting) > 0 {
		return k, nil
	}
	k.renewed = now
	return k, &Request{ID: id, Renews: true, started: s.next(), began: now}
}

// Prove notes that a key has verified a token.
func (s *State[V]) Prove(id string, value V) {
	i := slices.IndexFunc(s.keys, func(k Key[V]) bool { return k.ID == id && k.Value == value })
	if i < 0 || s.keys[i].Proven {
		return
	}
	s.keys[i].Proven, s.keys[i].used = true, s.next()
	s.keep(true, MaxProven)
}

// keep drops the key that was used longest ago if there are too many.
func (s *State[V]) keep(proven bool, most int) {
	n, oldest := 0, -1
	for i := range s.keys {
		if s.keys[i].Proven != proven {
			continue
		}
		if n++; oldest < 0 || s.keys[i].used < s.keys[oldest].used {
			oldest = i
		}
	}
	if n > most {
		s.keys = slices.Delete(s.keys, oldest, oldest+1)
	}
}

// Arrive notes that a caller wants an unknown key, and returns when it came. It returns false if there is no place to wait:
// then it is only noted, so that there is one of a few more places if the key is asked for again. If it returns true, Leave
// must follow.
func (s *State[V]) Arrive(id string, now clock.Time) (arrived uint64, ok bool) {
	w := s.waits[id]
	if w == nil {
		s.sweep(now)
		w = &wait{first: s.next()}
		s.waits[id] = w
	}
	w.asked++
	w.last = now
	if w.callers == 0 {
		most := MaxWaiting
		if w.asked > 1 {
			most += MaxAgain
		}
		if s.waiting >= most {
			return 0, false
		}
		s.waiting++
	}
	w.callers++
	return s.next(), true
}

// sweep makes room for another key: it forgets those that nobody has asked for recently.
func (s *State[V]) sweep(now clock.Time) {
	if s.waits == nil {
		s.waits = map[string]*wait{}
	}
	full := len(s.waits) >= maxNoted
	if !full && !s.swept.IsZero() && now.Since(s.swept) < notedFor {
		return
	}
	s.swept = now
	forget := func(after time.Duration) {
		for id, w := range s.waits {
			if w.callers == 0 && w.running == 0 && now.Since(w.last) >= after {
				delete(s.waits, id)
			}
		}
	}
	if forget(notedFor); full && len(s.waits) >= maxNoted/2 {
		forget(0)
	}
}

// Leave notes that a caller of Arrive has gone.
func (s *State[V]) Leave(id string) {
	w := s.waits[id]
	if w.callers--; w.callers == 0 {
		s.waiting--
	}
}

// Look returns what a caller has learned since it arrived. A key that was found is returned by Find.
func (s *State[V]) Look(id string, arrived uint64) Verdict {
	switch w := s.waits[id]; {
	case w.absent > arrived:
		return Unknown
	case w.failed > arrived:
		return Unclear
	}
	return Open
}

// Wait says what a caller waits for: a request is running, or when the next one may begin. resting means that the server has
// asked for that time.
func (s *State[V]) Wait(id string, now clock.Time) (running bool, d time.Duration, resting bool) {
	budget, rest := s.budget(now), now.Until(s.resting)
	return s.waits[id].running > 0, max(budget, rest), rest > budget
}

// budget is the time until a request for an unknown key may begin.
func (s *State[V]) budget(now clock.Time) time.Duration {
	return max(0, now.Until(s.full)-(Burst-1)*Every)
}

// Begin returns the request that begins now, or nil. It is for the key that was asked for first or, every other time, for the
// one that was asked for most often: a flood of made-up keys asks for each once, and its callers do not wait for long.
func (s *State[V]) Begin(now clock.Time) *Request {
	if s.budget(now) > 0 || now.Until(s.resting) > 0 {
		return nil
	}
	var id string
	var best *wait
	for key, w := range s.waits {
		if w.running > 0 || w.callers == 0 {
			continue
		}
		better := best == nil || w.first < best.first
		if best != nil && s.starts%2 == 1 && w.asked != best.asked {
			better = w.asked > best.asked
		}
		if better {
			id, best = key, w
		}
	}
	if best == nil {
		return nil
	}
	s.starts++
	best.running++
	best.first, best.asked = s.next(), 0
	from := now
	if now.Until(s.full) > 0 {
		from = s.full
	}
	s.full = from.Add(Every)
	return &Request{ID: id, started: best.first, began: now}
}

// End notes what a request found out. Value is the key that was Found, the same as before if its material is. retryAfter is the
// time for which the server has asked not to be asked.
func (s *State[V]) End(r *Request, outcome Outcome, value V, retryAfter time.Duration, now clock.Time) {
	if retryAfter > 0 && outcome == Failed {
		s.resting = now.Add(min(retryAfter, maxRest))
	}
	if outcome == Found {
		s.found(r, value)
	}
	w := s.waits[r.ID]
	if w == nil {
		return
	}
	if !r.Renews {
		w.running--
	}
	switch outcome {
	case Absent:
		w.absent = max(w.absent, r.started)
	case Failed:
		w.failed = s.next()
	case Found:
	}
}

// found enters a key, or renews it.
func (s *State[V]) found(r *Request, value V) {
	i := slices.IndexFunc(s.keys, func(k Key[V]) bool { return k.ID == r.ID })
	if i >= 0 && s.keys[i].Value == value {
		s.keys[i].Listed = s.keys[i].Listed.NotBefore(r.began)
		return
	}
	if i >= 0 { // not the same key: this one has proven nothing
		s.keys = slices.Delete(s.keys, i, i+1)
	}
	s.keys = append(s.keys, Key[V]{ID: r.ID, Value: value, Listed: r.began, used: s.next()})
	s.keep(false, MaxProbation)
}
