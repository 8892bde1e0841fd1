// Package seen remembers documents by their digests, so that a document that comes again and again is judged once.
package seen

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// Most is how many digests a Set holds. The oldest one makes room for a new one.
const Most = 4096

// Digest is the SHA-256 of a document.
type Digest [sha256.Size]byte

// Of returns the digest of data under a name, which keeps documents of different kinds apart.
func Of(name string, data []byte) Digest {
	h := sha256.New()
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(name)))
	_, _ = h.Write(length[:]) // never fails
	_, _ = h.Write([]byte(name))
	_, _ = h.Write(data)
	return Digest(h.Sum(nil))
}

// Set holds what was found out about the documents that came last. The zero Set is empty. It is safe for concurrent use.
type Set[V any] struct {
	mu     sync.Mutex
	values map[Digest]V
	order  []Digest // the oldest one is at next where the Set is full
	next   int
}

// Get returns what was found out about a document, and whether anything was.
func (s *Set[V]) Get(d Digest) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[d]
	return v, ok
}

// Put remembers what was found out about a document, instead of what was known of it.
func (s *Set[V]) Put(d Digest, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.values[d]; !known {
		s.makeRoom(d)
	}
	s.values[d] = v
}

func (s *Set[V]) makeRoom(d Digest) {
	if s.values == nil {
		s.values = make(map[Digest]V)
	}
	if len(s.order) < Most {
		s.order = append(s.order, d)
		return
	}
	delete(s.values, s.order[s.next])
	s.order[s.next] = d
	s.next = (s.next + 1) % Most
}
