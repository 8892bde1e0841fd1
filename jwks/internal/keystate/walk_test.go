package keystate_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// Two regions: one with two URLs of a key set, one with a URL that may say that it is not enabled.
var wide = layout{
	name: "wide", sets: []int{0, 0, 1}, optional: []bool{false, true, true}, maxStale: day,
	regions: []keystate.Region{{Name: "eu", Sets: []int{0}}, {Name: "us", Sets: []int{1}}},
}

const walkEvents = 400

// likely holds what happens in a walk, as often as it is listed.
var likely = []verb{
	good, good, good, good, good, good, thin, thin, unreadable, forbidden, copied, copied, unmodified, partial, fail, fail, refuse,
	toggle, toggle, reuse, refill, wait, wait, wait, wait, wait, freeze, restart, hourly, burst, begin, begin, beginThin,
	land, land, land, lose,
}

var pauses = []int32{
	second, 2, 3, 9, 11, minute - 1, minute, minute + 1, 5 * minute, hour - 1, hour, 2 * hour, 7 * hour, 13 * hour, 25 * hour,
}

var clockSteps = []int32{25 * hour, -2 * hour, hour, -minute, 13 * hour}

func randomAction(r *rand.Rand, urls int) action {
	a := action{do: likely[r.IntN(len(likely))], url: r.IntN(urls)}
	switch a.do {
	case wait:
		a.n = pauses[r.IntN(len(pauses))]
	case freeze:
		a.n = clockSteps[r.IntN(len(clockSteps))]
	case land, lose:
		a.n = r.Int32N(2)
	default:
		a.n = r.Int32N(keyCount)
	}
	return a
}

// walk plays events at random and checks the world after each of them.
func walk(t *testing.T, l *layout, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(l, keyA|keyB)
	var history []string
	for len(history) < walkEvents {
		a := randomAction(r, len(w.sites))
		before, listed := w.candidates(), w.clone()
		last, ok := w.do(a)
		if !ok {
			w = listed
			continue
		}
		history = append(history, a.String())
		err := w.check()
		if err == nil && last != nil {
			err = w.checkStep(a.url, last, before, w.candidates())
		}
		if err == nil && len(history)%100 == 0 {
			err = w.checkProgress()
		}
		if err != nil {
			t.Fatalf("WALK_SEED=%d WALKS=1: %v\nafter\n%s\n%v", seed, err, strings.Join(history, "\n"), w)
		}
	}
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text, set := os.LookupEnv(name)
	if !set {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, name)
	return n
}

// WALK_SEED is the seed of the first walk, WALKS how many there are.
func TestRandomHistoriesAgreeWithTheTruth(t *testing.T) {
	t.Parallel()
	walks := uint64(20)
	if testing.Short() {
		walks = 2
	}
	seed, n := number(t, "WALK_SEED", 1), number(t, "WALKS", walks)
	for i := range n {
		l := wide
		l.maxStale = []int32{day, 12 * hour, 36 * hour}[(seed+i)%3]
		l.separate = (seed+i)%4 == 0
		walk(t, &l, seed+i)
	}
	t.Logf("%d walks of %d events from seed %d", n, walkEvents, seed)
}
