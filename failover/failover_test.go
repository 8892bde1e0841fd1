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
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

// bubble runs f in a synctest bubble, with a Controller whose holds are exact.
func bubble(t *testing.T, c failover.Config, f func(*testing.T, *failover.Controller, *journal)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l journal
		c.OnEvent = l.add
		ctl := newController(t, c)
		ctl.SetSpread(func() float64 { return 0 })
		f(t, ctl, &l)
	})
}

// report reports the same n times, a second apart.
func report(c *failover.Controller, region string, err error, n int) {
	for range n {
		c.Report(region, err)
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
		c.Report(east, errDown)
		s := c.State()
		require.Equal(t, west, s.Active)
		require.Equal(t, east, s.Previous)
		require.Equal(t, failover.CauseFailed, s.Cause)
		require.Equal(t, failover.Unhealthy, s.Regions[0].Health)
		require.Equal(t, time.Now().Add(failover.DefaultMinHold), s.Regions[0].Held)
		time.Sleep(time.Second)
		report(c, east, nil, 3)
		require.Equal(t, failover.Healthy, c.State().Regions[0].Health)
		require.Equal(t, west, c.Active(), "it is held")
		time.Sleep(time.Until(s.Regions[0].Held) - time.Nanosecond)
		require.Equal(t, west, c.Active())
		time.Sleep(time.Second)
		require.Equal(t, east, c.Active(), "Run moves when the hold ends")
		require.Equal(t, failover.CauseRecovered, c.State().Cause)
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
		require.Equal(t, failover.Unhealthy, c.State().Regions[0].Health, "but it is known")
	})
}

func TestABrokenNetworkStaysSomewhere(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, l *journal) {
		start(t, c)
		for range 3600 { // an hour
			c.Report(east, errDown)
			c.Report(west, errDown)
			time.Sleep(time.Second)
		}
		moves := slices.DeleteFunc(l.all(), func(e failover.Event) bool { return e.Kind != failover.Moved })
		require.LessOrEqual(t, len(moves), 1, "from one that failed to one that was not known")
		report(c, west, nil, 3)
		require.Equal(t, west, c.Active(), "the first that is well")
	})
}

func TestEvidence(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		for range 50 {
			c.Report(east, errDown)
		}
		require.Equal(t, 1, c.State().Regions[0].Sources[0].Failures, "fifty callers that fail at once are one failure")
		time.Sleep(time.Second)
		report(c, east, context.Canceled, 5)
		report(c, "nowhere", errDown, 5)
		require.Equal(t, failover.Unknown, c.State().Regions[0].Health)
		began := time.Now()
		time.Sleep(time.Second)
		report(c, east, errDown, 2)
		require.Equal(t, west, c.Active(), "of which nothing is known, after one that failed")
		c.Observe(failover.Evidence{Region: east, Began: began})
		require.Zero(t, c.State().Regions[0].Sources[0].Successes, "an attempt from before the region was judged is late")
		c.Observe(failover.Evidence{Region: east, Began: time.Now()})
		require.Equal(t, 1, c.State().Regions[0].Sources[0].Successes)
	})
}

// The good word of one source does not hide the bad word of another. After MinHold without a failure it is good answers since the
// last one that make the region healthy again.
func TestSources(t *testing.T) {
	bubble(t, failover.Config{Automatic: true}, func(t *testing.T, c *failover.Controller, _ *journal) {
		start(t, c)
		for range 3 {
			c.Observe(failover.Evidence{Region: east, Source: "keys"})
			c.Observe(failover.Evidence{Region: east, Source: "token", Err: errDown})
			c.Report(west, nil)
			time.Sleep(time.Second)
		}
		require.Equal(t, west, c.Active())
		time.Sleep(failover.DefaultMinHold)
		require.Equal(t, failover.Unknown, c.State().Regions[0].Health)
		require.Equal(t, west, c.Active(), "that nobody asks there any more moves nothing")
		for range 3 {
			require.Equal(t, west, c.Active())
			c.Observe(failover.Evidence{Region: east, Source: "keys"})
			time.Sleep(time.Second)
		}
		require.Equal(t, failover.Healthy, c.State().Regions[0].Health)
		require.Equal(t, east, c.Active())
		for i := range 100 {
			c.Observe(failover.Evidence{Region: west, Source: string(rune('A' + i)), Err: errDown})
		}
		require.Len(t, c.State().Regions[1].Sources, 16)
	})
}

func TestProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := issuertest.New(t, issuertest.Config{Algorithm: "ES256"})
		names := []string{w.Provider().Regions[0].Name, w.Provider().Regions[1].Name}
		c := newController(t, failover.Config{Provider: w.Provider(), Automatic: true, Probe: failover.HTTPProbe(w.Client())})
		stop := start(t, c)
		time.Sleep(time.Second)
		require.Equal(t, failover.Healthy, c.State().Regions[1].Health)
		w.Hang(names[0])
		time.Sleep(time.Minute)
		require.Equal(t, names[1], c.Active())
		w.Mend(names[0])
		w.Status(names[1], 503, nil)
		time.Sleep(failover.DefaultMinHold + 2*time.Minute)
		require.Equal(t, names[0], c.Active())
		stop()
		before := w.Fetches(names[0])
		time.Sleep(time.Hour)
		require.Equal(t, before, w.Fetches(names[0]), "nothing goes on when Run has ended")
	})
}

// A year of random signals. At every moment one region is active; each move has a cause; a region that was left because it had
// failed is not entered within MinHold; what an operator pins stays; events come in order.
func TestYearOfSignals(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 1))
		var l journal
		names := []string{east, west, north}
		c := newController(t, failover.Config{Provider: authority(names...), Automatic: true, OnEvent: l.add})
		start(t, c)
		sick := map[string]float64{}
		pinned := ""
		end := time.Now().Add(365 * 24 * time.Hour)
		for time.Now().Before(end) {
			switch n := r.IntN(2000); {
			case n < 20:
				sick[names[r.IntN(3)]] = []float64{0, 0, 0.5, 1}[r.IntN(4)]
			case n == 20:
				pinned = names[r.IntN(3)]
				require.NoError(t, c.Activate(t.Context(), pinned, "exercise"))
			case n < 24:
				pinned = ""
				require.NoError(t, c.Resume(t.Context()))
			}
			name := names[r.IntN(3)]
			if r.Float64() < sick[name] {
				c.Report(name, errDown)
			} else {
				c.Report(name, nil)
			}
			s := c.State()
			require.Contains(t, names, s.Active)
			require.Equal(t, pinned != "", s.Manual)
			if pinned != "" {
				require.Equal(t, pinned, s.Active)
			}
			time.Sleep(time.Duration(r.Int64N(int64(4 * time.Minute))))
		}
		checkYear(t, l.all(), names)
	})
}

func checkYear(t *testing.T, events []failover.Event, names []string) {
	t.Helper()
	active, moves, byItself := east, 0, 0
	health := map[string]failover.Health{}
	failedAt := map[string]time.Time{}
	var last failover.Event
	for _, e := range events {
		require.False(t, e.At.Before(last.At))
		require.GreaterOrEqual(t, e.State.Generation, last.State.Generation)
		require.Zero(t, e.Missed)
		switch e.Kind {
		case failover.HealthChanged:
			i := slices.IndexFunc(e.State.Regions, func(r failover.RegionState) bool { return r.Name == e.Region })
			require.NotEqual(t, health[e.Region], e.State.Regions[i].Health)
			health[e.Region] = e.State.Regions[i].Health
		case failover.Moved:
			require.Equal(t, active, e.From, "from the only one that was active")
			require.NotEqual(t, active, e.Region)
			require.Equal(t, e.Region, e.State.Active)
			moves++
			switch e.Cause {
			case failover.CauseFailed:
				require.Equal(t, failover.Unhealthy, health[active])
				require.NotEqual(t, failover.Unhealthy, health[e.Region])
			case failover.CauseRecovered:
				require.Equal(t, failover.Healthy, health[e.Region])
				require.Less(t, slices.Index(names, e.Region), slices.Index(names, active))
			default:
				require.Equal(t, failover.CauseManual, e.Cause)
			}
			if e.Cause != failover.CauseManual {
				byItself++
				if at, failed := failedAt[e.Region]; failed {
					require.GreaterOrEqual(t, e.At.Sub(at), failover.DefaultMinHold)
				}
			}
			delete(failedAt, e.Region) // a pin, too, ends a hold
			if e.Cause == failover.CauseFailed {
				failedAt[active] = e.At
			}
			active = e.Region
		case failover.Pinned, failover.Resumed, failover.StoreChanged:
		}
		last = e
	}
	t.Logf("%d events, %d moves, %d of them by itself", len(events), moves, byItself)
	require.Greater(t, byItself, 100)
}

func TestEventsMayCallBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l journal
		var out bytes.Buffer
		var c *failover.Controller
		c = newController(t, failover.Config{Logger: slog.New(slog.NewTextHandler(&out, nil)), OnEvent: func(e failover.Event) {
			l.add(e)
			if e.Kind == failover.Moved && e.Region == west {
				require.Equal(t, west, c.Active())
				require.NoError(t, c.Activate(t.Context(), east, "back"))
				require.Len(t, l.all(), 1, "that is told next, not within")
			}
			if e.Kind == failover.Resumed {
				panic("s3cret")
			}
		}})
		require.NoError(t, c.Activate(t.Context(), west, ""))
		require.Equal(t, []string{"moved " + west, "moved " + east}, l.kinds())
		require.NoError(t, c.Resume(t.Context()), "its panic is not the caller's")
		require.Contains(t, out.String(), `error="OnEvent panicked (string)"`)
		require.NotContains(t, out.String(), "s3cret")
		require.NoError(t, c.Activate(t.Context(), east, "it still works"))
		require.Equal(t, "pinned "+east, l.kinds()[3])
	})
}

