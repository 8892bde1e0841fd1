// Package proxies_test runs regionjwt serve behind nginx and Caddy, and with the protocol of Envoy, by the files of docs/serve.
package proxies_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

const (
	east     = "us-east-1"
	west     = "us-west-2"
	patience = 30 * time.Second
	files    = "../../docs/serve"
)

// program is cmd/regionjwt, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "regionjwt")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir, ".")
	build.Dir = filepath.Join("..", "..", "cmd", "regionjwt")
	_, err = build.CombinedOutput()
	return filepath.Join(dir, "regionjwt"), err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// site is regionjwt serve, the proxies before it, and the application behind them.
type site struct {
	fake   *fakeissuer.Server
	dir    string // of all files and sockets
	status string // the address of the status page
	serve  *process
	app    *application
}

// application keeps the last request that it got.
type application struct {
	mu   sync.Mutex
	last *http.Request
}

// ServeHTTP implements http.Handler.
func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = r
	_, _ = io.WriteString(w, "application")
}

// take returns the last request, and forgets it.
func (a *application) take() *http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.last
	a.last = nil
	return r
}

// newSite starts everything. The keys are members of "keys" of the configuration.
func newSite(t *testing.T, fake *fakeissuer.Server, keys map[string]any) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "site") //nolint:usetesting // its path is short, as those of sockets are
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &site{fake: fake, dir: dir, app: &application{}}
	fake.Serve()
	s.configure(t, keys)
	s.serve = start(t, must(program()), "serve", "--config", s.path("regionjwt.json"), "--routes", s.path("routes.json"), "--grace", "5s",
		"--listen", "nginx=unix:"+s.path("nginx.sock"), "--listen", "caddy=unix:"+s.path("caddy.sock"),
		"--listen", "envoy=unix:"+s.path("envoy.sock"), "--status", "127.0.0.1:0", "--audit", s.path("audit.log"))
	for s.status == "" {
		if line := s.serve.line(t, `"msg":"listening"`); line["dialect"] == "status" {
			s.status = line["address"].(string)
		}
	}
	app := httptest.NewServer(s.app)
	t.Cleanup(app.Close)
	s.proxies(t, app.Listener.Addr().String())
	require.Eventually(t, func() bool { return s.get(t, "/health").StatusCode == 200 }, patience, 20*time.Millisecond)
	return s
}

func must(path string, err error) string {
	if err != nil {
		return "cannot be built: " + err.Error()
	}
	return path
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(t *testing.T, name, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(s.path(name), []byte(text), 0o600))
	return s.path(name)
}

// configure writes the files that regionjwt serve reads: the routes are those of the documentation.
func (s *site) configure(t *testing.T, keys map[string]any) {
	t.Helper()
	out, err := exec.Command(must(program()), "keygen", "--out", s.path("key")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	type m = map[string]any
	var regions []m
	for _, r := range s.fake.Provider().Regions {
		regions = append(regions, m{"name": r.Name, "issuers": r.Issuers, "jwksURLs": r.JWKSURLs})
	}
	doc, err := json.Marshal(m{
		"policies":   []m{{"provider": m{"id": "shop", "regions": regions}, "audience": m{"audience": []string{fakeissuer.Audience}}}},
		"keys":       keys,
		"stores":     m{"rules": m{"url": "dir:store", "fleet": "test", "publicKeys": []m{{"file": "key.pub"}}}},
		"revocation": m{"replica": m{"stores": []string{"rules"}}},
	})
	require.NoError(t, err)
	s.write(t, "regionjwt.json", string(doc))
	s.write(t, "routes.json", document(t, "routes.json"))
	require.NoError(t, os.Mkdir(s.path("store"), 0o700))
	s.tool(t, "revoke", "--provider", "shop", "--kid", "none", "--new-provider")
}

// document is a file of the documentation, with replacements that must all be there.
func document(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(files, name))
	require.NoError(t, err)
	for i := 0; i < len(pairs); i += 2 {
		require.Contains(t, string(text), pairs[i], name)
	}
	return strings.NewReplacer(pairs...).Replace(string(text))
}

// proxies starts nginx and Caddy as the documentation says, on sockets.
func (s *site) proxies(t *testing.T, app string) {
	t.Helper()
	s.write(t, "orders.conf", document(t, "nginx.conf", "listen 80;", "listen unix:"+s.path("public-nginx.sock")+";",
		"/run/regionjwt/nginx.sock", s.path("nginx.sock"), "127.0.0.1:8080", app))
	user := ""
	if os.Getuid() == 0 { // workers would be another user, who cannot reach the sockets of this test
		user = "user root;\n"
	}
	conf := s.write(t, "nginx.conf", user+"daemon off;\nworker_processes 1;\npid "+s.path("nginx.pid")+";\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path "+s.path("body")+";\nproxy_temp_path "+s.path("proxy")+";\nfastcgi_temp_path "+s.path("fastcgi")+
		";\nuwsgi_temp_path "+s.path("uwsgi")+";\nscgi_temp_path "+s.path("scgi")+";\ninclude "+s.path("orders.conf")+";\n}\n")
	start(t, "nginx", "-e", "stderr", "-p", s.dir, "-c", conf)
	caddyfile := s.write(t, "Caddyfile", "{\n\tadmin off\n\tauto_https off\n}\n"+document(t, "Caddyfile", ":80 {", ":80 {\n\tbind unix/"+s.path("public-caddy.sock"),
		"/run/regionjwt/caddy.sock", s.path("caddy.sock"), "127.0.0.1:8080", app))
	start(t, "caddy", "run", "--config", caddyfile, "--adapter", "caddyfile")
	for _, name := range []string{"nginx", "caddy"} {
		require.Eventually(t, func() bool {
			c, err := net.Dial("unix", s.path("public-"+name+".sock"))
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		}, patience, 10*time.Millisecond, name)
	}
}

// tool runs another command of the program.
func (s *site) tool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(must(program()), args...)
	cmd.Env = append(os.Environ(), "REGIONJWT_STORE=dir:"+s.path("store"), "REGIONJWT_SIGN_KEY="+s.path("key"), "REGIONJWT_FLEET=test")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// get reads from the status listener.
func (s *site) get(t *testing.T, path string) *http.Response {
	t.Helper()
	resp, err := http.Get("http://" + s.status + path)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

// process is a program that runs.
type process struct {
	cmd   *exec.Cmd
	lines chan string
	ended chan error
}

// start starts a program, and ends it with the test.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), lines: make(chan string, 1000), ended: make(chan error, 1)}
	out, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	p.cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	require.NoError(t, p.cmd.Start(), "%s: install nginx, caddy and Go", name)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case p.lines <- lines.Text():
			default:
			}
		}
		p.ended <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended: //nolint:errcheck // it was told to end
		case <-time.After(patience):
			_ = p.cmd.Process.Kill()
		}
	})
	return p
}

// line waits for a line of JSON with a text.
func (p *process) line(t *testing.T, text string) (line map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		select {
		case l := <-p.lines:
			if strings.Contains(l, text) {
				require.NoError(t, json.Unmarshal([]byte(l), &line))
				return line
			}
		case err := <-p.ended:
			require.FailNow(t, "ended", "%v", err)
		case <-ctx.Done():
			require.FailNow(t, "no line", text)
		}
	}
}

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
