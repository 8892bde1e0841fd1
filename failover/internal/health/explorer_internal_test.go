package health

import (
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rank orders healths, the worst first.
var rank = map[string]int{"unhealthy": 0, "unknown": 1, "healthy": 2}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	threshold = 2
	holdDown  = 5 * time.Minute
)

// node is a state that was reached, and what an oracle knows of the way there, which is not how the state counts.
type node struct {
	State

	now  time.Time
	last *Signal // delivered
	told [2]told // by region
	left [2]time.Time
	pin  int // region that is pinned, or -1
}

// told is what was said about a region since its recovery.
type told struct {
	failures  int       // of one reporter, the most
	by        [2]int    // by reporter
	verdicts  int       // that it is unhealthy
	recovered time.Time // the zero time if never
}

// explorer enumerates states, each once.
type explorer struct {
	t     *testing.T
	seen  map[uint64]bool
	moves map[string]int // by cause
	edges int
}

const monitor = "monitor eu"

var reporters = []string{"keys", "token"}

// steps are all that can happen at a state.
func (x *explorer) steps(n *node) (all []func() node) {
	for _, d := range []time.Duration{time.Second, holdDown} {
		all = append(all, func() node { return x.wait(n, d) })
	}
	deliver := func(i, j int, g Signal) {
		all = append(all, func() node { return x.deliver(n, &g, i, j, false) })
	}
	for i := range n.Regions {
		for j, from := range reporters {
			for _, failed := range []bool{false, true} {
				g := Signal{Region: n.Regions[i].Name, Reporter: from, Began: n.now, Failed: failed, Failure: "down"}
				deliver(i, j, g)
				if i == 0 { // the same of a request that began some time ago
					g.Began = n.now.Add(-2 * time.Second)
					deliver(i, j, g)
				}
			}
		}
	}
	for _, failed := range []bool{false, true} {
		deliver(0, -1, Signal{
			Region: n.Regions[0].Name, Reporter: monitor, Began: n.now, Failed: failed, Failure: "verdict", Lasts: time.Minute,
		})
	}
	if g := n.last; g != nil {
		all = append(all, func() node { return x.deliver(n, g, n.Index(g.Region), 0, true) })
	}
	for i := -1; i < len(n.Regions); i++ {
		all = append(all, func() node { return x.pinned(n, i) })
	}
	return all
}

// must fails the test with the state where a rule does not hold.
func (x *explorer) must(holds bool, n *node, rule string) {
	if !holds {
		require.Fail(x.t, rule, "%+v", n)
	}
}

// wait lets time pass: no health gets worse, and nothing fails by itself.
func (x *explorer) wait(n *node, d time.Duration) node {
	next := *n
	end := n.now.Add(d)
	for {
		s, due := next.Elapse(Moment{Now: next.now})
		x.judge(&next, s, -1, true)
		next.State = s
		if due.IsZero() || due.After(end) {
			break
		}
		x.must(due.After(next.now), n, "what is due is in the future")
		next.now = due
	}
	next.now = end
	s, _ := next.Elapse(Moment{Now: end})
	x.judge(&next, s, -1, true)
	next.State = s
	return next
}

// deliver delivers a signal about region i by reporter j; -1 is a monitor.
func (x *explorer) deliver(n *node, g *Signal, i, j int, repeated bool) node {
	next := *n
	next.last = g
	r := &n.Regions[i]
	late := g.Failed && g.Began.Before(n.told[i].recovered)
	if g.Failed && !repeated && !late {
		t := &next.told[i]
		if j < 0 {
			t.verdicts++
		} else {
			t.by[j]++
			t.failures = max(t.failures, t.by[j])
		}
	}
	s, _ := n.Apply(g, Moment{Now: n.now})
	x.judge(&next, s, i, !g.Failed || repeated || late)
	if repeated {
		x.must(r.Health == s.Regions[i].Health, n, "a repetition has no effect")
	}
	again, changed := s.Apply(g, Moment{Now: n.now})
	x.must(!changed && s.Active == again.Active, n, "a repetition at once changes nothing")
	next.State = s
	return next
}

