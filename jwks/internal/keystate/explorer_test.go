package keystate_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// Two URLs of one key set, and two regions with a key set each. URL 1 may say that it is not enabled.
var (
	mirrors = layout{
		name: "mirrors", sets: []int{0, 0}, optional: []bool{false, true}, maxStale: day,
		regions: []keystate.Region{{Name: "eu", Sets: []int{0}}},
	}
	regions = layout{
		name: "regions", sets: []int{0, 1}, optional: []bool{false, true}, maxStale: day,
		regions: []keystate.Region{{Name: "eu", Sets: []int{0}}, {Name: "us", Sets: []int{1}}},
	}
)

func (l layout) with(maxStale int32, separate bool) *layout {
	l.maxStale, l.separate = maxStale, separate
	return &l
}

// alphabet is what can happen in a world, in two letters for both URLs where it names none.
type alphabet struct {
	name    string
	actions []action
}

const a, b, c, a2, u = 0, 1, 2, 3, 4 // numbers of keys

var steps = []action{{do: wait, n: second}, {do: wait, n: minute + 1}, {do: wait, n: hour}, {do: wait, n: 13 * hour}}

// both returns the actions for each URL.
func both(actions ...action) (list []action) {
	for _, a := range actions {
		for i := range 2 {
			a.url = i
			list = append(list, a)
		}
	}
	return list
}

func join(lists ...[]action) (all []action) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

var alphabets = []alphabet{
	{"answers", join(steps, both(action{do: good}, action{do: thin, n: a}, action{do: fail}, action{do: toggle, n: a}),
		[]action{{do: refuse, url: 1}, {do: toggle, n: b}, {do: toggle, url: 1, n: b}, {do: hourly}, {do: hourly, url: 1}})},
	{"copies", join(steps, both(action{do: good}, action{do: copied}, action{do: refill}, action{do: unmodified},
		action{do: thin, n: a}), []action{
		{do: toggle, n: a},
		{do: toggle, url: 1, n: a},
		{do: fail},
		{do: burst},
		{do: partial, url: 1},
	})},
	{"clocks", join(steps, both(action{do: good}, action{do: thin, n: a}, action{do: fail}, action{do: hourly}),
		[]action{{do: freeze, n: 25 * hour}, {do: freeze, n: -2 * hour}, {do: restart}, {do: toggle, n: a}, {do: burst}})},
	{"entries", join(steps, both(action{do: good}, action{do: unreadable, n: a}, action{do: forbidden, n: a}, action{do: unmodified},
		action{do: reuse}, action{do: thin, n: a}), []action{{do: hourly}, {do: restart}, {do: fail, url: 1}, {do: thin, n: a2}})},
	{"unnamed", join(steps, both(action{do: good}, action{do: toggle, n: u}, action{do: unreadable, n: u}, action{do: thin, n: u}),
		[]action{{do: forbidden, n: u}, {do: thin, n: a}, {do: toggle, n: a}, {do: fail}, {do: burst}, {do: restart}})},
	{"overlap", join(steps[:3], both(action{do: begin}, action{do: beginThin, n: a}, action{do: land}, action{do: land, n: 1},
		action{do: lose}, action{do: lose, n: 1}), []action{{do: toggle, n: a}, {do: good}})},
	{"all", join(steps, both(action{do: good}, action{do: thin, n: a}, action{do: thin, n: b}, action{do: unreadable, n: a},
		action{do: copied}, action{do: unmodified}, action{do: fail}, action{do: refuse}, action{do: toggle, n: a},
		action{do: toggle, n: b}, action{do: reuse}, action{do: hourly}, action{do: burst}, action{do: begin},
		action{do: land}, action{do: lose}),
		[]action{{do: freeze, n: 25 * hour}, {do: freeze, n: -2 * hour}, {do: restart}})},
}

// roots are histories from which to explore: a process that has just begun, one that knows both URLs, one whose first
// URL has lost and regained a key, and one whose second URL has withdrawn one.
var roots = [][]action{
	nil,
	both(action{do: good}),
	append(both(action{do: good}), action{do: thin, n: a}, action{do: wait, n: minute + 1}, action{do: good}),
	append(both(action{do: good}), action{do: toggle, url: 1, n: a}, action{do: hourly, url: 1}, action{do: good}),
}

// path is a history: a root and what happened then, as numbers of actions.
type path struct {
	root    uint8
	n       uint8
	actions [14]uint8
}

type explorer struct {
	layout   *layout
	alphabet alphabet
	states   int               // ends the exploration, if it is not 0
	deadline time.Time         // likewise, if states is 0
	seen     map[uint64]keySet // by hash: the keys that the code accepts
	edges    int
	failed   *atomic.Bool // another explorer has found a violation
}

func (x *explorer) replay(p path) *world {
	w := newWorld(x.layout, keyA|keyB)
	for i := range w.sites {
		w.sites[i].cached, w.sites[i].made = w.sites[i].lists, w.now
	}
	for _, a := range roots[p.root] {
		w.do(a)
	}
	for _, a := range p.actions[:p.n] {
		w.do(x.alphabet.actions[a])
	}
	return w
}

