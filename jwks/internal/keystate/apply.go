package keystate

import (
	"cmp"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
)

// Kind says what an Event is.
type Kind uint8

// The kinds of events.
const (
	Good        Kind = iota // a whole answer with at least one usable key
	NotModified             // the answer is unchanged (304)
	Failed                  // no good answer
	Restored                // a snapshot was read
	Added                   // a good answer of a request that has not ended: what it does not list proves nothing yet
)

// Event is what became of one request to a URL, or of reading a snapshot. Started numbers the request; numbers increase with the
// begin of requests, whichever URL they ask. StartedAt is when it began, At when its outcome was known.
type Event struct {
	Kind      Kind
	Started   uint64
	StartedAt clock.Time
	At        clock.Time

	Age      time.Duration // of Good and NotModified: how old the content was
	NoCache  bool          // the request asked for a fresh copy
	Partial  bool          // what it lists is good, what it does not list proves nothing
	Keys     []*jose.Key   // of Good; no two are the same
	Unusable []Unusable    // of Good

	Refused    bool // of Failed: 403 or 404
	RetryAfter time.Duration

	Listed   []Listing  // of Restored
	Made     clock.Time // of Restored: the last good answer that the snapshot knows
	Returned clock.Time // of Restored
}

// made returns when the content of an answer was made.
func (e *Event) made() clock.Time { return e.StartedAt.Add(-e.Age) }

// URL is the state of one JWKS URL. It is the fold of its events in the order in which their requests began, whatever the order
// in which they arrive: events that a request still under way may have to precede are kept until that request has ended.
type URL struct {
	State
	open *open // nil unless requests overlapped
}

// open is what can still be preceded: the events after settled, by their number.
type open struct {
	settled State
	events  []Event
}

// Apply returns the state after e. oldest is the number of the oldest request to the URL that is still under way, or 0 if there
// is none. Restored is ignored after a good answer.
func (u URL) Apply(e Event, oldest uint64, l Limits) URL {
	if e.Kind == Restored && u.Answer.Started > 0 {
		return u
	}
	base, events := u.State, []Event{e}
	if u.open != nil {
		base = u.open.settled
		events = slices.Concat(u.open.events, events)
		slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Started, b.Started) })
	}
	n := 0
	for ; n < len(events) && (oldest == 0 || events[n].Started < oldest); n++ {
		base = base.apply(&events[n], l)
	}
	if n == len(events) {
		return URL{State: base}
	}
	next := URL{State: base, open: &open{settled: base, events: slices.Clip(events[n:])}}
	for i := range next.open.events {
		next.State = next.apply(&next.open.events[i], l)
	}
	return next
}

func (s State) apply(e *Event, l Limits) State {
	switch e.Kind {
	case Good, NotModified:
		return s.answered(e, l)
	case Failed:
		return s.failed(e)
	case Added:
		return s.added(e, l)
	case Restored:
	}
	s.Known, s.Good, s.Returned, s.Listed = true, e.Made, e.Returned, e.Listed
	return s
}

// added takes in the keys of an answer, and nothing else: the request will have another outcome.
func (s State) added(e *Event, l Limits) State {
	made := e.made()
	s.Known, s.Good = true, clock.Later(s.Good, made)
	s.Listed = slices.Clone(s.Listed)
	for _, key := range e.Keys {
		i := slices.IndexFunc(s.Listed, func(k Listing) bool { return k.Key.Same(key) })
		if i < 0 {
			s.Listed = append(s.Listed, Listing{Key: key, First: made, Last: made, Current: true, Fetched: true})
		} else if k := &s.Listed[i]; k.Miss == nil {
			k.Last, k.Fetched = clock.Later(k.Last, made), true
		}
	}
	s.bound(l)
	return s
}

