package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	drill "github.com/regionjwt/regionjwt/cmd/regionjwt/internal/check"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

const (
	east      = "us-east-1"
	west      = "us-west-2"
	keysPath  = "/" + poolID + "/.well-known/jwks.json"
	metaPath  = "/" + poolID + "/.well-known/openid-configuration"
	metaGood  = `{"issuer":"https://` + updatedHost + `/` + poolID + `","jwks_uri":"https://` + updatedHost + keysPath + `","token_endpoint":"https://x.example"}`
	otherMeta = `{"issuer":"https://evil.example","jwks_uri":"https://` + updatedHost + keysPath + `"}`
)

func poolFlags(mode string, more ...string) []string {
	return append([]string{"--user-pool", poolID, "--replica", west, "--cognito-mode", mode}, more...)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func abort(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

const expired = -2 * time.Hour

// Each of these providers is a user pool with a replica, behind the real host names and real TLS.
func TestDrillOfAUserPool(t *testing.T) {
	t.Parallel()
	unrelated := fakeissuer.New(t, fakeissuer.Config{}) // whose keys are others
	strange := (&drilled{Server: unrelated}).body(t, "https://"+eastHost+keysPath)
	type list = []string
	for name, test := range map[string]struct {
		mode  issuer.CognitoMode
		flags []string
		life  map[string]time.Duration
		spoil func(d *drilled)

		code             int
		errors, warnings []string
		infos            []string // some of them
	}{
		"healthy":          {mode: issuer.CognitoUpdated, flags: poolFlags("updated")},
		"healthy, strict":  {mode: issuer.CognitoUpdated, flags: poolFlags("updated", "--strict")},
		"healthy, any":     {mode: issuer.CognitoAny, flags: poolFlags("any"), infos: list{"discovery_other_issuer us-east-1, us-west-2"}},
		"no replica named": {mode: issuer.CognitoUpdated, flags: []string{"--user-pool", poolID, "--cognito-mode", "updated"}, code: 1, errors: list{"no_other_region us-east-1"}},
		"keys differ": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), spoil: func(d *drilled) { d.serves(westHost+keysPath, strange) },
			code: 1, errors: list{"loss_start us-east-1", "loss_start us-west-2"},
			warnings: list{"keys_differ us-east-1, us-west-2", "keys_inconsistent us-west-2"},
		},
		"replica dark": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), spoil: func(d *drilled) { d.Break(west) },
			code: 1, errors: list{"loss_start us-east-1"}, warnings: list{"region_hosts_unavailable us-west-2", "url_down us-west-2"},
		},
		"replica dark, with snapshots": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated", "--snapshots"), spoil: func(d *drilled) { d.Break(west) },
			warnings: list{"region_hosts_unavailable us-west-2", "url_down us-west-2"}, infos: list{"snapshot_needed us-east-1"},
		},
		"replica hangs": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), spoil: func(d *drilled) { d.Hang(west); d.flags = append(d.flags, "--timeout", "3s") },
			code: 1, errors: list{"loss_start us-east-1"}, warnings: list{"region_hosts_unavailable us-west-2", "url_down us-west-2"},
		},
		"primary dark": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), spoil: func(d *drilled) { d.Break(east); d.instead(updatedHost+metaPath, abort) },
			code: 1, errors: list{"loss_start us-west-2", "region_unavailable us-east-1"},
			warnings: list{"discovery_down us-east-1, us-west-2", "url_down us-east-1", "url_down us-west-2"},
		},
		"wrong issuer in discovery": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), spoil: func(d *drilled) { d.serves(updatedHost+metaPath, otherMeta) },
			code: 1, errors: list{"discovery_issuer us-east-1, us-west-2"},
		},
		"expired certificate of a mirror": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), life: map[string]time.Duration{updatedHost: expired},
			warnings: list{"certificate_invalid"},
		},
		"expired certificate of a mirror, strict": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated", "--strict"), life: map[string]time.Duration{updatedHost: expired},
			code: 1, warnings: list{"certificate_invalid"},
		},
		"expired certificates of a region": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), life: map[string]time.Duration{updatedHost: expired, eastHost: expired},
			code: 1, errors: list{"loss_start us-west-2", "region_unavailable us-east-1"}, warnings: list{"certificate_invalid"},
		},
		"certificate about to end": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), life: map[string]time.Duration{westHost: 50 * time.Hour},
			warnings: list{"certificate_soon"},
		},
		"certificate authority about to end": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), life: map[string]time.Duration{"CA": 50 * time.Hour},
			warnings: list{"certificate_soon"},
		},
		"certificate about to end, known": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated", "--certificate-days", "2"), life: map[string]time.Duration{westHost: 50 * time.Hour},
		},
		// Tokens that the replica issued under its own name hang on its own host.
		"403 alias": {
			mode: issuer.CognitoOriginal, flags: poolFlags("any"), code: 1, errors: list{"loss_start us-west-2"},
			infos: list{"not_enabled us-east-1", "not_enabled us-west-2", "not_enabled us-east-1, us-west-2"},
		},
		"403 alias, with snapshots": {
			mode: issuer.CognitoOriginal, flags: poolFlags("any", "--snapshots"),
			infos: list{"not_enabled us-east-1", "not_enabled us-west-2", "not_enabled us-east-1, us-west-2", "snapshot_needed us-west-2"},
		},
		"403 alias that is counted on": {
			mode: issuer.CognitoOriginal, flags: poolFlags("updated"), warnings: list{"issuer_not_served us-east-1, us-west-2"},
			infos: list{"not_enabled us-east-1", "not_enabled us-west-2"},
		},
		"no pool at the replica's host": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), spoil: func(d *drilled) { d.instead(westHost, status(404)) },
			code: 1, errors: list{"loss_start us-east-1"}, warnings: list{"region_hosts_unavailable us-west-2"}, infos: list{"not_enabled us-west-2"},
		},
		"server error": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), spoil: func(d *drilled) { d.Status(west, 503, nil) },
			code: 1, errors: list{"loss_start us-east-1"}, warnings: list{"region_hosts_unavailable us-west-2", "url_down us-west-2"},
		},
		"everything dark": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), spoil: func(d *drilled) { d.Break(east); d.Break(west); d.instead(updatedHost+metaPath, abort) },
			code: 3, errors: list{"region_unavailable us-east-1", "region_unavailable us-west-2"},
			warnings: list{"discovery_down us-east-1, us-west-2", "url_down us-east-1", "url_down us-west-2"},
		},
		"everything says 500": {
			mode: issuer.CognitoUpdated, flags: poolFlags("updated"), spoil: func(d *drilled) {
				d.Status(east, 500, nil)
				d.Status(west, 500, nil)
				d.instead(updatedHost+metaPath, status(500))
			},
			code: 1, errors: list{"region_unavailable us-east-1", "region_unavailable us-west-2"},
			warnings: list{"discovery_down us-east-1, us-west-2", "url_down us-east-1", "url_down us-west-2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fakeissuer.New(t, fakeissuer.Config{Mode: test.mode})
			d := newDrilled(t, fakeissuer.New(t, fakeissuer.Config{Mode: issuer.CognitoAny}), test.life) // for its hosts
			d.Server = w
			if test.mode == issuer.CognitoUpdated {
				d.serves(updatedHost+metaPath, metaGood)
			}
			if test.spoil != nil {
				test.spoil(d)
			}
			a, _ := check(t, test.code, append(test.flags, d.flags...)...)
			require.ElementsMatch(t, test.errors, a.codes("error"))
			require.ElementsMatch(t, test.warnings, a.codes("warning"))
			require.Subset(t, a.codes("info"), test.infos)
			require.Equal(t, map[int]string{0: "ready", 1: "not_ready", 3: "cannot_tell"}[test.code], a.Verdict)
		})
	}
}

