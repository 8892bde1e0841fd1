package jwks

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// askedKeys remembers the keys of an iss that are asked for and not there, by the hash of kid and alg. Its size is bounded: the
// entry that was used longest ago goes. It only spaces rounds and is never an answer.
type askedKeys struct {
	mu           sync.Mutex
	*askedTables // nil if they are empty
}

type askedTables struct {
	changed  chan struct{}  // closed at the next view of the issuer; nil if nobody waits for it
	waiting  map[uint64]int // callers
	once     recent[clock.Time]
	repeated recent[askedTimes]
	absent   recent[absence]
}

func (a *askedKeys) lock() {
	a.mu.Lock()
	if a.askedTables == nil {
		a.askedTables = &askedTables{}
	}
}

// askedTimes is when a key was asked for that was asked for at least twice: the last times, the latest first.
type askedTimes [repeats]clock.Time

// absence is when it was certain that a key is not there, first and last.
type absence struct{ first, last clock.Time }

// recent holds the last values by the hash of what they are about.
type recent[V any] struct{ *simplelru.LRU[uint64, V] }

func (r recent[V]) count() int {
	if r.LRU == nil {
		return 0
	}
	return r.Len()
}

func (r recent[V]) find(id uint64) (v V, ok bool) {
	if r.LRU == nil {
		return v, false
	}
	return r.Peek(id)
}

func (r *recent[V]) put(id uint64, v V) {
	if r.LRU == nil {
		r.LRU, _ = simplelru.NewLRU[uint64, V](maxAsked, nil) // fails for sizes below 1 only
	}
	r.Add(id, v)
}

// forget drops the values that are old.
func (r *recent[V]) forget(old func(V) bool) {
	if r.LRU == nil {
		return
	}
	for _, v, ok := r.GetOldest(); ok && old(v); _, v, ok = r.GetOldest() {
		r.RemoveOldest()
	}
	if r.count() == 0 {
		r.LRU = nil
	}
}

// tidy forgets the keys that were not asked for in the last minute: after a flood, nobody may ask for an unknown key again.
func (a *askedKeys) tidy(now clock.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.askedTables != nil {
		a.forget(now)
	}
}

func (a *askedKeys) forget(now clock.Time) {
	old := func(at clock.Time) bool { return now.Since(at) >= forgetAsked }
	a.once.forget(old)
	a.repeated.forget(func(t askedTimes) bool { return old(t[0]) })
	a.absent.forget(func(b absence) bool { return old(b.last) })
	if len(a.waiting) == 0 {
		a.waiting = nil // it may have been large
	}
	a.free()
}

// free drops the tables if they are empty.
func (a *askedKeys) free() {
	if a.changed == nil && len(a.waiting) == 0 && a.once.LRU == nil && a.repeated.LRU == nil && a.absent.LRU == nil {
		a.askedTables = nil
	}
}

// wait returns a channel that is closed when another view of the issuer replaces the one that is there.
func (a *askedKeys) wait() <-chan struct{} {
	a.lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed
}

// wake wakes those who wait for another view.
func (a *askedKeys) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.askedTables != nil && a.changed != nil {
		close(a.changed)
		a.changed = nil
		a.free()
	}
}

var seed = maphash.MakeSeed() // keeps anybody outside the process from making two keys look alike

func hashOf(q keystate.Question) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.WriteString(q.KeyID)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(q.Algorithm)
	return h.Sum64()
}

// enter takes a place for a caller, who returns it with leave. ok is false if there is none: the sets are usable, and too many
// other keys are asked for.
func (a *askedKeys) enter(id uint64, usable bool, now clock.Time) (ok bool) {
	a.lock()
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
		return false
	}
	a.waiting[id]++
	return true
}

// leave returns a place. In a flood the empty map stays until tidy, so that it is not made for each token.
func (a *askedKeys) leave(id uint64) {
	a.lock()
	defer a.mu.Unlock()
	if a.waiting[id]--; a.waiting[id] <= 0 {
		delete(a.waiting, id)
	}
	a.free()
}

// count notes that a key was asked for, and reports whether it was asked for before, within repeatTime.
func (a *askedKeys) count(id uint64, now clock.Time) (again bool) {
	k, known := a.repeated.find(id)
	if !known {
		at, seen := a.once.find(id)
		if !seen || now.Since(at) > repeatTime {
			a.once.put(id, now)
			return false
		}
		a.once.Remove(id)
		k[0] = at
	}
	again = now.Since(k[0]) <= repeatTime
	a.repeated.put(id, askedTimes{now, k[0], k[1]})
	return again
}

// often reports whether a key was asked for so often that it is asked for beyond the burst.
func (t *askedTimes) often(now clock.Time) bool {
	return !t[repeats-1].IsZero() && now.Since(t[repeats-1]) <= repeatTime
}

// note notes that it was certain that a key is not there.
func (a *askedKeys) note(q keystate.Question, now clock.Time) {
	a.lock()
	defer a.mu.Unlock()
	id := hashOf(q)
	b, known := a.absent.find(id)
	if !known || now.Since(b.last) >= forgetAsked {
		b.first = now
	}
	b.last = now
	a.absent.put(id, b)
}

// gate returns how long a key may not cause a round, as it was certain a short while ago that it is not there: an eighth of the
// time for which it has been asked, from 1 to 10 seconds. often reports whether it is asked for again and again.
func (a *askedKeys) gate(q keystate.Question, now clock.Time) (wait time.Duration, often bool) {
	a.lock()
	defer a.mu.Unlock()
	id := hashOf(q)
	times, _ := a.repeated.find(id)
	often = times.often(now)
	b, known := a.absent.find(id)
	if !known || now.Since(b.last) >= forgetAsked {
		return 0, often
	}
	closed := min(max(b.last.Since(b.first)/8, time.Second), slowest)
	return max(0, closed-now.Since(b.last)), often
}
