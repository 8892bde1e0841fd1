package failover_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// bubble runs f in a synctest bubble, with a Controller whose holds are exact.
func bubble(t *testing.T, c failover.Config, f func(*testing.T, *failover.Controller, *journal)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l journal
		c.OnChange = l.add
		ctl := newController(t, c)
		ctl.SetSpread(func() float64 { return 0 })
		f(t, ctl, &l)
	})
}

// report reports the same n times, a second apart.
func report(c *failover.Controller, region string, err error, n int) {
	for range n {
		c.Report(region, "", time.Time{}, err)
		time.Sleep(time.Second)
	}
}

// The story of a lost region.
func TestARegionIsLostAndComesBack(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, l *journal) {
		start(t, c)
		report(c, west, nil, 1)
		report(c, east, nil, 1)
		report(c, east, errDown, 2)
		require.Equal(t, east, c.Active(), "two failures are none yet")
		report(c, east, nil, 1)
		report(c, east, errDown, 2)
		require.Equal(t, east, c.Active(), "they count in a row only")
		c.Report(east, "", time.Time{}, errDown)
		s := c.Status()
		require.Equal(t, west, s.Active)
		require.Equal(t, "failed", s.Cause)
		require.Equal(t, "unhealthy", s.Regions[0].Health)
		require.Equal(t, time.Now().Add(holdDown), s.Regions[0].HoldDownUntil)
		time.Sleep(time.Second)
		report(c, east, nil, 3)
		require.Equal(t, "healthy", c.Status().Regions[0].Health)
		require.Equal(t, west, c.Active(), "it is in hold-down")
		time.Sleep(time.Until(s.Regions[0].HoldDownUntil) - time.Nanosecond)
		require.Equal(t, west, c.Active())
		time.Sleep(time.Second)
		require.Equal(t, east, c.Active(), "Run moves when hold-down ends")
		require.Equal(t, "recovered", c.Status().Cause)
		require.Equal(t, []string{
			"health_changed " + west, "health_changed " + east, "health_changed " + east, "moved " + west, "health_changed " + east, "moved " + east,
		}, l.kinds())
	})
}

func TestWithoutAutomaticNothingMoves(t *testing.T) {
	bubble(t, failover.Config{}, func(t *testing.T, c *failover.Controller, _ *journal) {
		report(c, west, nil, 3)
		report(c, east, errDown, 10)
		require.Equal(t, east, c.Active())
		require.Equal(t, "unhealthy", c.Status().Regions[0].Health, "but it is known")
	})
}

func TestABrokenNetworkStaysSomewhere(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, l *journal) {
		start(t, c)
		for range 3600 { // an hour
			c.Report(east, "", time.Time{}, errDown)
			c.Report(west, "", time.Time{}, errDown)
			time.Sleep(time.Second)
		}
		moves := slices.DeleteFunc(l.all(), func(e event) bool { return e.kind != moved })
		require.LessOrEqual(t, len(moves), 1, "from one that failed to one that was not known")
		report(c, west, nil, 3)
		require.Equal(t, west, c.Active(), "the first that is well")
	})
}

func TestReports(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		for range 50 {
			c.Report(east, "", time.Time{}, errDown)
		}
		require.Contains(t, c.Status().Regions[0].Reports[0], "report: unknown, 1 failure in a row (other), last ", "fifty callers that fail at once are one failure")
		time.Sleep(time.Second)
		report(c, east, context.Canceled, 5)
		report(c, "nowhere", errDown, 5)
		require.Equal(t, "unknown", c.Status().Regions[0].Health)
		began := time.Now()
		time.Sleep(time.Second)
		report(c, east, errDown, 2)
		require.Equal(t, west, c.Active(), "of which nothing is known, after one that failed")
		observe(c, outcome{region: east, started: began})
		require.Contains(t, c.Status().Regions[0].Reports[0], "3 failures in a row", "an attempt from before the region was judged is late")
		observe(c, outcome{region: east, started: time.Now()})
		require.Contains(t, c.Status().Regions[0].Reports[0], "unhealthy, 1 success in a row, last ")
	})
}

// The successes of one reporter do not hide the failures of another. After HoldDown without a failure it is successes since the
// last one that make the region healthy again.
func TestReporters(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		for range 3 {
			observe(c, outcome{region: east, reporter: "keys"})
			observe(c, outcome{region: east, reporter: "token", err: errDown})
			c.Report(west, "", time.Time{}, nil)
			time.Sleep(time.Second)
		}
		require.Equal(t, west, c.Active())
		time.Sleep(holdDown)
		require.Equal(t, "unknown", c.Status().Regions[0].Health)
		require.Equal(t, west, c.Active(), "that nobody asks there any more moves nothing")
		for range 3 {
			require.Equal(t, west, c.Active())
			observe(c, outcome{region: east, reporter: "keys"})
			time.Sleep(time.Second)
		}
		require.Equal(t, "healthy", c.Status().Regions[0].Health)
		require.Equal(t, east, c.Active())
		for i := range 100 {
			observe(c, outcome{region: west, reporter: string(rune('A' + i)), err: errDown})
		}
		require.Len(t, c.Status().Regions[1].Reports, 16)
	})
}

func TestProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
		names := []string{w.Provider().Regions[0].Name, w.Provider().Regions[1].Name}
		c := controllerOf(t, w.Provider(), failover.Config{
			Automatic: true, ProbeInterval: 10 * time.Second, Probe: failover.BuiltInProbe(w.Client()),
		})
		stop := start(t, c)
		time.Sleep(time.Second)
		require.Equal(t, "healthy", c.Status().Regions[1].Health)
		w.Hang(names[0])
		time.Sleep(time.Minute)
		require.Equal(t, names[1], c.Active())
		w.Restore(names[0])
		w.Status(names[1], 503, nil)
		time.Sleep(holdDown + 2*time.Minute)
		require.Equal(t, names[0], c.Active())
		stop()
		before := w.Fetches(names[0])
		time.Sleep(time.Hour)
		require.Equal(t, before, w.Fetches(names[0]), "nothing goes on when Run has ended")
	})
}

// A year of random signals. At every moment one region is active; each move has a cause; a region that was left because it had
// failed is not entered within HoldDown; what an operator pins stays; events come in order.
func TestYearOfSignals(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it is long")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 1))
		var l journal
		names := []string{east, west, north}
		c := newController(t, failover.Config{Automatic: true, OnChange: l.add}, names...)
		start(t, c)
		sick := map[string]float64{}
		pinned, ends := "", time.Time{}
		end := time.Now().Add(365 * 24 * time.Hour)
		for time.Now().Before(end) {
			switch n := r.IntN(2000); {
			case n < 20:
				sick[names[r.IntN(3)]] = []float64{0, 0, 0.5, 1}[r.IntN(4)]
			case n == 20:
				pinned = names[r.IntN(3)]
				lifetime := time.Duration(1+r.IntN(30*24)) * time.Hour
				ends = time.Now().Add(lifetime)
				require.NoError(t, c.Pin(t.Context(), pinned, "exercise", lifetime))
			case n < 24:
				pinned = ""
				require.NoError(t, c.Unpin(t.Context()))
			}
			name := names[r.IntN(3)]
			if r.Float64() < sick[name] {
				c.Report(name, "", time.Time{}, errDown)
			} else {
				c.Report(name, "", time.Time{}, nil)
			}
			if !time.Now().Before(ends) {
				pinned = ""
			}
			s := c.Status()
			require.Contains(t, names, s.Active)
			require.Equal(t, pinned != "", s.Pinned)
			if pinned != "" {
				require.Equal(t, pinned, s.Active)
			}
			time.Sleep(time.Duration(r.Int64N(int64(4 * time.Minute))))
		}
		checkYear(t, l.all(), names)
	})
}

func checkYear(t *testing.T, events []event, names []string) {
	t.Helper()
	active, moves, byItself := east, 0, 0
	health := map[string]string{}
	failedAt := map[string]time.Time{}
	var last time.Time
	for _, e := range events {
		require.False(t, e.at.Before(last))
		switch e.kind {
		case healthChanged:
			i := slices.IndexFunc(e.status.Regions, func(r failover.RegionStatus) bool { return r.Region == e.region })
			require.NotEqual(t, health[e.region], e.status.Regions[i].Health)
			health[e.region] = e.status.Regions[i].Health
		case moved:
			require.Equal(t, active, e.from, "from the only one that was active")
			require.NotEqual(t, active, e.region)
			require.Equal(t, e.region, e.status.Active)
			moves++
			switch e.status.Cause {
			case "failed":
				require.Equal(t, "unhealthy", health[active])
				require.NotEqual(t, "unhealthy", health[e.region])
			case "recovered", "unpinned", "expired":
				require.Equal(t, "healthy", health[e.region])
				require.Less(t, slices.Index(names, e.region), slices.Index(names, active))
			default:
				require.Equal(t, "pinned", e.status.Cause)
			}
			if e.status.Cause != "pinned" {
				byItself++
				if at, failed := failedAt[e.region]; failed {
					require.GreaterOrEqual(t, e.at.Sub(at), holdDown)
				}
			}
			delete(failedAt, e.region) // a pin ends a hold-down, too
			if e.status.Cause == "failed" {
				failedAt[active] = e.at
			}
			active = e.region
		}
		last = e.at
	}
	t.Logf("%d events, %d moves, %d of them by itself", len(events), moves, byItself)
	require.Greater(t, byItself, 100)
}

func TestOnChangeMayCallBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l journal
		var out bytes.Buffer
		var c *failover.Controller
		c = newController(t, failover.Config{Logger: slog.New(slog.NewTextHandler(&out, nil)), OnChange: func(before, now failover.Status) {
			l.add(before, now)
			if before.Active == east && now.Active == west {
				require.Equal(t, west, c.Active())
				require.NoError(t, c.Pin(t.Context(), east, "back", 0))
				require.Len(t, l.all(), 1, "that is told next, not within")
			}
			if before.Pinned && !now.Pinned {
				panic("s3cret")
			}
		}})
		require.NoError(t, c.Pin(t.Context(), west, "", 0))
		require.Equal(t, []string{"moved " + west, "moved " + east}, l.kinds())
		require.NoError(t, c.Unpin(t.Context()), "its panic is not the caller's")
		require.Contains(t, out.String(), `error="OnChange panicked (string)"`)
		require.NotContains(t, out.String(), "s3cret")
		require.NoError(t, c.Pin(t.Context(), east, "it still works", 0))
		require.Equal(t, "pinned "+east, l.kinds()[3])
	})
}

