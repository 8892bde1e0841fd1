package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// kept is what a memory holds under a name.
type kept struct {
	Data     []byte
	Revision string
}

// memory is a trusted store that can be down, and that anyone can write to.
type memory struct {
	store.Trusted

	mu   sync.Mutex
	down bool
	docs map[string]kept
	old  []map[string]kept
	n    int
}

var errDown = errors.New("the store is down")

// TrustInfo describes the store, as those of package store do.
func (*memory) TrustInfo() trust.Info { return trust.Info{} }

func (m *memory) Load(_ context.Context, name, _ string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, "", errDown
	}
	d, ok := m.docs[name]
	if !ok {
		return nil, "", store.ErrNotFound
	}
	return bytes.Clone(d.Data), d.Revision, nil
}

func (*memory) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
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
		m.docs = map[string]kept{}
	}
	m.docs[name] = kept{Data: bytes.Clone(data), Revision: fmt.Sprint(m.n)}
}

func (m *memory) set(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// known reports whether a List knows the rules.
func known(l *revocation.List) bool { return l.Status().Replica.Origin != "none" }
