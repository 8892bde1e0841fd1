package dpop

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

const (
	maxProofs   = 1 << 17
	sweepAtOnce = 64 // expired entries that one call drops: far more than the one that it adds
)

var (
	errFull  = errors.New("no room to record one more proof")
	errFloor = errors.New("the key has used so many proofs that it is not known whether this one is among them")
)

// memory is a Config.Replay in this process. It holds at most max ids, and each until its time, or until another key needs the
// room. It has no goroutine: each call drops expired ids.
//
// While there is room, a key uses as much of it as it likes. If there is none, the key that has the most gives up its oldest id,
// and a key never more than one that has less: so every key gets what it needs up to a fair share. From then on a proof of that
// key which ends no later than the id that was given up is rejected, because it may be that one: to forget an id alone would let
// an attacker who fills the memory use captured proofs again. A key keeps at least one id, so that as many keys as there are ids
// are needed to fill the memory.
type memory struct {
	max int
	now func() time.Time

	mu      sync.Mutex
	entries map[string]*entry
	holders map[string]*holder
	byTime  []*entry  // a heap: the one that expires first is the first
	bySize  []*holder // a heap: the one with the most ids is the first
}

type entry struct {
	id     string
	of     *holder
	until  int64 // in nanoseconds of Unix time
	inTime int   // index in byTime
	inHeap int   // index in holder.ids
}

// holder is a key with ids.
type holder struct {
	key    string
	ids    []*entry // a heap: the one that expires first is the first
	floor  int64    // what ends no later was perhaps given up
	inSize int      // index in bySize
}

var (
	timeOrder = order[*entry]{func(a, b *entry) bool { return a.until < b.until }, func(e *entry) *int { return &e.inTime }}
	idOrder   = order[*entry]{func(a, b *entry) bool { return a.until < b.until }, func(e *entry) *int { return &e.inHeap }}
	sizeOrder = order[*holder]{moreIDs, func(h *holder) *int { return &h.inSize }}
)

func moreIDs(a, b *holder) bool { return len(a.ids) > len(b.ids) }

func newMemory(most int, now func() time.Time) *memory {
	return &memory{max: most, now: now, entries: map[string]*entry{}, holders: map[string]*holder{}}
}

// seen implements Config.Replay.
func (m *memory) seen(_ context.Context, id string, until time.Time) (bool, error) {
	now, end := m.now().UnixNano(), until.UnixNano()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	if e := m.entries[id]; e != nil {
		if e.until >= now {
			return true, nil
		}
		m.drop(e) // expired, but not swept yet
	}
	key, _, _ := strings.Cut(id, ".")
	h := m.holders[key]
	if h != nil && end <= h.floor {
		return false, errFloor
	}
	if len(m.entries) >= m.max && !m.makeRoom(h, end) {
		return false, errFull
	}
	if h = m.holders[key]; h == nil {
		h = &holder{key: key}
		m.holders[key] = h
		sizeOrder.push(&m.bySize, h)
	}
	e := &entry{id: id, of: h, until: end}
	m.entries[id] = e
	timeOrder.push(&m.byTime, e)
	idOrder.push(&h.ids, e)
	sizeOrder.fix(m.bySize, h.inSize)
	return false, nil
}

// makeRoom drops the oldest id of the key with the most ids: of h, if no other key has more. It reports whether it did. A key
// does not give up its last id, and h does not give up one for one that ends no later.
func (m *memory) makeRoom(h *holder, end int64) bool {
	most := m.bySize[0]
	if h != nil && len(h.ids) >= len(most.ids) {
		most = h
	}
	oldest := most.ids[0]
	if len(most.ids) < 2 || most == h && end <= oldest.until {
		return false
	}
	most.floor = max(most.floor, oldest.until)
	m.drop(oldest)
	return true
}

// sweep drops entries that have expired, the oldest first.
func (m *memory) sweep(now int64) {
	for range sweepAtOnce {
		if len(m.byTime) == 0 || m.byTime[0].until >= now {
			return
		}
		m.drop(m.byTime[0])
	}
}

// drop drops an entry, and its key with the last one: what ends before the floor of that key has expired with it.
func (m *memory) drop(e *entry) {
	delete(m.entries, e.id)
	timeOrder.remove(&m.byTime, e.inTime)
	idOrder.remove(&e.of.ids, e.inHeap)
	if len(e.of.ids) == 0 {
		delete(m.holders, e.of.key)
		sizeOrder.remove(&m.bySize, e.of.inSize)
		return
	}
	sizeOrder.fix(m.bySize, e.of.inSize)
}

// order is a heap whose items know where they are.
type order[T any] struct {
	less func(a, b T) bool
	at   func(T) *int
}

func (o order[T]) push(heap *[]T, item T) {
	*heap = append(*heap, item)
	*o.at(item) = len(*heap) - 1
	o.fix(*heap, len(*heap)-1)
}

func (o order[T]) remove(heap *[]T, i int) {
	last := len(*heap) - 1
	o.swap(*heap, i, last)
	var none T
	(*heap)[last] = none
	*heap = (*heap)[:last]
	if i < last {
		o.fix(*heap, i)
	}
}

// fix moves the item at i, which has changed, to its place.
func (o order[T]) fix(heap []T, i int) {
	for i > 0 && o.less(heap[i], heap[(i-1)/2]) {
		o.swap(heap, i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if o.less(heap[child], heap[first]) {
				first = child
			}
		}
		if first == i {
			return
		}
		o.swap(heap, i, first)
		i = first
	}
}

func (o order[T]) swap(heap []T, i, j int) {
	heap[i], heap[j] = heap[j], heap[i]
	*o.at(heap[i]), *o.at(heap[j]) = i, j
}
