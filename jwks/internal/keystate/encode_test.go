package keystate_test

import (
	"encoding/binary"
	"hash/fnv"
	"slices"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// encoder writes a world so that two worlds with the same bytes have the same future. Times are relative to now. They
// are exact: rules compare times with each other, so an old time matters as long as its order to others does. Left out
// is what no predicate reads: counts beyond what rules tell apart, and times by which nothing is judged any more.
type encoder struct {
	out     []byte
	w       *world
	now     clock.Time
	numbers []uint64 // of requests, in order: only their order matters
}

// hash returns a number for the world. Two worlds that differ have the same one with a probability of 2^-64.
func (w *world) hash() uint64 {
	e := encoder{w: w, now: w.now.time(), out: make([]byte, 0, 512)}
	for i := range w.sites {
		s := &w.sites[i]
		e.numbers = append(e.numbers, s.ledger.started, s.ledger.failStarted, s.settledLedger.started, s.settledLedger.failStarted)
		for _, r := range s.flight {
			e.numbers = append(e.numbers, r.started)
		}
		for _, t := range s.tail {
			e.numbers = append(e.numbers, t.event.Started)
		}
	}
	slices.Sort(e.numbers)
	e.numbers = slices.Compact(e.numbers)
	for i := range w.sites {
		e.site(&w.sites[i])
	}
	h := fnv.New64a()
	h.Write(e.out)
	return h.Sum64()
}

func (e *encoder) int(n int64) { e.out = binary.AppendVarint(e.out, n) }

func (e *encoder) flag(b bool) {
	if b {
		e.int(1)
		return
	}
	e.int(0)
}

func (e *encoder) number(n uint64) { e.int(int64(slices.Index(e.numbers, n))) }

func (e *encoder) time(t clock.Time) {
	if t.IsZero() {
		e.int(1 << 40)
		return
	}
	e.int((e.now.Mono - t.Mono) / 1e9)
	e.int((e.now.Wall - t.Wall) / 1e9)
}

func (e *encoder) clock(c reading) {
	e.int(int64(e.w.now.mono - c.mono))
	e.int(int64(e.w.now.wall - c.wall))
}

// recent is a time that only matters for ten seconds by the longer clock.
func (e *encoder) recent(t clock.Time) {
	if t.IsZero() || e.now.Lived(t) > keystate.Window {
		e.int(1 << 40)
		return
	}
	e.time(t)
}

func (e *encoder) site(s *site) {
	e.int(int64(s.lists))
	e.int(int64(s.cached))
	if s.cached != 0 {
		e.clock(s.made)
	}
	e.state(&s.url.State)
	e.ledger(&s.ledger)
	e.int(int64(len(s.flight)))
	for _, r := range s.flight {
		e.number(r.started)
		e.clock(r.begun)
		e.int(int64(r.said.listed))
	}
	e.int(int64(len(s.tail)))
	for _, t := range s.tail {
		e.number(t.event.Started)
		e.clock(t.fact.begun)
		e.clock(t.fact.at)
		e.int(int64(t.event.Kind))
		e.int(int64(t.fact.said.listed))
		e.flag(t.fact.refused)
	}
	if len(s.tail) > 0 {
		e.state(&s.settled.State)
		e.ledger(&s.settledLedger)
	}
}

func (e *encoder) state(s *keystate.State) {
	e.flag(s.Known)
	e.time(s.Good)
	e.number(s.Answer.Started)
	e.recent(s.Answer.StartedAt)
	e.flag(s.Answer.Partial)
	e.flag(s.Answer.Whole())
	e.flag(s.Answer.Age > 0)
	if s.Answer.Age > 0 {
		e.int(int64(s.Answer.Age))
		e.time(s.Answer.Made())
	}
	e.flag(s.Failure != nil)
	if f := s.Failure; f != nil {
		e.time(f.Since)
		e.time(f.At)
		e.number(f.Started)
		e.flag(f.Refused)
	}
	e.time(s.Returned)
	e.int(int64(len(s.Listed)))
	var at [keyCount]*keystate.Listing
	for i := range s.Listed {
		at[slices.Index(keys[:], s.Listed[i].Key)] = &s.Listed[i]
	}
	for _, k := range at {
		e.flag(k != nil)
		if k == nil {
			continue
		}
		e.time(k.First)
		e.time(k.Last)
		e.flag(k.Current)
		e.flag(k.Fetched)
		e.flag(k.Miss != nil)
		if k.Miss != nil {
			e.int(int64(min(k.Miss.Count, 10)))
			e.time(k.Miss.Since)
			e.time(k.Miss.At)
		}
	}
	e.int(int64(len(s.Unusable)))
	for _, u := range s.Unusable {
		e.int(int64(len(u.Thumbprint)))
		e.out = append(e.out, u.KeyID...)
		e.flag(u.Policy)
	}
}

func (e *encoder) ledger(r *ledger) {
	e.flag(r.known)
	e.flag(r.answered)
	e.flag(r.flapped)
	e.clock(r.good)
	if r.answered {
		e.flag(r.partial)
		e.flag(r.unmodified)
		e.number(r.started)
		e.int(int64(min(e.w.now.lived(r.begun), 11)))
		e.int(int64(r.age))
		e.int(int64(r.said.listed) | int64(r.said.unreadable)<<8 | int64(r.said.forbidden)<<16)
	}
	if r.failures > 0 {
		e.number(r.failStarted)
		e.clock(r.ailing)
		e.clock(r.failing)
		e.clock(r.failed)
		e.flag(r.refused)
	}
	if r.flapped {
		e.clock(r.returned)
	}
	for k := range r.keys {
		s := &r.keys[k]
		e.flag(s.known)
		if !s.known {
			continue
		}
		e.clock(s.first)
		e.clock(s.last)
		e.clock(s.latest)
		e.int(int64(min(s.misses, 10)))
		e.int(int64(min(s.without, 10)))
		e.int(int64(min(s.plain, 11)))
		if s.misses > 0 {
			e.flag(s.once)
			e.clock(s.since)
			e.clock(s.upTo)
		}
		if s.plain > 0 {
			e.clock(s.from)
			e.clock(s.to)
		}
	}
}
