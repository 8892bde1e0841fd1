package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// installed installs what the programs in idp need, once, and says what is missing where it cannot.
var installed = sync.OnceValue(func() error {
	const needs = "e2e needs node 20 or later and npm: "
	version, err := exec.Command("node", "--version").Output()
	if err != nil {
		return fmt.Errorf(needs+"node --version: %w", err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(version)), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < 20 {
		return fmt.Errorf(needs+"this node is %s", version)
	}
	missing := slices.ContainsFunc([]string{"ajv", "aws-jwt-verify", "cognito-local", "oauth4webapi", "oidc-provider"}, func(name string) bool {
		_, err := os.Stat("idp/node_modules/" + name + "/package.json")
		return err != nil
	})
	if !missing {
		return nil
	}
	npm := exec.Command("npm", "ci", "--no-audit", "--no-fund")
	npm.Dir = "idp"
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf(needs+"npm ci: %w\n%s", err, out)
	}
	return nil
})

// process is an issuer, or a client, in a process of the operating system. It reads commands from stdin and writes answers to
// stdout, both as one JSON object a line.
type process struct {
	issuer string
	kid    string // of the key in use

	cmd   *exec.Cmd
	stdin io.Writer
	lines chan []byte // of stdout; closed at its end
	log   *bytes.Buffer
	ended sync.Once
}

// answer is a line of the process: see idp/region.js.
type answer struct {
	Event, Issuer, Kid, Token, Region string
	Status                            int
	Keys                              json.RawMessage
	Tokens                            map[string]string
}

// start runs a region that signs with alg and waits until it is ready. An empty port means any.
func start(t *testing.T, alg, port string) *process {
	t.Helper()
	require.NoError(t, installed())
	p := launch(t, "idp", nil, "node", "region.js", alg, port)
	ready := p.read(t, "ready")
	p.issuer, p.kid = ready.Issuer, ready.Kid
	return p
}

// launch runs a program in dir with environment variables beside those of this process. It ends with the test.
func launch(t *testing.T, dir string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), lines: make(chan []byte, 16), log: &bytes.Buffer{}}
	p.cmd.Dir, p.cmd.Stderr = dir, p.log
	p.cmd.Env = append(os.Environ(), env...)
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- bytes.Clone(s.Bytes())
		}
	}()
	t.Cleanup(p.kill)
	return p
}

// read waits for the next line, which has to be of one event.
func (p *process) read(t *testing.T, event string) (a answer) {
	t.Helper()
	line := p.line(t)
	require.NoError(t, json.Unmarshal(line, &a), "%s", line)
	require.Equal(t, event, a.Event, "%s", line)
	return a
}

// line waits for the next line.
func (p *process) line(t *testing.T) []byte {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case line, ok := <-p.lines:
		if ok {
			return line
		}
	case <-limit.C:
	}
	p.kill()
	require.FailNow(t, "the process ended, or was silent for too long", "%s", p.log)
	return nil
}

func (p *process) ask(t *testing.T, event string, command map[string]any) answer {
	t.Helper()
	line, err := json.Marshal(command)
	require.NoError(t, err)
	_, err = p.stdin.Write(append(line, '\n'))
	require.NoError(t, err)
	return p.read(t, event)
}

// rotate puts a new key in use.
func (p *process) rotate(t *testing.T) {
	t.Helper()
	p.kid = p.ask(t, "rotated", map[string]any{"do": "rotate"}).Kid
}

// sign has the process sign claims with its own key, under any kid.
func (p *process) sign(t *testing.T, claims map[string]any, kid string) string {
	t.Helper()
	return p.ask(t, "signed", map[string]any{"do": "sign", "claims": claims, "kid": kid}).Token
}

// kill ends the process by SIGKILL, whatever it is doing, and waits until it is gone.
func (p *process) kill() {
	p.ended.Do(func() {
		_ = p.cmd.Process.Kill()
		for range p.lines { // until the end of stdout, as Wait demands
		}
		_ = p.cmd.Wait()
	})
}

// freeze stops the process by SIGSTOP and waits until it stands still: the kernel goes on taking connections for it, and
// nobody answers them.
func (p *process) freeze(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
	require.NoError(t, err)
	require.Equal(t, p.cmd.Process.Pid, pid)
	require.True(t, status.Stopped())
}

// thaw lets the process go on.
func (p *process) thaw(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
}

// token fetches a token by client credentials, over HTTP.
func (p *process) token(t *testing.T) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	raw := requestTokens(t, &http.Client{Transport: transport}, p.issuer+"/token", "machine", form(grant{scope: scope})).Access
	require.NotEmpty(t, raw)
	return raw
}

// port is where the process listens.
func (p *process) port(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(p.issuer)
	require.NoError(t, err)
	return u.Port()
}
