package failover_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
)

// rank orders healths, the worst first.
var rank = map[string]int{"unhealthy": 0, "unknown": 1, "healthy": 2}

// signal is a message to a Controller. started is what it says; at is when it was first delivered.
type signal struct {
	outcome
	at time.Time
}

// failedSince reports whether s is a failure of an attempt that began at t or later, as far as can be known.
func (s *signal) failedSince(t time.Time) bool {
	began := s.started
	if began.IsZero() {
		began = s.at
	}
	return s.err != nil && !began.Before(t)
}

// oracle knows what was delivered, once each, and the events. It knows nothing of how a Controller counts.
type oracle struct {
	t         *testing.T
	failAfter int
	delivered map[string][]signal // by region
	recovered map[string]time.Time
	health    map[string]string
	active    string
	pinned    string
	moves     int
}

// event judges an Event.
func (o *oracle) event(e event) {
	switch e.kind {
	case healthChanged:
		for _, r := range e.status.Regions {
			if r.Region == e.region {
				o.health[e.region] = r.Health
			}
		}
		if o.health[e.region] == "healthy" {
			o.recovered[e.region] = e.at
		}
		if o.health[e.region] == "unhealthy" {
			o.failed(e.region)
		}
	case moved:
		require.Equal(o.t, o.active, e.from, "only the active region is left")
		o.active = e.region
		if e.status.Cause == "pinned" {
			return
		}
		o.moves++
		require.Empty(o.t, o.pinned, "a pin wins")
		if e.status.Cause == "failed" {
			o.failed(e.from)
		} else {
			require.Equal(o.t, "healthy", o.health[e.region], "a region is preferred again when it has recovered")
		}
	}
}

// failed demands that one source has told often enough that a region failed since its recovery.
func (o *oracle) failed(region string) {
	since := o.recovered[region]
	count := map[string]int{}
	most := 0
	for _, s := range o.delivered[region] {
		if s.failedSince(since) {
			count[s.reporter]++
			most = max(most, count[s.reporter])
		}
	}
	require.GreaterOrEqual(o.t, most, o.failAfter, "region %s has not failed since its recovery at %v", region, since)
}

// history makes random signals and delivers them late, out of order, repeatedly or never.
type history struct {
	r         *rand.Rand
	c         *failover.Controller
	o         *oracle
	names     []string
	sick      map[string]float64
	pending   []signal
	delivered []signal
	skew      time.Duration // of the wall clock of those who report without a monotonic reading
}

func (h *history) one(of ...string) string { return of[h.r.IntN(len(of))] }

// attempt makes a signal of an attempt that begins now.
func (h *history) attempt() signal {
	region := h.one(h.names...)
	s := signal{outcome: outcome{region: region, reporter: h.one("keys", "token", "probe", ""), started: time.Now()}}
	switch h.r.IntN(10) {
	case 0:
		s.started = time.Time{} // Report
	case 1, 2:
		s.started = s.started.Round(0).Add(h.skew)
	}
	switch {
	case h.r.IntN(50) == 0:
		s.err = context.Canceled
	case h.r.Float64() < h.sick[region]:
		s.err = errDown
	}
	return s
}

// deliver hands in a signal, and judges what that did.
func (h *history) deliver(s signal) {
	t := h.o.t
	repeated := !s.at.IsZero()
	if !repeated {
		s.at = time.Now()
		if !errorsIsCanceled(s.err) {
			h.o.delivered[s.region] = append(h.o.delivered[s.region], s)
		}
		if !s.started.IsZero() && s.started.Sub(s.at) < time.Minute { // what is to begin in an hour is ignored until then
			h.delivered = append(h.delivered, s)
		}
	}
	before := h.c.Status()
	observe(h.c, s.outcome)
	after := h.c.Status()
	harmless := s.err == nil || errorsIsCanceled(s.err) || repeated || s.started.Before(h.o.recovered[s.region]) && !s.started.IsZero()
	for i := range after.Regions {
		if was, is := before.Regions[i].Health, after.Regions[i].Health; harmless || after.Regions[i].Region != s.region {
			require.GreaterOrEqual(t, rank[is], rank[was], "%+v made %s %s, which was %s", s, after.Regions[i].Region, is, was)
		}
	}
	if h.o.pinned != "" {
		require.Equal(t, h.o.pinned, after.Active)
	}
	require.Contains(t, h.names, after.Active)
	if s.started.IsZero() {
		return
	}
	observe(h.c, s.outcome) // at once again
	again := h.c.Status()
	require.Equal(t, after.Active, again.Active)
	require.Equal(t, after.Since, again.Since)
	for i := range again.Regions {
		require.Equal(t, after.Regions[i].Health, again.Regions[i].Health)
		require.Len(t, again.Regions[i].Reports, len(after.Regions[i].Reports))
		for j, was := range after.Regions[i].Reports {
			require.Equal(t, untimed(was), untimed(again.Regions[i].Reports[j]), "a repetition counts for nothing")
		}
	}
}

