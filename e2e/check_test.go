package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// operator is the program of cmd/regionjwt.
type operator string

func buildOperator(t *testing.T) operator {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, ".")
	build.Dir = filepath.Join("..", "cmd", "regionjwt")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return operator(filepath.Join(dir, "regionjwt"))
}

// drilled is what check -json says, as far as it matters here.
type drilled struct {
	Verdict  string
	Findings []struct{ Level, Code, Region, Detail string }
	Accepts  []struct {
		Issuer, Kid string
		Regions     []string
	}
}

// drill runs check as an operator does, and demands an exit code.
func (o operator) drill(t *testing.T, code int, flags ...string) (got drilled) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, string(o), append([]string{"check", "--json"}, flags...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "HTTPS_PROXY=http://127.0.0.1:1") // -resolve and loopback hosts go past it
	err := cmd.Run()
	var exit *exec.ExitError
	if code != 0 {
		require.ErrorAs(t, err, &exit)
		require.Equal(t, code, exit.ExitCode(), "%s%s", &stdout, &stderr)
	} else {
		require.NoError(t, err, "%s%s", &stdout, &stderr)
	}
	require.Empty(t, stderr.String())
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &got))
	return got
}

// codes lists the findings of a level.
func (d drilled) codes(level string) []string {
	all := []string{}
	for _, f := range d.Findings {
		if f.Level == level && f.Code != "no_token_endpoint" {
			all = append(all, strings.TrimSpace(f.Code+" "+f.Region))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Two processes, each an issuer with keys of its own: services that keep snapshots can lose either.
func TestCheckProcesses(t *testing.T) {
	t.Parallel()
	tool := buildOperator(t)
	eastern, western := start(t, "RS256", ""), start(t, "ES256", "")
	flags := []string{"--issuer", east + "=" + eastern.issuer, "--issuer", west + "=" + western.issuer, "--snapshots", "--timeout", "4s"}
	healthy := tool.drill(t, 0, flags...)
	require.Equal(t, "ready", healthy.Verdict)
	require.Empty(t, healthy.codes("error"))
	require.Empty(t, healthy.codes("warning"))
	require.Equal(t, []string{"snapshot_needed " + east, "snapshot_needed " + west}, healthy.codes("info"))
	kids := map[string]string{}
	for _, k := range healthy.Accepts {
		kids[k.Issuer] = k.Kid
	}
	require.Equal(t, map[string]string{eastern.issuer: eastern.kid, western.issuer: western.kid}, kids)

	without := tool.drill(t, 1, slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return f == "--snapshots" })...)
	require.Equal(t, []string{"loss_start " + east, "loss_start " + west}, without.codes("error"))

	named := tool.drill(t, 1, "--issuer", east+"="+strings.Replace(eastern.issuer, "127.0.0.1", "localhost", 1),
		"--issuer", west+"="+western.issuer, "--snapshots")
	require.Equal(t, []string{"discovery_issuer " + east, "region_unavailable " + east}, named.codes("error"))

	western.freeze(t)
	dark := tool.drill(t, 1, flags...)
	require.Equal(t, []string{"region_unavailable " + west}, dark.codes("error"))
	require.Equal(t, []string{"discovery_down " + west}, dark.codes("warning"))
	western.thaw(t)
	require.Equal(t, "ready", tool.drill(t, 0, flags...).Verdict)
	western.kill()
	require.Equal(t, []string{"region_unavailable " + west}, tool.drill(t, 1, flags...).codes("error"))
	eastern.kill()
	require.Equal(t, "cannot_tell", tool.drill(t, 3, flags...).Verdict)
}

// A user pool and its replica, under their real host names, over TLS.
func TestCheckUserPool(t *testing.T) {
	t.Parallel()
	tool := buildOperator(t)
	for name, c := range map[string]struct {
		flags            []string
		spoil            func(t *testing.T, world *aws)
		expired          []string // hosts
		code             int
		errors, warnings []string
	}{
		"healthy": {},
		"keys that differ": {
			spoil: func(t *testing.T, world *aws) {
				t.Helper()
				world.publish(hostWest, pool, newProvider(t, issWest, world.rings[west]))
			},
			code: 1, errors: []string{"loss_start " + east, "loss_start " + west},
			warnings: []string{"keys_differ " + east + ", " + west, "keys_inconsistent " + west},
		},
		"the replica is dark": {
			spoil: func(_ *testing.T, world *aws) { world.close(hostWest) },
			code:  1, errors: []string{"loss_start " + east}, warnings: []string{"region_hosts_unavailable " + west, "url_down " + west},
		},
		"the primary is dark": {
			spoil: func(_ *testing.T, world *aws) { world.close(hostEast, hostUpdated) },
			code:  1, errors: []string{"loss_start " + west, "region_unavailable " + east},
			warnings: []string{"discovery_down " + east + ", " + west, "url_down " + east, "url_down " + west},
		},
		"wrong issuer in discovery": {
			spoil: func(t *testing.T, world *aws) {
				t.Helper()
				world.publish(hostUpdated, pool, newProvider(t, "https://idp.example/"+pool, world.rings[east]))
			},
			code: 1, errors: []string{"discovery_issuer " + east + ", " + west},
		},
		"expired certificate": {
			expired: []string{hostWest},
			code:    1, errors: []string{"loss_start " + east}, warnings: []string{"certificate_invalid", "region_hosts_unavailable " + west},
		},
		"403 alias": {
			flags: []string{"--cognito-mode", "any", "--snapshots"},
			spoil: func(_ *testing.T, world *aws) {
				world.publish(hostUpdated, pool, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusForbidden)
				}))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := newAWS(t)
			for host, iss := range map[string]string{hostWest: issWest, hostUpdated: issUpdated} { // replicated keys
				world.publish(host, pool, newProvider(t, iss, world.rings[east]))
			}
			if c.spoil != nil {
				c.spoil(t, world)
			}
			file := filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: world.ca.cert.Raw}), 0o600))
			flags := []string{"--user-pool", pool, "--replica", west, "--ca", file, "--certificate-days", "0"}
			addresses := maps.Clone(world.addrs)
			for _, host := range c.expired {
				addresses[host] = world.openExpired(t, host)
			}
			for host, address := range addresses {
				flags = append(flags, "--resolve", host+":443="+address)
			}
			if len(c.flags) == 0 {
				c.flags = []string{"--cognito-mode", "updated"}
			}
			got := tool.drill(t, c.code, append(flags, c.flags...)...)
			require.ElementsMatch(t, c.errors, got.codes("error"))
			require.ElementsMatch(t, c.warnings, got.codes("warning"))
			if name == "403 alias" {
				require.Contains(t, got.codes("info"), "not_enabled "+east)
				require.Contains(t, got.codes("info"), "not_enabled "+west)
			}
		})
	}
}

// openExpired has a host listen with a certificate that ended a minute ago.
func (a *aws) openExpired(t *testing.T, host string) (address string) {
	t.Helper()
	leaf := template(t, host)
	leaf.DNSNames, leaf.ExtKeyUsage = []string{host}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leaf.NotAfter = time.Now().Add(-time.Minute)
	cert, key := certify(t, leaf, a.ca.cert, a.ca.key)
	s := httptest.NewUnstartedServer(a.handler(host))
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12,
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}