func (s State) failed(e *Event) State {
	f := Failure{First: e.At, Since: e.At}
	if s.Failure != nil {
		f = *s.Failure
		if e.At.Since(f.At) > downPause {
			f.Since = e.At
		}
	}
	f.Count++
	f.At, f.Started, f.RetryAfter, f.Refused = clock.Later(f.At, e.At), e.Started, e.RetryAfter, e.Refused
	s.Failure = &f
	return s
}

// answered takes in a good answer. Its content is as old as its Age says, and no time goes back: a copy that is older than what
// is known adds keys and ends no miss.
func (s State) answered(e *Event, l Limits) State {
	made := e.made()
	ignored := s.Answer.NoCacheIgnored
	if e.NoCache {
		ignored++
		if e.Age <= freshAge {
			ignored = 0
		}
	}
	old := s
	once := s.Answer.Started == 0 && s.Known && made.Lived(s.Good) > unsteadyTime // the keys come from an old snapshot
	s.Known, s.Failure, s.Good = true, nil, clock.Later(s.Good, made)
	s.Answer = Answer{
		Started: e.Started, StartedAt: e.StartedAt, Age: e.Age, NoCacheIgnored: ignored, Partial: e.Partial,
		Unmodified: e.Kind == NotModified,
	}
	if e.Kind == Good {
		s.Unusable = e.Unusable
	}
	s.Listed = make([]Listing, 0, len(old.Listed)+len(e.Keys))
	for i := range old.Listed {
		k := old.Listed[i]
		if e.Kind == Good {
			k.Current = slices.ContainsFunc(e.Keys, k.Key.Same)
		}
		if k.Current {
			k = s.listed(&old, k, made, e.StartedAt, l)
		} else if !slices.ContainsFunc(s.Unusable, func(u Unusable) bool { return u.holds(k.Key) }) {
			k = k.missed(made, once)
		}
		if k.Current || k.Miss == nil || !l.over(e.StartedAt, k.Miss.Since, l.forget()) {
			s.Listed = append(s.Listed, k)
		}
	}
	for _, key := range e.Keys {
		if old.find(key) == nil {
			s.Listed = append(s.Listed, Listing{Key: key, First: made, Last: made, Current: true, Fetched: true})
		}
	}
	s.bound(l)
	return s
}

// listed notes that an answer lists k. old is the state before the answer.
func (s *State) listed(old *State, k Listing, made, now clock.Time, l Limits) Listing {
	fresh := false // the key counts as new
	if k.Miss != nil && made.After(k.Miss.Since) {
		if made.Lived(k.Last) < memory {
			s.Returned = clock.Later(s.Returned, made)
		}
		fresh = old.withdrawn(&k, now, l)
		k.Miss = nil
	}
	if fresh || made.Lived(k.Last) > l.forget() {
		k.First = made
	}
	k.Last, k.Fetched = clock.Later(k.Last, made), true
	return k
}

// missed notes that an answer does not list k, unless the answer is older than the last one that does, or a copy of the last one
// that does not.
// once means that this answer is enough to withdraw it.
func (k Listing) missed(made clock.Time, once bool) Listing {
	switch {
	case !made.After(k.Last):
	case k.Miss == nil:
		k.Miss = &Miss{Count: 1, Since: made, At: made, Once: once}
	case made.Mono > k.Miss.At.Mono+int64(sameCopy):
		k.Miss = &Miss{Count: k.Miss.Count + 1, Since: k.Miss.Since, At: made, Once: k.Miss.Once}
	}
	return k
}

// bound drops the keys that have been missing longest beyond twice MaxKeys.
func (s *State) bound(l Limits) {
	if len(s.Listed) <= 2*l.MaxKeys {
		return
	}
	rank := func(k Listing) int64 {
		if k.Current || k.Miss == nil {
			return 1<<63 - 1
		}
		return k.Miss.Since.Mono
	}
	slices.SortStableFunc(s.Listed, func(a, b Listing) int { return -cmp.Compare(rank(a), rank(b)) })
	s.Listed = slices.Clip(s.Listed[:2*l.MaxKeys])
}
