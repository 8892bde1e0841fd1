package keys_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/albauth/internal/keys"
	"github.com/regionjwt/regionjwt/internal/clock"
)

// world drives a State with random events, and knows the truth: what the server has said, and when.
type world struct {
	*testing.T
	random *rand.Rand
	state  keys.State[string]
	now    clock.Time
	events int

	published map[string]string // the material of each key that there is
	down      bool
	running   []*asked
	callers   []*caller
	listed    map[string]clock.Time // the begin of the last request that returned the key as it is held
	held      map[string]string
	proven    map[string]bool // since it is held
	absent    map[string]int  // the event at which the last request began that was answered with Absent
	failed    map[string]int  // the event at which a request has failed last
	begun     []clock.Time    // requests for unknown keys
	renewed   map[string][]clock.Time
}

// asked is a request on its way. What the server says is decided when it ends.
type asked struct {
	*keys.Request
	event int
	began clock.Time
}

type caller struct {
	id      string
	arrived uint64
	event   int
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{
		T: t, random: rand.New(rand.NewPCG(seed, 1)), now: clock.Time{Mono: 1, Wall: int64(seed) + 1},
		published: map[string]string{}, listed: map[string]clock.Time{}, held: map[string]string{}, proven: map[string]bool{},
		absent: map[string]int{}, failed: map[string]int{}, renewed: map[string][]clock.Time{},
	}
}

// tick numbers the events.
func (w *world) tick() int {
	w.events++
	return w.events
}

func (w *world) id() string { return fmt.Sprint("k", w.random.IntN(6)) }

// step makes one random event.
func (w *world) step() {
	switch w.random.IntN(12) {
	case 0, 1:
		w.pass()
	case 2:
		w.down = w.random.IntN(3) == 0
	case 3:
		if id := w.id(); w.published[id] == "" || w.random.IntN(20) == 0 {
			w.published[id] = fmt.Sprint(id, "-", w.tick()) // a new key, or, against what AWS says, another one
		} else if w.random.IntN(4) == 0 {
			delete(w.published, id)
		}
	case 4, 5, 6:
		w.ask(w.id())
	case 7, 8:
		w.begin()
	case 9, 10:
		w.end()
	case 11:
		w.prove()
	}
	w.check()
}

// pass lets time pass on one clock or both: a process that was frozen, a wall clock that is set.
func (w *world) pass() {
	d := []time.Duration{time.Millisecond, time.Second, 3 * time.Second, time.Minute, time.Hour, 7 * time.Hour}[w.random.IntN(6)]
	w.now.Wall += int64(d)
	switch w.random.IntN(10) {
	case 0: // frozen
	case 1:
		w.now.Wall -= int64(2 * d)
		w.now.Mono += int64(d)
	default:
		w.now.Mono += int64(d)
	}
}

func (w *world) ask(id string) {
	if w.state.Find(id, w.now) != nil {
		before := w.state.Held(id)
		k, renew := w.state.Use(id, w.now)
		require.Equal(w, before, k.Value)
		if renew != nil {
			w.running = append(w.running, &asked{renew, w.tick(), w.now})
			w.renewed[id] = append(w.renewed[id], w.now)
			require.True(w, w.proven[id], "only keys that have verified a token are renewed")
		}
		return
	}
	if len(w.callers) < 20 {
		arrived, ok := w.state.Arrive(id, w.now)
		require.True(w, ok)
		w.callers = append(w.callers, &caller{id, arrived, w.tick()})
	}
}

func (w *world) begin() {
	if r := w.state.Begin(w.now); r != nil {
		require.True(w, slices.ContainsFunc(w.callers, func(c *caller) bool { return c.id == r.ID }), "somebody waits")
		w.running = append(w.running, &asked{r, w.tick(), w.now})
		w.begun = append(w.begun, w.now)
	}
}

// end ends a request, in any order.
func (w *world) end() {
	if len(w.running) == 0 {
		return
	}
	i := w.random.IntN(len(w.running))
	r := w.running[i]
	w.running = slices.Delete(w.running, i, i+1)
	switch value := w.published[r.ID]; {
	case w.down:
		w.state.End(r.Request, keys.Failed, "", time.Duration(w.random.IntN(2))*time.Hour, w.now)
		w.failed[r.ID] = w.tick()
	case value == "":
		w.state.End(r.Request, keys.Absent, "", 0, w.now)
		w.absent[r.ID] = max(w.absent[r.ID], r.event)
	default:
		w.state.End(r.Request, keys.Found, value, 0, w.now)
		if w.held[r.ID] != value {
			w.held[r.ID], w.proven[r.ID], w.listed[r.ID] = value, false, r.began
		}
		w.listed[r.ID] = w.listed[r.ID].NotBefore(r.began)
	}
}

func (w *world) prove() {
	id := w.id()
	if k := w.state.Find(id, w.now); k != nil {
		w.state.Prove(id, "another key")
		require.Equal(w, w.proven[id], k.Proven)
		w.state.Prove(id, k.Value)
		w.proven[id] = true
	}
}