// pinned pins a region, or ends a pin.
func (x *explorer) pinned(n *node, i int) node {
	next := *n
	p := Pin{Region: n.Regions[max(i, 0)].Name, Made: i >= 0, InForce: i >= 0, At: n.now, Expires: n.now.Add(time.Hour)}
	if i < 0 {
		p.Region = n.Regions[n.Active].Name
	}
	next.pin = i
	next.State = n.Follow(p)
	if i >= 0 {
		x.must(i == next.Active, n, "a pin wins over every health")
		next.left[i] = time.Time{}
	} else {
		x.must(n.Active == next.Active, n, "the end of a pin moves nothing")
	}
	for k := range n.Regions {
		x.must(n.Regions[k].Health == next.Regions[k].Health, n, "a pin changes no health")
	}
	s, _ := next.Elapse(Moment{Now: n.now})
	x.judge(&next, s, -1, true)
	next.State = s
	return next
}

// judge compares a state with the one before it. Without a failure of region i that counts, nothing is harmed.
func (x *explorer) judge(n *node, s State, i int, harmless bool) {
	for k := range s.Regions {
		was, is := &n.Regions[k], &s.Regions[k]
		if harmless || k != i {
			x.must(rank[is.Health] >= rank[was.Health], n, "good, late and repeated news make no health worse")
		}
		if is.Health == "unhealthy" {
			x.must(n.told[k].failures >= threshold || n.told[k].verdicts > 0, n, "what is unhealthy has failed since its recovery")
		}
		if is.Health == "healthy" && was.Health != "healthy" {
			n.told[k] = told{recovered: n.now}
		}
	}
	x.must(s.Active >= 0 && s.Active < len(s.Regions), n, "one region is active")
	if s.Active == n.Active {
		return
	}
	x.moves[s.Cause]++
	x.must(n.pin < 0, n, "a pin always wins")
	switch s.Cause {
	case Failed:
		x.must(s.Regions[n.Active].Health == "unhealthy", n, "only an unhealthy region is left")
		x.must(s.Regions[s.Active].Health != "unhealthy", n, "no unhealthy region is entered")
		n.left[n.Active] = n.now
	case Recovered, Unpinned:
		x.must((s.Cause == Unpinned) == n.released, n, "what a pin alone kept was not away because it had failed")
		x.must(s.Regions[s.Active].Health == "healthy" && s.Active < n.Active, n, "only a preferred and healthy region is returned to")
	default:
		x.must(false, n, "every move has a cause")
	}
	if at := n.left[s.Active]; !at.IsZero() {
		x.must(n.now.Sub(at) >= holdDown, n, "no region is entered during its hold-down")
	}
}

// explained demands that a state says why it is so, and what comes next. Some are enough.
func (x *explorer) explained(n *node) {
	if len(x.seen)%16 != 0 {
		return
	}
	for i := range n.Regions {
		x.must(n.RegionWhy(i) != "", n, "every health has a reason")
	}
	x.must(len(n.Why()) > 0 && len(n.Next()) > 0, n, "every state explains itself")
}

