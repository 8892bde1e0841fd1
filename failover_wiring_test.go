package regionjwt_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
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
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
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
				if strings.Contains(line, ": unhealthy, 3 failures in a row (timeout), ") {
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

// limited is an issuer that answers five requests to each host, and then one in ten seconds. It rejects the others in some way.
type limited struct {
	http.RoundTripper

	reject  func(*http.Request) (*http.Response, error)
	mu      sync.Mutex
	full    map[string]time.Time // by host, when five requests are allowed again
	refused int
}

func (l *limited) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	now := time.Now()
	full := l.full[r.URL.Host]
	if full.Sub(now) > 40*time.Second {
		l.refused++
		l.mu.Unlock()
		return l.reject(r)
	}
	if full.Before(now) {
		full = now
	}
	l.full[r.URL.Host] = full.Add(10 * time.Second)
	l.mu.Unlock()
	return l.RoundTripper.RoundTrip(r)
}

// A flood of forged tokens, each with a key ID of its own, makes an issuer reject requests. That moves nobody, and no region
// becomes unhealthy, whatever the issuer answers to those that are too many: their failures say nothing of a region that answers in between.
func TestAFloodAgainstARateLimitedIssuerMovesNobody(t *testing.T) {
	t.Parallel()
	answer := func(status int, header http.Header) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
		}
	}
	for name, reject := range map[string]func(*http.Request) (*http.Response, error){
		"429":              answer(429, http.Header{}),
		"429, Retry-After": answer(429, http.Header{"Retry-After": {"20"}}),
		"503, Retry-After": answer(503, http.Header{"Retry-After": {"20"}}),
		"403":              answer(403, http.Header{}),
		"503":              answer(503, http.Header{}),
	} {
		synctest.Test(t, func(t *testing.T) {
			fake := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
			issuer := &limited{RoundTripper: fake.Client().Transport, reject: reject, full: map[string]time.Time{}}
			var mu sync.Mutex
			var moves []failover.Status
			unhealthy := 0
			v, err := regionjwt.New(regionjwt.Config{
				Keys: jwks.Config{HTTPClient: &http.Client{Transport: issuer}},
				Policies: []verifier.Policy{{
					Provider: fake.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{"ES256"},
				}},
				Failover: map[string]failover.Config{fake.Provider().ID: {Automatic: true, OnChange: func(before, now failover.Status) {
					mu.Lock()
					defer mu.Unlock()
					for _, r := range now.Regions {
						if r.Health == "unhealthy" {
							unhealthy++
						}
					}
					if before.Active != now.Active {
						moves = append(moves, now)
					}
				}}},
			})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = v.Run(ctx) })
			for i := range 10 {
				running.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						token := fake.Issue("us-east-1", fakeissuer.Claims{
							Forged: true, Header: map[string]any{"kid": fmt.Sprint("made-up-", i, "-", n)},
						})
						_, err := v.Verify(ctx, token)
						if err == nil {
							t.Error("a forged token is accepted")
						}
						select {
						case <-ctx.Done():
						case <-time.After(time.Second):
						}
					}
				})
			}
			time.Sleep(30 * time.Minute)
			cancel()
			running.Wait()
			mu.Lock()
			defer mu.Unlock()
			issuer.mu.Lock()
			defer issuer.mu.Unlock()
			t.Logf("%s: %d requests rejected, %d moves", name, issuer.refused, len(moves))
			require.Greater(t, issuer.refused, 20, name)
			require.Empty(t, moves, name)
			require.Zero(t, unhealthy, name)
		})
	}
}

// countingClient counts the requests to each host.
type countingClient struct {
	mu    sync.Mutex
	hosts map[string]int
	inner http.RoundTripper
}

func (c *countingClient) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.hosts[r.URL.Host]++
	c.mu.Unlock()
	return c.inner.RoundTrip(r)
}

// taken returns the counts so far, and begins again.
func (c *countingClient) taken() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	hosts := c.hosts
	c.hosts = map[string]int{}
	return hosts
}

