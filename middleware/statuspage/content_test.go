package statuspage_test

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
)

// Where the health of a region comes from, and what follows for the authority.
func TestHealth(t *testing.T) {
	t.Parallel()
	set := func(f string, failures int) jwks.Status {
		return jwks.Status{Provider: "a", Region: "r", State: f, Failures: failures}
	}
	lacking := set("fresh", 0)
	lacking.MissingKeyIDs = []string{"one", "two"}
	for name, c := range map[string]struct {
		evidence failover.Health // "" is no Controller
		sets     keys
		healthy  bool
		why      string
		ready    bool
		trouble  []string
	}{
		"healthy by the evidence, whatever the keys": {failover.Healthy, keys{set("empty", 9)}, true, "evidence", false, []string{"not_ready", "fetch_failing"}},
		"unhealthy by the evidence":                  {failover.Unhealthy, keys{set("fresh", 0)}, false, "evidence", true, []string{"region_unhealthy"}},
		"too little evidence, good keys":             {failover.Unknown, keys{set("fresh", 0)}, true, "keys", true, []string{}},
		"too little evidence, failing keys":          {failover.Unknown, keys{set("stale", 3)}, false, "keys", true, []string{"region_unhealthy", "fetch_failing"}},
		"a blip":                                     {"", keys{set("stale", 2)}, true, "keys", true, []string{"fetch_failing"}},
		"failing, with keys":                         {"", keys{set("stale", 3)}, false, "keys", true, []string{"region_unhealthy", "fetch_failing"}},
		"failing, without keys":                      {"", keys{set("expired", 3)}, false, "keys", false, []string{"not_ready", "region_unhealthy", "fetch_failing"}},
		"one of two sets failing":                    {"", keys{set("fresh", 0), set("empty", 7)}, true, "keys", true, []string{"fetch_failing"}},
		"both failing":                               {"", keys{set("fresh", 3), set("empty", 7)}, false, "keys", true, []string{"region_unhealthy", "fetch_failing"}},
		"nobody has asked yet":                       {"", keys{set("empty", 0)}, true, "unknown", false, []string{"not_ready"}},
		"mirrors that differ":                        {"", keys{lacking}, true, "keys", true, []string{"mirrors_differ"}},
		"nobody asks any more":                       {"", keys{set("expired", 0)}, true, "unknown", false, []string{"not_ready"}},
		"no keys are shown":                          {failover.Unknown, nil, true, "unknown", true, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := statuspage.Config{Keys: c.sets}
			if c.evidence != "" {
				config.Controllers = []statuspage.Controller{state{
					Provider: "a", Active: "r", OrderKnown: true, Regions: []failover.RegionState{{Name: "r", Health: c.evidence}},
				}}
			}
			p := newPage(t, config)
			d := document(t, p, "/")
			require.Len(t, d.Authorities, 1)
			a := d.Authorities[0]
			require.Equal(t, c.healthy, a.Regions[0].Healthy)
			require.Equal(t, c.why, a.Regions[0].Why)
			require.Equal(t, c.ready, a.Ready)
			require.Equal(t, c.ready, d.Ready)
			require.Equal(t, c.trouble, a.Trouble)
			code := status(p, "/health/a/r")
			require.Equal(t, c.healthy, code == 200)
			code = status(p, "/health")
			require.Equal(t, c.ready, code == 200)
		})
	}
}

func TestRulesThatAreNotKnown(t *testing.T) {
	t.Parallel()
	c := sample()
	c.Rules = rules{Trouble: revocation.Unreachable, Source: "none"}
	p := newPage(t, c)
	code := status(p, "/health")
	require.Equal(t, 503, code)
	require.Contains(t, page(t, p, "/"), "The rules are not known.")
	require.Contains(t, page(t, p, "/"), "the store does not answer")
	c.AllowUnknownRules = true
	p = newPage(t, c)
	code = status(p, "/health")
	require.Equal(t, 200, code)
	require.Contains(t, page(t, p, "/"), "Ready, with trouble")
}

