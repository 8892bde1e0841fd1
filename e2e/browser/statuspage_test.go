//go:build browser

package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

var errNoAnswer = errors.New("no answer")

// service serves the page of a process with three providers. A region of the first, which has an issuer per region, is
// unavailable, so that its keys are missing; an operator has pinned a region of the second; the third does not fail over.
func service(t *testing.T) *httptest.Server {
	t.Helper()
	failing := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", ID: "orders-realm", Layout: fakeissuer.IssuerPerRegion})
	pinned := fakeissuer.New(t, fakeissuer.Config{
		Algorithm: "ES256", ID: "eu-central-1_Xb4Lq0Zk7", Regions: []string{"eu-central-1", "eu-west-1"},
	})
	plain := fakeissuer.New(t, fakeissuer.Config{
		Algorithm: "EdDSA", ID: "partners", Layout: fakeissuer.OneIssuer, Regions: []string{"frankfurt", "dublin"},
	})
	failing.Break("us-east-1")
	c := regionjwt.Config{Revocation: &revocation.Config{}, Failover: map[string]failover.Config{}}
	for _, f := range []*fakeissuer.Server{failing, pinned, plain} {
		p := f.Provider()
		p.HTTPClient = f.Client()
		c.Policies = append(c.Policies, verifier.Policy{
			Provider: p, Audience: verifier.InsecureAnyAudience(), Algorithms: []string{"ES256", "EdDSA"},
		})
		if f != plain {
			c.Failover[p.ID] = failover.Config{Automatic: true, Threshold: 1}
		}
	}
	v, err := regionjwt.New(c)
	require.NoError(t, err)
	h := statuspage.Handler(v, "Orders API")
	require.Error(t, v.Preload(t.Context()), "a region is unavailable")

	_, err = v.Revocation().Add(t.Context(), revocation.Rule{
		Provider: "partners", ClientID: "batch-importer", IssuedBefore: time.Now(), Note: "INC-4711",
	})
	require.NoError(t, err)
	for _, f := range []*fakeissuer.Server{failing, pinned} {
		for _, r := range f.Provider().Regions {
			v.Failover(f.Provider().ID).Report(r.Name, "probe", time.Now(), nil)
		}
	}
	v.Failover("orders-realm").Report("us-east-1", "probe", time.Now(), errNoAnswer)
	v.Failover("orders-realm").Report("us-west-2", "token", time.Now(), nil)
	require.NoError(t, v.Failover(pinned.Provider().ID).Pin(t.Context(), "eu-west-1", "CHG-2041: drill of the quarter", 0))
	mux := http.NewServeMux()
	mux.Handle("/status/", http.StripPrefix("/status", h))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
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

// A region is unavailable, another one is pinned.
func TestOneRegionUnavailable(t *testing.T) {
	inspect(t, service(t).URL+"/status/", "unavailable-region", "0", "Orders API", "Ready, with problems", "unhealthy",
		"us-west-2 is active since", "had failed", "CHG-2041")
}

// answers answers requests for key sets: one of a hundred with 503.
type answers struct{ keys []byte }

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if strings.Contains(r.URL.Path, "/failing/") {
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		_, _ = w.Write(a.keys)
	}
	return w.Result(), nil
}

// many is a Validator of more providers than a page shows, of which some are not ready, with long names, and with rules that are
// not known.
func many(t *testing.T) *regionjwt.Validator {
	t.Helper()
	signer := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
	broken := store.InsecureTrust(brokenStore{})
	c := regionjwt.Config{
		Keys:       jwks.Config{HTTPClient: &http.Client{Transport: answers{signer.KeySet(signer.Provider().Regions[0].Name)}}},
		Revocation: &revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{broken}}},
	}
	for i := range 300 {
		id, region, kind := fmt.Sprintf("tenant-%03d", i), "us-east-1", "good"
		if i%100 == 0 {
			id, region, kind = id+strings.Repeat("M", 200), strings.Repeat("W", 100), "failing"
		}
		u := fmt.Sprintf("https://idp.example/%s/%03d/%s", kind, i, strings.Repeat("long", 40))
		c.Policies = append(c.Policies, verifier.Policy{Audience: verifier.InsecureAnyAudience(), Provider: issuer.Provider{
			ID: id, Regions: []issuer.Region{
				{Name: region, Issuers: []string{u}, JWKSURLs: []string{u + "/keys"}},
				{Name: "us-west-2", Issuers: []string{u + "/west"}, JWKSURLs: []string{u + "/west/keys"}},
			},
		}})
	}
	v, err := regionjwt.New(c)
	require.NoError(t, err)
	require.Error(t, v.Preload(t.Context()))
	return v
}

// brokenStore is a store that does not answer.
type brokenStore struct{ store.Store }

func (brokenStore) Load(context.Context, string, string) ([]byte, string, error) {
	return nil, "", errNoAnswer
}

func (brokenStore) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

// Many providers, of which some are not ready, and rules that are not known; with everything unfolded.
func TestManyWithProblems(t *testing.T) {
	server := httptest.NewServer(statuspage.Handler(many(t), ""))
	t.Cleanup(server.Close)
	inspect(t, server.URL+"/", "many", "document.querySelectorAll('details').forEach(d => { d.open = true; })", "Not ready",
		"200 of 300, those with problems first", "ID of a provider", "The rules are not known.", "no region has usable keys")
}