// Probes reach the key servers as fetches of keys do: with Keys.HTTPClient, where the provider has no client of its own.
func TestProbesUseTheClientOfTheKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakeissuer.New(t, fakeissuer.Config{})
		v, err := regionjwt.New(regionjwt.Config{
			Keys:     jwks.Config{HTTPClient: fake.Client()},
			Policies: []verifier.Policy{{Provider: fake.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID)}},
			Failover: map[string]failover.Config{fake.Provider().ID: {Automatic: true, ProbeInterval: time.Minute}},
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = v.Run(ctx) })
		time.Sleep(time.Hour)
		cancel()
		running.Wait()
		for _, r := range v.Failover(fake.Provider().ID).Status().Regions {
			require.Equal(t, "healthy", r.Health, r.Reports)
			require.Contains(t, strings.Join(r.Reports, "\n"), "probe: healthy")
		}
	})
}

// After an Update, a Controller probes the URLs of the new provider, with its client, and lists its issuers. The old ones may be
// gone, which proves nothing about a region.
func TestAControllerFollowsAnUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion})
		before := &countingClient{hosts: map[string]int{}, inner: fake.Client().Transport}
		after := &countingClient{hosts: map[string]int{}, inner: fake.Client().Transport}
		policy := verifier.Policy{Provider: fake.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}
		id := policy.Provider.ID
		policy.Provider.HTTPClient = &http.Client{Transport: before}
		v, err := regionjwt.New(regionjwt.Config{
			Policies: []verifier.Policy{policy},
			Failover: map[string]failover.Config{id: {Automatic: true, ProbeInterval: 10 * time.Second}},
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = v.Run(ctx) })
		time.Sleep(time.Minute)
		require.Len(t, before.taken(), 2)
		require.Empty(t, after.taken())

		policy.Provider.HTTPClient = &http.Client{Transport: after}
		policy.Provider.Regions = slices.Clone(policy.Provider.Regions)
		policy.Provider.Regions[1].Issuers = append([]string{"https://new.example"}, policy.Provider.Regions[1].Issuers...)
		require.NoError(t, v.Update([]verifier.Policy{policy}))
		time.Sleep(time.Minute) // what was under way has ended
		before.taken()
		time.Sleep(10 * time.Minute)
		require.Empty(t, before.taken(), "the old client may not trust the servers any more")
		for host, n := range after.taken() {
			require.GreaterOrEqual(t, n, 40, host)
		}
		require.Contains(t, v.Failover(id).Issuers(), "https://new.example")
		cancel()
		running.Wait()
	})
}

// An Update is refused if a Controller could not tell any more which region has issued a token.
func TestAnUpdateKeepsRegionsSeparable(t *testing.T) {
	t.Parallel()
	region := func(name, iss string) issuer.Region {
		return issuer.Region{Name: name, Issuers: []string{iss}, JWKSURLs: []string{iss + "/keys"}}
	}
	policies := func(regions ...issuer.Region) []verifier.Policy {
		return []verifier.Policy{{Audience: verifier.Audience("api"), Provider: issuer.Provider{ID: "shop", Regions: regions}}}
	}
	east, west := region("east", "https://east.example"), region("west", "https://west.example")
	pins := store.ReplicaConfig{Stores: []store.Trusted{store.Dir(t.TempDir())}, MinEpoch: 1}
	v, err := regionjwt.New(regionjwt.Config{
		Policies: policies(east, west),
		Failover: map[string]failover.Config{"shop": {RejectInactive: true, Replica: pins}},
	})
	require.NoError(t, err)
	require.ErrorContains(t, v.Update(policies(east, region("west", "https://east.example"))), "share an issuer and its keys")
	require.NotContains(t, v.Failover("shop").Issuers(), "https://new.example")
	require.NoError(t, v.Update(policies(east, region("west", "https://new.example"))))
	require.Equal(t, []string{"https://east.example", "https://new.example"}, v.Failover("shop").Issuers())
}