// All that a Document can hold, by its name.
const whole = `{"title":"T","time":"2000-01-01T00:00:00Z","ready":true,"total":1,"not_ready":0,"troubled":1,"authorities":[` +
	`{"id":"a","ready":true,"trouble":["region_unhealthy","fetch_failing","orders_unknown","store"],` +
	`"failover":{"active":"r2","previous":"r1","generation":4,"since":"1999-12-31T23:59:00Z","cause":"manual","manual":true,` +
	`"reason":"drill","order_known":false,"order_epoch":2,"order_at":"1999-12-31T23:58:00Z","confirmed":"1999-12-31T23:57:00Z",` +
	`"trouble":"behind"},"regions":[{"name":"r1","healthy":false,"why":"evidence","active":false,"health":"unhealthy",` +
	`"since":"1999-12-31T23:56:00Z","held":"2000-01-01T00:05:00Z","evidence":[{"source":"probe","health":"unhealthy",` +
	`"failures":1,"successes":2,"last":"1999-12-31T23:55:00Z"}],"key_sets":[{"freshness":"stale","age_seconds":61,"keys":1,` +
	`"key_ids":["one"],"ignored":1,"skipped":[{"key":"#3","why":"use"}],"source":"https://idp.example/keys","failures":2,` +
	`"last_error":"status","last_status":503,"next_refresh_seconds":9}]},{"name":"r2","healthy":true,"why":"unknown",` +
	`"active":true,"evidence":[],"key_sets":[]}]}],"omitted":0,"rules":{"known":true,"rules":3,"epoch":7,"age_seconds":5,` +
	`"trouble":"wiped","source":"store"},"events":[{"time":"1999-12-31T23:54:00Z","about":"failover","authority":"a",` +
	`"kind":"moved","region":"r2","from":"r1","cause":"manual","reason":"drill"},{"time":"1999-12-31T23:53:00Z",` +
	`"about":"rules","kind":"changed","trouble":"wiped","rules":3,"epoch":7,"source":"store"}],"missed":8}` + "\n"

func TestDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		ago := func(minutes int) time.Time {
			return now.Add(-time.Duration(minutes) * time.Minute).In(time.FixedZone("elsewhere", 3600))
		}
		moved := failover.State{
			Provider: "a", Active: "r2", Previous: "r1", Generation: 4, Since: ago(1), Cause: failover.CauseManual, Manual: true,
			Reason: "drill", OrderEpoch: 2, OrderAt: ago(2), Confirmed: ago(3), Trouble: failover.Behind,
			Regions: []failover.RegionState{
				{Name: "r1", Health: failover.Unhealthy, Since: ago(4), Held: ago(-5), Sources: []failover.SourceState{
					{Source: "probe", Health: failover.Unhealthy, Failures: 1, Successes: 2, Last: ago(5)},
				}},
				{Name: "r2"},
			},
		}
		var events statuspage.Events
		events.Rules(revocation.Event{At: ago(7), Rules: 3, Epoch: 7, Trouble: revocation.Wiped, Source: "store", Err: errors.New("secret")})
		events.Failover(failover.Event{
			At: ago(6), Kind: failover.Moved, Region: "r2", From: "r1", Cause: failover.CauseManual, State: moved, Missed: 8,
		})
		p := newPage(t, statuspage.Config{
			Title: "T", Events: &events, Controllers: []statuspage.Controller{state(moved)},
			Keys: keys{{
				Provider: "a", Region: "r1", State: "stale", LastSuccess: time.Now().Add(-61*time.Second - 999*time.Millisecond),
				KeyIDs: []string{"one"}, Skipped: []string{"#3: use"}, URL: "https://idp.example/keys?api_key=secret", Failures: 2,
				Failure: "status 503", NextRefresh: time.Now().Add(9 * time.Second),
			}},
			Rules: rules{Known: true, Rules: 3, Epoch: 7, Age: 5 * time.Second, Trouble: revocation.Wiped, Source: "store"},
		})
		require.JSONEq(t, whole, ask(p, http.MethodGet, "/status.json", "").Body.String())
		_, err := strictjson.Parse(nil, whole)
		require.NoError(t, err)
		text := page(t, p, "/")
		require.NotContains(t, text, "secret")
		for _, words := range []string{
			"<strong>r2</strong> is active since", "for 1 min:", "an operator activated it",
			"Pinned</strong> until an operator resumes: <q>drill</q>.", "in place of r1: an operator activated it: <q>drill</q>", "Order 2 was given 2 min ago", "last answered 3 min ago", "the store was rolled back",
			"not entered by itself for 5 min", "1 failure in a row, 2 good answers in a row, last 5 min ago", "1 key, 1 min 1 s old",
			"1 published key is not used: #3 use", "2 fetches failed in a row: status 503", "next fetch in 9 s", "3 rules count, epoch 7",
			"the store has lost its document", "8 earlier ones are not kept", "6 min ago",
		} {
			require.Contains(t, text, words)
		}
	})
}

const nasty = `"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}</style><!--`

