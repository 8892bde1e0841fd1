//go:build browser

package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
)

var errDark = errors.New("dark")

// controller returns a Controller that counts each piece of evidence.
func controller(t *testing.T, a issuer.Provider, onEvent func(failover.Event)) *failover.Controller {
	t.Helper()
	c, err := failover.New(failover.Config{Provider: a, Automatic: true, FailAfter: 1, OnEvent: onEvent})
	require.NoError(t, err)
	for _, r := range a.Regions {
		c.Observe(failover.Evidence{Region: r.Name, Source: "probe"})
	}
	return c
}

// service serves the page of a process that trusts three authorities. The first region of one is dark, which is an issuer per
// region, so that its keys are missing; the second has been pinned by an operator; the third has no Controller.
func service(t *testing.T) *httptest.Server {
	t.Helper()
	dark := issuertest.New(t, issuertest.Config{Algorithm: "ES256", ID: "orders-realm", Layout: issuertest.IssuerPerRegion})
	well := issuertest.New(t, issuertest.Config{Algorithm: "ES256", ID: "eu-central-1_Xb4Lq0Zk7", Regions: []string{"eu-central-1", "eu-west-1"}})
	plain := issuertest.New(t, issuertest.Config{
		Algorithm: "EdDSA", ID: "partners", Layout: issuertest.OneIssuer, Regions: []string{"frankfurt", "dublin"},
	})
	worlds := []*issuertest.World{dark, well, plain}
	dark.Break("us-east-1")
	var all []issuer.Provider
	clients := map[string]http.RoundTripper{}
	for _, w := range worlds {
		all = append(all, w.Provider())
		for _, r := range w.Provider().Regions {
			for _, u := range r.JWKSURLs {
				parsed, err := url.Parse(u)
				require.NoError(t, err)
				clients[parsed.Host+parsed.Path] = w.Client().Transport
			}
		}
	}
	cache, err := jwks.New(all, jwks.Config{HTTPClient: &http.Client{Transport: byURL(clients)}})
	require.NoError(t, err)
	require.ErrorIs(t, cache.Preload(t.Context()), jwks.ErrUnavailable)

	var events statuspage.Events
	rules, err := revocation.New(revocation.Config{OnEvent: events.Rules})
	require.NoError(t, err)
	_, err = rules.Add(t.Context(), revocation.Rule{
		Provider: "partners", ClientID: "batch-importer", IssuedBefore: time.Now(), Reason: "INC-4711",
	})
	require.NoError(t, err)
	failing := controller(t, dark.Provider(), events.Failover)
	failing.Observe(failover.Evidence{Region: "us-east-1", Source: "probe", Err: errDark})
	failing.Observe(failover.Evidence{Region: "us-west-2", Source: "token"})
	pinned := controller(t, well.Provider(), events.Failover)
	require.NoError(t, pinned.Activate(t.Context(), "eu-west-1", "CHG-2041: drill of the quarter"))
	page, err := statuspage.New(statuspage.Config{
		Keys: cache, Controllers: []statuspage.Controller{failing, pinned}, Rules: rules, Events: &events, Title: "Orders API",
		Reload: time.Minute,
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/status/", http.StripPrefix("/status", page))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// byURL sends requests to the worlds that publish there.
type byURL map[string]http.RoundTripper

func (b byURL) RoundTrip(r *http.Request) (*http.Response, error) {
	to := b[r.URL.Host+r.URL.Path]
	if to == nil {
		return nil, context.Canceled
	}
	return to.RoundTrip(r)
}

const tallest = 8000 // pixels of a page in a picture

// look is what is measured of the page as it is rendered.
const look = `(() => {
	const channel = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
	const parse = c => { const n = c.match(/[\d.]+/g).map(Number); return n.length === 3 ? [...n, 1] : n; };
	const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
	const ground = e => {
		for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; }
		return [255, 255, 255, 1];
	};
	let least = 21, where = '', texts = 0, smallest = 99;
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walk.nextNode());) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility()) continue;
		texts++;
		const style = getComputedStyle(e);
		const [a, b] = [light(parse(style.color)), light(ground(e))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < least) { least = ratio; where = n.data.trim(); }
		smallest = Math.min(smallest, parseFloat(style.fontSize));
	}
	return {
		least, where, texts, smallest,
		ground: getComputedStyle(document.body).backgroundColor, height: document.documentElement.scrollHeight,
		width: document.documentElement.clientWidth, content: document.documentElement.scrollWidth,
		wide: [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).length,
		scripts: document.scripts.length, language: document.documentElement.lang, text: document.body.innerText,
		headings: [...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1])),
	};
})()`

type looks struct {
	Least, Smallest                     float64
	Where, Ground                       string
	Texts, Width, Content, Wide, Height int
	Scripts                             int
	Language, Text                      string
	Headings                            []int
}

// views are the themes and sizes in which a page is looked at.
var views = []struct {
	theme, name   string
	width, height int
	mobile        bool
}{
	{"light", "desktop", 1280, 800, false},
	{"light", "phone", 360, 740, true},
	{"light", "narrow", 320, 640, true},
	{"dark", "desktop", 1280, 800, false},
	{"dark", "phone", 360, 740, true},
	{"dark", "narrow", 320, 640, true},
}

// inspect opens a page in all views: it needs nothing from elsewhere, the console stays empty, nothing is cut off, all of its
// text can be read, and it says the words. prepare is evaluated first.
func inspect(t *testing.T, url, name, prepare string, words ...string) {
	t.Helper()
	b := open(t)
	grounds := map[string]string{}
	for _, v := range views {
		b.visit(url, v.theme, v.width, v.height, v.mobile)
		var done bool
		b.evaluate("("+prepare+", true)", &done)
		var seen looks
		b.evaluate(look, &seen)
		what := name + "-" + v.theme + "-" + v.name
		t.Logf("%s: least contrast %.2f (%q) of %d texts, smallest %.0f px, %d of %d px wide", what, seen.Least, seen.Where,
			seen.Texts, seen.Smallest, seen.Content, seen.Width)
		require.GreaterOrEqual(t, seen.Least, 4.5, "%s: contrast of %q", what, seen.Where)
		require.Greater(t, seen.Texts, 50)
		require.GreaterOrEqual(t, seen.Smallest, 14.0)
		require.Equal(t, v.width, seen.Width)
		require.LessOrEqual(t, seen.Content, seen.Width, "%s scrolls sideways", what)
		require.Zero(t, seen.Wide, "%s: elements are cut off", what)
		require.Zero(t, seen.Scripts)
		require.Equal(t, "en", seen.Language)
		for _, w := range words {
			require.Contains(t, seen.Text, w, what)
		}
		for i, level := range seen.Headings[1:] {
			require.LessOrEqual(t, level, seen.Headings[i]+1, "no level of headings is left out")
		}
		grounds[v.theme] = seen.Ground
		if folder := os.Getenv("SCREENSHOTS"); folder != "" {
			require.NoError(t, os.WriteFile(filepath.Join(folder, what+".png"), b.picture(v.width, min(seen.Height, tallest)), 0o600))
		}
	}
	require.NotEqual(t, grounds["light"], grounds["dark"])
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(t, b.complains, "the console")
	require.GreaterOrEqual(t, len(b.requested), len(views))
	for _, u := range b.requested {
		require.Contains(t, []string{url, "data:,"}, u)
	}
}

// A region is dark, another one is pinned.
func TestOneRegionDark(t *testing.T) {
	inspect(t, service(t).URL+"/status/", "dark-region", "0", "Orders API", "Ready, with trouble", "unhealthy",
		"us-west-2 is active since", "had failed", "CHG-2041")
}

// manyKeys are those of more authorities than a page shows, some of which are not ready, with long names.
type manyKeys struct{}

func (manyKeys) Status() []jwks.Status {
	var all []jwks.Status
	for i := range 300 {
		s := jwks.Status{
			Provider: fmt.Sprintf("tenant-%03d", i), Region: "us-east-1", State: "fresh", KeyIDs: []string{"k1"},
			URL: "https://idp.example/" + strings.Repeat("long", 40), LastSuccess: time.Now().Add(-5 * time.Minute),
			NextRefresh: time.Now().Add(10 * time.Minute),
		}
		if i%100 == 0 {
			s.Provider += strings.Repeat("M", 200)
			s.Region = strings.Repeat("W", 100)
			s.State, s.Failures, s.Failure = "expired", 9, "status 503"
			s.Skipped = []string{"#2: use"}
		}
		all = append(all, s)
	}
	return all
}

// lostRules are rules whose store does not answer.
type lostRules struct{}

func (lostRules) Status() revocation.Status {
	return revocation.Status{Trouble: revocation.Unreachable, Source: "none"}
}

// Many authorities, of which some are not ready, and rules that are not known; with everything unfolded.
func TestManyInTrouble(t *testing.T) {
	page, err := statuspage.New(statuspage.Config{Keys: manyKeys{}, Rules: lostRules{}})
	require.NoError(t, err)
	server := httptest.NewServer(page)
	t.Cleanup(server.Close)
	inspect(t, server.URL+"/", "many", "document.querySelectorAll('details').forEach(d => { d.open = true; })", "Not ready",
		"200 of 300, those in trouble first", "ID of an authority", "The rules are not known.", "no region has usable keys")
}