// check compares the state with the truth.
func (w *world) check() {
	for id, value := range w.held {
		k, recent := w.state.Find(id, w.now), w.now.Since(w.listed[id]) <= keys.Kept
		require.Equal(w, recent, k != nil, "a key is used for 24 hours after the server has returned it, whatever happens")
		if k != nil {
			require.Equal(w, value, k.Value)
			require.Equal(w, w.proven[id], k.Proven)
		}
	}
	w.callers = slices.DeleteFunc(w.callers, func(c *caller) bool {
		switch w.state.Look(c.id, c.arrived) {
		case keys.Unknown:
			require.Greater(w, w.absent[c.id], c.event, "the server has said so to a request that began after the caller came")
		case keys.Unclear:
			require.Greater(w, w.failed[c.id], c.event)
		case keys.Open:
			require.LessOrEqual(w, w.absent[c.id], c.event)
			require.LessOrEqual(w, w.failed[c.id], c.event)
			if w.state.Find(c.id, w.now) == nil && w.random.IntN(30) > 0 {
				return false // it waits
			}
		}
		w.state.Leave(c.id)
		return true
	})
	// In any window of 20 seconds by the clock that has moved more: at most 5 requests, and one for every 2 seconds.
	for i, from := range w.begun {
		if d := w.now.Since(from); d <= 20*time.Second {
			require.LessOrEqual(w, len(w.begun)-i, keys.Burst+int(d/keys.Every))
			break
		}
	}
	for id, times := range w.renewed {
		if n := len(times); n > 1 {
			require.GreaterOrEqual(w, times[n-1].Since(times[n-2]), 10*time.Minute, id)
		}
	}
}

// Whatever happens in whatever order, the state says what is true, and no more.
func TestTheStateIsTrue(t *testing.T) {
	t.Parallel()
	var found, proven, renewed, expired int
	for seed := range uint64(150) {
		w := newWorld(t, seed)
		for range 400 {
			w.step()
		}
		found += len(w.held)
		for id, is := range w.proven {
			if is {
				proven++
			}
			renewed += len(w.renewed[id])
			if w.state.Find(id, w.now) == nil {
				expired++
			}
		}
	}
	for what, n := range map[string]int{"found": found, "proven": proven, "renewed": renewed, "expired": expired} {
		require.Greater(t, n, 50, "the walk has seen few keys that were %s", what)
	}
}

// A caller that may wait for a request always knows for how long.
func TestACallerKnowsHowLongToWait(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		w := newWorld(t, seed)
		for range 200 {
			w.step()
			for _, c := range w.callers {
				running, d, _ := w.state.Wait(c.id, w.now)
				if running || d > 0 {
					continue
				}
				for r := w.state.Begin(w.now); r != nil; r = w.state.Begin(w.now) {
					w.running = append(w.running, &asked{r, w.tick(), w.now})
					w.begun = append(w.begun, w.now)
				}
				running, d, _ = w.state.Wait(c.id, w.now)
				require.True(t, running || d > 0, "the request begins now, or the budget is used up")
			}
		}
	}
}

// Of the keys that verify tokens there are 64 places, of others 8: neither takes a place of the other.
func TestPlaces(t *testing.T) {
	t.Parallel()
	var s keys.State[int]
	now := clock.Time{Mono: 1, Wall: 1}
	find := func(n int) {
		now = now.Add(keys.Every)
		id := fmt.Sprint(n)
		_, ok := s.Arrive(id, now)
		require.True(t, ok)
		r := s.Begin(now)
		s.End(r, keys.Found, n, 0, now)
		s.Leave(id)
	}
	known := func(from, to int) (n int) {
		for i := from; i < to; i++ {
			if s.Find(fmt.Sprint(i), now) != nil {
				n++
			}
		}
		return n
	}
	for n := range 100 {
		find(n)
		s.Prove(fmt.Sprint(n), n)
		_, _ = s.Use("0", now) // it is used all the time
	}
	require.Equal(t, 64, known(0, 100))
	require.NotNil(t, s.Find("0", now))
	require.Equal(t, 63, known(37, 100), "the key that was used longest ago goes")
	for n := range 100 {
		find(1000 + n)
		_, _ = s.Use("1000", now)
	}
	require.Equal(t, 8, known(1092, 1100), "the oldest one goes")
	require.Equal(t, 8, known(1000, 1100))
	require.Equal(t, 64, known(0, 100))
}

// In a flood of distinct keys, one that is asked for again gets a place, and its turn.
func TestAKeyThatIsAskedForAgainHasAPlace(t *testing.T) {
	t.Parallel()
	var s keys.State[int]
	now := clock.Time{Mono: 1, Wall: 1}
	for n := range keys.MaxWaiting {
		_, ok := s.Arrive(fmt.Sprint(n), now)
		require.True(t, ok)
	}
	for n := range 10_000 {
		_, ok := s.Arrive(fmt.Sprint("flood", n), now)
		require.False(t, ok)
	}
	_, ok := s.Arrive("good", now)
	require.False(t, ok)
	_, ok = s.Arrive("good", now)
	require.True(t, ok)
	asked := 0
	for ; asked < 3*keys.Burst; asked++ {
		now = now.Add(keys.Every)
		if r := s.Begin(now); r.ID == "good" {
			break
		}
	}
	require.Less(t, asked, 2)
}
