package failover_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
)

// rank orders healths, the worst first.
var rank = map[failover.Health]int{failover.Unhealthy: 0, failover.Unknown: 1, failover.Healthy: 2}

// signal is a message to a Controller. Began is what it says; at is when it was first delivered.
type signal struct {
	failover.Evidence
	at time.Time
}

// failedSince reports whether s is a failure of an attempt that began at t or later, as far as can be known.
func (s *signal) failedSince(t time.Time) bool {
	began := s.Began
	if began.IsZero() {
		began = s.at
	}
	return s.Err != nil && !began.Before(t)
}

// oracle knows what was delivered, once each, and the events. It knows nothing of how a Controller counts.
type oracle struct {
	t         *testing.T
	failAfter int
	delivered map[string][]signal // by region
	recovered map[string]time.Time
	health    map[string]failover.Health
	active    string
	pinned    string
	moves     int
}

// event judges an Event.
func (o *oracle) event(e failover.Event) {
	switch e.Kind {
	case failover.HealthChanged:
		for _, r := range e.State.Regions {
			if r.Name == e.Region {
				o.health[e.Region] = r.Health
			}
		}
		if o.health[e.Region] == failover.Healthy {
			o.recovered[e.Region] = e.At
		}
		if o.health[e.Region] == failover.Unhealthy {
			o.failed(e.Region)
		}
	case failover.Moved:
		require.Equal(o.t, o.active, e.From, "only the active region is left")
		o.active = e.Region
		if e.Cause == failover.CauseManual {
			return
		}
		o.moves++
		require.Empty(o.t, o.pinned, "a pin wins")
		if e.Cause == failover.CauseFailed {
			o.failed(e.From)
		} else {
			require.Equal(o.t, failover.Healthy, o.health[e.Region], "a region is preferred again when it has recovered")
		}
	case failover.Pinned, failover.Resumed, failover.StoreChanged:
	}
}

// failed demands that one source has told often enough that a region failed since its recovery.
func (o *oracle) failed(region string) {
	since := o.recovered[region]
	count := map[string]int{}
	most := 0
	for _, s := range o.delivered[region] {
		if s.failedSince(since) {
			count[s.Source]++
			most = max(most, count[s.Source])
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
	s := signal{Evidence: failover.Evidence{Region: region, Source: h.one("keys", "token", "probe", ""), Began: time.Now()}}
	switch h.r.IntN(10) {
	case 0:
		s.Began = time.Time{} // Report
	case 1, 2:
		s.Began = s.Began.Round(0).Add(h.skew)
	}
	switch {
	case h.r.IntN(50) == 0:
		s.Err = context.Canceled
	case h.r.Float64() < h.sick[region]:
		s.Err = errDown
	}
	return s
}

// deliver hands in a signal, and judges what that did.
func (h *history) deliver(s signal) {
	t := h.o.t
	repeated := !s.at.IsZero()
	if !repeated {
		s.at = time.Now()
		if !errorsIsCanceled(s.Err) {
			h.o.delivered[s.Region] = append(h.o.delivered[s.Region], s)
		}
		if !s.Began.IsZero() && s.Began.Sub(s.at) < time.Minute { // what is to begin in an hour is ignored until then
			h.delivered = append(h.delivered, s)
		}
	}
	before := h.c.State()
	h.c.Observe(s.Evidence)
	after := h.c.State()
	harmless := s.Err == nil || errorsIsCanceled(s.Err) || repeated || s.Began.Before(h.o.recovered[s.Region]) && !s.Began.IsZero()
	for i := range after.Regions {
		if was, is := before.Regions[i].Health, after.Regions[i].Health; harmless || after.Regions[i].Name != s.Region {
			require.GreaterOrEqual(t, rank[is], rank[was], "%+v made %s %s, which was %s", s, after.Regions[i].Name, is, was)
		}
	}
	if h.o.pinned != "" {
		require.Equal(t, h.o.pinned, after.Active)
	}
	require.Contains(t, h.names, after.Active)
	if s.Began.IsZero() {
		return
	}
	h.c.Observe(s.Evidence) // at once again
	again := h.c.State()
	require.Equal(t, after.Generation, again.Generation)
	for i := range again.Regions {
		require.Equal(t, after.Regions[i].Health, again.Regions[i].Health)
		require.Len(t, again.Regions[i].Sources, len(after.Regions[i].Sources))
		for j, was := range after.Regions[i].Sources {
			is := again.Regions[i].Sources[j]
			was.Last, is.Last = time.Time{}, time.Time{}
			require.Equal(t, was, is, "a repetition counts for nothing")
		}
	}
}

func errorsIsCanceled(err error) bool { return errors.Is(err, context.Canceled) }

// step does one random thing.
func (h *history) step() {
	switch n := h.r.IntN(100); {
	case n < 3:
		h.sick[h.one(h.names...)] = []float64{0, 0, 0.3, 1}[h.r.IntN(4)]
	case n == 3:
		h.o.pinned = h.one(h.names...)
		require.NoError(h.o.t, h.c.Activate(h.o.t.Context(), h.o.pinned, "drill"))
	case n < 8:
		h.o.pinned = ""
		require.NoError(h.o.t, h.c.Resume(h.o.t.Context()))
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
		t: t, failAfter: 3, delivered: map[string][]signal{}, recovered: map[string]time.Time{}, health: map[string]failover.Health{},
		active: east,
	}
	var events journal
	c := newController(t, failover.Config{Provider: authority(names...), Automatic: true, OnEvent: events.add})
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
			if pinned == "" || e.Kind != failover.Moved { // what a pin ends is judged by what was before
				o.pinned = pinned
			}
			o.event(e)
			o.pinned = now
		}
		seen = len(all)
	}
	return o.moves
}