func (x *explorer) history(p path) string {
	var lines []string
	for _, a := range roots[p.root] {
		lines = append(lines, a.String())
	}
	for _, a := range p.actions[:p.n] {
		lines = append(lines, x.alphabet.actions[a].String())
	}
	return strings.Join(lines, "\n")
}

// visit checks a world that has not been seen. It returns the keys that the code accepts.
func (x *explorer) visit(w *world) (accepted keySet, isNew bool, err error) {
	h := w.hash()
	if accepted, seen := x.seen[h]; seen {
		return accepted, false, nil
	}
	accepted = w.candidates()
	x.seen[h] = accepted
	if err := w.check(); err != nil {
		return accepted, true, err
	}
	if h%512 == 0 {
		err = w.checkProgress()
	}
	return accepted, true, err
}

func (x *explorer) ended() bool {
	if x.states > 0 {
		return len(x.seen) >= x.states
	}
	return time.Now().After(x.deadline)
}

// run explores breadth first until it has ended. It returns the depth up to which it has seen all histories.
func (x *explorer) run(t *testing.T) (depth int) {
	var layer []path
	for i := range roots {
		p := path{root: uint8(i)}
		_, _, err := x.visit(x.replay(p))
		require.NoError(t, err, "%s", x.history(p))
		layer = append(layer, p)
	}
	for ; len(layer) > 0; depth++ {
		var next []path
		for _, p := range layer {
			if int(p.n) == len(p.actions) || x.ended() || x.failed.Load() {
				return depth
			}
			from := x.replay(p)
			before := from.candidates()
			for i, a := range x.alphabet.actions {
				w := from.clone()
				last, ok := w.do(a)
				if !ok {
					continue
				}
				x.edges++
				q := p
				q.actions[q.n] = uint8(i)
				q.n++
				after, isNew, err := x.visit(w)
				if err == nil && last != nil {
					err = w.checkStep(a.url, last, before, after)
				}
				if err != nil {
					x.failed.Store(true)
					t.Fatalf("%v\nafter\n%s\n%v", err, x.history(q), w)
				}
				if isNew {
					next = append(next, q)
				}
			}
		}
		layer = next
	}
	return depth
}

// checkStep checks what an event may change at the moment at which it comes: good news takes nothing away, a failure
// changes nothing, and an event that comes again changes nothing. An event that comes late is exempt: with what is
// known since, it may tell that a key was withdrawn.
func (w *world) checkStep(url int, e *keystate.Event, before, after keySet) error {
	s := &w.sites[url]
	if len(s.flight) > 0 || e.Started < max(s.ledger.started, s.ledger.failStarted) {
		return nil
	}
	switch {
	case e.Kind == keystate.Failed && before != after:
		return fmt.Errorf("a failure turns %v into %v", before, after)
	case e.Kind != keystate.Failed && before&s.ledger.said.listed&^after != 0:
		return fmt.Errorf("a good answer with %v turns %v into %v", s.ledger.said.listed, before, after)
	}
	again := w.clone()
	again.sites[url].url = s.url.Apply(*e, 0, w.limits())
	if got := again.candidates(); got != after {
		return fmt.Errorf("an event that comes again turns %v into %v", after, got)
	}
	return nil
}

// budget is how many states to explore of each layout, or how long to explore all of them together (EXPLORE_SECONDS).
func budget(t *testing.T) (states int, together time.Duration) {
	text, set := os.LookupEnv("EXPLORE_SECONDS")
	switch {
	case !set && testing.Short():
		return 1_500, 0
	case !set:
		return 15_000, 0
	}
	n, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err, "EXPLORE_SECONDS")
	return 0, time.Duration(n * float64(time.Second))
}

func TestEveryHistoryOfASmallWorldAgreesWithTheTruth(t *testing.T) {
	percent := debug.SetGCPercent(400) // the live heap is small
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	var failed atomic.Bool
	states, together := budget(t)
	for i, alphabet := range alphabets {
		layouts := []*layout{&mirrors, &regions}
		switch alphabet.name {
		case "clocks":
			layouts = []*layout{mirrors.with(36*hour, false), regions.with(12*hour, false)}
		case "entries":
			layouts = []*layout{&mirrors, regions.with(day, true)}
		}
		for _, l := range layouts {
			n := len(alphabets) * len(layouts)
			t.Run(alphabet.name+" "+l.name, func(t *testing.T) {
				t.Parallel()
				x := explorer{
					layout: l, alphabet: alphabets[i], seen: map[uint64]keySet{}, failed: &failed,
					states: states, deadline: time.Now().Add(together * time.Duration(min(runtime.GOMAXPROCS(0), n)) / time.Duration(n)),
				}
				depth := x.run(t)
				t.Logf("%d states, %d transitions, all histories to depth %d", len(x.seen), x.edges, depth)
			})
		}
	}
}