func TestASlowListenerLosesTheOldest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var l journal
		c := newController(t, failover.Config{OnEvent: func(e failover.Event) {
			<-release
			l.add(e)
		}})
		go func() { _ = c.Activate(t.Context(), west, "") }()
		synctest.Wait()
		for range 2000 {
			require.NoError(t, c.Activate(t.Context(), west, ""))
		}
		close(release)
		synctest.Wait()
		require.Len(t, l.all(), 1025)
		require.Equal(t, 2000-1024, l.all()[1].Missed)
		require.Equal(t, c.State().Generation, l.all()[1024].State.Generation)
	})
}

func TestNewReportsEverything(t *testing.T) {
	t.Parallel()
	_, err := failover.New(failover.Config{
		FailAfter: -1, Automatic: true, RefuseInactive: true, Store: newShelf(),
	})
	for _, part := range []string{"no regions", "negative", "Authentic", "exclude", "fewer than two"} {
		require.ErrorContains(t, err, part)
	}
	for _, shared := range []issuer.UserPool{
		{ID: "us-east-1_AbCdEf123", Replicas: []string{west}, Issuer: issuer.Updated},
		{ID: "us-east-1_AbCdEf123", Replicas: []string{west}},
	} {
		pool, err := issuer.Cognito(shared)
		require.NoError(t, err)
		_, err = failover.New(failover.Config{Provider: pool, RefuseInactive: true})
		require.ErrorContains(t, err, "share an issuer and its keys")
	}
	pool, err := issuer.Cognito(issuer.UserPool{ID: "us-east-1_AbCdEf123", Replicas: []string{west}, Issuer: issuer.Original})
	require.NoError(t, err)
	_, err = failover.New(failover.Config{Provider: pool, RefuseInactive: true})
	require.NoError(t, err)
	discovered := authority(east, west)
	for i := range discovered.Regions {
		discovered.Regions[i].JWKSURLs, discovered.Regions[i].Issuers = nil, []string{"https://one.example.com"}
	}
	_, err = failover.New(failover.Config{Provider: discovered, RefuseInactive: true})
	require.ErrorContains(t, err, "share an issuer and its keys")
}

// Tokens of a region are refused when it has not been active for Drain, and never for want of knowledge.
func TestRefuseInactive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newShelf()
		writer, reader := operators(t, inner)
		inner.fail(errDown)
		c := newController(t, failover.Config{RefuseInactive: true, Store: reader, Drain: time.Hour})
		start(t, c)
		admit := func(regions ...string) error {
			synctest.Wait()
			return c.Admit("orders", regions, time.Time{})
		}
		unavailable := func(err error) bool {
			return errors.Is(&verifier.Error{Reason: verifier.ReasonRegionInactive, Err: err}, verifier.ErrUnavailable)
		}
		require.NoError(t, admit(east))
		require.NoError(t, admit(west, east))
		require.NoError(t, c.Admit("another", []string{west}, time.Time{}))
		require.True(t, unavailable(admit(west)), "the store is dark: it may be the active one")
		inner.fail(nil)
		time.Sleep(time.Second)
		require.True(t, unavailable(admit(west)), "and nobody has said anything yet")
		operator := newController(t, failover.Config{Store: writer})
		require.NoError(t, operator.Activate(t.Context(), west, "drill"))
		time.Sleep(time.Second)
		require.NoError(t, admit(west))
		require.NoError(t, admit(east), "it was active until now")
		time.Sleep(time.Hour)
		require.False(t, unavailable(admit(east)))
		require.Error(t, admit(east))
		require.NoError(t, admit(east, west))
		late := newController(t, failover.Config{RefuseInactive: true, Store: reader, Drain: time.Hour})
		require.NoError(t, late.Load(t.Context()))
		require.Error(t, late.Admit("orders", []string{east}, time.Time{}), "one that starts now knows as much")
		require.NoError(t, late.Admit("orders", []string{west}, time.Time{}))
		lax := newController(t, failover.Config{Store: reader})
		require.NoError(t, lax.Load(t.Context()))
		require.NoError(t, lax.Admit("orders", []string{east}, time.Time{}))
	})
}

func TestAuthorizationServers(t *testing.T) {
	t.Parallel()
	c := newController(t, failover.Config{})
	require.Equal(t, []string{"https://us-east-1.example.com", "https://us-west-2.example.com"}, c.AuthorizationServers())
	require.NoError(t, c.Activate(t.Context(), west, ""))
	require.Equal(t, []string{"https://us-west-2.example.com", "https://us-east-1.example.com"}, c.AuthorizationServers())
}
