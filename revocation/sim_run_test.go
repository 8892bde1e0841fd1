package revocation_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
)

// settle makes all well again, and checks that all processes know the truth within a second.
func (s *simulation) settle() {
	for _, p := range s.places {
		p.Repair()
	}
	for _, p := range s.processes {
		for _, l := range p.links {
			l.Set(false, 0)
		}
	}
	time.Sleep(3 * time.Second) // calls that hang end, and pauses are over
	for i, p := range s.processes[:2] {
		note := fmt.Sprint("last ", i)
		r := revocation.Rule{Provider: "*", KeyID: note, Note: note}
		s.truth.adds[note] = &added{id: r.ID(), version: 1, shared: true}
		_, err := p.Add(s.t.Context(), r)
		require.NoError(s.t, err)
	}
	time.Sleep(time.Second)
	s.look()
	for i, p := range s.processes {
		for note, a := range s.truth.adds {
			if a.version > p.newest {
				require.False(s.t, p.known[note])
				continue
			}
			if !a.removed {
				require.True(s.t, p.known[note], "process %d does not know %s", i, note)
			}
			if a.removed {
				require.False(s.t, p.known[note], "process %d still has %s", i, note)
			}
		}
		require.Empty(s.t, p.Status().Replica.StoreProblem)
		require.NotEqual(s.t, "none", p.Status().Replica.Origin)
	}
}

// Whatever befalls the stores, no process forgets a rule that it knows and that nobody who had seen it has removed; none believes
// what nobody has added; an Add that a remover had not seen survives; and all know the same within a second of contact.
// SIM_HISTORIES says how many histories are played, and SIM_SEED is the first one.
func TestSimulation(t *testing.T) {
	t.Parallel()
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	first, histories := number("SIM_SEED", 1), number("SIM_HISTORIES", 60)
	steps, adds := 0, 0
	for seed := first; seed < first+histories; seed++ {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			s := newSimulation(t, uint64(seed))
			defer func() {
				for _, p := range s.processes {
					p.stop()
				}
			}()
			for range simulated {
				time.Sleep(time.Millisecond)
				s.step()
				s.look()
			}
			s.settle()
			steps += simulated
			adds += len(s.truth.adds)
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d histories, %d steps, %d rules added", histories, steps, adds)
}