// The output says what was fetched: of every mirror, with its keys and its certificate.
func TestDrillTellsWhatItFetched(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Mode: issuer.CognitoUpdated})
	d := newDrilled(t, w, map[string]time.Duration{westHost: expired})
	w.Rotate(east)
	a, people := check(t, 1, append(poolFlags("updated"), d.flags...)...)
	require.Equal(t, poolID, a.Provider)
	require.Len(t, a.Regions, 2)
	eastern, western := a.Regions[0].KeySets, a.Regions[1].KeySets
	require.Len(t, eastern, 2)
	require.Len(t, western, 2)
	good := eastern[0]
	require.Equal(t, "https://"+updatedHost+keysPath, good.URL)
	require.Equal(t, "good", good.State)
	require.Equal(t, 200, good.Status)
	require.Equal(t, 90, good.Certificate.Days)
	require.Len(t, good.Keys, 2)
	require.Equal(t, w.KeyID(east), good.Keys[slices.IndexFunc(good.Keys, func(k drillKey) bool { return k.Kid == w.KeyID(east) })].Kid)
	require.Equal(t, "RS256", good.Keys[0].Alg)
	require.Len(t, good.Keys[0].Thumbprint, 43)
	bad := western[0]
	require.Equal(t, "https://"+westHost+keysPath, bad.URL)
	require.Equal(t, "failed", bad.State)
	require.Equal(t, "tls", bad.Error)
	require.Equal(t, "expired", bad.Certificate.Flaw)
	require.WithinDuration(t, time.Now().Add(expired), bad.Certificate.Expires, time.Minute)
	require.Len(t, a.Accepts, 2)
	for _, k := range a.Accepts {
		require.Equal(t, "https://"+updatedHost+"/"+poolID, k.Issuer)
		require.Equal(t, []string{east, west}, k.Regions)
	}
	require.Equal(t, []string{eastHost + ":443", updatedHost + ":443"}, a.Losses[0].Hosts)
	require.Equal(t, []string{westHost + ":443"}, a.Losses[1].Hosts)
	require.Len(t, a.Losses[0].Start, 2)
	require.Empty(t, a.Losses[0].Running)
	require.Equal(t, "keys_unavailable", a.Losses[0].Start[0].Answer)
	require.Equal(t, "2 keys of tokens that other regions issue, too, answered keys_unavailable", a.has("loss_start")[0].Detail)
	require.Contains(t, people.out, "keys     https://"+westHost+keysPath+": no keys (tls), certificate expired\n")
	require.Contains(t, people.out, "lose       us-east-1 ("+eastHost+":443, "+updatedHost+":443)\n"+
		"  start    a service that starts misses 2 of the keys above, each counted under its issuer\n"+
		"  running  a service that is running has every key above\n")
	require.Contains(t, people.out, w.KeyID(west)+" RS256 us-east-1, us-west-2, thumbprint ")
	require.Contains(t, people.errors, "https://"+westHost+keysPath+": its certificate is not good: expired, ")
	require.Contains(t, people.errors, "https://"+eastHost+keysPath+": answered OK, ")
	quiet := tool{}.run(t, append(append([]string{"check"}, poolFlags("updated", "--quiet")...), d.flags...)...)
	require.Equal(t, 1, quiet.code)
	require.Empty(t, quiet.errors)
}

