package health

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The parts of a region that fail together, or each alone.
const (
	keysPart  = 1
	tokenPart = 2
	allParts  = keysPart | tokenPart
)

// outage is when some parts of a region do not answer.
type outage struct {
	region   int
	parts    int
	from, to time.Time
}

// due is something that a source does at a time.
type due struct {
	at time.Time
	do func(time.Time)
}

type queue []due

func (q *queue) Len() int           { return len(*q) }
func (q *queue) Less(i, j int) bool { return (*q)[i].at.Before((*q)[j].at) }
func (q *queue) Swap(i, j int)      { (*q)[i], (*q)[j] = (*q)[j], (*q)[i] }
func (q *queue) Push(x any)         { *q = append(*q, x.(due)) }
func (q *queue) Pop() any {
	all := *q
	last := all[len(all)-1]
	*q = all[:len(all)-1]
	return last
}

// year is the traffic of one process: fetches of keys, token requests, probes and monitors, with the rhythms of the defaults.
type year struct {
	t       *testing.T
	r       *rand.Rand
	queue   queue
	state   State
	outages []outage
	blips   float64 // how much of all requests fails for no reason

	signals, away, back, tries, wrong, flaps int
	due                                      time.Time // when the state changes without a signal
	over                                     int       // how many outages are long over
	returned                                 [2]time.Time
	last                                     time.Time // move
}

// about returns d, give or take a tenth.
func (y *year) about(d time.Duration) time.Duration {
	return time.Duration((0.9 + 0.2*y.r.Float64()) * float64(d))
}

func (y *year) at(t time.Time, do func(time.Time)) { heap.Push(&y.queue, due{t, do}) }

// down reports whether a part of a region did not answer at some time since.
func (y *year) down(region, parts int, since, now time.Time) bool {
	for y.over < len(y.outages) && y.outages[y.over].to.Before(now.Add(-24*time.Hour)) {
		y.over++
	}
	for _, o := range y.outages[y.over:] {
		if now.Before(o.from) {
			break // they are in order
		}
		if o.region == region && o.parts&parts != 0 && since.Before(o.to) {
			return true
		}
	}
	return false
}

// lost reports whether a region did not answer at all from one time to another.
func (y *year) lost(region int, from, to time.Time) bool {
	return slices.ContainsFunc(y.outages, func(o outage) bool {
		return o.region == region && o.parts == allParts && !from.Before(o.from) && to.Before(o.to)
	})
}

// fails reports whether a request to a part of a region fails now.
func (y *year) fails(region, part int, now time.Time) bool {
	return y.down(region, part, now, now) || y.r.Float64() < y.blips
}

// say delivers a signal, sometimes late, and sometimes twice.
func (y *year) say(g Signal, now time.Time) {
	deliver := func(now time.Time) {
		y.signals++
		next, changed := y.state.Apply(&g, Moment{now, y.r.Float64()})
		if y.moved(next, now); changed {
			_, y.due = y.state.Elapse(Moment{now, 0})
		}
	}
	deliver(now)
	if y.r.IntN(50) == 0 {
		y.at(now.Add(y.about(20*time.Second)), deliver)
	}
}

// moved judges a move by what is really the case.
func (y *year) moved(next State, now time.Time) {
	from, to := y.state.Active, next.Active
	y.state = next
	if from == to {
		return
	}
	require.NotEqual(y.t, y.last, now, "two moves at once")
	y.last = now
	switch next.Cause {
	case Failed:
		y.away++
		if !y.down(from, allParts, now.Add(-10*time.Minute), now) {
			y.wrong++
			y.t.Errorf("%v: %v left, and is well: %v", now, next.Regions[from].Name, next.Why())
		}
		if at := y.returned[from]; !at.IsZero() && !y.down(from, allParts, at, now) {
			y.flaps++
		}
	case Recovered:
		y.back++
		y.returned[to] = now
		switch {
		case y.lost(to, now.Add(-3*time.Minute), now):
			y.wrong++
			y.t.Errorf("%v: %v entered, and does not answer: %v", now, next.Regions[to].Name, next.Why())
		case y.down(to, allParts, now, now):
			y.tries++
		}
	default:
		y.t.Errorf("a move without a cause: %v", next.Cause)
	}
}

// keys fetches the keys of a region, every 15 minutes, and soon again after a failure.
func (y *year) keys(region, failures int, now time.Time) {
	failed, end, wait := y.fails(region, keysPart, now), now.Add(50*time.Millisecond), 15*time.Minute
	if failed {
		end, wait = now.Add(2*time.Second), min(time.Second<<failures, time.Minute) // it hangs
		failures = min(failures+1, 6)
	} else {
		failures = 0
	}
	y.at(end, func(at time.Time) {
		y.say(Signal{Region: y.state.Regions[region].Name, Reporter: "keys", Began: now, Failed: failed, Failure: "timeout"}, at)
		y.at(at.Add(y.about(wait)), func(at time.Time) { y.keys(region, failures, at) })
	})
}

// tokens requests a token from the active region, or else from the other one, every 48 minutes, and soon again after a failure.
func (y *year) tokens(now time.Time) {
	first, wait := y.state.Active, 48*time.Minute
	for _, region := range []int{first, 1 - first} {
		failed := y.fails(region, tokenPart, now)
		y.say(Signal{Region: y.state.Regions[region].Name, Reporter: "token", Began: now, Failed: failed, Failure: "status 500"}, now)
		now = now.Add(time.Second)
		if !failed {
			break
		}
		wait = 5 * time.Second
	}
	y.at(now.Add(y.about(wait)), y.tokens)
}

