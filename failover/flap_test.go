package failover_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
)

// outage is a region that does not answer for a while, and the traffic that notices it, with the rhythms of the defaults: keys
// are refreshed every 15 minutes, and soon after a failure; a token is replaced after 48 minutes, by the active region.
type outage struct {
	r      *rand.Rand
	mu     sync.Mutex
	down   map[string]bool
	random sync.Mutex // guards r
}

func (o *outage) set(region string, down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down[region] = down
}

func (o *outage) answer(region string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down[region] {
		return errDown
	}
	return nil
}

// about returns d, give or take a tenth.
func (o *outage) about(d time.Duration) time.Duration {
	o.random.Lock()
	defer o.random.Unlock()
	return time.Duration((0.9 + 0.2*o.r.Float64()) * float64(d))
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// keys refreshes the keys of a region.
func (o *outage) keys(ctx context.Context, c *failover.Controller, region string) {
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		err := o.answer(region)
		wait := 15 * time.Minute
		if err == nil {
			failures = 0
		} else {
			if !pause(ctx, 2*time.Second) { // it hangs
				return
			}
			wait = min(time.Second<<failures, time.Minute)
			failures = min(failures+1, 6)
		}
		observe(c, outcome{region: region, reporter: "keys", started: began, err: err})
		if !pause(ctx, o.about(wait)) {
			return
		}
	}
}

// tokens fetches a token from the active region, or the other one, whenever it is due.
func (o *outage) tokens(ctx context.Context, c *failover.Controller) {
	for ctx.Err() == nil {
		got := false
		first := c.Active()
		for _, region := range []string{first, map[string]string{east: west, west: east}[first]} {
			began := time.Now()
			err := o.answer(region)
			observe(c, outcome{region: region, reporter: "token", started: began, err: err})
			if got = err == nil; got {
				break
			}
		}
		wait := 48 * time.Minute
		if !got || c.Active() != first {
			wait = 5 * time.Second
		}
		if !pause(ctx, o.about(wait)) {
			return
		}
	}
}

// moves lists the moves of a journal.
func (l *journal) moves() (moves []string) {
	for _, e := range l.all() {
		if e.kind == moved {
			moves = append(moves, fmt.Sprint(e.from, ">", e.region, ":", e.status.Cause))
		}
	}
	return moves
}

// A region is lost, comes back, and traffic goes on: with all defaults that is one move away and one back, however long the
// outage was, and whenever it began.
func TestOneOutageIsOneMoveAwayAndOneBack(t *testing.T) {
	t.Parallel()
	away, back := east+">"+west+":failed", west+">"+east+":recovered"
	for _, lasts := range []time.Duration{10 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour} {
		for _, probed := range []bool{false, true} {
			for seed := range uint64(4) {
				synctest.Test(t, func(t *testing.T) {
					var l journal
					o := &outage{r: rand.New(rand.NewPCG(seed, uint64(lasts))), down: map[string]bool{}}
					config := failover.Config{Automatic: true, OnChange: l.add}
					if probed {
						config.ProbeInterval = 10 * time.Second
						config.Probe = func(_ context.Context, r issuer.Region) error { return o.answer(r.Name) }
					}
					c := newController(t, config)
					ctx, cancel := context.WithCancel(t.Context())
					var running sync.WaitGroup
					running.Go(func() { o.keys(ctx, c, east) })
					running.Go(func() { o.keys(ctx, c, west) })
					running.Go(func() { o.tokens(ctx, c) })
					running.Go(func() { _ = c.Run(ctx) })
					time.Sleep(o.about(2 * time.Hour))
					require.Empty(t, l.moves())
					o.set(east, true)
					time.Sleep(lasts)
					o.set(east, false)
					time.Sleep(3 * time.Hour)
					moves := l.moves()
					if lasts >= 20*time.Minute || probed || len(moves) > 0 { // a short outage falls between two refreshes
						require.Equal(t, []string{away, back}, moves, "%v, probed %v, seed %d", lasts, probed, seed)
					}
					require.Equal(t, "healthy", c.Status().Regions[0].Health)
					cancel()
					running.Wait()
				})
			}
		}
	}
}

// A verdict lapses when its source has been silent for HoldDown: the region is unknown, which moves nothing. A good answer of
// that source never makes the verdict count again.
func TestALapsedVerdictNeverReturns(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, l *journal) {
		start(t, c)
		say := func(source string, err error) {
			observe(c, outcome{region: east, reporter: source, started: time.Now(), err: err})
		}
		say("token", nil)
		c.Report(west, "", time.Time{}, nil)
		for range 3 {
			say("keys", errDown)
			time.Sleep(time.Second)
		}
		require.Equal(t, west, c.Active())
		time.Sleep(holdDown + time.Minute)
		require.Equal(t, "unknown", c.Status().Regions[0].Health, "the good word of a source from before the outage says nothing now")
		require.Equal(t, west, c.Active())
		for i := range 30 {
			say("keys", nil)
			if i >= 2 {
				require.Equal(t, "healthy", c.Status().Regions[0].Health, "%d good answers", i+1)
				require.Equal(t, east, c.Active())
			}
			time.Sleep(15 * time.Minute)
		}
		require.Len(t, l.moves(), 2)
	})
}

// Failures from before a recovery do not move the region, whichever source reports them and however often.
func TestFailuresFromBeforeARecoveryAreLate(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, l *journal) {
		start(t, c)
		report(c, west, nil, 1)
		var old []outcome
		for i := range 12 {
			source := []string{"keys", "token", "probe", "monitor"}[i%4]
			old = append(old, outcome{region: east, reporter: source, started: time.Now(), err: errDown})
			time.Sleep(time.Second)
		}
		for _, e := range old[:2] { // of three failures of these sources, one is known in time
			observe(c, e)
		}
		report(c, east, errDown, 3)
		require.Equal(t, west, c.Active())
		report(c, east, nil, 3)
		time.Sleep(holdDown)
		require.Equal(t, east, c.Active())
		for range 5 {
			for _, e := range old {
				observe(c, e)
				time.Sleep(2 * time.Second)
			}
		}
		require.Equal(t, "healthy", c.Status().Regions[0].Health)
		require.Equal(t, east, c.Active())
		for range 2 { // what it had counted of them before is forgotten, too
			observe(c, outcome{region: east, reporter: "keys", started: time.Now(), err: errDown})
			time.Sleep(2 * time.Second)
		}
		require.Equal(t, east, c.Active())
		require.Len(t, l.moves(), 2)
	})
}

// A hold as long as can be never ends: what the fleet adds to it by chance does not make it end at once.
func TestAHoldWithoutEnd(t *testing.T) {
	bubble(t, failover.Config{Automatic: true, HoldDown: math.MaxInt64}, func(t *testing.T, c *failover.Controller, l *journal) {
		c.SetSpread(func() float64 { return 0.9 })
		start(t, c)
		for range 3 {
			c.Report(west, "", time.Time{}, nil)
			c.Report(east, "", time.Time{}, errDown)
			time.Sleep(2 * time.Second)
		}
		require.Equal(t, west, c.Active())
		for range 100 {
			c.Report(east, "", time.Time{}, nil)
			time.Sleep(time.Minute)
		}
		require.Equal(t, "healthy", c.Status().Regions[0].Health)
		require.Equal(t, []string{east + ">" + west + ":failed"}, l.moves())
	})
}
