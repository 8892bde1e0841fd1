package proxies_test

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

func issuer(t *testing.T) *fakeissuer.Server {
	return fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.IssuerPerRegion})
}

// row is what a client gets, as the table of docs/serve.md has it.
type row struct{ status, challenge, retryAfter string }

// rows reads the table.
func rows(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile("../../docs/serve.md")
	require.NoError(t, err)
	all := map[string]row{}
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.Contains(line, "---") || strings.Contains(line, "what happened") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		if _, err := strconv.Atoi(cells[2]); err == nil {
			all[cells[1]] = row{cells[2], cells[3], cells[4]}
		}
	}
	return all
}

func (a answer) row() row {
	return row{strconv.Itoa(a.status), strings.Join(a.header.Values("WWW-Authenticate"), "; "), a.header.Get("Retry-After")}
}

// The client gets the same through each proxy, and it is what the documentation says.
func TestAnswersThroughProxies(t *testing.T) {
	t.Parallel()
	fake := issuer(t)
	fake.Break(west)
	s := newSite(t, fake, map[string]any{})
	good := fake.Issue(east, fakeissuer.Claims{Subject: "alice"})
	revoked := fake.Issue(east, fakeissuer.Claims{Subject: "mallory"})
	s.tool(t, "revoke", "--provider", "shop", "--subject", "mallory")
	want, tried := rows(t), map[string]bool{}
	require.Greater(t, len(want), 10)
	doors := s.doors(t)
	require.Eventually(t, func() bool { return doors["Envoy"](t, get("/orders/1", revoked)).status == 401 }, patience, 50*time.Millisecond)
	cases := map[string]request{
		"a good token":                                   get("/orders/1?q=%2f..", good),
		"an anonymous route":                             get("/assets/logo.svg", ""),
		"no token":                                       get("/orders/1", ""),
		"two Authorization headers":                      get("/orders/1", good, "authorization", "Bearer "+good),
		"a list of tokens":                               get("/orders/1", good+", Bearer "+good),
		"not a token":                                    get("/orders/1", "abc"),
		"a bad signature":                                get("/orders/1", fake.Issue(east, fakeissuer.Claims{Forged: true})),
		"an expired token":                               get("/orders/1", fake.Issue(east, fakeissuer.Claims{ExpiresIn: -time.Hour})),
		"a revoked token":                                get("/orders/1", revoked),
		"a scope is missing":                             {"POST", "/orders/1", get("", good).header},
		"a group is missing":                             get("/admin/", good),
		"a path that no route is for":                    get("/elsewhere", good),
		"a path that servers read in different ways":     get("/assets/..%2forders/1", good),
		"a header with another method or URI":            get("/orders/1", good, "X-Rewrite-URL", "/assets/x"),
		"a token of a region that never answered":        get("/orders/1", fake.Issue(west, fakeissuer.Claims{})),
		"an identity that cannot be written in a header": get("/orders/1", fake.Issue(east, fakeissuer.Claims{Subject: "alice root"})),
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		row, ok := want[name]
		require.True(t, ok, "%q has no row", name)
		tried[name] = true
		for proxy, ask := range doors {
			got := ask(t, cases[name])
			if proxy == "nginx" && name == "two Authorization headers" { // it rejects them by itself
				require.Equal(t, row.status, got.row().status)
				continue
			}
			require.Equal(t, row, got.row(), "%s: %s", proxy, name)
			require.Equal(t, row.status == "200", got.app != nil, "%s: %s", proxy, name)
			require.NotContains(t, got.header, "X-Auth-Subject", "%s: %s", proxy, name)
		}
	}
	delete(want, "too many unknown keys") // TestAFloodThroughProxies
	delete(want, "regionjwt serve does not run")
	require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(tried)))
}

