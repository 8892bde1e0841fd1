package statuspage_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// process is a service with a Validator, and its page.
type process struct {
	fake *fakeissuer.Server
	v    *regionjwt.Validator
	page http.Handler
}

// build makes a process with a fake provider that has two regions.
func build(t *testing.T) *process {
	t.Helper()
	p := &process{fake: fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.IssuerPerRegion})}
	provider := p.fake.Provider()
	provider.HTTPClient = p.fake.Client()
	var err error
	p.v, err = regionjwt.New(regionjwt.Config{
		Policies:   []verifier.Policy{{Provider: provider, Audience: verifier.InsecureAnyAudience()}},
		Keys:       jwks.Config{RefreshInterval: time.Minute, MaxStale: time.Hour},
		Revocation: &revocation.Config{},
		Failover:   map[string]failover.Config{provider.ID: {Automatic: true, ProbeInterval: 10 * time.Second}},
	})
	require.NoError(t, err)
	p.page = statuspage.Handler(p.v, "")
	return p
}

// run runs the process until the bubble ends.
func (p *process) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	parts.Go(func() { _ = p.v.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		parts.Wait()
	})
}

func (p *process) controller() *failover.Controller { return p.v.Failover(p.fake.Provider().ID) }

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

		p.fake.Break("us-east-1")
		time.Sleep(3 * time.Minute)
		p.says(t, 200, "/health") // keys are in memory
		p.says(t, 503, "/health/us-east-1")
		p.says(t, 200, "/health/us-west-2")
		p.says(t, 503, "/active/us-east-1")
		p.says(t, 200, "/active/us-west-2")
		d := document(t, p.page, "/")
		require.Equal(t, "failed", d.Failover[0].Cause)
		require.Equal(t, "network", d.Keys[0].Failure)
		require.Equal(t, "stale", d.Keys[0].State)
		require.Greater(t, time.Since(d.Keys[0].LastSuccess), 2*time.Minute)
		require.Equal(t, []string{"region_unhealthy", "fetch_failing"}, statuspage.Providers(d)[0].Problems)
		text := page(t, p.page, "/")
		require.Contains(t, text, "<title>Ready, with problems: Regions</title>")
		_, events, _ := strings.Cut(text, "<tbody>")
		require.Less(t, strings.Index(events, "<strong>us-west-2</strong> is active in place of us-east-1"),
			strings.Index(events, `<strong>us-east-1</strong> is <strong class="wrong">unhealthy</strong>`), "the latest first")
		require.Contains(t, text, "the region that was active before had failed")

		p.fake.Break("us-west-2")
		time.Sleep(2 * time.Hour) // beyond MaxStale
		p.says(t, 503, "/health")
		require.Error(t, p.v.Ready())
		require.Contains(t, page(t, p.page, "/"), "<title>Not ready: Regions</title>")

		p.fake.Restore("us-east-1")
		p.fake.Restore("us-west-2")
		time.Sleep(15 * time.Minute)
		for _, target := range []string{"/health", "/health/us-east-1", "/health/us-west-2", "/active/us-east-1"} {
			p.says(t, 200, target)
		}
		require.NoError(t, p.v.Ready())
		require.Empty(t, statuspage.Providers(document(t, p.page, "/"))[0].Problems)

		require.NoError(t, p.controller().Pin(t.Context(), "us-west-2", "drill", 0))
		_, err := p.v.Revocation().Add(t.Context(), revocation.Rule{Provider: p.fake.Provider().ID, Subject: "who-is-not-named", IssuedBefore: time.Now()})
		require.NoError(t, err)
		time.Sleep(time.Second)
		p.says(t, 200, "/active/us-west-2")
		text = page(t, p.page, "/")
		require.Contains(t, text, "<q>drill</q>")
		require.Contains(t, text, "1 rule is in effect")
		require.NotContains(t, text, "who-is-not-named")
		require.NotContains(t, ask(p.page, http.MethodGet, "/status.json", "").Body.String(), "who-is-not-named")
	})
}

// No probe causes a request, and none waits for a region that hangs.
func TestProbesCauseNoRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := build(t)
		fetches := func() int { return p.fake.Fetches("us-east-1") + p.fake.Fetches("us-west-2") }
		probes := func() {
			began := time.Now()
			for range 50 {
				for _, target := range []string{"/", "/status.json", "/health", "/health/us-east-1", "/active/us-west-2"} {
					status(p.page, target)
				}
			}
			require.Equal(t, began, time.Now())
			synctest.Wait()
		}
		probes()
		require.Zero(t, fetches())
		require.NoError(t, p.v.Preload(t.Context()))
		p.fake.Hang("us-east-1")
		before := fetches()
		time.Sleep(time.Hour) // every refresh is overdue
		probes()
		require.Equal(t, before, fetches())
		p.fake.Restore("us-east-1")
	})
}

// Everything at once, for the race detector.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := build(t)
		p.run(t)
		provider := p.fake.Provider()
		provider.HTTPClient = p.fake.Client()
		policies := []verifier.Policy{{Provider: provider, Audience: verifier.InsecureAnyAudience()}}
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
				require.NoError(t, p.controller().Pin(t.Context(), []string{"us-east-1", "us-west-2"}[i%2], "", 0))
				_, err := p.v.Revocation().Add(t.Context(), revocation.Rule{Provider: "*", IssuedBefore: time.Now()})
				require.NoError(t, err)
				require.NoError(t, p.v.Update(policies))
				time.Sleep(500 * time.Millisecond)
			}
		})
		all.Wait()
		require.Equal(t, "us-west-2", document(t, p.page, "/").Failover[0].Active)
	})
}

// A process that was started from a snapshot uses its keys: the page says so, and does not call the provider not ready.
func TestKeysOfASnapshotAreUsable(t *testing.T) {
	t.Parallel()
	p := newPage(regionjwt.Status{Ready: true, Keys: []jwks.Status{
		{Provider: "pool", Region: "us-east-1", State: label.Snapshot, KeyIDs: []string{"one"}},
	}})
	text := page(t, p, "/")
	require.NotContains(t, text, "no usable keys")
	require.Contains(t, text, "of a snapshot: it has not answered yet")
}
