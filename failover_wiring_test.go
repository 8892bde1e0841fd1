package regionjwt_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// machine asks the active region for a token whenever one is due, and the other region where that fails.
func machine(ctx context.Context, c *failover.Controller, down *atomic.Bool) {
	for ctx.Err() == nil {
		wait, first := 48*time.Minute, c.Active()
		for _, region := range []string{first, map[string]string{"us-east-1": "us-west-2", "us-west-2": "us-east-1"}[first]} {
			if region == "us-west-2" || !down.Load() {
				c.Report(region, "token", time.Time{}, nil)
				break
			}
			c.Report(region, "token", time.Time{}, context.DeadlineExceeded)
			wait = 5 * time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// lost runs a validator and a controller with all defaults while a region is lost for a while, for keys and perhaps tokens, and
// returns the moves and the changes.
func lost(
	t *testing.T, lose func(*fakeissuer.Server, string), tokens bool, lasts time.Duration,
) (moves []string, changes []failover.Status) {
	t.Helper()
	fake := fakeissuer.New(t, fakeissuer.Config{})
	var mu sync.Mutex
	onChange := func(before, now failover.Status) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, now)
		if now.Active != before.Active {
			move := now.Active + " " + now.Cause
			for _, line := range now.Regions[0].Reports {
				if strings.Contains(line, ": unhealthy, 3 failures (timeout), ") {
					move += " by 3 x timeout"
				}
			}
			moves = append(moves, move)
		}
	}
	v, err := regionjwt.New(regionjwt.Config{
		Keys:     jwks.Config{HTTPClient: fake.Client(), OnFetch: func(jwks.Fetch) {}},
		Policies: []verifier.Policy{{Provider: fake.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID)}},
		Failover: map[string]failover.Config{fake.Provider().ID: {Automatic: true, OnChange: onChange}},
	})
	require.NoError(t, err)
	controller := v.Failover(fake.Provider().ID)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = v.Run(ctx) })
	var down atomic.Bool
	running.Go(func() { machine(ctx, controller, &down) })
	time.Sleep(time.Hour)
	lose(fake, "us-east-1")
	down.Store(tokens)
	time.Sleep(lasts)
	fake.Restore("us-east-1")
	down.Store(false)
	time.Sleep(3 * time.Hour)
	cancel()
	running.Wait()
	mu.Lock()
	defer mu.Unlock()
	return moves, changes
}

// A region that is lost is left once and entered once, however long that lasts.
func TestALostRegionIsLeftOnceAndEnteredOnce(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{20 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour} {
		for _, tokens := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				moves, _ := lost(t, func(w *fakeissuer.Server, region string) { w.Hang(region) }, tokens, lasts)
				require.Equal(t, []string{"us-west-2 failed by 3 x timeout", "us-east-1 recovered"}, moves, "%v %v", lasts, tokens)
			})
		}
	}
}

// A region whose key server answers below 500, or says when to come again, has not failed.
func TestAnswersOfAKeyServerAreNoLossOfItsRegion(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*fakeissuer.Server, string){
		"429": func(w *fakeissuer.Server, region string) { w.Status(region, 429, nil) },
		"404": func(w *fakeissuer.Server, region string) { w.Status(region, 404, nil) },
		"400": func(w *fakeissuer.Server, region string) { w.Status(region, 400, nil) },
		"302": func(w *fakeissuer.Server, region string) { w.Status(region, 302, nil) },
		"503, Retry-After": func(w *fakeissuer.Server, region string) {
			w.Status(region, 503, map[string][]string{"Retry-After": {"30"}})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			moves, changes := lost(t, lose, false, 3*time.Hour)
			require.Empty(t, moves, name)
			require.NotEmpty(t, changes, "%s: each region is healthy from the start", name)
			require.LessOrEqual(t, len(changes), 2, "%s: one for each region, or one for both", name)
		})
	}
}
