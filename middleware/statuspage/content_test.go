package statuspage_test

import (
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

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// Where the health of a region comes from, and what follows for the provider.
func TestHealth(t *testing.T) {
	t.Parallel()
	set := func(state string, failures int) jwks.Status {
		return jwks.Status{Provider: "a", Region: "r", State: state, Failures: failures}
	}
	missing := set("fresh", 0)
	missing.MissingKeyIDs = []string{"one", "two"}
	type urls = []jwks.Status
	for name, c := range map[string]struct {
		reports string // "" means that the provider does not fail over
		urls    urls
		healthy bool
		why     string
		ready   bool
		want    []string
	}{
		"healthy by the reports, whatever the keys": {"healthy", urls{set("empty", 9)}, true, "reports", false, []string{"not_ready", "fetch_failing"}},
		"unhealthy by the reports":                  {"unhealthy", urls{set("fresh", 0)}, false, "reports", true, []string{"region_unhealthy"}},
		"too few reports, good keys":                {"unknown", urls{set("fresh", 0)}, true, "keys", true, nil},
		"too few reports, failing keys":             {"unknown", urls{set("stale", 3)}, false, "keys", true, []string{"region_unhealthy", "fetch_failing"}},
		"a blip":                                    {"", urls{set("stale", 2)}, true, "keys", true, []string{"fetch_failing"}},
		"failing, with keys":                        {"", urls{set("stale", 3)}, false, "keys", true, []string{"region_unhealthy", "fetch_failing"}},
		"failing, without keys":                     {"", urls{set("expired", 3)}, false, "keys", false, []string{"not_ready", "region_unhealthy", "fetch_failing"}},
		"one of two URLs failing":                   {"", urls{set("fresh", 0), set("empty", 7)}, true, "keys", true, []string{"fetch_failing"}},
		"both failing":                              {"", urls{set("fresh", 3), set("empty", 7)}, false, "keys", true, []string{"region_unhealthy", "fetch_failing"}},
		"a URL that is not enabled":                 {"", urls{set("fresh", 0), set("not_enabled", 7)}, true, "keys", true, nil},
		"no fetch yet":                              {"", urls{set("empty", 0)}, true, "unknown", false, []string{"not_ready"}},
		"URLs that differ":                          {"", urls{missing}, true, "keys", true, []string{"keys_inconsistent"}},
		"no fetch any more":                         {"", urls{set("expired", 0)}, true, "unknown", false, []string{"not_ready"}},
		"no keys":                                   {"unknown", nil, true, "unknown", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := regionjwt.Status{Ready: c.ready, Keys: c.urls}
			if c.reports != "" {
				st.Failover = []failover.Status{{
					Provider: "a", Active: "r", Regions: []failover.RegionStatus{{Region: "r", Health: c.reports}},
				}}
			}
			all := statuspage.Providers(st)
			require.Len(t, all, 1)
			require.Equal(t, c.healthy, all[0].Regions[0].Healthy)
			require.Equal(t, c.why, all[0].Regions[0].Why)
			require.Equal(t, c.ready, all[0].Ready)
			require.Equal(t, c.want, all[0].Problems)
			p := newPage(st)
			require.Equal(t, c.ready, document(t, p, "/").Ready)
			require.Equal(t, c.healthy, status(p, "/health/a/r") == 200)
			require.Equal(t, c.ready, status(p, "/health") == 200)
		})
	}
}

// Whether unknown rules matter is for the Validator to say, and for the page to show.
func TestRulesThatAreNotKnown(t *testing.T) {
	t.Parallel()
	st := sample()
	st.Ready = false
	st.Revocation = &revocation.Status{Replica: store.ReplicaStatus{Origin: "none", StoreProblem: "unavailable", LocalProblem: "malformed"}}
	p := newPage(st)
	require.Equal(t, 503, status(p, "/health"))
	require.Contains(t, page(t, p, "/"), "The rules are not known.")
	require.Contains(t, page(t, p, "/"), "the store does not answer")
	require.Contains(t, page(t, p, "/"), "the local copy has a document that cannot be read")
	st.Ready = true
	p = newPage(st)
	require.Equal(t, 200, status(p, "/health"))
	require.Contains(t, page(t, p, "/"), "Ready, with problems")
}

