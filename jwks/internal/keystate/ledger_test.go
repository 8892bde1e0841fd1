package keystate_test

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// Spans of the rules, in seconds.
const (
	second = 1
	minute = 60
	hour   = 60 * minute
	day    = 24 * hour
)

// missesOfUnknown is how many answers must miss a key before its kid is unknown, at a steady URL.
const missesOfUnknown = 6

// fact is what one request to a URL has shown.
type fact struct {
	kind      keystate.Kind
	started   uint64
	begun, at reading
	age       int32
	said      document
	refused   bool
	partial   bool
}

func (f fact) event() keystate.Event {
	e := keystate.Event{
		Kind: f.kind, Started: f.started, StartedAt: f.begun.time(), At: f.at.time(), Refused: f.refused, Partial: f.partial,
		Age: time.Duration(f.age) * time.Second,
	}
	if f.kind == keystate.Good {
		e.Keys, e.Unusable = keysOf(f.said.listed), f.said.unusable()
	}
	return e
}

// sight is what one URL has said about one key.
type sight struct {
	known       bool
	first, last reading // when it was first and last listed
	misses      int32   // answers since then without it
	since, upTo reading // the first and the last of them
	once        bool    // one is enough

	// The same with less regard to the age of answers.
	without int32   // answers without it, copies included
	plain   int32   // of these, answers that are no copies and do not list it in another form
	from    reading // the first of these
	to      reading // the last of these
	latest  reading // the time of the last answer that listed it
}

// ledger is what one URL has said. It knows the answers and nothing of the code.
type ledger struct {
	keys  [keyCount]sight
	known bool    // it has answered, to this process or the one before
	good  reading // the newest content

	answered    bool // it has answered to this process
	started     uint64
	begun, made reading
	age         int32
	partial     bool
	unmodified  bool // it was 304
	said        document

	failures        int32
	ailing          reading // the first failure since the last good answer
	failing, failed reading // the first failure of the outage, and the last one
	failStarted     uint64
	refused         bool

	flapped  bool // a key came back that had been missing
	returned reading
}

func later(c, d reading) reading {
	if d.after(c) {
		return d
	}
	return c
}

// take enters a fact. Facts come in the order of their requests.
func (r *ledger) take(f fact, l *layout) {
	if f.kind == keystate.Failed {
		if r.failures == 0 {
			r.ailing = f.at
		}
		if r.failures == 0 || f.at.since(r.failed) > 2*hour {
			r.failing = f.at
		}
		if r.failures == 0 || f.at.after(r.failed) {
			r.failed = f.at
		}
		r.failures++
		r.failStarted, r.refused = f.started, f.refused
		return
	}
	if f.kind == keystate.NotModified {
		f.said = r.said
	}
	before := *r
	made := f.begun.add(-f.age)
	old := r.known && !r.answered && made.lived(r.good) > hour // the keys come from an old snapshot
	r.failures, r.refused = 0, false
	if !r.known || made.after(r.good) {
		r.good = made
	}
	r.known, r.answered, r.started, r.begun, r.made, r.age, r.said = true, true, f.started, f.begun, made, f.age, f.said
	r.partial, r.unmodified = f.partial, f.kind == keystate.NotModified
	for k := range r.keys {
		s := &r.keys[k]
		switch listed := f.said.listed&(1<<k) != 0; {
		case listed && !s.known:
			*s = sight{known: true, first: made, last: made, latest: f.begun}
		case listed:
			r.listed(&before, k, made, f, l)
		case s.known:
			s.missing(made, old, f, k)
			if s.misses > 0 && l.over(f.begun, s.since, max(l.maxStale, day)) {
				*s = sight{}
			}
		}
	}
}

// listed enters that an answer lists key k.
func (r *ledger) listed(before *ledger, k int, made reading, f fact, l *layout) {
	s := &r.keys[k]
	isNew := made.lived(s.last) > max(l.maxStale, day)
	if s.misses == 0 || made.after(s.since) {
		s.without, s.plain = 0, 0
	}
	if s.misses > 0 && made.after(s.since) {
		if made.lived(s.last) < day && (!r.flapped || made.after(r.returned)) {
			r.returned, r.flapped = made, true
		}
		isNew = isNew || before.withdrew(k, f.begun, l)
		s.misses, s.once = 0, false
	}
	if isNew {
		s.first = made
	}
	s.last, s.latest = later(s.last, made), f.begun
}

func (s *sight) missing(made reading, old bool, f fact, k int) {
	s.without++
	if f.said.holds(k) {
		return
	}
	if f.age <= second && f.begun.after(s.latest) {
		if s.plain == 0 {
			s.from = f.begun
		}
		s.plain++
		s.to = f.begun
	}
	switch {
	case !made.after(s.last):
	case s.misses == 0:
		s.misses, s.since, s.upTo, s.once = 1, made, made, old
	case made.mono > s.upTo.mono+2:
		s.misses++
		s.upTo = made
	}
}

// over reports whether a span has ended: by the monotonic clock, or, if it is longer than MaxStale, by the wall clock.
func (l *layout) over(now, t reading, span int32) bool {
	return now.lived(t) >= span || now.since(t) >= max(span, l.maxStale)
}

// restart turns all times into ages by the wall clock. Only keys and their times are in a snapshot.
func (r *ledger) restart(now reading) {
	aged := func(c reading) reading { return reading{now.mono - (now.wall - c.wall), c.wall} }
	next := ledger{known: r.known, good: aged(r.good), flapped: r.flapped, returned: aged(r.returned)}
	for k, s := range r.keys {
		if !s.known {
			continue
		}
		s.first, s.last, s.since, s.upTo = aged(s.first), aged(s.last), aged(s.since), aged(s.upTo)
		s.plain, s.latest = 0, aged(s.latest)
		next.keys[k] = s
	}
	*r = next
}

// newest returns the latest wall time that a snapshot of the ledger would hold.
func (r *ledger) newest() reading {
	times := []reading{r.good}
	for _, s := range r.keys {
		if s.known {
			times = append(times, s.first, s.last)
		}
		if s.misses > 0 {
			times = append(times, s.since, s.upTo)
		}
	}
	return slices.MaxFunc(times, func(a, b reading) int { return int(a.wall) - int(b.wall) })
}
