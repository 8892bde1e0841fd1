package regionjwt_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// A Controller that would learn nothing, or is none, is refused.
func TestNewRefusesControllersThatCannotWork(t *testing.T) {
	t.Parallel()
	world := issuertest.New(t, issuertest.Config{})
	other := world.Provider()
	other.ID = "another"
	foreign, err := failover.New(failover.Config{Provider: other})
	require.NoError(t, err)
	known, err := failover.New(failover.Config{Provider: world.Provider()})
	require.NoError(t, err)
	trust := []verifier.Policy{{Provider: world.Provider(), Audience: verifier.CognitoAccess(issuertest.ClientID)}}
	_, err = regionjwt.New(regionjwt.Config{Policies: trust, Failover: []*failover.Controller{known, nil, {}, foreign}})
	for _, want := range []string{
		"Failover[1] is nil or zero: make it with failover.New", "Failover[2] is nil or zero: make it with failover.New",
		`Failover[3] is for authority "another", which is not in Policies`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "Failover[0]")
}

// machine asks the active region for a token whenever one is due, and the other region where that fails.
func machine(ctx context.Context, c *failover.Controller, down *atomic.Bool) {
	for ctx.Err() == nil {
		wait, first := 48*time.Minute, c.Active()
		for _, region := range []string{first, map[string]string{"us-east-1": "us-west-2", "us-west-2": "us-east-1"}[first]} {
			if region == "us-west-2" || !down.Load() {
				c.Report(region, nil)
				break
			}
			c.Report(region, context.DeadlineExceeded)
			wait = 5 * time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// lost runs a validator and a controller with all defaults while a region is lost for a while, for keys and perhaps tokens, and
// returns the events.
func lost(
	t *testing.T, lose func(*issuertest.World, string), tokens bool, lasts time.Duration,
) (moves []string, events []failover.Event) {
	t.Helper()
	world := issuertest.New(t, issuertest.Config{})
	var mu sync.Mutex
	controller, err := failover.New(failover.Config{Provider: world.Provider(), Automatic: true, OnEvent: func(e failover.Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
		if e.Kind == failover.Moved {
			moves = append(moves, fmt.Sprint(e.Region, " ", e.Cause, " by ", e.Failures, " x ", e.Class))
		}
	}})
	require.NoError(t, err)
	v, err := regionjwt.New(regionjwt.Config{
		Keys:     jwks.Config{HTTPClient: world.Client(), OnFetch: func(jwks.Fetch) {}},
		Policies: []verifier.Policy{{Provider: world.Provider(), Audience: verifier.CognitoAccess(issuertest.ClientID)}},
		Failover: []*failover.Controller{controller},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = v.Run(ctx) })
	running.Go(func() { _ = controller.Run(ctx) })
	var down atomic.Bool
	running.Go(func() { machine(ctx, controller, &down) })
	time.Sleep(time.Hour)
	lose(world, "us-east-1")
	down.Store(tokens)
	time.Sleep(lasts)
	world.Mend("us-east-1")
	down.Store(false)
	time.Sleep(3 * time.Hour)
	cancel()
	running.Wait()
	mu.Lock()
	defer mu.Unlock()
	return moves, events
}

// A region that is lost is left once and entered once, however long that lasts.
func TestALostRegionIsLeftOnceAndEnteredOnce(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{20 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour} {
		for _, tokens := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				moves, _ := lost(t, func(w *issuertest.World, region string) { w.Hang(region) }, tokens, lasts)
				require.Equal(t, []string{"us-west-2 failed by 3 x timeout", "us-east-1 recovered by 0 x "}, moves, "%v %v", lasts, tokens)
			})
		}
	}
}

// A region whose key server answers below 500, or says when to come again, has not failed.
func TestAnswersOfAKeyServerAreNoLossOfItsRegion(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*issuertest.World, string){
		"429": func(w *issuertest.World, region string) { w.Status(region, 429, nil) },
		"404": func(w *issuertest.World, region string) { w.Status(region, 404, nil) },
		"400": func(w *issuertest.World, region string) { w.Status(region, 400, nil) },
		"302": func(w *issuertest.World, region string) { w.Status(region, 302, nil) },
		"503, Retry-After": func(w *issuertest.World, region string) {
			w.Status(region, 503, map[string][]string{"Retry-After": {"30"}})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			moves, events := lost(t, lose, false, 3*time.Hour)
			require.Empty(t, moves, name)
			require.Len(t, events, 2, "%s: each region is healthy from the start", name)
		})
	}
}