// All that the JSON can hold, by its name.
// What a server has chosen reaches neither people nor terminals as a control character, or one that changes the direction of writing.
func TestNamesOfAServerAreEscaped(t *testing.T) {
	t.Parallel()
	const odd = "a\u202eb\x1b[2J\u2028\x7f"
	p := newPage(regionjwt.Status{Ready: true, Keys: []jwks.Status{{
		Provider: "a", Region: "r", State: "fresh", KeyIDs: []string{odd}, MissingKeyIDs: []string{odd}, Skipped: []string{odd + ": use"},
		URL: "https://idp.example/" + odd,
	}}})
	const shown = `a\u202eb\u001b[2J\u2028\u007f`
	text := page(t, p, "/")
	require.Contains(t, text, "<code>"+shown+"</code>")
	require.Contains(t, text, "https://idp.example/"+shown)
	d := document(t, p, "/")
	require.Equal(t, []string{shown}, d.Keys[0].KeyIDs)
	for _, raw := range []string{text, ask(p, http.MethodGet, "/status.json", "").Body.String()} {
		require.NotContains(t, raw, "\u202e")
		require.NotContains(t, raw, "\x1b")
	}
}

const whole = `{"ready":true,"keys":[{"provider":"a","region":"r1","url":"https://idp.example/keys","state":"stale",` +
	`"last_success":"1999-12-31T23:58:58.001Z","key_ids":["one"],"skipped":["#3: use"],` +
	`"missing_key_ids":["two"],"failures":2,"failure":"status 503"}],"revocation":{"rules":3,"unreadable":2,"reads":0,"replica":{"origin":"store","epoch":7,` +
	`"confirmed":"1999-12-31T23:59:55Z","stale":true,"store_problem":"lost"}},"failover":[{"provider":"a","active":"r2",` +
	`"since":"1999-12-31T23:59:00Z","cause":"pinned","why":["an operator pinned r2"],"next":["only an operator"],"pinned":true,"note":"drill","conflicts":["r1: unpinned","r2: pinned"],"regions":[{"region":"r1","health":"unhealthy","why":"probe: 1 failure",` +
	`"hold_down_until":"2000-01-01T00:05:00Z","reports":["probe: unhealthy, 1 failure in a row (timeout), last ` +
	`1999-12-31T23:55:00Z"]},{"region":"r2","health":"unknown","why":"","reports":[]}],"replica":{"origin":"none","epoch":2,` +
	`"confirmed":"1999-12-31T23:57:00Z","stale":true,"store_problem":"rolled_back"}}]}`

func TestDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
		moved := failover.Status{
			Provider: "a", Active: "r2", Since: ago(1), Cause: "pinned", Pinned: true, Note: "drill",
			Why: []string{"an operator pinned r2"}, Next: []string{"only an operator"},
			Conflicts: []string{"r1: unpinned", "r2: pinned"}, Replica: store.ReplicaStatus{Stale: true, Origin: "none", Epoch: 2, Confirmed: ago(3), StoreProblem: "rolled_back"},
			Regions: []failover.RegionStatus{
				{Region: "r1", Health: "unhealthy", Why: "probe: 1 failure", HoldDownUntil: ago(-5), Reports: []string{
					"probe: unhealthy, 1 failure in a row (timeout), last 1999-12-31T23:55:00Z",
				}},
				{Region: "r2", Health: "unknown"},
			},
		}
		lost := revocation.Status{Rules: 3, Unreadable: 2, Replica: store.ReplicaStatus{
			Origin: "store", Stale: true, Epoch: 7, Confirmed: now.Add(-5 * time.Second), StoreProblem: "lost",
		}}
		st := regionjwt.Status{
			Ready: true, Failover: []failover.Status{moved}, Revocation: &lost, Keys: []jwks.Status{{
				Provider: "a", Region: "r1", State: "stale", LastSuccess: now.Add(-61*time.Second - 999*time.Millisecond),
				KeyIDs: []string{"one"}, Skipped: []string{"#3: use"}, URL: "https://idp.example/keys?api_key=secret", Failures: 2,
				Failure: "status 503", MissingKeyIDs: []string{"two"},
			}},
		}
		p, events := statuspage.New(func() regionjwt.Status { return st }, "T")
		events.Revocation(revocation.Status{}, lost)
		events.Failover(failover.Status{Provider: "a", Active: "r1", Replica: moved.Replica}, moved)
		require.JSONEq(t, whole, ask(p, http.MethodGet, "/status.json", "").Body.String())
		text := page(t, p, "/")
		require.NotContains(t, text, "secret")
		for _, words := range []string{
			"<strong>r2</strong> is active since", "for 1 min:", "an operator pinned it",
			"Pinned</strong> until an operator ends the pin: <q>drill</q>.", "2 pins are in conflict", "<q>r1: unpinned</q>; <q>r2: pinned</q>",
			"2 rules are not applied: a newer version wrote them", "withholds no rule", "withholds no pin", "in place of r1: an operator pinned it: <q>drill</q>",
			"Pins: epoch 2.", "last answered 3 min ago", "the store was rolled back", "not entered automatically for 5 min",
			"unhealthy, 1 failure in a row (timeout), last 5 min ago", "1 key, 1 min 1 s old", "is missing 1 key that another one lists",
			"1 published key is not used: #3 use", "2 fetches failed in a row: status 503",
			"<dt>Why</dt><dd>an operator pinned r2</dd>", "<dt>What would move it</dt><dd>only an operator</dd>",
			"unhealthy, by reports to the controller: probe: 1 failure</dd>", "<q>drill</q><br>an operator pinned r2<br>",
			"3 rules are in effect, epoch 7", "last answered 5 s ago", "the store has lost its document",
		} {
			require.Contains(t, text, words)
		}
		require.Equal(t, "https://idp.example/keys?api_key=secret", st.Keys[0].URL, "the state is not modified")
	})
}