// What the drill foretells comes true: the region is really lost, and the caches of real services asked, of which one starts
// then and one was running. The mirrors agree, or one lags behind a rotation.
func TestDrillForetells(t *testing.T) {
	t.Parallel()
	for _, c := range []fakeissuer.Config{
		{Mode: issuer.CognitoOriginal},
		{Mode: issuer.CognitoUpdated},
		{Mode: issuer.CognitoAny},
		{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"},
		{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", Discovery: true},
		{Layout: fakeissuer.OneIssuer, Algorithm: "ES256"},
		{Layout: fakeissuer.OneIssuerSharedKeys, Algorithm: "ES256"},
		{Layout: fakeissuer.OneIssuer, Algorithm: "EdDSA", Regions: []string{east, west, "eu-west-1"}},
	} {
		for _, lagging := range []string{"", east, west} {
			for _, lost := range []string{east, west} {
				t.Run(fmt.Sprintf("layout %d, mode %v, %d regions, lagging %s, lost %s", c.Layout, c.Mode, len(c.Regions), lagging, lost), func(t *testing.T) {
					t.Parallel()
					w := fakeissuer.New(t, c)
					if lagging != "" {
						w.Lag(lagging)
						w.Rotate(west)
					}
					foretells(t, w, lost)
				})
			}
		}
	}
}

func foretells(t *testing.T, w *fakeissuer.Server, lost string) {
	t.Helper()
	d := newDrilled(t, w, nil)
	a := decode[drillAnswer](t, tool{}.run(t, append(append([]string{"check", "--json"}, d.flags...), d.regionFlags()...)...).out)
	l := a.Losses[slices.Index(regionsOf(w), lost)]
	require.Equal(t, lost, l.Region)
	require.NotEmpty(t, a.Accepts)
	running := cacheOf(t, w)
	require.NoError(t, running.Preload(t.Context()))
	w.Break(lost)
	starting := cacheOf(t, w)
	_ = starting.Preload(t.Context()) // the lost region may have been all that it has
	for _, k := range a.Accepts {
		for name, one := range map[string]struct {
			cache    *jwks.Cache
			foretold []drillKey
		}{"starting": {starting, l.Start}, "running": {running, l.Running}} {
			r := one.cache.Lookup(t.Context(), jwks.Query{Issuer: k.Issuer, KeyID: k.Kid})
			has := slices.ContainsFunc(r.Keys, func(key *jwks.Key) bool { return key.Thumbprint() == k.Thumbprint })
			misses := slices.ContainsFunc(one.foretold, func(m drillKey) bool {
				return m.Issuer == k.Issuer && m.Kid == k.Kid && m.Thumbprint == k.Thumbprint
			})
			require.Equal(t, !misses, has, "%s: %s %s: %v", name, k.Issuer, k.Kid, r.Err)
		}
	}
}

func regionsOf(w *fakeissuer.Server) (names []string) {
	for _, r := range w.Provider().Regions {
		names = append(names, r.Name)
	}
	return names
}

func cacheOf(t *testing.T, w *fakeissuer.Server) *jwks.Cache {
	t.Helper()
	c, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	return c
}

// The page for people lists every code, with what the tool says of it.
func TestDrillDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "drill.md"))
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (error|warning|info) \\| (.+) \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1)
	documented := map[string][3]string{}
	for _, row := range rows {
		documented[row[1]] = [3]string{row[2], row[3], row[4]}
	}
	require.Equal(t, drill.Codes(), documented)
}
