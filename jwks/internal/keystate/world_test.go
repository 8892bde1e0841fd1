package keystate_test

import (
	"crypto/ed25519"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// keySet is a set of the keys of the world, one bit each.
type keySet uint8

// The keys of the world. Key A2 has the kid of key A and other material. Key U has the material of key A and no kid.
const (
	keyA keySet = 1 << iota
	keyB
	keyC
	keyA2
	keyU
	keyCount = 5
)

func newKey(kid, alg, thumbprint string) *jose.Key {
	return &jose.Key{
		ID: kid, Algorithm: alg, Thumbprint: thumbprintOf(thumbprint), Public: make(ed25519.PublicKey, ed25519.PublicKeySize),
	}
}

// thumbprintOf returns a thumbprint that begins with a text.
func thumbprintOf(text string) (t jose.Thumbprint) {
	copy(t[:], text)
	return t
}

var keys = [keyCount]*jose.Key{
	newKey("a", jose.EdDSA, "first a"), newKey("b", jose.EdDSA, "b"), newKey("c", jose.EdDSA, "c"),
	newKey("a", jose.EdDSA, "second a"), newKey("", jose.EdDSA, "first a"),
}

// kids are the names that tokens ask for. Nobody ever publishes x. Those that end with orUnnamed ask for keys without kid, too, and
// "" asks for any key: they are asked for in worlds in which a key without kid was ever published.
var kids = [...]string{"a", "b", "c", "x", "x" + orUnnamed, "a" + orUnnamed, ""}

const orUnnamed = " or unnamed"

// named holds the keys of each kid.
var named = map[string]keySet{
	"a": keyA | keyA2, "b": keyB, "c": keyC, "x": 0, "": keyA | keyB | keyC | keyA2 | keyU,
	"x" + orUnnamed: keyU, "a" + orUnnamed: keyA | keyA2 | keyU,
}

// kids are the names that tokens ask for in the world.
func (w *world) kids() []string {
	for i := range w.sites {
		if s := &w.sites[i]; s.lists&keyU != 0 || s.ledger.keys[u].known || s.ledger.said.unreadable&keyU != 0 {
			return kids[:]
		}
	}
	return kids[:4]
}

func (s keySet) each(yield func(int) bool) {
	for ; s != 0; s &= s - 1 {
		if !yield(bits.TrailingZeros8(uint8(s))) {
			return
		}
	}
}

func (s keySet) String() string {
	var names []string
	for k := range s.each {
		names = append(names, [...]string{"a", "b", "c", "a2", "u"}[k])
	}
	return "{" + strings.Join(names, " ") + "}"
}

func keysOf(s keySet) []*jose.Key {
	var list []*jose.Key
	for k := range s.each {
		list = append(list, keys[k])
	}
	return list
}

// document is what an answer says: the keys that it lists, those that it lists in a form that cannot be read, and those
// that policy forbids.
type document struct{ listed, unreadable, forbidden keySet }

// holds reports whether an entry that cannot be used may be key k. Only the kid of an unreadable entry is known.
func (d document) holds(k int) bool {
	for n := range d.unreadable.each {
		if keys[n].ID == keys[k].ID {
			return true
		}
	}
	return d.forbidden&(1<<k) != 0
}

func (d document) unusable() []keystate.Unusable {
	var list []keystate.Unusable
	for k := range d.unreadable.each {
		list = append(list, keystate.Unusable{KeyID: keys[k].ID})
	}
	for k := range d.forbidden.each {
		list = append(list, keystate.Unusable{KeyID: keys[k].ID, KeyType: "OKP", Thumbprint: keys[k].Thumbprint.String(), Policy: true})
	}
	return list
}

// reading is one of both clocks in seconds. A new process has just started when the world begins: in times from
// before, the monotonic clock is negative.
type reading struct{ mono, wall int32 }

const epoch = 1_700_000_000

func (c reading) time() clock.Time {
	return clock.Time{Mono: int64(c.mono) * 1e9, Wall: (int64(c.wall) + epoch) * 1e9}
}

func (c reading) add(seconds int32) reading { return reading{c.mono + seconds, c.wall + seconds} }

func (c reading) after(d reading) bool { return c.mono > d.mono || c.mono == d.mono && c.wall > d.wall }

// lived is the time since d by the monotonic clock, since the larger one of both clocks.
func (c reading) lived(d reading) int32 { return max(c.mono-d.mono, 0) }
func (c reading) since(d reading) int32 { return max(c.mono-d.mono, c.wall-d.wall, 0) }

// layout is how the URLs of an issuer belong together. Its times are in seconds.
type layout struct {
	name     string
	sets     []int // the key set of each URL
	optional []bool
	regions  []keystate.Region
	separate bool
	maxStale int32
}

func (l *layout) limits() keystate.Limits {
	return keystate.Limits{MaxStale: time.Duration(l.maxStale) * time.Second, MaxKeys: 1000}
}

// request is on its way. The server has made its answer.
type request struct {
	started uint64
	begun   reading
	said    document
}

// site is one JWKS URL: what its server lists, what the code knows, and what the truth knows.
type site struct {
	lists  keySet
	cached keySet  // what a cache before the server holds
	made   reading // when that was made

	url    keystate.URL
	ledger ledger

	// The state before the oldest request on its way, and what has arrived since.
	flight        []request
	overlapped    bool // there were two at once
	settled       keystate.URL
	settledLedger ledger
	tail          []arrival
}

type arrival struct {
	event keystate.Event
	fact  fact
}

// world is a small world of servers, clocks and one process.
type world struct {
	*layout
	now   reading
	seq   uint64
	sites []site
}

func newWorld(l *layout, lists keySet) *world {
	w := &world{layout: l, now: reading{mono: 1}, sites: make([]site, len(l.sets))}
	for i := range w.sites {
		w.sites[i].lists = lists
	}
	return w
}

func (w *world) clone() *world {
	c := *w
	c.sites = slices.Clone(w.sites)
	for i := range c.sites {
		c.sites[i].flight, c.sites[i].tail = slices.Clone(c.sites[i].flight), slices.Clip(c.sites[i].tail)
	}
	return &c
}

func (w *world) issuer() *keystate.Issuer {
	e := &keystate.Issuer{Layout: &keystate.Layout{Regions: w.regions, SeparateKeys: w.separate, Limits: w.limits()}}
	e.Sources = make([]keystate.Source, len(w.sites))
	for i := range w.sites {
		e.Sources[i] = keystate.Source{State: &w.sites[i].url.State, Set: w.sets[i], Optional: w.optional[i]}
	}
	return e
}

// begin starts a request to URL i. Its server answers now.
func (w *world) begin(i int, said document) request {
	w.seq++
	r := request{w.seq, w.now, said}
	s := &w.sites[i]
	s.flight = append(s.flight, r)
	s.overlapped = s.overlapped || len(s.flight) > 1
	return r
}

// end hands the outcome of a request to the code and to the truth.
func (w *world) end(i int, r request, f fact) keystate.Event {
	s := &w.sites[i]
	s.flight = slices.DeleteFunc(s.flight, func(o request) bool { return o.started == r.started })
	f.started, f.begun, f.at, f.said = r.started, r.begun, w.now, r.said
	e := f.event()
	var oldest uint64
	if len(s.flight) > 0 {
		oldest = slices.MinFunc(s.flight, func(a, b request) int { return int(a.started) - int(b.started) }).started
	}
	s.url = s.url.Apply(e, oldest, w.limits())
	s.land(arrival{e, f}, oldest, w.layout)
	return e
}

// land keeps the truth, and the plain fold of the events in the order of their requests.
func (s *site) land(a arrival, oldest uint64, l *layout) {
	if !s.overlapped {
		s.ledger.take(a.fact, l)
		s.settled, s.settledLedger = s.url, s.ledger
		return
	}
	s.tail = append(s.tail, a)
	slices.SortStableFunc(s.tail, func(a, b arrival) int { return int(a.event.Started) - int(b.event.Started) })
	for len(s.tail) > 0 && (oldest == 0 || s.tail[0].event.Started < oldest) {
		s.settled = s.settled.Apply(s.tail[0].event, 0, l.limits())
		s.settledLedger.take(s.tail[0].fact, l)
		s.tail = s.tail[1:]
	}
	s.ledger = s.settledLedger
	for _, t := range s.tail {
		s.ledger.take(t.fact, l)
	}
}

// plain is the state of the URL as if each answer had come before the next request began.
func (s *site) plain(l *layout) keystate.URL {
	u := s.settled
	for _, t := range s.tail {
		u = u.Apply(t.event, 0, l.limits())
	}
	return u
}

// restart ends the process. The next one has a snapshot of all keys, with ages by the wall clock. It reports false if a
// time of the snapshot is in the future.
func (w *world) restart() bool {
	for i := range w.sites {
		s := &w.sites[i]
		if s.ledger.newest().wall > w.now.wall || s.ledger.known != s.url.Known {
			return false
		}
	}
	aged := func(t clock.Time) clock.Time {
		now := w.now.time()
		return clock.Time{Mono: now.Mono - (now.Wall - t.Wall), Wall: t.Wall}
	}
	for i := range w.sites {
		s := &w.sites[i]
		listed := slices.Clone(s.url.Listed)
		for j := range listed {
			k := &listed[j]
			k.First, k.Last, k.Fetched, k.Current = aged(k.First), aged(k.Last), false, false
			if k.Miss != nil {
				m := *k.Miss
				m.Since, m.At = aged(m.Since), aged(m.At)
				k.Miss = &m
			}
		}
		var next keystate.URL
		if s.url.Known {
			e := keystate.Event{Kind: keystate.Restored, At: w.now.time(), Listed: listed, Made: aged(s.url.Good)}
			if !s.url.Returned.IsZero() {
				e.Returned = aged(s.url.Returned)
			}
			next = next.Apply(e, 0, w.limits())
		}
		s.ledger.restart(w.now)
		s.url, s.settled, s.settledLedger, s.flight, s.tail = next, next, s.ledger, nil, nil
	}
	return true
}

// String tells what the code knows, with ages by both clocks in seconds.
func (w *world) String() string {
	var b strings.Builder
	ago := func(t clock.Time) string {
		if t.IsZero() {
			return "never"
		}
		mono, wall := (w.now.time().Mono-t.Mono)/1e9, (w.now.time().Wall-t.Wall)/1e9
		if mono == wall {
			return fmt.Sprintf("-%ds", mono)
		}
		return fmt.Sprintf("-%ds/-%ds", mono, wall)
	}
	for i := range w.sites {
		s := &w.sites[i]
		u := &s.url.State
		fmt.Fprintf(&b, "URL %d: server %v, cache %v, known %v, good %s, answer %d %s age %s, returned %s, unusable %d\n", i, s.lists,
			s.cached, u.Known, ago(u.Good), u.Answer.Started, ago(u.Answer.StartedAt), u.Answer.Age, ago(u.Returned), len(u.Unusable))
		if f := u.Failure; f != nil {
			fmt.Fprintf(&b, "  failed %d times, since %s, last %s, refused %v\n", f.Count, ago(f.Since), ago(f.At), f.Refused)
		}
		for _, k := range u.Listed {
			key := keySet(1 << slices.Index(keys[:], k.Key))
			fmt.Fprintf(&b, "  %v first %s last %s current %v", key, ago(k.First), ago(k.Last), k.Current)
			if k.Miss != nil {
				fmt.Fprintf(&b, ", missing %d times, since %s, last %s", k.Miss.Count, ago(k.Miss.Since), ago(k.Miss.At))
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