const nasty = `"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}</style><!--`

// Names, labels and notes stay text.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	s := failover.Status{
		Provider: nasty, Active: nasty, Cause: "failed", Pinned: true, Note: nasty,
		Why: []string{nasty}, Next: []string{nasty},
		Replica: store.ReplicaStatus{StoreProblem: nasty, LocalProblem: nasty}, Regions: []failover.RegionStatus{
			{Region: nasty, Health: nasty, Why: nasty, Reports: []string{nasty + ": " + nasty, nasty}},
		},
	}
	lost := revocation.Status{Replica: store.ReplicaStatus{Origin: nasty, StoreProblem: nasty, LocalProblem: nasty}}
	st := regionjwt.Status{Failover: []failover.Status{s}, Revocation: &lost, Keys: []jwks.Status{{
		Provider: nasty, Region: nasty, State: nasty, KeyIDs: []string{nasty, strings.Repeat("ü", 65)}, URL: nasty,
		Skipped: []string{nasty + ": " + nasty, nasty}, Failures: 1, Failure: nasty,
	}}}
	p, events := statuspage.New(func() regionjwt.Status { return st }, nasty)
	calm := failover.Status{Provider: nasty, Regions: []failover.RegionStatus{{Region: nasty}}}
	events.Failover(calm, s)
	events.Failover(s, calm)
	events.Failover(failover.Status{Provider: nasty, Active: nasty}, s)
	events.Revocation(revocation.Status{}, lost)
	for _, target := range []string{"/", "/?after=", "/?provider=" + url.QueryEscape(nasty)} {
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
	require.Equal(t, nasty, d.Keys[0].Region)
	code := status(p, "/active/"+url.PathEscape(nasty)+"/"+url.PathEscape(nasty))
	require.Equal(t, 200, code)
	// What is asked for is never said back.
	for _, target := range []string{"/?provider=%3Cb%3Enobody", "/health/%3Cb%3Enobody", "/%3Cb%3Enobody", "/status.json?provider=%3Cb%3Enobody"} {
		w := ask(p, http.MethodGet, target, "")
		require.Equal(t, 404, w.Code)
		require.NotContains(t, w.Body.String(), "nobody")
	}
}

// many has n providers with two regions. Every thousandth is not ready; in the one before it, a region fails.
func many(n int) (st regionjwt.Status) {
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
		st.Keys = append(st.Keys, first, second)
	}
	return st
}

// Ten thousand providers: each answer is bounded, problems come first, and the pages have each provider once.
func TestTenThousandProviders(t *testing.T) {
	t.Parallel()
	const n = 10_000
	st := many(n)
	p := newPage(st)
	require.Len(t, statuspage.Providers(st), n)
	d := document(t, p, "/")
	require.Len(t, d.Keys, 2*statuspage.MaxProviders)
	for i, u := range d.Keys[:42] {
		switch {
		case i < 20:
			require.Contains(t, []string{"expired", "empty"}, u.State, i)
		case i < 40:
			require.Equal(t, 5*(1-i%2), u.Failures, i)
		default:
			require.Equal(t, "fresh", u.State)
			require.Zero(t, u.Failures)
		}
	}
	w := ask(p, http.MethodGet, "/", "")
	require.Less(t, w.Body.Len(), 400<<10)
	require.Less(t, ask(p, http.MethodGet, "/status.json", "").Body.Len(), 200<<10)
	require.Contains(t, w.Body.String(), "200 of 10000, those with problems first")
	require.Contains(t, w.Body.String(), "9990 of 10000")
	require.Equal(t, 20, strings.Count(w.Body.String(), " open>"))

	next, pages, last := "?after=", 0, ""
	for total := 0; ; pages++ {
		answer := ask(p, http.MethodGet, "/status.json"+next, "")
		for i, u := range decoded(t, answer.Body.String()).Keys {
			if i%2 == 0 {
				require.Greater(t, u.Provider, last)
				last = u.Provider
				total++
			}
		}
		link := answer.Header().Get("Link")
		if link == "" {
			require.Equal(t, n, total)
			break
		}
		next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		if pages == 0 {
			require.Contains(t, page(t, p, "/?after="), `<a href="`+next+`">`)
		}
	}
	require.Equal(t, n/statuspage.MaxProviders-1, pages)
	require.Len(t, document(t, p, "/?provider=tenant-04242").Keys, 2)
	require.Empty(t, document(t, p, "/?after=z").Keys)
	require.Equal(t, 503, status(p, "/health/us-east-1"), "of providers with problems")
	require.Equal(t, 200, status(p, "/health/tenant-00001/us-east-1"))
}