// Names and reasons, whoever has chosen them, stay text.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	s := failover.State{
		Provider: nasty, Active: nasty, Previous: nasty, Cause: failover.CauseFailed, Manual: true, Reason: nasty,
		Trouble: nasty, Regions: []failover.RegionState{
			{Name: nasty, Health: nasty, Sources: []failover.SourceState{{Source: nasty, Health: nasty}}},
		},
	}
	var events statuspage.Events
	for _, kind := range []failover.Kind{failover.Moved, failover.Pinned, failover.Resumed, failover.HealthChanged, failover.StoreChanged, nasty} {
		events.Failover(failover.Event{Kind: kind, Region: nasty, From: nasty, Cause: nasty, State: s, Err: errors.New(nasty)})
	}
	events.Rules(revocation.Event{Trouble: nasty, Source: nasty, Err: errors.New(nasty)})
	p := newPage(t, statuspage.Config{
		Title: nasty, Events: &events, Controllers: []statuspage.Controller{state(s)},
		Keys: keys{{
			Provider: nasty, Region: nasty, State: nasty, KeyIDs: []string{nasty, strings.Repeat("ü", 65)}, URL: nasty,
			Skipped: []string{nasty + ": " + nasty, nasty}, Failures: 1, Failure: nasty,
		}},
		Rules: rules{Trouble: nasty, Source: nasty},
	})
	for _, target := range []string{"/", "/?after=", "/?authority=" + url.QueryEscape(nasty)} {
		text := page(t, p, target)
		require.Contains(t, html.UnescapeString(text), nasty)
		for _, bad := range []string{"<script", "<img", "onerror=alert(2)>", "<!--", `"'>`} {
			require.NotContains(t, text, bad, target)
		}
		require.Equal(t, 1, strings.Count(text, "</style>"))
		require.Contains(t, text, strings.Repeat("ü", 64)+"…")
		require.NotContains(t, text, strings.Repeat("ü", 65))
	}
	w := ask(p, http.MethodGet, "/status.json", "")
	require.NotContains(t, w.Body.String(), "<")
	d := decoded(t, w.Body.String())
	require.Equal(t, nasty, d.Authorities[0].Regions[0].Name)
	code := status(p, "/active/"+url.PathEscape(nasty)+"/"+url.PathEscape(nasty))
	require.Equal(t, 200, code)
	// What is asked for is never said back.
	for _, target := range []string{"/?authority=%3Cb%3Enobody", "/health/%3Cb%3Enobody", "/%3Cb%3Enobody", "/status.json?authority=%3Cb%3Enobody"} {
		w := ask(p, http.MethodGet, target, "")
		require.Equal(t, 404, w.Code)
		require.NotContains(t, w.Body.String(), "nobody")
	}
}

// many has n authorities of two regions. Those whose number 1,000 divides are not ready; of those before them, a region fails.
func many(n int) keys {
	var k keys
	for i := range n {
		id := fmt.Sprintf("tenant-%05d", i)
		first := jwks.Status{Provider: id, Region: "us-east-1", State: "fresh", URL: "https://idp.example/keys", KeyIDs: []string{"one", "two"}}
		second := first
		second.Region = "us-west-2"
		switch i % 1000 {
		case 0:
			first.State, second.State = "expired", "empty"
		case 999:
			first.Failures = 5
		}
		k = append(k, first, second)
	}
	return k
}

