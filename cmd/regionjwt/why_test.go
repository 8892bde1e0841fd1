package main_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/verifier"
)

// moved is the status page of a service that has left a region.
func moved(t *testing.T) *httptest.Server {
	t.Helper()
	var regions []issuer.Region
	for _, name := range []string{"eu", "us"} {
		at := "https://" + name + ".example"
		regions = append(regions, issuer.Region{Name: name, Issuers: []string{at}, JWKSURLs: []string{at + "/jwks"}})
	}
	p := issuer.Provider{ID: "shop", Regions: regions}
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{Provider: p, Audience: verifier.Audience("https://api.example")}},
		Failover: map[string]failover.Config{"shop": {Automatic: true, Threshold: 1}},
	})
	require.NoError(t, err)
	v.Failover("shop").Report("us", "token", time.Now(), nil)
	v.Failover("shop").Report("eu", "token", time.Now(), errors.New("s3cret"))
	page := httptest.NewServer(http.StripPrefix("/status", statuspage.Handler(v, "")))
	t.Cleanup(page.Close)
	return page
}

// The tool explains a move from the URL of a status page, from a file, and from standard input.
func TestFailoverWhyExplainsAMove(t *testing.T) {
	t.Parallel()
	page := moved(t)
	var tl tool
	text := tl.ok(t, "failover", "why", page.URL+"/status/")
	for _, line := range []string{
		"shop: us is active since ", " (failed)\n",
		"  because eu was left because it was unhealthy: token: 1 failure in a row (other), of requests that began from ",
		"  because us was the first other region that was healthy\n",
		"  eu is unhealthy: token: 1 failure in a row (other)", "healthy after 1 success in a row of one reporter",
		"  us is healthy: token: successes since ",
		"  next: back to eu: when it is healthy (1 success in a row of one reporter of requests that began after ",
		"; not before its hold-down ends at ", "  next: away from us: if it becomes unhealthy",
	} {
		require.Contains(t, text, line)
	}
	require.NotContains(t, text, "s3cret")

	answer, err := http.Get(page.URL + "/status/status.json")
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	json, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "page.json")
	require.NoError(t, os.WriteFile(file, json, 0o600))
	require.Equal(t, text, tl.ok(t, "failover", "why", "--provider", "shop", file))
	tl.stdin = string(json)
	require.Equal(t, text, tl.ok(t, "failover", "why", "-"))
	shown := decode[[]failover.Status](t, tl.ok(t, "failover", "why", "--json", "-"))
	require.Equal(t, "us", shown[0].Active)
	require.Len(t, shown[0].Why, 2)
	require.NotEmpty(t, shown[0].Next)
}

// What is no status page, or has no such provider, is an error that says so.
func TestFailoverWhySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	page := moved(t)
	var tl tool
	tl.fails(t, 2, []string{"whose view?"}, "failover", "why")
	tl.fails(t, 2, []string{"has no command how"}, "failover", "how", "x")
	tl.fails(t, 1, []string{"no failover of provider nobody"}, "failover", "why", "--provider", "nobody", page.URL+"/status/")
	tl.fails(t, 2, []string{"is not the JSON of a status page"}, "failover", "why", page.URL+"/elsewhere")
	tl.fails(t, 2, []string{"no such file"}, "failover", "why", filepath.Join(t.TempDir(), "none"))
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	tl.fails(t, 3, []string{"refused"}, "failover", "why", down.URL)
	file := filepath.Join(t.TempDir(), "page.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"ready":true,"keys":[]}`), 0o600))
	tl.fails(t, 1, []string{"has no failover"}, "failover", "why", file)
	tl.stdin = "\u202e"
	tl.fails(t, 2, []string{"is not the JSON"}, "failover", "why", "-")
}