// One key set with many names stays small.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	var u jwks.Status
	for i := range 1000 {
		u.KeyIDs = append(u.KeyIDs, strings.Repeat("k", 2000)+fmt.Sprint(i))
		u.MissingKeyIDs = append(u.MissingKeyIDs, u.KeyIDs[i])
		u.Skipped = append(u.Skipped, strings.Repeat("s", 2000)+": use")
	}
	u.Provider, u.Region, u.State = "a", "r", "fresh"
	p := newPage(regionjwt.Status{Keys: []jwks.Status{u}})
	w := ask(p, http.MethodGet, "/status.json", "")
	require.Less(t, w.Body.Len(), 25<<10)
	k := decoded(t, w.Body.String()).Keys[0]
	require.Len(t, k.KeyIDs, 100)
	require.Len(t, k.MissingKeyIDs, 100)
	require.Len(t, k.Skipped, 100)
	require.Equal(t, strings.Repeat("s", 64)+"…: use", k.Skipped[0])
	text := page(t, p, "/")
	require.Less(t, len(text), 15<<10)
	require.Contains(t, text, "1000 keys")
	require.Contains(t, text, "1000 published keys are not used")
	require.Equal(t, 10, strings.Count(text, "<code>"))
}

func TestEvents(t *testing.T) {
	t.Parallel()
	p, events := statuspage.New(func() regionjwt.Status { return regionjwt.Status{} }, "")
	require.Contains(t, page(t, p, "/"), "<p>None.</p>")
	for i := range 2*statuspage.MaxEvents + 7 {
		events.Revocation(revocation.Status{}, revocation.Status{Replica: store.ReplicaStatus{Origin: "store", Epoch: uint64(i + 1)}})
		_, text, _ := strings.Cut(page(t, p, "/"), "Last events")
		epochs := regexp.MustCompile(`epoch ([0-9]+)`).FindAllStringSubmatch(text, -1)
		require.Len(t, epochs, min(i+1, statuspage.MaxEvents))
		for j, e := range epochs {
			require.Equal(t, fmt.Sprint(i+1-j), e[1], "the latest first")
		}
		if earlier := i + 1 - len(epochs); earlier > 1 {
			require.Contains(t, text, fmt.Sprintf("%d earlier ones are not kept", earlier))
		}
	}
	latest := func() string {
		_, text, _ := strings.Cut(page(t, p, "/"), "<tbody>")
		text, _, _ = strings.Cut(text, "</tr>")
		return text
	}
	regions := []failover.RegionStatus{{Region: "r1", Health: "healthy"}, {Region: "r2", Health: "unhealthy"}}
	before := failover.Status{Provider: "a", Active: "r1", Regions: []failover.RegionStatus{regions[0], {Region: "r2", Health: "healthy"}}}
	now := failover.Status{Provider: "a", Active: "r1", Note: "of an older pin", Regions: regions}
	events.Failover(before, now)
	require.Contains(t, latest(), `<strong>r2</strong> is <strong class="wrong">unhealthy</strong><br>`)
	pinned := now
	pinned.Pinned, pinned.Note = true, "drill"
	events.Failover(now, pinned)
	require.Contains(t, latest(), `an operator pinned <strong>r1</strong>: <q>drill</q>`)
	events.Failover(pinned, now)
	require.Contains(t, latest(), `an operator ended the pin of <strong>r1</strong><br>`)
	broken := now
	broken.Replica.StoreProblem = "unavailable"
	events.Failover(now, broken)
	require.Contains(t, latest(), "the store does not answer")
	events.Failover(broken, now)
	require.Contains(t, latest(), "the store answers again")
}

// The state is read once a second, however many requests come.
func TestTheStateIsReadOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		p, _ := statuspage.New(func() regionjwt.Status {
			read.Add(1)
			time.Sleep(100 * time.Millisecond)
			return many(3)
		}, "")
		require.Zero(t, read.Load(), "Handler does not read it")
		var probes sync.WaitGroup
		for range 100 {
			probes.Go(func() {
				for range 30 {
					require.Equal(t, 200, status(p, "/health/tenant-00001/us-east-1"))
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		probes.Wait()
		require.LessOrEqual(t, read.Load(), int64(5))
		require.GreaterOrEqual(t, read.Load(), int64(3))
	})
}
