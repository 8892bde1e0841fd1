// Package replicatest has the stores of simulated fleets, for the tests of several packages: places that are down, lose answers,
// and are wiped, rolled back and spoiled, and the links of processes to them, which are cut and slow.
package replicatest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/store"
)

var errDown = errors.New("the store is down")

// Place is a store of one document. It keeps every document that a writer had it save.
type Place struct {
	mu      sync.Mutex
	data    []byte
	n       int
	frozen  string // the revision that it tells for whatever it has; "" for the true one
	history [][]byte
	down    bool
	loses   int // answers to Save that get lost
}

// Text returns the document of the place, or nil.
func (p *Place) Text() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.data)
}

// Set says whether the place is down, and how many answers to Save get lost.
func (p *Place) Set(down bool, loses int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.loses = down, loses
}

// Repair makes the place well again. It has the first document that it ever had, or none, as if an operator had put something
// genuine there.
func (p *Place) Repair() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.loses, p.frozen = false, 0, ""
	if p.data != nil && len(p.history) > 0 {
		p.put(p.history[0])
	} else {
		p.data = nil
	}
}

// Spoil does something to the place that one can do without a key: it wipes it, rolls it back, puts a foreign document or one of
// another place there, breaks the document, or hides it behind a revision that never changes.
func (p *Place) Spoil(r *rand.Rand, foreign [][]byte, other *Place) {
	latest := other.latest()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = ""
	switch r.IntN(7) {
	case 0:
		p.data = nil
	case 1, 2:
		if len(p.history) > 0 {
			p.put(p.history[r.IntN(len(p.history))])
		}
	case 3:
		p.put(foreign[r.IntN(len(foreign))])
	case 4:
		if p.data != nil {
			broken := bytes.Clone(p.data)
			broken[r.IntN(len(broken))] ^= 1
			p.put(broken)
		}
	case 5:
		p.frozen = "frozen" // every document has one revision
	case 6:
		if latest != nil {
			p.put(latest)
		}
	}
}

func (p *Place) latest() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.history) == 0 {
		return nil
	}
	return p.history[len(p.history)-1]
}

func (p *Place) put(data []byte) {
	p.n++
	p.data = bytes.Clone(data)
}

func (p *Place) revision() string {
	if p.frozen != "" {
		return p.frozen
	}
	return strconv.Itoa(p.n)
}

// Link is how a process reaches a Place: a store.Store.
type Link struct {
	Place *Place

	mu    sync.Mutex
	cut   bool
	delay time.Duration
}

// Set cuts the link, or makes it slow.
func (l *Link) Set(cut bool, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.delay = cut, delay
}

func (l *Link) reach(ctx context.Context) error {
	l.mu.Lock()
	cut, delay := l.cut, l.delay
	l.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	l.Place.mu.Lock()
	defer l.Place.mu.Unlock()
	if cut || l.Place.down || ctx.Err() != nil {
		return errDown
	}
	return nil
}

// Load implements store.Store.
func (l *Link) Load(ctx context.Context, _, ifNot string) ([]byte, string, error) {
	if err := l.reach(ctx); err != nil {
		return nil, "", err
	}
	p := l.Place
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.data == nil:
		return nil, "", store.ErrNotFound
	case ifNot == p.revision():
		return nil, ifNot, store.ErrNotModified
	}
	return bytes.Clone(p.data), p.revision(), nil
}

// Save implements store.Store.
func (l *Link) Save(ctx context.Context, _ string, data []byte, ifRevision string) (string, error) {
	if err := l.reach(ctx); err != nil {
		return "", err
	}
	p := l.Place
	p.mu.Lock()
	defer p.mu.Unlock()
	is := ""
	if p.data != nil {
		is = p.revision()
	}
	if ifRevision != is {
		return "", store.ErrConflict
	}
	p.put(data)
	p.history = append(p.history, bytes.Clone(data))
	if p.loses > 0 {
		p.loses--
		return "", errDown
	}
	return p.revision(), nil
}

// Watch implements store.Store.
func (l *Link) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}
