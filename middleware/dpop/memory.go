package dpop

import (
	"container/heap"
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

const (
	maxProofs   = 1 << 17
	holderShare = 4  // a key may use the free part of the room, times the number of free places, divided by this
	sweepAtOnce = 64 // expired entries that one call drops: far more than the one that it adds
)

var errFull = errors.New("no room to record one more proof of this key")

// memory is a Config.Replay in this process. It holds at most max ids, and each until its time: if there is no room it fails. To
// forget an id early would let an attacker who fills the memory use captured proofs again. It has no goroutine: each call drops
// expired ids.
//
// If the part f of the room is free, a key may use f/4 of the free places. So one key gets at most a sixth of the room, n keys
// leave at least 1/(1+n/4) of it free in any order, and a key that needs little gets it: more than a thousand keys are needed to
// fill the default. With a fixed share, a few keys could use everything. While there is any room, a key without an id gets one.
type memory struct {
	max int
	now func() time.Time

	mu      sync.Mutex
	entries map[string]*entry
	holders map[string]int // entries of each key
	byTime  byTime
}

type entry struct {
	id    string
	until time.Time
	index int // in byTime
}

func newMemory(most int, now func() time.Time) *memory {
	return &memory{max: most, now: now, entries: map[string]*entry{}, holders: map[string]int{}}
}

// seen implements Config.Replay.
func (m *memory) seen(_ context.Context, id string, until time.Time) (bool, error) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	if e := m.entries[id]; e != nil {
		if !e.until.Before(now) {
			return true, nil
		}
		m.drop(e) // expired, but not swept yet
	}
	holder, _, _ := strings.Cut(id, ".")
	if free := m.max - len(m.entries); free == 0 || m.holders[holder] >= m.share(free) {
		return false, errFull
	}
	e := &entry{id: id, until: until}
	m.entries[id] = e
	m.holders[holder]++
	heap.Push(&m.byTime, e)
	return false, nil
}

// share is how many ids one key may hold if so many places are free.
func (m *memory) share(free int) int {
	f := int64(free)
	return max(1, int(f*f/(holderShare*int64(m.max))))
}

// sweep drops entries that have expired, the oldest first.
func (m *memory) sweep(now time.Time) {
	for range sweepAtOnce {
		if len(m.byTime) == 0 || !m.byTime[0].until.Before(now) {
			return
		}
		m.drop(m.byTime[0])
	}
}

func (m *memory) drop(e *entry) {
	heap.Remove(&m.byTime, e.index)
	delete(m.entries, e.id)
	holder, _, _ := strings.Cut(e.id, ".")
	if m.holders[holder]--; m.holders[holder] == 0 {
		delete(m.holders, holder)
	}
}

// byTime is a heap.Interface: the entry that expires first is the first.
type byTime []*entry

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].until.Before(h[j].until) }

func (h byTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *byTime) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *byTime) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