// The application learns who sent a request, and nothing that clients say of themselves.
func TestIdentityThroughProxies(t *testing.T) {
	t.Parallel()
	fake := issuer(t)
	s := newSite(t, fake, map[string]any{})
	good := fake.Issue(east, fakeissuer.Claims{Subject: "alice", Scope: "orders/read orders/write"})
	forged := []string{
		"X-Auth-Subject", "root", "x-auth-subject", "root", "X_Auth_Subject", "root", "X-Auth_Subject", "root", "X_auth-Subject", "root",
		"X-Auth-Scopes", "admin", "X-Auth-Provider", "root",
	}
	identity := func(a answer) (all []string) {
		require.NotNil(t, a.app)
		for name, values := range a.app.Header {
			if c := strings.ReplaceAll(strings.ToLower(name), "_", "-"); strings.HasPrefix(c, "x-auth-") && strings.Join(values, "") != "" {
				all = append(all, c+"="+strings.Join(values, ","))
			}
		}
		slices.Sort(all)
		return all
	}
	for proxy, ask := range s.doors(t) {
		alice := []string{"x-auth-provider=shop", "x-auth-scopes=orders/read,orders/write", "x-auth-subject=alice"}
		require.Equal(t, alice, identity(ask(t, get("/orders/1", good))), proxy)
		require.Empty(t, identity(ask(t, get("/assets/x", good))), proxy)
		for name, c := range map[string]struct {
			r    request
			want []string
		}{
			"with a token": {get("/orders/1", good, forged...), alice},
			"anonymous":    {get("/assets/x", "", forged...), nil},
			"as hop by hop": {
				get("/orders/1", good, append(forged, "Connection", "close, X-Auth-Subject, X-Auth-Scopes, X-Forwarded-Uri, X-Original-URI")...), alice,
			},
			"hop by hop, anonymous": {get("/assets/x", "", append(forged, "Connection", "close, X-Auth-Subject, Authorization")...), nil},
		} {
			got := ask(t, c.r)
			if got.status == 400 {
				require.Nil(t, got.app, "%s: %s", proxy, name)
				continue
			}
			require.Equal(t, 200, got.status, "%s: %s", proxy, name)
			require.Equal(t, c.want, identity(got), "%s: %s", proxy, name)
		}
		// A client cannot say which request it is.
		for _, name := range []string{"X-Original-URI", "X-Original-Method", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Original-URL", "x_original_uri"} {
			got := ask(t, get("/orders/1", "", name, "/assets/x"))
			require.Contains(t, []int{400, 401}, got.status, "%s: %s", proxy, name)
			require.Nil(t, got.app, "%s: %s", proxy, name)
		}
		got := ask(t, get("/orders/1", "", "Connection", "close, X-Forwarded-Uri, X-Original-URI", "X-Forwarded-Uri", "/assets/x", "X-Original-URI", "/assets/x"))
		require.Nil(t, got.app, proxy)
	}
}

// Paths with which routes of other products were reached reach none here.
func TestHostilePathsThroughProxies(t *testing.T) {
	t.Parallel()
	s := newSite(t, issuer(t), map[string]any{})
	for proxy, ask := range s.doors(t) {
		for _, path := range []string{
			"/assets/../orders/1", "/assets/%2e%2e/orders/1", "/assets/..%2forders/1", "/assets/..;/orders/1", "/assets/..%5corders/1",
			`/assets/..\orders/1`, "/assets//../orders/1", "//orders/1", "/./orders/1", "/assets/%252e%252e/orders/1", "/%6frders/1",
			"/assets/.%2e/orders/1", "/assets/x%00/../../orders/1", "/ORDERS/1", "/assets/%c0%ae%c0%ae/orders/1", "/orders;/1",
			"http://app.example/orders/1", "http://app.example/assets/../orders/1", "/orders/1?/assets/x", "/orders/1#/assets/x",
		} {
			got := ask(t, get(path, ""))
			require.NotEqual(t, 200, got.status, "%s: %s", proxy, path)
			require.Nil(t, got.app, "%s: %s", proxy, path)
		}
	}
}

// A key that was rotated in verifies with the first request.
func TestRotationThroughProxies(t *testing.T) {
	t.Parallel()
	fake := issuer(t)
	s := newSite(t, fake, map[string]any{})
	for proxy, ask := range s.doors(t) {
		require.Equal(t, 200, ask(t, get("/orders/1", fake.Issue(east, fakeissuer.Claims{}))).status, proxy)
		fake.Rotate(east)
		require.Equal(t, 200, ask(t, get("/orders/1", fake.Issue(east, fakeissuer.Claims{}))).status, proxy)
	}
}

