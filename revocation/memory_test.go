package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"

	"github.com/regionjwt/regionjwt/store"
)

// memory is a store that can be down, and that anyone can write to.
type memory struct {
	mu   sync.Mutex
	down bool
	docs map[string]store.Document
	old  []map[string]store.Document
	n    int
}

var errDown = errors.New("the store is down")

func (m *memory) Authentic() {}

func (m *memory) Load(_ context.Context, name string) (store.Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return store.Document{}, errDown
	}
	d, ok := m.docs[name]
	if !ok {
		return d, store.ErrNotFound
	}
	return d, nil
}

func (m *memory) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return "", errDown
	}
	if m.docs[name].Revision != ifRevision {
		return "", store.ErrConflict
	}
	m.old = append(m.old, maps.Clone(m.docs))
	m.put(name, data)
	return m.docs[name].Revision, nil
}

func (m *memory) put(name string, data []byte) {
	m.n++
	if m.docs == nil {
		m.docs = map[string]store.Document{}
	}
	m.docs[name] = store.Document{Data: bytes.Clone(data), Revision: fmt.Sprint(m.n)}
}

func (m *memory) set(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// lose puts the store back to an earlier state, or empties it.
func (m *memory) lose(r *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	docs := map[string]store.Document(nil)
	if len(m.old) > 0 && r.IntN(2) == 0 {
		docs = maps.Clone(m.old[r.IntN(len(m.old))])
	}
	m.docs = docs
	for name, d := range docs {
		m.put(name, d.Data) // under a revision of its own
	}
}
