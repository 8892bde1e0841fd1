package keystate_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// permutations yields every order of the numbers below n.
func permutations(n int, yield func([]int)) {
	order := make([]int, 0, n)
	var grow func()
	grow = func() {
		if len(order) == n {
			yield(order)
			return
		}
		for i := range n {
			if !slices.Contains(order, i) {
				order = append(order, i)
				grow()
				order = order[:len(order)-1]
			}
		}
	}
	grow()
}

// randomFacts returns the outcomes of n requests, the next of which begins within two minutes.
func randomFacts(r *rand.Rand, n int) []fact {
	now := reading{1000, 1000}
	facts := make([]fact, n)
	for i := range facts {
		f := &facts[i]
		f.started, f.begun, f.at = uint64(i+1), now, now.add(r.Int32N(300))
		f.said.listed = 1 + keySet(r.IntN(1<<keyCount-1))
		switch r.IntN(7) {
		case 0:
			f.kind, f.refused = keystate.Failed, r.IntN(2) == 0
		case 1:
			f.age = r.Int32N(300)
		case 2:
			f.said.unreadable = keyB &^ f.said.listed
		case 3:
			if i > 0 {
				f.kind = keystate.NotModified
			}
		}
		now = now.add(r.Int32N(120))
	}
	return facts
}

func TestOverlappingRequestsGiveOneStateInWhateverOrderTheyEnd(t *testing.T) {
	t.Parallel()
	const n = 5
	lim := mirrors.limits()
	for seed := range uint64(30) {
		facts := randomFacts(rand.New(rand.NewPCG(seed, 1)), n)
		// fold is the state after some of the facts in the order of their requests.
		fold := func(some []int) (u keystate.URL) {
			for _, i := range slices.Sorted(slices.Values(some)) {
				u = u.Apply(facts[i].event(), 0, lim)
			}
			return u
		}
		want := fold([]int{0, 1, 2, 3, 4})
		permutations(n, func(order []int) {
			var u keystate.URL
			for done := 1; done <= n; done++ {
				left := order[done:]
				var oldest uint64
				if len(left) > 0 {
					oldest = facts[slices.Min(left)].started
				}
				u = u.Apply(facts[order[done-1]].event(), oldest, lim)
				require.Equal(t, fold(order[:done]).State, u.State, "seed %d, order %v, after %d", seed, order, done)
			}
			require.Equal(t, want, u, "seed %d, order %v: nothing is kept", seed, order)
		})
	}
}

func TestRequestsThatBeganBeforeAndAfterOneUnderWayAreKeptApart(t *testing.T) {
	t.Parallel()
	lim := mirrors.limits()
	said := func(started uint64, at int32, s keySet) keystate.Event {
		return fact{started: started, begun: reading{at, at}, at: reading{at, at}, said: document{listed: s}}.event()
	}
	var u keystate.URL
	u = u.Apply(said(1, 0, keyA|keyB), 0, lim)
	u = u.Apply(said(3, 20, keyB), 2, lim) // request 2 is under way
	require.Equal(t, 1, u.Listing(keys[a]).Miss.Count)
	u = u.Apply(said(4, 30, keyB), 2, lim)
	require.Equal(t, 2, u.Listing(keys[a]).Miss.Count)
	u = u.Apply(said(2, 10, keyA|keyB), 0, lim)
	require.Equal(t, reading{10, 10}.time(), u.Listing(keys[a]).Last, "the late answer is older than the misses")
	require.Equal(t, 2, u.Listing(keys[a]).Miss.Count)
	require.True(t, u.Returned.IsZero(), "no key came back")
}
