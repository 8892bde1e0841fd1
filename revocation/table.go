package revocation

import (
	"hash/maphash"
	"iter"
	"maps"
)

// parts is how many maps a table consists of: to change one entry of 10,000 copies some 40.
const parts = 256

var seed = maphash.MakeSeed()

func partOf[K comparable](k K) int { return int(maphash.Comparable(seed, k) % parts) }

// table is an immutable map that is cheap to copy with a few changes. The zero table is empty.
type table[K comparable, V any] struct {
	maps [parts]map[K]V
	n    int
}

func (t *table[K, V]) get(k K) (V, bool) {
	v, ok := t.maps[partOf(k)][k]
	return v, ok
}

func (t *table[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, m := range t.maps {
			for k, v := range m {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// edit is a table that is being changed. It copies each part once.
type edit[K comparable, V any] struct {
	table[K, V]

	owned [parts]bool
}

func (t *table[K, V]) edit() edit[K, V] { return edit[K, V]{table: *t} }

func (e *edit[K, V]) own(i int) map[K]V {
	if !e.owned[i] {
		e.owned[i] = true
		if e.maps[i] = maps.Clone(e.maps[i]); e.maps[i] == nil {
			e.maps[i] = map[K]V{}
		}
	}
	return e.maps[i]
}

func (e *edit[K, V]) set(k K, v V) {
	m := e.own(partOf(k))
	before := len(m)
	m[k] = v
	e.n += len(m) - before
}

func (e *edit[K, V]) remove(k K) {
	m := e.own(partOf(k))
	before := len(m)
	delete(m, k)
	e.n += len(m) - before
}

// done returns the changed table. The edit must not be used any more.
func (e *edit[K, V]) done() *table[K, V] { return &e.table }
