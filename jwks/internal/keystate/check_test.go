package keystate_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

func question(kid string) keystate.Question {
	kid, unnamed := strings.CutSuffix(kid, orUnnamed)
	return keystate.Question{KeyID: kid, Algorithm: jose.EdDSA, Unnamed: unnamed}
}

// setOf returns the keys of candidates.
func setOf(all []keystate.Candidate) (s keySet) {
	for _, c := range all {
		s |= 1 << slices.Index(keys[:], c.Key)
	}
	return s
}

// candidates are the keys that the code accepts.
func (w *world) candidates() keySet { return setOf(w.issuer().Candidates(w.now.time())) }

// check compares the code with the truth, and both with what must hold whatever the rules are. It returns the first
// violation.
func (w *world) check() error {
	e, now := w.issuer(), w.now.time()
	all := e.Candidates(now)
	accepted := setOf(all)
	if truth := w.accepted(); accepted != truth {
		return fmt.Errorf("accepts %v, not %v", accepted, truth)
	}
	if err := w.checkAccepted(accepted); err != nil {
		return err
	}
	for _, c := range all {
		k := slices.Index(keys[:], c.Key)
		if truth := w.signers(k); !slices.Equal(c.Regions, truth) {
			return fmt.Errorf("key %v may be signed with by %v, not %v", keySet(1<<k), c.Regions, truth)
		}
	}
	for _, kid := range w.kids() {
		if err := w.checkKid(e, kid); err != nil {
			return fmt.Errorf("kid %s: %w", kid, err)
		}
	}
	for i := range w.sites {
		s := &w.sites[i]
		if !s.overlapped {
			continue
		}
		if plain := s.plain(w.layout); !reflect.DeepEqual(s.url.State, plain.State) {
			return fmt.Errorf("URL %d: overlapping requests give\n%+v, not\n%+v", i, s.url.State, plain.State)
		}
	}
	return nil
}

