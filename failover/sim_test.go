package failover_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/replica/replicatest"
	"github.com/regionjwt/regionjwt/store"
)

// The simulation plays random histories of a fleet whose operators pin and unpin regions, over stores that are cut off, slow,
// wiped, rolled back and hostile. Processes start again, with and without their local copies.

// member is an operator or a service of the simulation.
type member struct {
	*failover.Controller
	key    ed25519.PrivateKey // nil for a service
	links  []*replicatest.Link
	copied *shelf
	stop   context.CancelFunc
	heads  map[string]string // pins that no other one replaces, as far as it knows
	over   map[string]bool   // those that it has seen replaced
}

type fleetSimulation struct {
	t       *testing.T
	r       *rand.Rand
	places  []*replicatest.Place
	members []*member
	foreign [][]byte
	notes   map[string]bool // of all pins
	steps   int
}

func newFleetSimulation(t *testing.T, seed uint64) *fleetSimulation {
	s := &fleetSimulation{t: t, r: rand.New(rand.NewPCG(seed, 17)), notes: map[string]bool{"": true}}
	for range 1 + s.r.IntN(3) {
		s.places = append(s.places, &replicatest.Place{})
	}
	for fleet, key := range map[string]ed25519.PrivateKey{"staging": keyNumber(1), "test": keyNumber(2)} {
		at := &replicatest.Link{Place: &replicatest.Place{}}
		f := newController(t, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signedBy(t, at, fleet, key)}}}, east, west, north)
		require.NoError(t, f.Pin(t.Context(), north, "foreign", 0))
		s.foreign = append(s.foreign, at.Place.Text())
	}
	for i := range 5 {
		m := &member{copied: newShelf()}
		if i < 2 {
			m.key = keyNumber(1)
		}
		for _, one := range s.places {
			m.links = append(m.links, &replicatest.Link{Place: one})
		}
		s.members = append(s.members, m)
		s.start(m, true)
	}
	return s
}

// start starts a process, perhaps without its local copy.
func (s *fleetSimulation) start(m *member, forget bool) {
	if forget {
		m.copied, m.heads, m.over = newShelf(), map[string]string{}, map[string]bool{}
	}
	c := store.ReplicaConfig{LocalCopy: store.InsecureTrust(m.copied)}
	public := store.PublicKey{Key: keyNumber(1).Public().(ed25519.PublicKey)}
	for _, l := range m.links {
		c.Stores = append(c.Stores, store.Signed(l, "test", m.key, public))
	}
	m.Controller = newController(s.t, failover.Config{Replica: c}, east, west, north)
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func(c *failover.Controller) {
		defer close(done)
		_ = c.Run(ctx)
	}(m.Controller)
	m.stop = func() { stop(); <-done }
	synctest.Wait()
}

// look checks what holds at every moment: a pin that was replaced never comes back, one that was not is not forgotten, and none is
// believed that nobody has written.
func (s *fleetSimulation) look() {
	synctest.Wait()
	for i, m := range s.members {
		now := failover.Heads(m.Controller)
		for id, note := range now {
			require.Contains(s.t, s.notes, note, "process %d believes what nobody has pinned", i)
			require.False(s.t, m.over[id], "process %d takes back %q after %d steps", i, note, s.steps)
		}
		require.False(s.t, len(m.heads) > 0 && len(now) == 0, "process %d forgot all pins after %d steps", i, s.steps)
		for id := range m.heads {
			if _, still := now[id]; !still {
				m.over[id] = true
			}
		}
		m.heads = now
		require.Equal(s.t, len(now) > 1, len(m.Status().Conflicts) > 1, "a conflict shows")
	}
}

func (s *fleetSimulation) place() *replicatest.Place { return s.places[s.r.IntN(len(s.places))] }

// pin pins or unpins a region.
func (s *fleetSimulation) pin(m *member) (region string) {
	s.steps++
	region = []string{east, west, north}[s.r.IntN(3)]
	var err error
	if s.r.IntN(4) > 0 {
		note := fmt.Sprint("pin ", s.steps)
		s.notes[note] = true
		err = m.Pin(s.t.Context(), region, note, 0)
	} else {
		err = m.Unpin(s.t.Context())
	}
	require.True(s.t, err == nil || errors.Is(err, store.ErrNotShared), "%v", err)
	return region
}

func (s *fleetSimulation) step() {
	switch s.r.IntN(9) {
	case 0, 1:
		s.pin(s.members[s.r.IntN(2)])
	case 2, 3:
		s.place().Spoil(s.r, s.foreign, s.place())
	case 4:
		s.place().Set(s.r.IntN(3) == 0, s.r.IntN(2))
	case 5:
		for _, l := range s.members[s.r.IntN(5)].links {
			l.Set(s.r.IntN(3) == 0, time.Duration(s.r.IntN(4)*s.r.IntN(2))*700*time.Millisecond)
		}
	case 6: // a process starts again; without its copy, a service may, whose knowledge nobody needs
		m := s.members[s.r.IntN(5)]
		m.stop()
		s.start(m, m.key == nil && s.r.IntN(2) == 0)
	default:
		time.Sleep(time.Duration(s.r.IntN(1500)) * time.Millisecond)
	}
}

// settle makes all well again. The next pin ends every conflict, and all processes follow it within a second.
func (s *fleetSimulation) settle() {
	for _, p := range s.places {
		p.Repair()
	}
	for _, m := range s.members {
		for _, l := range m.links {
			l.Set(false, 0)
		}
	}
	time.Sleep(3 * time.Second) // calls that hang end, and pauses are over
	s.look()
	s.notes["last"] = true
	require.NoError(s.t, s.members[s.r.IntN(2)].Pin(s.t.Context(), north, "last", 0))
	time.Sleep(time.Second)
	s.look()
	for i, m := range s.members {
		status := m.Status()
		require.Equal(s.t, []any{north, "last", true}, []any{status.Active, status.Note, status.Pinned}, "process %d", i)
		require.Empty(s.t, status.Conflicts)
		require.Empty(s.t, status.Replica.StoreProblem)
		require.Len(s.t, m.heads, 1)
	}
}

// Whatever befalls the stores, no process takes back a pin that another one replaced, forgets all pins, or believes one that
// nobody has written; and the next pin ends every conflict in all processes within a second. PIN_HISTORIES says how many histories
// are played.
func TestFleetsThatPin(t *testing.T) {
	t.Parallel()
	histories := 40
	if n, err := strconv.Atoi(os.Getenv("PIN_HISTORIES")); err == nil {
		histories = n
	}
	steps := 0
	for seed := range uint64(histories) {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			s := newFleetSimulation(t, seed)
			defer func() {
				for _, m := range s.members {
					m.stop()
				}
			}()
			for range 60 {
				time.Sleep(time.Millisecond)
				s.step()
				s.look()
				steps++
			}
			s.settle()
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d histories, %d steps", histories, steps)
}