// Changes that come while OnChange is busy are merged into one call, whose old status is the one that was told last; if they undo
// each other there is none.
func TestASlowOnChangeGetsMergedChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var l journal
		c := newController(t, failover.Config{OnChange: func(before, now failover.Status) {
			<-release
			l.add(before, now)
		}})
		go func() { _ = c.Pin(t.Context(), west, "", 0) }()
		synctest.Wait()
		for range 2000 {
			require.NoError(t, c.Pin(t.Context(), west, "", 0))
		}
		close(release)
		synctest.Wait()
		require.Equal(t, 2, l.changes)
		require.Equal(t, uint64(2001), l.all()[1].status.Replica.Epoch)
		for range 3 {
			report(c, east, errDown, 1)
		}
		require.Equal(t, 3, l.changes)
		report(c, east, nil, 1)
		require.Equal(t, 3, l.changes, "a report that changes nothing is no change")
	})
}

func TestNewReportsEverything(t *testing.T) {
	t.Parallel()
	_, err := failover.New(issuer.Provider{}, failover.Config{
		Threshold: -1, HoldDown: -1, ProbeInterval: -1, Automatic: true, RejectInactive: true,
		Replica: store.ReplicaConfig{PollInterval: -1, MinEpoch: 1},
	})
	for _, part := range []string{
		"no regions", "Threshold is negative", "HoldDown is negative", "ProbeInterval is negative", "PollInterval is negative",
		"neither Stores nor LocalCopy", "exclude", "fewer than two",
	} {
		require.ErrorContains(t, err, part)
	}
	_, err = failover.New(providerOf(east, west), failover.Config{
		DrainPeriod: time.Hour, Probe: func(context.Context, issuer.Region) error { return nil },
	})
	require.ErrorContains(t, err, "DrainPeriod has no effect without RejectInactive")
	_, probes := failover.New(providerOf(east, west), failover.Config{ProbeInterval: 10}) // seconds were meant
	require.ErrorContains(t, probes, "ProbeInterval is 10ns: use 0 for no probes, or 100ms or more")
	require.ErrorContains(t, err, "Probe is never called: set ProbeInterval")
	_, err = failover.New(providerOf(east), failover.Config{Automatic: true, ProbeInterval: time.Minute})
	require.ErrorContains(t, err, "Automatic has no effect: provider")
	_, err = failover.New(providerOf(east), failover.Config{ProbeInterval: time.Minute})
	require.NoError(t, err, "the health of one region is of use")
	known := store.ReplicaConfig{LocalCopy: store.Dir("x"), MinEpoch: 1}
	for _, shared := range []issuer.UserPool{
		{ID: "us-east-1_AbCdEf123", Replicas: []string{west}, Mode: issuer.CognitoUpdated},
		{ID: "us-east-1_AbCdEf123", Replicas: []string{west}},
	} {
		_, err := failover.New(shared.Provider(), failover.Config{RejectInactive: true, Replica: known})
		require.ErrorContains(t, err, "share an issuer and its keys")
	}
	pool := issuer.UserPool{ID: "us-east-1_AbCdEf123", Replicas: []string{west}, Mode: issuer.CognitoOriginal}.Provider()
	_, err = failover.New(pool, failover.Config{RejectInactive: true, Replica: known})
	require.NoError(t, err)
	_, err = failover.New(pool, failover.Config{RejectInactive: true, Replica: store.ReplicaConfig{LocalCopy: store.Dir("x")}})
	require.ErrorContains(t, err, "RejectInactive needs a Replica with a MinEpoch of 1 or more")
	discovered := providerOf(east, west)
	for i := range discovered.Regions {
		discovered.Regions[i].JWKSURLs, discovered.Regions[i].Issuers = nil, []string{"https://one.example.com"}
	}
	_, err = failover.New(discovered, failover.Config{RejectInactive: true, Replica: known})
	require.ErrorContains(t, err, "share an issuer and its keys")
	discovered.Regions[0].JWKSURLs = []string{"https://keys.one.example.com"}
	_, err = failover.New(discovered, failover.Config{RejectInactive: true, Replica: known})
	require.NoError(t, err, "the keys tell them apart")
	sameKeys := providerOf(east, west)
	sameKeys.Regions[1].JWKSURLs = sameKeys.Regions[0].JWKSURLs
	_, err = failover.New(sameKeys, failover.Config{RejectInactive: true, Replica: known})
	require.NoError(t, err, "the issuers tell them apart")
}

// unavailable reports whether a verifier takes err for no decision on the token.
func unavailable(err error) bool {
	return errors.Is(&verifier.Error{Reason: verifier.ReasonRegionInactive, Err: err}, verifier.ErrUnavailable)
}