// untimed is a line of a report without its time.
func untimed(line string) string { return line[:strings.LastIndex(line, ", ")] }

func errorsIsCanceled(err error) bool { return errors.Is(err, context.Canceled) }

// step does one random thing.
func (h *history) step() {
	switch n := h.r.IntN(100); {
	case n < 3:
		h.sick[h.one(h.names...)] = []float64{0, 0, 0.3, 1}[h.r.IntN(4)]
	case n == 3:
		h.o.pinned = h.one(h.names...)
		require.NoError(h.o.t, h.c.Pin(h.o.t.Context(), h.o.pinned, "drill", 0))
	case n < 8:
		h.o.pinned = ""
		require.NoError(h.o.t, h.c.Unpin(h.o.t.Context()))
	case n == 8:
		h.skew = []time.Duration{0, 0, time.Hour, -time.Hour, -time.Second}[h.r.IntN(5)]
	case n == 9:
		time.Sleep(time.Duration(h.r.Int64N(int64(20 * time.Minute)))) // silence
	case n < 15 && len(h.delivered) > 0:
		h.deliver(h.delivered[h.r.IntN(len(h.delivered))]) // a repetition, however old
	case n < 40:
		h.pending = append(h.pending, h.attempt())
	case n < 65 && len(h.pending) > 0:
		i := h.r.IntN(len(h.pending))
		s := h.pending[i]
		h.pending = slices.Delete(h.pending, i, i+1)
		if h.r.IntN(10) > 0 { // or it is lost
			h.deliver(s)
		}
	default:
		h.deliver(h.attempt())
	}
	time.Sleep(time.Duration(h.r.Int64N(int64([]time.Duration{time.Millisecond, 3 * time.Second, time.Minute}[h.r.IntN(3)]))))
}

// Random histories of signals: no success, repetition or late message makes a health worse; a region that has not failed since
// its recovery is never left; one region is active; a pin always wins; repeating a signal changes nothing.
func TestRandomHistoriesOfSignals(t *testing.T) {
	t.Parallel()
	for range 24 {
		seed := rand.Uint64()
		t.Run("", func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", seed)
			moves := 0
			synctest.Test(t, func(t *testing.T) { moves = runHistory(t, seed) })
			require.Positive(t, moves)
		})
	}
}

func runHistory(t *testing.T, seed uint64) (moves int) {
	t.Helper()
	names := []string{east, west, north}
	o := &oracle{
		t: t, failAfter: 3, delivered: map[string][]signal{}, recovered: map[string]time.Time{}, health: map[string]string{},
		active: east,
	}
	var events journal
	c := newController(t, failover.Config{Automatic: true, OnChange: events.add}, names...)
	start(t, c)
	h := &history{r: rand.New(rand.NewPCG(seed, 3)), c: c, o: o, names: names, sick: map[string]float64{}}
	seen := 0
	for range 2000 {
		pinned := o.pinned
		h.step()
		synctest.Wait()
		all := events.all()
		for _, e := range all[seen:] {
			now := o.pinned
			if pinned == "" || e.kind != moved { // what a pin ends is judged by what was before
				o.pinned = pinned
			}
			o.event(e)
			o.pinned = now
		}
		seen = len(all)
	}
	return o.moves
}