// Ten thousand authorities: each answer is bounded, what is wrong comes first, and paging visits each of them once.
func TestTenThousandAuthorities(t *testing.T) {
	t.Parallel()
	const n = 10_000
	p := newPage(t, statuspage.Config{Keys: many(n)})
	d := document(t, p, "/")
	require.Equal(t, n, d.Total)
	require.Equal(t, 10, d.NotReady)
	require.Equal(t, 20, d.Troubled)
	require.Len(t, d.Authorities, statuspage.MaxAuthorities)
	require.Equal(t, n-statuspage.MaxAuthorities, d.Omitted)
	for i, a := range d.Authorities[:21] {
		want := map[bool]string{i < 10: "not_ready", i >= 10 && i < 20: "region_unhealthy"}[true]
		if want == "" {
			require.Empty(t, a.Trouble)
			continue
		}
		require.Equal(t, want, a.Trouble[0], i)
	}
	w := ask(p, http.MethodGet, "/", "")
	require.Less(t, w.Body.Len(), 400<<10)
	require.Less(t, ask(p, http.MethodGet, "/status.json", "").Body.Len(), 200<<10)
	require.Contains(t, w.Body.String(), "200 of 10000, those in trouble first")
	require.Equal(t, 20, strings.Count(w.Body.String(), " open>"))

	ids := regexp.MustCompile(`"id":"tenant-[0-9]+"`)
	after, pages, last := "", 0, ""
	for total := 0; ; pages++ {
		body := ask(p, http.MethodGet, "/status.json?after="+after, "").Body.String()
		for _, id := range ids.FindAllString(body, -1) {
			require.Greater(t, id, last)
			last = id
			total++
		}
		_, rest, more := strings.Cut(body, `"next":"`)
		if !more {
			require.Equal(t, n, total)
			break
		}
		after, _, _ = strings.Cut(rest, `"`)
		if pages == 0 {
			require.Contains(t, page(t, p, "/?after="), `<a href="?after=`+after+`">`)
		}
	}
	require.Equal(t, n/statuspage.MaxAuthorities-1, pages)
	d = document(t, p, "/?authority=tenant-04242")
	require.Len(t, d.Authorities, 1)
	require.Equal(t, n-1, d.Omitted)
	require.Empty(t, document(t, p, "/?after=z").Authorities)
	code := status(p, "/health/us-east-1")
	require.Equal(t, 503, code, "of tenants in trouble")
	code = status(p, "/health/tenant-00001/us-east-1")
	require.Equal(t, 200, code)
}

// One key set with many names stays small.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	var s jwks.Status
	for i := range 100 {
		s.KeyIDs = append(s.KeyIDs, strings.Repeat("k", 2000)+fmt.Sprint(i))
		s.Skipped = append(s.Skipped, fmt.Sprintf("#%d: use", i))
	}
	s.Provider, s.Region, s.State = "a", "r", "fresh"
	p := newPage(t, statuspage.Config{Keys: keys{s}})
	w := ask(p, http.MethodGet, "/status.json", "")
	require.Less(t, w.Body.Len(), 2000)
	k := decoded(t, w.Body.String()).Authorities[0].Regions[0].KeySets[0]
	require.Equal(t, 100, k.Keys)
	require.Equal(t, 100, k.Ignored)
	require.Len(t, k.KeyIDs, 10)
	require.Len(t, k.Skipped, 10)
}

func TestEvents(t *testing.T) {
	t.Parallel()
	var events statuspage.Events
	p := newPage(t, statuspage.Config{Keys: keys{}, Events: &events})
	require.Empty(t, document(t, p, "/").Events)
	require.Contains(t, page(t, p, "/"), "<p>None.</p>")
	for i := range 2*statuspage.MaxEvents + 7 {
		events.Rules(revocation.Event{Epoch: uint64(i)})
		d := document(t, p, "/")
		require.Len(t, d.Events, min(i+1, statuspage.MaxEvents))
		require.Equal(t, i+1-len(d.Events), d.Missed)
		for j, e := range d.Events {
			require.EqualValues(t, i-j, e.Epoch, "the latest first")
		}
	}
	require.Empty(t, document(t, newPage(t, statuspage.Config{Keys: keys{}}), "/").Events)
	events.Failover(failover.Event{Kind: failover.HealthChanged, Region: "r2", State: failover.State{
		Provider: "a", Reason: "of an older order", Regions: []failover.RegionState{{Name: "r1", Health: failover.Healthy}, {Name: "r2", Health: failover.Unhealthy}},
	}})
	e := document(t, p, "/").Events[0]
	require.Equal(t, statuspage.Event{About: "failover", Authority: "a", Kind: "health_changed", Region: "r2", Health: "unhealthy"}, e)
}

// counting counts how often it is asked, and takes its time.
type counting struct {
	asked atomic.Int64
	takes time.Duration
}

func (c *counting) Status() []jwks.Status {
	c.asked.Add(1)
	time.Sleep(c.takes)
	return many(3)
}

// However many ask, the parts are asked once a second.
func TestPartsAreAskedOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &counting{takes: 100 * time.Millisecond}
		p := newPage(t, statuspage.Config{Keys: k})
		require.Zero(t, k.asked.Load(), "New does not ask")
		var probes sync.WaitGroup
		for range 100 {
			probes.Go(func() {
				for range 30 {
					code := status(p, "/health/tenant-00001/us-east-1")
					require.Equal(t, 200, code)
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		probes.Wait()
		require.LessOrEqual(t, k.asked.Load(), int64(5))
		require.GreaterOrEqual(t, k.asked.Load(), int64(3))
	})
}
