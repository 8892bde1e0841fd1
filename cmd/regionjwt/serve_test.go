package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	main "github.com/regionjwt/regionjwt/cmd/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

// buffer is safe for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serving is a run of serve.
type serving struct {
	dir  string
	log  *buffer
	stop func()
	code chan int
}

// files writes the two files of serve, for the tokens of w.
func serveFiles(t *testing.T, w *fakeissuer.Server) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "serve") //nolint:usetesting // its path is short, as those of sockets are
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var regions []map[string]any
	for _, r := range w.Provider().Regions {
		regions = append(regions, map[string]any{"name": r.Name, "issuers": r.Issuers, "jwksURLs": r.JWKSURLs})
	}
	doc, err := json.Marshal(map[string]any{"policies": []any{map[string]any{
		"provider": map[string]any{"id": "shop", "regions": regions}, "audience": map[string]any{"audience": []string{fakeissuer.Audience}},
	}}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "regionjwt.json"), doc, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "routes.yaml"), []byte("routes:\n- path: /orders/\n  scopes: [orders/read]\n"), 0o600))
	return dir
}

// serve starts the command.
func serve(t *testing.T, dir string, more ...string) *serving {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &serving{dir: dir, log: &buffer{}, stop: cancel, code: make(chan int, 1)}
	args := append([]string{"serve", "--config", filepath.Join(dir, "regionjwt.json"), "--routes", filepath.Join(dir, "routes.yaml")}, more...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.code <- main.Run(ctx, args, cli.IO{In: strings.NewReader(""), Out: s.log, Err: s.log, Getenv: func(string) string { return "" }})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	for !strings.Contains(s.log.String(), `"msg":"listening"`) {
		select {
		case <-ended:
			require.FailNow(t, s.log.String())
		case <-time.After(time.Millisecond):
		}
	}
	return s
}

func TestServeNamesTheListenerOfTheStatusPage(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	dir := serveFiles(t, w)
	s := serve(t, dir, "--listen", "nginx=unix:"+filepath.Join(dir, "s"), "--status", "127.0.0.1:0")
	require.Eventually(t, func() bool { return strings.Count(s.log.String(), `"msg":"listening"`) == 2 }, 5*time.Second, time.Millisecond)
	require.Contains(t, s.log.String(), `"dialect":"status"`)
	require.NotContains(t, s.log.String(), `"dialect":""`)
}

// ask asks about GET /orders/1 as nginx does.
func (s *serving) ask(t *testing.T, token string) (*http.Response, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "n.sock"))
	}}}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://regionjwt/", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("X-Original-URI", "/orders/1")
	req.Header.Set("X-Original-Method", "GET")
	resp, err := client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return resp, err
}

func TestServeRejectsWrongUsage(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	dir := serveFiles(t, w)
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string, mode os.FileMode) string {
		require.NoError(t, os.WriteFile(in(name), []byte(text), mode))
		require.NoError(t, os.Chmod(in(name), mode))
		return in(name)
	}
	config, routes := in("regionjwt.json"), in("routes.yaml")
	ready := []string{"--config", config, "--routes", routes}
	file := write("file", "x", 0o600)
	unknown := write("unknown.json", `{"policies": [{"provider": {"oidc": "https://a.example"}, "audience": {"audience": ["a"]}}],
		"stores": {"s": {"url": "dynamodb://table", "insecureTrust": true}}, "revocation": {"replica": {"stores": ["s"]}}}`, 0o600)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"nothing":             {nil, "give --config and --routes"},
		"no routes":           {[]string{"--config", config}, "give --config and --routes"},
		"no listener":         {ready, "give --listen"},
		"no dialect":          {append(ready, "--listen", "127.0.0.1:0"), "give nginx=ADDRESS"},
		"another dialect":     {append(ready, "--listen", "traefik=127.0.0.1:0"), "give nginx=ADDRESS"},
		"one for two":         {append(ready, "--listen", "nginx=127.0.0.1:1,caddy=127.0.0.1:1"), "one listener speaks one dialect"},
		"one for the page":    {append(ready, "--listen", "nginx=127.0.0.1:1", "--status", "127.0.0.1:1"), "one listener speaks one dialect"},
		"no address":          {append(ready, "--listen", "nginx=nowhere"), "missing port"},
		"relative socket":     {append(ready, "--listen", "nginx=unix:n.sock"), "must be absolute"},
		"not a socket":        {append(ready, "--listen", "nginx=unix:"+file), "is there, and not a socket"},
		"no directory":        {append(ready, "--listen", "nginx=unix:/nonexistent/n.sock"), "no such file"},
		"no grace":            {append(ready, "--listen", "nginx=127.0.0.1:0", "--grace", "0s"), "--grace must be positive"},
		"a store it has not":  {[]string{"--config", unknown, "--routes", routes, "--listen", "nginx=127.0.0.1:0"}, "dynamodb"},
		"no such file":        {[]string{"--config", config, "--routes", in("none"), "--listen", "nginx=127.0.0.1:0"}, "--routes: "},
		"a directory":         {[]string{"--config", config, "--routes", dir, "--listen", "nginx=127.0.0.1:0"}, "not a regular file"},
		"a file of others":    {[]string{"--config", config, "--routes", write("open.json", "{}", 0o666), "--listen", "nginx=127.0.0.1:0"}, "other users can change"},
		"a long file":         {[]string{"--config", config, "--routes", write("long.json", strings.Repeat(" ", 1<<20+1), 0o600), "--listen", "nginx=127.0.0.1:0"}, "more than 1048576 bytes"},
		"a mistake":           {[]string{"--config", config, "--routes", write("bad.json", `{"routes": [{}]}`, 0o600), "--listen", "nginx=127.0.0.1:0"}, "routes[0]: path is missing"},
		"no records":          {append(ready, "--listen", "nginx=127.0.0.1:0", "--audit-plain", "subject"), "need --audit"},
		"records of what":     {append(ready, "--listen", "nginx=127.0.0.1:0", "--audit", in("log"), "--audit-plain", "name"), `"name" is not one of`},
		"pseudonyms of what":  {append(ready, "--listen", "nginx=127.0.0.1:0", "--audit", in("log"), "--pseudonym-key", file), "pseudonym-key"},
		"an unexpected word":  {append(ready, "--listen", "nginx=127.0.0.1:0", "now"), "1 unexpected arguments"},
		"the file of another": {[]string{"--config", in("none"), "--routes", routes, "--listen", "nginx=127.0.0.1:0"}, "--config: "},
	} {
		r := tool{}.run(t, append([]string{"serve"}, c.args...)...)
		require.Equal(t, 2, r.code, "%s: %s", name, r.errors)
		require.Contains(t, r.errors, c.says, name)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "x", string(text), "what is not a socket stays")
}

