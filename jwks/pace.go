package jwks

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

const (
	burst        = 5                // rounds that unknown keys may cause at once
	slowest      = 10 * time.Second // between rounds, whatever they found
	growAfter    = time.Minute      // of rounds that find nothing, until their interval grows
	growBy       = 24               // it is this part of the time since then
	repeats      = 3                // times that a key is asked for within repeatTime, to be asked for beyond the burst
	repeatTime   = 10 * time.Second
	mismatchTime = time.Minute // between rounds that wrong signatures cause
	coldTime     = 30 * time.Second

	maxPlaces   = 1024 // distinct keys of one iss that callers wait for
	morePlaces  = 64   // the same, for keys that were asked for at least twice within repeatTime
	maxAsked    = 1024 // keys of one iss that are remembered as asked for, once and repeatedly each
	forgetAsked = time.Minute
)

// pace decides when rounds of one set may start for callers. The set's mutex guards it.
type pace struct {
	spent     float64       // of the burst
	refilled  keystate.Time // when spent was last brought up to date
	fruitless keystate.Time // since when rounds for unknown keys have found nothing; zero if the last one found its key
	repeated  keystate.Time // when a round last began for a key that was asked for again and again
	mismatch  keystate.Time // when a wrong signature last caused a round

	failed    int           // rounds in a row without a good answer
	failing   keystate.Time // when the first of them began
	slow      int           // of them, those after coldTime
	requested keystate.Time // when the last request of a round began
	urgent    keystate.Time // when the last round began that somebody waited for
	before    keystate.Time // when the one before that began
	resting   keystate.Time // until when no refresh begins
}

// interval is the time between two rounds that unknown keys cause: least at first, and up to slowest while they find nothing.
func (p *pace) interval(least time.Duration, now keystate.Time) time.Duration {
	if p.fruitless.IsZero() {
		return least
	}
	return min(max((now.Since(p.fruitless)-growAfter)/growBy, least), max(slowest, least))
}

// wait is the time until the burst allows another round.
func (p *pace) wait(least time.Duration, now keystate.Time) time.Duration {
	every := p.interval(least, now)
	p.spent = max(0, p.spent-float64(now.Since(p.refilled))/float64(every))
	p.refilled = now
	if p.spent == 0 {
		p.fruitless = keystate.Time{}
	}
	return time.Duration(max(0, p.spent+1-burst-1e-9) * float64(every))
}

// waitRepeated is the time until a round may start for a key that is asked for again and again.
func (p *pace) waitRepeated(now keystate.Time) time.Duration {
	if p.repeated.IsZero() {
		return 0
	}
	return max(0, p.interval(time.Second, now)-now.Since(p.repeated))
}

// waitFailed is the time until a round may start for a caller after rounds without a good answer.
func (p *pace) waitFailed(usable bool, now keystate.Time) time.Duration {
	if p.failed == 0 {
		return 0
	}
	space := min(backOff(p.failed), 2*time.Second)
	if !usable {
		space = min(time.Second<<min(p.slow, 4), slowest)
	}
	return max(0, space-now.Since(p.requested))
}

// ended notes the end of a round.
func (p *pace) ended(r *round, now keystate.Time) {
	if r.good {
		p.failed, p.slow = 0, 0
	} else {
		if p.failed == 0 {
			p.failing = r.began
		}
		p.failed++
		if now.Since(p.failing) >= coldTime {
			p.slow++
		}
	}
	switch {
	case r.found:
		p.fruitless = keystate.Time{}
	case r.charged && p.fruitless.IsZero():
		p.fruitless = r.began
	}
}

// backOff doubles from one second to a minute.
func backOff(failures int) time.Duration {
	return min(firstBackOff<<min(max(failures-1, 0), 10), maxBackOff)
}

// outages bounds how often a process answers "unavailable" for tokens that no key has verified: a proxy ejects an instance that
// answers 5xx several times in a row, and anybody can send such tokens.
type outages struct {
	row atomic.Int32 // answers "unavailable" in a row

	mu       sync.Mutex
	spent    float64
	refilled keystate.Time
	looked   keystate.Time // when usable was found out
	usable   bool          // a key set of the process is
}

const (
	outageBurst = 3
	outageEvery = 10 * time.Second
)

// take reports whether another answer "unavailable" is allowed. While no key set is usable, each is.
func (o *outages) take(now keystate.Time, usable func(keystate.Time) bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.looked.IsZero() || now.Since(o.looked) >= time.Second {
		o.looked, o.usable = now, usable(now)
	}
	if !o.usable {
		return true
	}
	o.spent = max(0, o.spent-float64(now.Since(o.refilled))/float64(outageEvery))
	o.refilled = now
	if o.row.Load() >= outageBurst || o.spent > outageBurst-1+1e-9 {
		return false
	}
	o.spent++
	o.row.Add(1)
	return true
}