// probe fetches the keys of a region, every minute.
func (y *year) probe(region int, now time.Time) {
	failed, end := y.fails(region, keysPart, now), now.Add(50*time.Millisecond)
	if failed {
		end = now.Add(2 * time.Second)
	}
	y.at(end, func(at time.Time) {
		y.say(Signal{Region: y.state.Regions[region].Name, Reporter: "probe", Began: now, Failed: failed, Failure: "timeout"}, at)
		y.at(at.Add(y.about(time.Minute)), func(at time.Time) { y.probe(region, at) })
	})
}

// monitor looks at a region every minute. Its verdict is that of three looks in a row, and takes some time to arrive.
func (y *year) monitor(region, failures int, now time.Time) {
	if y.fails(region, tokenPart, now) {
		failures++
	} else {
		failures = 0
	}
	y.at(now.Add(y.about(10*time.Second)), func(at time.Time) {
		y.say(Signal{
			Region: y.state.Regions[region].Name, Reporter: monitor, Began: now, Failed: failures >= 3, Failure: "verdict",
			Lasts: 2 * time.Minute,
		}, at)
	})
	y.at(now.Add(y.about(time.Minute)), func(at time.Time) { y.monitor(region, failures, at) })
}

// run lets days pass.
func (y *year) run(days int) {
	end := epoch.Add(time.Duration(days) * 24 * time.Hour)
	for {
		next := heap.Pop(&y.queue).(due)
		for !y.due.IsZero() && !y.due.After(next.at) { // as Run does it
			now := y.due
			var s State
			s, y.due = y.state.Elapse(Moment{now, 0.5})
			y.moved(s, now)
		}
		if next.at.After(end) {
			return
		}
		next.do(next.at)
	}
}

func newYear(t *testing.T, seed uint64, probes, monitors bool) *year {
	t.Helper()
	y := &year{t: t, r: rand.New(rand.NewPCG(seed, 365)), blips: 0.001}
	y.state = New(Rules{Automatic: true, Threshold: 3, HoldDown: 5 * time.Minute}, []string{"east", "west"}, epoch)
	y.at(epoch.Add(y.about(time.Minute)), y.tokens)
	for i := range 2 {
		y.at(epoch.Add(y.about(time.Second)), func(at time.Time) { y.keys(i, 0, at) })
		if probes {
			y.at(epoch.Add(y.about(10*time.Second)), func(at time.Time) { y.probe(i, at) })
		}
		if monitors {
			y.at(epoch.Add(y.about(time.Minute)), func(at time.Time) { y.monitor(i, 0, at) })
		}
	}
	return y
}

// A year of signals from the sources that a service has, with outages of 10 minutes to 3 hours of a whole region, of its key
// servers or of its token endpoint, failures for no reason, and late and repeated signals: no region is left that is well, none is
// entered that does not answer, and none that has recovered is left again before it fails again.
func TestAYearOfSignalsHasNoWrongMove(t *testing.T) {
	t.Parallel()
	for i, with := range []struct{ probes, monitors bool }{{}, {true, true}} {
		t.Run(fmt.Sprintf("probes %v, monitors %v", with.probes, with.monitors), func(t *testing.T) {
			t.Parallel()
			y := newYear(t, uint64(i), with.probes, with.monitors)
			for at := epoch.Add(24 * time.Hour); ; {
				at = at.Add(y.about(60 * time.Hour))
				if at.After(epoch.Add(364 * 24 * time.Hour)) {
					break
				}
				lasts := 10*time.Minute + time.Duration(y.r.Int64N(int64(170*time.Minute)))
				parts := []int{allParts, allParts, keysPart, tokenPart}[y.r.IntN(4)]
				y.outages = append(y.outages, outage{y.r.IntN(2), parts, at, at.Add(lasts)})
				at = at.Add(lasts)
			}
			y.run(365)
			t.Logf("%d signals, %d outages, %d moves away, %d back (%d of them tries while one part failed), wrong moves %d, flaps %d",
				y.signals, len(y.outages), y.away, y.back, y.tries, y.wrong, y.flaps)
			require.Zero(t, y.wrong)
			require.Zero(t, y.flaps)
			require.Greater(t, y.away, 20)
			require.InDelta(t, y.away, y.back, 1)
		})
	}
}

// A region that fails all day long, ten minutes in twenty, is left and entered less and less often.
func TestARegionThatKeepsFailingIsEnteredLessOften(t *testing.T) {
	t.Parallel()
	y := newYear(t, 1, true, false)
	y.blips = 0
	for at := epoch.Add(time.Hour); at.Before(epoch.Add(25 * time.Hour)); at = at.Add(20 * time.Minute) {
		y.outages = append(y.outages, outage{0, allParts, at, at.Add(10 * time.Minute)})
	}
	y.run(2)
	t.Logf("%d outages in 24 h: %d moves away, %d back, flaps %d", len(y.outages), y.away, y.back, y.flaps)
	require.LessOrEqual(t, y.away, 30, "at most 5 at first, then one in an hour")
	require.Zero(t, y.flaps)
	require.Equal(t, 0, y.state.Active, "it recovers at last")
}