// arrivals are numbers of tokens that arrived before all requests, and after each last one.
func (w *world) arrivals() []uint64 {
	list := []uint64{0}
	for i := range w.sites {
		list = append(list, w.sites[i].ledger.started, w.sites[i].ledger.failStarted)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// issues are the times at which tokens were issued, as far as answers differ for them.
func (w *world) issues() []int32 {
	list := []int32{w.now.wall}
	for i := range w.sites {
		if r := &w.sites[i].ledger; r.answered && r.age > second {
			list = append(list, r.made.wall-2*minute-1, r.made.wall-2*minute)
		}
	}
	return list
}

func (w *world) checkKid(e *keystate.Issuer, kid string) error {
	now, q := w.now.time(), question(kid)
	verdict, until := e.Complete(q, now)
	if truth := w.complete(kid); verdict != truth {
		return fmt.Errorf("verdict %d, not %d", verdict, truth)
	}
	if verdict != keystate.Incomplete {
		if err := w.checkComplete(kid); err != nil {
			return fmt.Errorf("complete, but %w", err)
		}
		if err := w.checkUntil(e, q, verdict, until); err != nil {
			return err
		}
	}
	for _, issued := range w.issues() {
		recently := e.AbsentRecently(q, issuedAt(issued), now)
		if truth := w.absentRecently(kid, issued); recently != truth {
			return fmt.Errorf("absent recently is %v, not %v", recently, truth)
		}
		for _, arrived := range w.arrivals() {
			absent := e.Absent(q, arrived, issuedAt(issued), now)
			if truth := w.absentSince(kid, arrived, issued); absent != truth {
				return fmt.Errorf("absent since %d for a token of %d is %v, not %v", arrived, issued, absent, truth)
			}
			if absent {
				if err := w.checkAbsent(kid, arrived, issued); err != nil {
					return fmt.Errorf("absent since %d for a token of %d, but %w", arrived, issued, err)
				}
			}
			if only := e.OnlyAge(q, arrived, now); only != w.onlyAge(kid, arrived) || absent && !only {
				return fmt.Errorf("only age is %v", only)
			}
		}
	}
	return nil
}

// checkAccepted holds the accepted keys against the answers themselves.
func (w *world) checkAccepted(accepted keySet) error {
	for k := range keyCount {
		is := accepted&(1<<k) != 0
		listed, kept := false, false
		for i := range w.sites {
			r := &w.sites[i].ledger
			s := &r.keys[k]
			if !s.known {
				continue
			}
			fresh := w.now.since(s.last) <= w.maxStale
			listed = listed || fresh && !w.plainlyWithdrew(i, k)
			lists := r.answered && r.said.listed&(1<<k) != 0 && r.age <= second
			lists = lists && (s.misses == 0 || r.made.after(s.since)) // of two answers of one moment the first is believed
			kept = kept || fresh && lists && !w.overruled(i, k)
		}
		if is && !listed {
			return fmt.Errorf("key %v is accepted, although every URL withdrew it", keySet(1<<k))
		}
		if kept && !is {
			return fmt.Errorf("key %v is not accepted, although a last answer lists it", keySet(1<<k))
		}
	}
	return nil
}

// plainlyWithdrew reports whether URL i has not listed key k for long enough by any rule: at least two answers a minute
// apart, ten over an hour if a key has ever come back.
func (w *world) plainlyWithdrew(i, k int) bool {
	r := &w.sites[i].ledger
	s := &r.keys[k]
	if r.flapped {
		return s.misses >= 10 && s.plain > 10 && s.to.lived(s.from) >= day
	}
	return s.misses > 0 && s.plain > 1 && s.to.lived(s.from) >= minute
}

// overruled reports whether another URL of the set of URL i has answered without key k often enough, after URL i listed it.
func (w *world) overruled(i, k int) bool {
	r := &w.sites[i].ledger
	for j := range w.sites {
		s := &w.sites[j].ledger.keys[k]
		if j == i || w.sets[j] != w.sets[i] || s.misses == 0 {
			continue
		}
		if s.upTo.after(r.keys[k].last) && (s.since.after(r.keys[k].last) || r.failingNow() && s.upTo.lived(r.ailing) >= hour) {
			return true
		}
	}
	return false
}

// checkAbsent holds an absent kid against the answers themselves.
func (w *world) checkAbsent(kid string, arrived uint64, issued int32) error {
	for i := range w.sites {
		r := &w.sites[i].ledger
		out := r.failingNow() && w.now.lived(r.failing) > w.maxStale && w.standIn(i)
		switch {
		case out:
		case r.failingNow() && (r.known || !r.refused || !w.optional[i] || r.failStarted <= arrived):
			return fmt.Errorf("URL %d failed", i)
		case r.failingNow():
		case !r.answered || r.started <= arrived:
			return fmt.Errorf("URL %d has not answered", i)
		case r.unmodified:
			return fmt.Errorf("URL %d answered with 304", i)
		case r.partial:
			return fmt.Errorf("URL %d may have moved", i)
		case r.age > second && r.made.wall <= issued+2*minute:
			return fmt.Errorf("URL %d answered with a copy", i)
		case (r.said.listed|r.said.unreadable)&named[kid] != 0:
			return fmt.Errorf("the last answer of URL %d lists it", i)
		}
		for k := range named[kid].each {
			if s := &r.keys[k]; s.known && !out && w.now.since(s.last) < day && s.without < missesOfUnknown {
				return fmt.Errorf("URL %d has listed it, and has answered %d times since", i, s.without)
			}
			if s := &r.keys[k]; s.known && r.flapped && w.now.since(r.returned) < day && w.now.since(s.last) < day {
				return fmt.Errorf("URL %d has listed it, and keys come and go there", i)
			}
		}
	}
	return nil
}

// checkComplete holds a complete answer against the answers themselves.
func (w *world) checkComplete(kid string) error {
	answers := false
	for i := range w.sites {
		r := &w.sites[i].ledger
		if r.said.unreadable&named[kid] != 0 {
			return fmt.Errorf("URL %d lists a key of that name in a form that cannot be read", i)
		}
		answers = answers || r.known && w.now.since(r.good) <= w.maxStale
		usable := false
		for j := range w.sites {
			o := &w.sites[j].ledger
			usable = usable || w.sets[j] == w.sets[i] && o.known && w.now.since(o.good) <= w.maxStale
		}
		if !usable && (r.known || !w.optional[i] || !r.refused || w.now.since(r.failed) >= hour) {
			return fmt.Errorf("the set of URL %d has not answered", i)
		}
	}
	if !answers {
		return fmt.Errorf("no URL has answered")
	}
	return nil
}

// checkUntil looks at the same verdict at later times, as far as either clock is before until.
func (w *world) checkUntil(e *keystate.Issuer, q keystate.Question, verdict keystate.Verdict, until clock.Time) error {
	now := w.now.time()
	left := now.Until(until)
	if until.IsZero() {
		left = 100 * day * time.Second
	}
	last := left - 1
	later := []clock.Time{
		now.Add(last), {Mono: now.Mono + int64(last), Wall: now.Wall}, {Mono: now.Mono, Wall: now.Wall + int64(last)},
	}
	for _, d := range []time.Duration{time.Second, time.Minute, time.Hour - 1, time.Hour + 1, 13 * time.Hour} {
		if d < last {
			later = append(later, now.Add(d))
		}
	}
	for _, t := range later {
		if t.Reached(until) && !until.IsZero() || left == 0 {
			continue
		}
		if v, _ := e.Complete(q, t); v != verdict {
			return fmt.Errorf("verdict %d until %v, but %d at %v (now %v)", verdict, until, v, t, now)
		}
	}
	return nil
}