// A flood of unknown keys is answered with 429, and tokens of known keys pass.
func TestAFloodThroughProxies(t *testing.T) {
	t.Parallel()
	fake := issuer(t)
	s := newSite(t, fake, map[string]any{"unknownKeyInterval": "1h", "unknownKeyWait": "-1s"})
	good := fake.Issue(east, fakeissuer.Claims{})
	want := rows(t)["too many unknown keys"]
	doors := s.doors(t)
	n := 0
	flood := func() string {
		n++
		return fake.Issue(east, fakeissuer.Claims{Header: map[string]any{"kid": fmt.Sprint("unknown-", n)}})
	}
	require.Eventually(t, func() bool { return doors["Envoy"](t, get("/orders/1", flood())).status == 429 }, patience, time.Millisecond)
	for proxy, ask := range doors {
		got := ask(t, get("/orders/1", flood()))
		require.Equal(t, want.status, strconv.Itoa(got.status), proxy)
		require.NotEmpty(t, got.header.Get("Retry-After"), proxy)
		require.Empty(t, got.header.Get("WWW-Authenticate"), proxy)
		require.Equal(t, 200, ask(t, get("/orders/1", good)).status, proxy)
	}
}

// The status listener has what operators need; SIGTERM ends the process well, and without it no request passes.
func TestOperatingBehindProxies(t *testing.T) {
	t.Parallel()
	fake := issuer(t)
	s := newSite(t, fake, map[string]any{})
	doors := s.doors(t)
	delete(doors, "Envoy") // the call fails, and Envoy answers status_on_error
	good := fake.Issue(east, fakeissuer.Claims{Subject: "alice"})
	for proxy, ask := range doors {
		require.Equal(t, 200, ask(t, get("/orders/1", good)).status, proxy)
	}
	read := func(path string) string {
		body, err := io.ReadAll(s.get(t, path).Body)
		require.NoError(t, err)
		return string(body)
	}
	metrics := read("/metrics")
	for _, text := range []string{
		`regionjwt_serve_answers_total{http_response_status_code="200"`, `regionjwt_dialect="nginx"`, `regionjwt_dialect="caddy"`,
		"regionjwt_token_verifications_total", "regionjwt_key_sets",
	} {
		require.Contains(t, metrics, text)
	}
	require.NotContains(t, metrics, "alice")
	require.Equal(t, "ok\n", read("/live"))
	require.Contains(t, read("/status.json"), `"ready":true`)

	// Another file of routes, without a restart, and one with a mistake, which changes nothing.
	s.write(t, "routes.json", `{"routes": [{"path": "/", "scopes": ["other"]}]}`)
	require.NoError(t, s.serve.cmd.Process.Signal(syscall.SIGHUP))
	s.serve.line(t, "routes file is in effect")
	for proxy, ask := range doors {
		require.Equal(t, 403, ask(t, get("/orders/1", good)).status, proxy)
	}
	s.write(t, "routes.json", `{"routes": [{"path": "orders"}]}`)
	require.NoError(t, s.serve.cmd.Process.Signal(syscall.SIGHUP))
	require.Contains(t, s.serve.line(t, "routes file is not used")["problem"], "routes[0].path")
	for proxy, ask := range doors {
		require.Equal(t, 403, ask(t, get("/orders/1", good)).status, proxy)
	}

	require.NoError(t, s.serve.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-s.serve.ended)
	s.serve.ended <- nil
	records, err := os.ReadFile(s.path("audit.log"))
	require.NoError(t, err)
	require.Contains(t, string(records), `"outcome":"accepted"`)
	require.NotContains(t, string(records), "alice")
	_, err = os.Stat(s.path("nginx.sock"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, rows(t)["regionjwt serve does not run"].status, strconv.Itoa(doors["nginx"](t, get("/orders/1", good)).status))
	down := doors["Caddy"](t, get("/orders/1", good))
	require.Equal(t, 502, down.status)
	require.Nil(t, down.app)
}
