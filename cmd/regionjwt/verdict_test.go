package main_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	servecmd "github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve"
	"github.com/regionjwt/regionjwt/configfile"
)

// verdict is a command about the shop.
func verdict(rest ...string) []string {
	return slices.Concat([]string{"failover", "verdict"}, shop, rest)
}

// monitored is a configuration of a service that believes the monitor alarms, whose key is made.
func monitored(t *testing.T, dir string) *configfile.File {
	t.Helper()
	tool{}.ok(t, "keygen", "--out", filepath.Join(dir, "alarms.key"))
	path := filepath.Join(dir, "regionjwt.json")
	require.NoError(t, os.WriteFile(path, []byte(`{
		"policies": [{"provider": {"id": "shop", "regions": [
			{"name": "eu", "issuers": ["https://eu.example"]}, {"name": "us", "issuers": ["https://us.example"]}]},
			"audience": {"audience": ["api"]}}],
		"failover": {"shop": {"automatic": true}},
		"monitors": {"fleet": "test", "keys": {"alarms": "alarms.key.pub"}, "stores": ["verdicts"]},
		"stores": {"verdicts": {"url": "dir:verdicts"}}
	}`), 0o600))
	f, err := configfile.Open(path, configfile.Options{})
	require.NoError(t, err)
	return f
}

// A verdict that the tool signs moves a service that has the key of the monitor, whether it is posted or in a store.
func TestAVerdictOfTheToolMovesAService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := monitored(t, dir)
	v := f.Validator()
	service := httptest.NewServer(servecmd.StatusHandler(v, http.NotFoundHandler()))
	defer service.Close()
	tl := tool{}.with("REGIONJWT_SIGN_KEY", filepath.Join(dir, "alarms.key"), "REGIONJWT_FLEET", "test", "REGIONJWT_MONITOR", "alarms")
	post := func(text string) int {
		t.Helper()
		resp, err := http.Post(service.URL+"/verdicts", "application/jose", strings.NewReader(text))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, 204, post(tl.ok(t, verdict("us", "healthy")...)))
	require.Equal(t, "eu", v.Failover("shop").Active())
	require.Equal(t, 204, post(tl.ok(t, verdict("eu", "unhealthy")...)))
	require.Equal(t, "us", v.Failover("shop").Active())
	why := tl.ok(t, "failover", "why", service.URL)
	require.Contains(t, why, "eu was left because it was unhealthy: monitor alarms: a verdict of ")
	require.Contains(t, why, "monitor alarms: unhealthy, by a verdict that ends at ")
	require.Equal(t, 400, post(tl.ok(t, verdict("--fleet", "staging", "eu", "healthy")...)))
	signed := decode[map[string]string](t, tl.ok(t, verdict("--json", "eu", "unhealthy")...))
	require.Equal(t, 204, post(signed["verdict"]))

	out := tl.ok(t, verdict("--store", "dir:"+filepath.Join(dir, "verdicts"), "eu", "unhealthy")...)
	require.Contains(t, out, "the verdict is in dir:")
	data, _, err := f.Config().Monitors.Stores[0].Load(t.Context(), "regionjwt/verdict/alarms/shop/eu", "")
	require.NoError(t, err)
	require.NoError(t, v.Monitors().Accept(data))
}

// Monitors whose verdicts cannot arrive are a mistake.
func TestServeHasAWayForVerdicts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	monitored(t, dir)
	path := filepath.Join(dir, "regionjwt.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), `, "stores": ["verdicts"]`, "", 1)), 0o600))
	routes := filepath.Join(dir, "routes.json")
	require.NoError(t, os.WriteFile(routes, []byte(`{"routes": [{"path": "/"}]}`), 0o600))
	tool{}.fails(t, 2, []string{"no verdict of the monitors can arrive", "--status"},
		"serve", "--config", path, "--routes", routes, "--listen", "nginx=127.0.0.1:0")
}

// A verdict that no service would believe is not signed, and the error names the flag.
func TestVerdictsThatAreNotSigned(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	tl = tl.with("REGIONJWT_STORE", "", "REGIONJWT_MONITOR", "alarms")
	tl.fails(t, 2, []string{"give the name of a region, and healthy or unhealthy"}, verdict("eu")...)
	tl.fails(t, 2, []string{"give the name of a region, and healthy or unhealthy"}, verdict("eu", "down")...)
	tl.fails(t, 2, []string{"no region asia", "eu, us"}, verdict("asia", "healthy")...)
	tl.fails(t, 2, []string{"--ttl is from 1ms to 2m"}, verdict("--ttl", "3m", "eu", "healthy")...)
	tl.fails(t, 2, []string{"--ttl"}, verdict("--ttl", "1us", "eu", "healthy")...)
	tl.fails(t, 2, []string{"the name of a monitor"}, verdict("--monitor", "Alarms", "eu", "healthy")...)
	tl.fails(t, 2, []string{"--monitor, --fleet and --sign-key"}, verdict("--fleet", "", "eu", "healthy")...)
	tl.fails(t, 2, []string{"--sign-key: "}, verdict("--sign-key", filepath.Join(dir, "key.pub"), "eu", "healthy")...)
	tl.fails(t, 2, []string{"--provider"}, "failover", "verdict", "--issuer", "eu=https://eu.example", "eu", "healthy")
	tl.fails(t, 2, []string{"--store is none of"}, verdict("--store", "nowhere", "eu", "healthy")...)
	tl.fails(t, 4, []string{"the verdict was not written"}, verdict("--store", "redis://127.0.0.1:1/0", "eu", "healthy")...)
}
