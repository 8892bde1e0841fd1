package keystate_test

import (
	"fmt"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// verb is what can happen in the world.
type verb uint8

const (
	good       verb = iota // a URL answers with what its server lists
	thin                   // without one key
	unreadable             // with one key in a form that cannot be read
	forbidden              // with one key that policy forbids
	copied                 // with what a cache holds
	unmodified             // 304
	partial                // with what its server lists, but the URL may have moved
	fail                   // not
	refuse                 // with 403
	toggle                 // a server publishes or withdraws a key
	reuse                  // a server gives kid a to the other key of that name
	refill                 // a cache takes a copy
	wait                   // seconds on both clocks
	freeze                 // the process stands still: seconds on the wall clock alone
	restart                // the process ends, another one begins with a snapshot
	hourly                 // a URL answers ten times within 70 minutes
	burst                  // a URL answers as often as makes a kid unknown, within a few seconds
	begin                  // a request begins
	beginThin              // the same at a server without one key
	land                   // the answer to the nth request on its way arrives
	lose                   // the nth request on its way fails
)

// action is a verb with its URL and its key, its number or its seconds.
type action struct {
	do  verb
	url int
	n   int32
}

var verbs = [...]string{
	"good", "thin", "unreadable", "forbidden", "copied", "unmodified", "partial", "fail", "refuse", "toggle", "reuse", "refill",
	"wait", "freeze", "restart", "hourly", "burst", "begin", "beginThin", "land", "lose",
}

func (a action) String() string {
	switch a.do {
	case thin, unreadable, forbidden, toggle, beginThin:
		return fmt.Sprintf("%s(%d, %v)", verbs[a.do], a.url, keySet(1<<a.n))
	case wait, freeze:
		return fmt.Sprintf("%s(%d s)", verbs[a.do], a.n)
	case land, lose:
		return fmt.Sprintf("%s(%d, %d)", verbs[a.do], a.url, a.n)
	case restart:
		return "restart"
	default:
		return fmt.Sprintf("%s(%d)", verbs[a.do], a.url)
	}
}

// do makes a happen, and reports whether it can. last is the event of a request that ended, or nil.
func (w *world) do(a action) (last *keystate.Event, ok bool) {
	s := &w.sites[a.url]
	switch a.do {
	case wait:
		w.now = w.now.add(a.n)
		return nil, true
	case freeze:
		w.now.wall += a.n
		return nil, true
	case restart:
		return nil, w.restart()
	case toggle:
		if s.lists == 1<<a.n {
			return nil, false
		}
		s.lists ^= 1 << a.n
		return nil, true
	case reuse:
		if one := s.lists & (keyA | keyA2); one != keyA && one != keyA2 {
			return nil, false
		}
		s.lists ^= keyA | keyA2
		return nil, true
	case refill:
		ok = s.cached != s.lists
		s.cached, s.made = s.lists, w.now
		return nil, ok
	case hourly, burst:
		return nil, w.several(a)
	case begin, beginThin, land, lose:
		return w.overlap(a)
	default:
		return w.instant(a)
	}
}

func bit(b bool) keySet {
	if b {
		return 1
	}
	return 0
}

// instant has a request begin and end at once.
func (w *world) instant(a action) (*keystate.Event, bool) {
	s := &w.sites[a.url]
	said, f, key := document{listed: s.lists}, fact{}, keySet(1)<<a.n
	switch a.do {
	case thin, unreadable, forbidden:
		if s.lists&key == 0 || s.lists == key {
			return nil, false
		}
		said.listed ^= key
		said.unreadable, said.forbidden = key*bit(a.do == unreadable), key*bit(a.do == forbidden)
	case copied:
		f.age = w.now.mono - s.made.mono
		said.listed = s.cached
		if f.age <= second || s.cached == 0 {
			return nil, false
		}
	case unmodified:
		f.kind = keystate.NotModified
		if !s.ledger.answered {
			return nil, false
		}
	case partial:
		f.partial = true
	case fail, refuse:
		f.kind, f.refused = keystate.Failed, a.do == refuse
	default: // good
	}
	e := w.end(a.url, w.begin(a.url, said), f)
	return &e, true
}

func (w *world) several(a action) bool {
	n, pause := 10, int32(7*minute)
	if a.do == burst {
		n, pause = missesOfUnknown, 3
	}
	for range n {
		w.now = w.now.add(pause)
		w.instant(action{do: good, url: a.url})
	}
	return true
}

// overlap has requests begin, and end in any order.
func (w *world) overlap(a action) (*keystate.Event, bool) {
	s := &w.sites[a.url]
	switch a.do {
	case begin:
		if len(s.flight) == 2 {
			return nil, false
		}
		w.begin(a.url, document{listed: s.lists})
		return nil, true
	case beginThin:
		if len(s.flight) == 2 || s.lists&(1<<a.n) == 0 || s.lists == 1<<a.n {
			return nil, false
		}
		w.begin(a.url, document{listed: s.lists &^ (1 << a.n)})
		return nil, true
	default: // a request ends
	}
	if len(s.flight) <= int(a.n) {
		return nil, false
	}
	f := fact{}
	if a.do == lose {
		f.kind = keystate.Failed
	}
	e := w.end(a.url, s.flight[a.n], f)
	return &e, true
}