// other notes any other answer, which ends a row.
func (o *outages) other() {
	if o.row.Load() != 0 {
		o.row.Store(0)
	}
}

// askedKeys remembers the keys of an iss that are asked for and not there, by the hash of kid and alg. Its size is bounded: when
// it is full, any entry goes. It only spaces rounds and is never an answer.
type askedKeys struct {
	mu       sync.Mutex
	waiting  map[uint64]int // callers
	once     map[uint64]keystate.Time
	repeated map[uint64]askedTimes
	absent   map[uint64]absence
	swept    keystate.Time
}

// askedTimes is when a key was asked for that was asked for at least twice: the last times, the latest first.
type askedTimes [repeats]keystate.Time

// absence is when it was certain that a key is not there, first and last.
type absence struct{ first, last keystate.Time }

var seed = maphash.MakeSeed() // keeps anybody outside the process from making two keys look alike

func hashOf(q keystate.Question) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.WriteString(q.KeyID)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(q.Algorithm)
	return h.Sum64()
}

// enter takes a place for a caller. ok is false if there is none: the sets are usable, and too many other keys are asked for.
func (e *issuerEntry) enter(q keystate.Question, usable bool, now keystate.Time) (leave func(), ok bool) {
	a, id := &e.asked, hashOf(q)
	a.mu.Lock()
	defer a.mu.Unlock()
	again := usable && a.count(id, now)
	if a.waiting == nil {
		a.waiting = map[uint64]int{}
	}
	most := maxPlaces
	if again {
		most += morePlaces
	}
	if usable && a.waiting[id] == 0 && len(a.waiting) >= most {
		return nil, false
	}
	a.waiting[id]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.waiting[id]--; a.waiting[id] <= 0 {
			delete(a.waiting, id)
		}
		if len(a.waiting) == 0 {
			a.waiting = nil
		}
	}, true
}

// count notes that a key was asked for, and reports whether it was asked for before, within repeatTime.
func (a *askedKeys) count(id uint64, now keystate.Time) (again bool) {
	if now.Since(a.swept) >= forgetAsked {
		a.sweep(now)
	}
	k, known := a.repeated[id]
	if !known {
		at, seen := a.once[id]
		if !seen || now.Since(at) > repeatTime {
			put(&a.once, id, now)
			return false
		}
		delete(a.once, id)
		k[0] = at
	}
	again = now.Since(k[0]) <= repeatTime
	put(&a.repeated, id, askedTimes{now, k[0], k[1]})
	return again
}

// often reports whether a key was asked for so often that it is asked for beyond the burst.
func (t *askedTimes) often(now keystate.Time) bool {
	return !t[repeats-1].IsZero() && now.Since(t[repeats-1]) <= repeatTime
}

// tidy sweeps when that is due: after a flood, nobody may ask for an unknown key of the iss again.
func (a *askedKeys) tidy(now keystate.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Since(a.swept) >= forgetAsked {
		a.sweep(now)
	}
}

// sweep forgets the keys that were not asked for in the last minute.
func (a *askedKeys) sweep(now keystate.Time) {
	a.swept = now
	sweep(&a.once, func(at keystate.Time) bool { return now.Since(at) >= forgetAsked })
	sweep(&a.repeated, func(t askedTimes) bool { return now.Since(t[0]) >= forgetAsked })
	sweep(&a.absent, func(b absence) bool { return now.Since(b.last) >= forgetAsked })
}

func sweep[V any](m *map[uint64]V, old func(V) bool) {
	for id, v := range *m {
		if old(v) {
			delete(*m, id)
		}
	}
	if len(*m) == 0 {
		*m = nil
	}
}

// put sets an entry. If the map is full, any other one goes.
func put[V any](m *map[uint64]V, id uint64, v V) {
	if *m == nil {
		*m = map[uint64]V{}
	}
	if _, known := (*m)[id]; !known && len(*m) >= maxAsked {
		for other := range *m {
			delete(*m, other)
			break
		}
	}
	(*m)[id] = v
}

// note notes that it was certain that a key is not there.
func (a *askedKeys) note(q keystate.Question, now keystate.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := hashOf(q)
	b, known := a.absent[id]
	if !known || now.Since(b.last) >= forgetAsked {
		b.first = now
	}
	b.last = now
	put(&a.absent, id, b)
}

// gate returns how long a key may not cause a round, as it was certain a short while ago that it is not there: an eighth of the
// time for which it has been asked, from 1 to 10 seconds. often reports whether it is asked for again and again.
func (a *askedKeys) gate(q keystate.Question, now keystate.Time) (wait time.Duration, often bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := hashOf(q)
	times := a.repeated[id]
	often = times.often(now)
	b, known := a.absent[id]
	if !known || now.Since(b.last) >= forgetAsked {
		return 0, often
	}
	closed := min(max(b.last.Since(b.first)/8, time.Second), slowest)
	return max(0, closed-now.Since(b.last)), often
}
