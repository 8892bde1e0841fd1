package revocation_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/replica/replicatest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// The simulation plays random histories of a fleet: operators and services with clocks and versions of their own, that share
// rules in several stores. Stores are cut off from some of them, slow, wiped, rolled back, hostile, and lose answers.
// Processes start again, with and without their local copies. The simulation owns the truth: every Add, and which of them
// each removal had seen.

// process is an operator or a service of the simulation.
type process struct {
	*revocation.List
	key    ed25519.PrivateKey // nil for a service
	links  []*replicatest.Link
	copied *memory
	ahead  time.Duration // its clock
	newest int           // version of rules that it reads
	stop   context.CancelFunc
	known  map[string]bool // the Adds that were in effect here
}

// truth is what has happened.
type truth struct {
	adds map[string]*added // by their note
}

type added struct {
	id      string
	version int
	shared  bool // some store accepted it
	removed bool // by somebody who had seen it
}

type simulation struct {
	t         *testing.T
	r         *rand.Rand
	places    []*replicatest.Place
	processes []*process
	truth     truth
	foreign   [][]byte // genuine documents of another fleet, and forged ones
	steps     int
}

const simulated = 60 // steps of a history

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{t: t, r: rand.New(rand.NewPCG(seed, 9)), truth: truth{map[string]*added{}}}
	for range 1 + s.r.IntN(3) {
		s.places = append(s.places, &replicatest.Place{})
	}
	for i := range 5 {
		p := &process{
			copied: &memory{}, ahead: time.Duration(s.r.IntN(21)-10) * time.Minute, newest: 1 + s.r.IntN(2), known: map[string]bool{},
		}
		if i < 2 {
			p.key = keyNumber(1)
		}
		for _, one := range s.places {
			p.links = append(p.links, &replicatest.Link{Place: one})
		}
		s.processes = append(s.processes, p)
		s.start(p, false)
	}
	for fleet, key := range map[string]ed25519.PrivateKey{"staging": keyNumber(1), "test": keyNumber(2)} {
		at := &replicatest.Link{Place: &replicatest.Place{}}
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signedBy(t, at, fleet, key)}}})
		_, err := l.Add(t.Context(), revocation.Rule{Provider: "*", Subject: "foreign", Note: "foreign"})
		require.NoError(t, err)
		s.foreign = append(s.foreign, at.Place.Text())
	}
	return s
}

// start starts a process, perhaps without its local copy.
func (s *simulation) start(p *process, forget bool) {
	if forget {
		p.copied = &memory{}
		p.known = map[string]bool{}
	}
	c := store.ReplicaConfig{LocalCopy: p.copied}
	public := store.PublicKey{Key: keyNumber(1).Public().(ed25519.PublicKey)}
	for _, l := range p.links {
		c.Stores = append(c.Stores, store.Signed(l, "test", p.key, public))
	}
	p.List = newList(s.t, revocation.Config{Replica: c})
	revocation.SetNow(p.List, func() time.Time { return time.Now().Add(p.ahead) })
	revocation.SetNewest(p.List, p.newest)
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func(l *revocation.List) {
		defer close(done)
		_ = l.Run(ctx)
	}(p.List)
	p.stop = func() { stop(); <-done }
	synctest.Wait()
}

// look checks what holds at every moment: nothing that was known is lost, and nothing is in effect that nobody has added.
func (s *simulation) look() {
	synctest.Wait()
	for i, p := range s.processes {
		now := revocation.Notes(p.List)
		for note := range now {
			require.Contains(s.t, s.truth.adds, note, "process %d believes what nobody has added", i)
		}
		for note := range p.known {
			require.True(s.t, now[note] || s.truth.adds[note].removed, "process %d forgot %s after %d steps", i, note, s.steps)
		}
		p.known = now
	}
}

func (s *simulation) place() *replicatest.Place { return s.places[s.r.IntN(len(s.places))] }

func (s *simulation) pick() *process { return s.processes[s.r.IntN(len(s.processes))] }

// operator returns one of the processes that can write.
func (s *simulation) operator() *process { return s.processes[s.r.IntN(2)] }

func (s *simulation) add() {
	p := s.operator()
	s.steps++
	note := fmt.Sprint("add ", s.steps)
	r := revocation.Rule{Provider: "*", Subject: fmt.Sprint(s.r.IntN(6)), Note: note}
	version := 1
	if p.newest > 1 && s.r.IntN(4) == 0 {
		r.SessionID, version = "sid", 2
	}
	s.end(p, r.ID()) // a rule that is added again replaces what its writer has seen of it
	s.truth.adds[note] = &added{id: r.ID(), version: version}
	_, err := p.Add(s.t.Context(), r)
	require.True(s.t, err == nil || errors.Is(err, store.ErrNotShared), "%v", err)
	s.truth.adds[note].shared = err == nil
}

// end notes that somebody removes every Add of a rule that a process knows.
func (s *simulation) end(p *process, id string) {
	for note := range revocation.Notes(p.List) {
		if a := s.truth.adds[note]; a.id == id {
			a.removed = true
		}
	}
}

func (s *simulation) remove() {
	p := s.operator()
	rules := p.Rules()
	if len(rules) == 0 {
		return
	}
	id := rules[s.r.IntN(len(rules))].ID()
	s.end(p, id)
	err := p.Remove(s.t.Context(), id)
	require.True(s.t, err == nil || errors.Is(err, store.ErrNotShared), "%v", err)
}

func (s *simulation) step() {
	switch s.r.IntN(10) {
	case 0, 1, 2:
		s.add()
	case 3:
		s.remove()
	case 4:
		s.place().Spoil(s.r, s.foreign, s.place())
	case 5:
		s.place().Set(s.r.IntN(3) == 0, s.r.IntN(2))
	case 6:
		p := s.pick()
		for _, l := range p.links {
			l.Set(s.r.IntN(3) == 0, time.Duration(s.r.IntN(4)*s.r.IntN(2))*700*time.Millisecond)
		}
	case 7: // a process starts again; without its copy, a service may, whose knowledge nobody needs
		p := s.pick()
		p.stop()
		if s.r.IntN(3) == 0 { // a newer version
			p.newest = 2
		}
		s.start(p, p.key == nil && s.r.IntN(2) == 0)
	default:
		time.Sleep(time.Duration(s.r.IntN(1500)) * time.Millisecond)
	}
}