// A socket that a killed process left behind is replaced, and one in use is not.
func TestServeReplacesAStaleSocket(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	dir := serveFiles(t, w)
	socket := filepath.Join(dir, "n.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	s := serve(t, dir, "--listen", "nginx=unix:"+socket)
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	r := tool{}.run(t, "serve", "--config", filepath.Join(dir, "regionjwt.json"), "--routes", filepath.Join(dir, "routes.yaml"), "--listen", "nginx=unix:"+socket)
	require.Equal(t, 2, r.code)
	require.Contains(t, r.errors, "another process listens")
	resp, err := s.ask(t, w.Issue(east, fakeissuer.Claims{}))
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
}

// Every request that a proxy sends is decided, whatever its request line: net/http answers one kind of them by itself, with 200.
func TestServeDecidesEveryRequestLine(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	dir := serveFiles(t, w)
	s := serve(t, dir, "--listen", "nginx=unix:"+filepath.Join(dir, "n.sock"))
	for _, line := range []string{
		"OPTIONS * HTTP/1.1", "OPTIONS / HTTP/1.1", "GET * HTTP/1.1", "GET //x/../ HTTP/1.0", "GET http://other/ HTTP/1.1", "CONNECT / HTTP/1.1",
		"CONNECT other:443 HTTP/1.1", "PRI * HTTP/1.1", "X /orders/1?a=%zz HTTP/1.1", "HEAD /health HTTP/1.1", "TRACE / HTTP/1.1",
	} {
		for _, more := range []string{"", "X-Original-Method: GET\r\nX-Original-URI: /orders/1\r\n"} {
			conn, err := new(net.Dialer).DialContext(t.Context(), "unix", filepath.Join(s.dir, "n.sock"))
			require.NoError(t, err)
			_, err = io.WriteString(conn, line+"\r\nHost: regionjwt\r\nConnection: close\r\n"+more+"\r\n")
			require.NoError(t, err)
			answer, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			require.Regexp(t, `^HTTP/1\.[01] (400|401) `, string(answer), line)
		}
	}
}

// A request that has begun is answered after SIGTERM.
func TestServeEndsWithoutLosingARequest(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	dir := serveFiles(t, w)
	s := serve(t, dir, "--listen", "nginx=unix:"+filepath.Join(dir, "n.sock"), "--listen", "envoy=unix:"+filepath.Join(dir, "e.sock"))
	conn, err := grpc.NewClient("unix:"+filepath.Join(dir, "e.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.Eventually(t, func() bool {
		r, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
		return err == nil && r.GetStatus() == healthpb.HealthCheckResponse_SERVING
	}, 30*time.Second, 10*time.Millisecond)
	resp, err := s.ask(t, w.Issue(west, fakeissuer.Claims{}))
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)

	w.Rotate(west)
	w.Slow(west, 300*time.Millisecond)
	before := w.Fetches(west)
	token := w.Issue(west, fakeissuer.Claims{})
	answered := make(chan int, 1)
	go func() {
		resp, err := s.ask(t, token)
		if err != nil {
			answered <- 0
			return
		}
		answered <- resp.StatusCode
	}()
	require.Eventually(t, func() bool { return w.Fetches(west) > before }, 30*time.Second, time.Millisecond, "the request waits for the new key")
	s.stop()
	require.Equal(t, 200, <-answered)
	require.Zero(t, <-s.code, s.log)
	require.Contains(t, s.log.String(), "shutting down")
}