// key is the state in short, without what only explains: all times by how long ago they were.
func (n *node) key(seed maphash.Seed) uint64 {
	b := make([]byte, 0, 1024)
	num := func(all ...int) {
		for _, i := range all {
			b = binary.AppendVarint(b, int64(i))
		}
	}
	ago := func(all ...time.Time) {
		for _, t := range all {
			if t.IsZero() {
				num(-1 << 30)
			} else {
				num(int(n.now.Sub(t) / time.Second))
			}
		}
	}
	is := func(all ...bool) {
		for _, v := range all {
			if v {
				num(1)
			} else {
				num(0)
			}
		}
	}
	num(n.Active, n.pin)
	is(n.Pinned)
	for i := range n.Regions {
		t := &n.told[i]
		num(min(t.by[0], threshold), min(t.by[1], threshold), min(t.verdicts, 1))
		ago(n.left[i], t.recovered)
	}
	if g := n.last; g != nil {
		b = append(append(b, g.Region...), g.Reporter...)
		is(g.Failed)
		ago(g.Began)
	}
	for i := range n.Regions {
		r := &n.Regions[i]
		num(rank[r.Health], r.holds)
		is(r.ill)
		ago(r.hold, r.prefer, r.returned, r.failed, r.recovered)
		for _, name := range [...]string{reporters[0], reporters[1], monitor} { // their order is of no matter
			for j := range r.Reporters {
				if s := &r.Reporters[j]; s.Name == name {
					b = append(b, name...)
					num(rank[s.Health], min(s.Failures, threshold), s.Successes, s.proofs)
					ago(s.since, s.began, s.started, s.failedAt, s.okAt, s.ends)
				}
			}
		}
	}
	return maphash.Bytes(seed, b)
}

func newExplorer(t *testing.T, automatic bool) (*explorer, node) {
	t.Helper()
	rules := Rules{Automatic: automatic, Threshold: threshold, HoldDown: holdDown}
	return &explorer{t: t, seen: map[uint64]bool{}, moves: map[string]int{}},
		node{State: New(rules, []string{"east", "west"}, epoch), now: epoch, pin: -1}
}

// depthOf is what an environment variable says, or a default.
func depthOf(variable string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return otherwise
}

// Every history of a few signals, waits and pins, for two regions, two reporters and a monitor: no success, repetition,
// late signal, pin or passage of time makes a health worse; only an unhealthy region is left and only a preferred and healthy one
// returned to; none is entered during its hold-down; one is active; a pin always wins. HEALTH_DEPTH sets how long a history is.
func TestEveryShortHistoryKeepsTheRules(t *testing.T) {
	t.Parallel()
	for _, automatic := range []bool{true, false} {
		depth := depthOf("HEALTH_DEPTH", 4)
		if !automatic {
			depth = min(depth, 4)
		}
		x, first := newExplorer(t, automatic)
		level, seed := []node{first}, maphash.MakeSeed()
		for d := range depth {
			var next []node
			for i := range level {
				for _, step := range x.steps(&level[i]) {
					n := step()
					x.edges++
					key := n.key(seed)
					if x.seen[key] {
						continue
					}
					x.seen[key] = true
					x.explained(&n)
					if d < depth-1 {
						next = append(next, n)
					}
				}
			}
			level = next
		}
		t.Logf("automatic %v: histories of %d: %d states, %d steps, moves %v, wrong moves 0",
			automatic, depth, len(x.seen), x.edges, x.moves)
		if automatic {
			require.Positive(t, x.moves[Failed])
			require.Positive(t, x.moves[Recovered])
		} else {
			require.Empty(t, x.moves, "without Automatic only pins move")
		}
	}
}

// So does every long history of the same steps, at random. HEALTH_WALKS sets how many there are.
func TestLongHistoriesKeepTheRules(t *testing.T) {
	t.Parallel()
	x, first := newExplorer(t, true)
	walks, length := depthOf("HEALTH_WALKS", 400), 200
	for seed := range uint64(walks) {
		r, n := rand.New(rand.NewPCG(seed, 20)), first
		for range length {
			steps := x.steps(&n)
			n = steps[r.IntN(len(steps))]()
			if r.IntN(4) > 0 { // so that pins are rare
				n = x.pinned(&n, -1)
			}
			x.edges++
		}
		x.explained(&n)
	}
	t.Logf("%d histories of %d: %d steps, moves %v, wrong moves 0", walks, length, x.edges, x.moves)
	require.Positive(t, x.moves[Failed])
	require.Positive(t, x.moves[Recovered])
	require.Positive(t, x.moves[Unpinned])
}
