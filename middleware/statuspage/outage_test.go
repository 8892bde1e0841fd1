package statuspage_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
)

// process is what runs in a service, and the page on it.
type process struct {
	world      *issuertest.World
	cache      *jwks.Cache
	controller *failover.Controller
	list       *revocation.List
	page       *statuspage.Page
}

// build makes a process in a world of two regions.
func build(t *testing.T) *process {
	t.Helper()
	p := &process{world: issuertest.New(t, issuertest.Config{Algorithm: "ES256", Layout: issuertest.IssuerPerRegion})}
	var events statuspage.Events
	var err error
	p.cache, err = jwks.New([]issuer.Provider{p.world.Provider()}, jwks.Config{
		HTTPClient: p.world.Client(), RefreshInterval: time.Minute, MaxStale: time.Hour,
	})
	require.NoError(t, err)
	p.controller, err = failover.New(failover.Config{
		Provider: p.world.Provider(), Automatic: true, Probe: failover.HTTPProbe(p.world.Client()), OnEvent: events.Failover,
	})
	require.NoError(t, err)
	p.list, err = revocation.New(revocation.Config{OnEvent: events.Rules})
	require.NoError(t, err)
	p.page = newPage(t, statuspage.Config{
		Keys: p.cache, Controllers: []statuspage.Controller{p.controller}, Rules: p.list, Events: &events,
	})
	return p
}

// run runs the process until the bubble ends.
func (p *process) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	parts.Go(func() { _ = p.cache.Run(ctx) })
	parts.Go(func() { _ = p.controller.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		parts.Wait()
	})
}

// says asks for a status.
func (p *process) says(t *testing.T, want int, target string) {
	t.Helper()
	code := status(p.page, target)
	require.Equal(t, want, code, target)
}

// A region is lost and comes back, and the page tells the story.
func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := build(t)
		p.says(t, 503, "/health") // nothing has answered yet
		p.says(t, 200, "/health/us-east-1")
		p.run(t)
		time.Sleep(30 * time.Second)
		p.says(t, 200, "/health")
		p.says(t, 200, "/health/us-east-1")
		p.says(t, 200, "/active/us-east-1")
		p.says(t, 503, "/active/us-west-2")
		require.Contains(t, page(t, p.page, "/"), "<title>Ready: Regions</title>")

		p.world.Break("us-east-1")
		time.Sleep(3 * time.Minute)
		p.says(t, 200, "/health") // keys are at hand
		p.says(t, 503, "/health/us-east-1")
		p.says(t, 200, "/health/us-west-2")
		p.says(t, 503, "/active/us-east-1")
		p.says(t, 200, "/active/us-west-2")
		d := document(t, p.page, "/")
		a := d.Authorities[0]
		require.Equal(t, []string{"region_unhealthy", "fetch_failing"}, a.Trouble)
		require.Equal(t, "failed", a.Failover.Cause)
		require.Equal(t, "us-east-1", a.Failover.Previous)
		require.Equal(t, "network", a.Regions[0].KeySets[0].LastError)
		require.Equal(t, "stale", a.Regions[0].KeySets[0].Freshness)
		require.Greater(t, a.Regions[0].KeySets[0].Age, int64(120))
		require.Equal(t, "moved", d.Events[0].Kind)
		require.Equal(t, "unhealthy", d.Events[1].Health)
		text := page(t, p.page, "/")
		require.Contains(t, text, "<title>Ready, with trouble: Regions</title>")
		require.Contains(t, text, "us-east-1, which was active before, had failed")

		p.world.Break("us-west-2")
		time.Sleep(2 * time.Hour) // beyond MaxStale
		p.says(t, 503, "/health")
		require.Error(t, p.cache.Ready())
		require.Contains(t, page(t, p.page, "/"), "<title>Not ready: Regions</title>")

		p.world.Mend("us-east-1")
		p.world.Mend("us-west-2")
		time.Sleep(15 * time.Minute)
		for _, target := range []string{"/health", "/health/us-east-1", "/health/us-west-2", "/active/us-east-1"} {
			p.says(t, 200, target)
		}
		require.NoError(t, p.cache.Ready())
		require.Empty(t, document(t, p.page, "/").Authorities[0].Trouble)

		require.NoError(t, p.controller.Activate(t.Context(), "us-west-2", "drill"))
		_, err := p.list.Add(t.Context(), revocation.Rule{Provider: p.world.Provider().ID, Subject: "who-is-not-named", IssuedBefore: time.Now()})
		require.NoError(t, err)
		time.Sleep(time.Second)
		p.says(t, 200, "/active/us-west-2")
		text = page(t, p.page, "/")
		require.Contains(t, text, "<q>drill</q>")
		require.Contains(t, text, "1 rule counts")
		require.NotContains(t, text, "who-is-not-named")
		require.NotContains(t, ask(p.page, http.MethodGet, "/status.json", "").Body.String(), "who-is-not-named")
	})
}

// No probe causes a request, and none waits for a region that hangs.
func TestProbesCauseNoRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := issuertest.New(t, issuertest.Config{Algorithm: "ES256", Layout: issuertest.IssuerPerRegion})
		cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client(), RefreshInterval: time.Minute})
		require.NoError(t, err)
		c, err := failover.New(failover.Config{Provider: w.Provider(), Probe: failover.HTTPProbe(w.Client())})
		require.NoError(t, err)
		p := newPage(t, statuspage.Config{Keys: cache, Controllers: []statuspage.Controller{c}})
		fetches := func() int { return w.Fetches("us-east-1") + w.Fetches("us-west-2") }
		probes := func() {
			began := time.Now()
			for range 50 {
				for _, target := range []string{"/", "/status.json", "/health", "/health/us-east-1", "/active/us-west-2"} {
					status(p, target)
				}
			}
			require.Equal(t, began, time.Now())
			synctest.Wait()
		}
		probes()
		require.Zero(t, fetches())
		require.NoError(t, cache.Preload(t.Context()))
		w.Hang("us-east-1")
		before := fetches()
		time.Sleep(time.Hour) // every refresh is overdue
		probes()
		require.Equal(t, before, fetches())
		w.Mend("us-east-1")
	})
}

// Everything at once, for the race detector.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := build(t)
		p.run(t)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for j := range 40 {
					targets := []string{"/", "/status.json", "/health", "/health/us-east-1", "/active/us-west-2", "/?after="}
					code := status(p.page, targets[(i+j)%len(targets)])
					require.Contains(t, []int{200, 503}, code)
					time.Sleep(300 * time.Millisecond)
				}
			})
		}
		all.Go(func() {
			for i := range 20 {
				require.NoError(t, p.controller.Activate(t.Context(), []string{"us-east-1", "us-west-2"}[i%2], ""))
				_, err := p.list.Add(t.Context(), revocation.Rule{AllProviders: true, IssuedBefore: time.Now()})
				require.NoError(t, err)
				require.NoError(t, p.cache.Update([]issuer.Provider{p.world.Provider()}))
				time.Sleep(500 * time.Millisecond)
			}
		})
		all.Wait()
		d := document(t, p.page, "/")
		require.Equal(t, "us-west-2", d.Authorities[0].Failover.Active)
		require.Len(t, d.Events, min(statuspage.MaxEvents, len(d.Events)))
	})
}
