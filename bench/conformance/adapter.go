package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

// adapter is a program that serves a verifier.
type adapter struct {
	Name     string
	Language string
	Library  string   // with the versions
	command  []string // reads its port from the environment variable PORT
	dir      string
	tls      bool // it fetches keys over https only
	url      string
	local    *peers.Library // it is served by this process
	err      error          // why it cannot be run
}

// configuration is the body of POST /configure.
type configuration struct {
	ID         string         `json:"id"` // of the case or story, for the log of the adapter
	Issuers    []configIssuer `json:"issuers"`
	Audience   []string       `json:"audience"`
	Algorithms []string       `json:"algorithms"`
	Leeway     int            `json:"leeway"`
	Refresh    int            `json:"refresh,omitempty"`
	Types      []string       `json:"types,omitempty"`
	Scopes     []string       `json:"scopes,omitempty"`
	Revoked    []string       `json:"revoked,omitempty"`
	Profile    string         `json:"profile,omitempty"`
}

type configIssuer struct {
	Issuer   string   `json:"issuer"`
	JWKSURI  string   `json:"jwks_uri"`
	Region   string   `json:"region,omitempty"`
	Audience []string `json:"audience,omitempty"`
}

// answer is the body of both answers.
type answer struct {
	Result      string   `json:"result,omitempty"`
	Detail      string   `json:"detail,omitempty"`
	Unsupported []string `json:"unsupported,omitempty"`
}

// process is a running adapter.
type process struct {
	url    string
	client *http.Client
	cmd    *exec.Cmd
	local  *http.Server
	log    *tail
	ended  chan struct{}
	stop   sync.Once
}

// tail keeps the end of what a process writes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-4000):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

var errSilent = errors.New("the adapter does not answer")

// start runs the adapter and waits until it listens. Another process may take the port that was free: it is tried with three.
func (a *adapter) start(ctx context.Context, roots string) (p *process, err error) {
	for range 3 {
		if p, err = a.startOnce(ctx, roots); !errors.Is(err, errSilent) {
			break
		}
	}
	return p, err
}

func (a *adapter) startOnce(ctx context.Context, roots string) (*process, error) {
	if a.err != nil {
		return nil, a.err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	transport.Proxy, transport.MaxIdleConnsPerHost = nil, 256
	p := &process{url: a.url, client: &http.Client{Transport: transport, Timeout: 40 * time.Second}, ended: make(chan struct{})}
	if a.url != "" {
		return p, nil
	}
	if a.local != nil {
		return p, p.serve(ctx, *a.local)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	p.url, p.log = "http://127.0.0.1:"+port, &tail{}
	p.cmd = exec.CommandContext(ctx, a.command[0], a.command[1:]...) //nolint:gosec // a command of the table
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = a.dir, p.log, p.log
	p.cmd.Env = append(os.Environ(), "PORT="+port, "NODE_EXTRA_CA_CERTS="+roots, "SSL_CERT_FILE="+roots, "NO_PROXY=127.0.0.1")
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
		if err == nil {
			return p, conn.Close()
		}
		again := time.NewTimer(50 * time.Millisecond)
		select {
		case <-again.C:
			continue
		case <-ctx.Done():
		case <-p.ended:
		case <-limit.C:
		}
		again.Stop()
		p.close()
		return nil, fmt.Errorf("%w: %s", errSilent, p.log)
	}
}

// serve serves a library in this process.
func (p *process) serve(ctx context.Context, l peers.Library) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.url = "http://" + listener.Addr().String()
	p.local = &http.Server{Handler: newGoAdapter(l), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.local.Serve(listener) }()
	return nil
}

func (p *process) close() {
	p.stop.Do(func() {
		p.client.CloseIdleConnections()
		if p.local != nil {
			_ = p.local.Close()
		}
		if p.cmd != nil {
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	})
}

func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

var errStatus = errors.New("the adapter answered with another status than 200")

// post sends a request to the adapter.
func (p *process) post(ctx context.Context, path string, body any) (a answer, err error) {
	doc, err := json.Marshal(body)
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, bytes.NewReader(doc))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return a, err
	}
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("%w: %d %.200s", errStatus, resp.StatusCode, text)
	}
	return a, json.Unmarshal(text, &a)
}

// verify presents a token. An adapter that fails or does not answer gives "crash".
func (p *process) verify(ctx context.Context, token string) answer {
	a, err := p.post(ctx, "/verify", map[string]string{"token": token})
	var n net.Error
	switch {
	case errors.As(err, &n) && n.Timeout():
		return answer{Result: timeout, Detail: err.Error()}
	case err != nil:
		return answer{Result: crash, Detail: err.Error()}
	case !slices.Contains([]string{"accept", "invalid", "unavailable"}, a.Result):
		return answer{Result: crash, Detail: strconv.Quote(a.Result)}
	}
	return a
}

// Results of a verifier that fails.
const (
	crash   = "crash"
	timeout = "timeout"
)

// adapters lists all adapters: those for Go are this program.
func adapters() []adapter {
	var all []adapter
	self, err := os.Executable()
	for _, l := range peers.All() {
		all = append(all, adapter{
			Name: "go-" + slug(l.Name), Language: strings.Replace(runtime.Version(), "go", "Go ", 1),
			Library: strings.Join(versions(l.Modules), ", "), command: []string{self, "serve", l.Name}, err: err,
		})
	}
	node := func(name string, tls bool, packages ...string) {
		dir := filepath.Join("conformance", "adapters", "node")
		a := adapter{Name: "node-" + name, command: []string{"node", name + ".js"}, dir: dir, tls: tls}
		a.Language = program("node", "--version")
		a.Library, a.err = nodeVersions(dir, packages)
		all = append(all, a)
	}
	node("jose", false, "jose")
	node("aws-jwt-verify", true, "aws-jwt-verify")
	node("jsonwebtoken", false, "jsonwebtoken", "jwks-rsa")
	python := func(file, module, show string) {
		dir := filepath.Join("conformance", "adapters", "python")
		a := adapter{Name: "python-" + strings.ToLower(show), command: []string{pythonProgram, file}, dir: dir}
		a.Language = program(pythonProgram, "--version")
		a.Library, a.err = pythonVersion(module, show)
		all = append(all, a)
	}
	python("pyjwt_client.py", "jwt", "PyJWT")
	python("authlib_jose.py", "authlib", "Authlib")
	python("jwcrypto_jwt.py", "jwcrypto", "jwcrypto")
	return all
}

// program returns the name of a language with its version.
func program(args ...string) string {
	out, _ := exec.Command(args[0], args[1:]...).Output() //nolint:noctx,gosec // it ends at once; a word of the table
	version := strings.TrimSpace(string(out))
	if v, ok := strings.CutPrefix(version, "v"); ok {
		return "Node " + v
	}
	return version
}

// pythonProgram is Debian's, which finds Debian's packages.
const pythonProgram = "/usr/bin/python3"

func slug(name string) string { return strings.NewReplacer(" ", "-", "/", "-").Replace(name) }
