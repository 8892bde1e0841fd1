package main_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	main "github.com/regionjwt/regionjwt/cmd/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

// Servers may send anything: the drill ends in time, reads no more than a verifier would, follows nobody, and writes nothing
// that could do something to a terminal.
func TestDrillOfHostileServers(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for chunk := strings.Repeat(" ", 1<<16); r.Context().Err() == nil; {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}
	for name, test := range map[string]struct {
		handler func(t *testing.T, d *drilled) http.HandlerFunc
		says    string // what is said of the URL
	}{
		"50 MB": {func(*testing.T, *drilled) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "52428800")
				for i := 0; i < 50 && r.Context().Err() == nil; i++ {
					_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
				}
			}
		}, "too_large"},
		"50 MB that never come": {func(*testing.T, *drilled) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "52428800")
				_, _ = io.WriteString(w, "{")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
		}, "too_large"},
		"endless": {func(*testing.T, *drilled) http.HandlerFunc { return endless }, "too_large"},
		"a zip bomb": {func(*testing.T, *drilled) http.HandlerFunc {
			var bomb bytes.Buffer
			z := gzip.NewWriter(&bomb)
			_, _ = io.WriteString(z, strings.Repeat(" ", 16<<20))
			_ = z.Close()
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(bomb.Bytes())
			}
		}, "too_large"},
		"headers without end": {func(*testing.T, *drilled) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				for i := range 3000 {
					w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("y", 100))
				}
			}
		}, "network"},
		"redirect": {func(t *testing.T, _ *drilled) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					t.Error("followed")
				}
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
			}
		}, "status 302"},
		"html": {func(*testing.T, *drilled) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = io.WriteString(w, "<html>"+hostile)
			}
		}, "html"},
		"controls": {func(*testing.T, *drilled) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, hostile) }
		}, "malformed"},
		"an odd status": {func(*testing.T, *drilled) http.HandlerFunc { return status(999) }, "status 999"},
		"no HTTP": {func(*testing.T, *drilled) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					_, _ = io.WriteString(conn, "HTTP/1.1 "+hostile+"\r\n\r\n")
					_ = conn.Close()
				}
			}
		}, "network"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, flags := updatedPool(t)
			d.instead(westHost, test.handler(t, d))
			began := time.Now()
			a, _ := check(t, 1, flags...)
			require.Less(t, time.Since(began), 20*time.Second)
			require.Equal(t, test.says, a.has("url_down")[0].Detail)
			d.instead(updatedHost+metaPath, test.handler(t, d))
			a, _ = check(t, 1, flags...)
			require.Equal(t, test.says, a.has("discovery_down")[0].Detail)
		})
	}
}

// What servers name is quoted, escaped and bounded.
func TestDrillOfHostileNames(t *testing.T) {
	t.Parallel()
	d, flags := updatedPool(t)
	key := d.keysOf(t, "https://"+westHost+keysPath)[0]
	evil := map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "n": key["n"], "e": key["e"], "kid": hostile + strings.Repeat("k", 256-len(hostile))}
	d.serves(westHost+keysPath, setOf(t, key, evil))
	iss, err := json.Marshal(hostile + strings.Repeat("i", 100_000))
	require.NoError(t, err)
	d.serves(updatedHost+metaPath, `{"issuer":`+string(iss)+`,"jwks_uri":`+string(iss)+`}`)
	a, people := check(t, 1, flags...)
	require.Contains(t, a.codes("error"), "discovery_issuer us-east-1, us-west-2")
	require.Contains(t, a.codes("warning"), "discovery_unusable us-east-1, us-west-2")
	require.Less(t, len(people.out), 20_000)
	require.Len(t, a.Discovery[0].Names, 256)
	kids := a.Regions[1].KeySets[0].Keys
	require.Len(t, kids, 2)
	i := slices.IndexFunc(kids, func(k drillKey) bool { return strings.HasPrefix(k.Kid, hostile) })
	require.GreaterOrEqual(t, i, 0)
	require.Len(t, kids[i].Kid, 256)
	require.Contains(t, people.out, `\u001b[2J\u001b]0;owned\u0007\u009b31m\u202e\u200b\u007f`)
	var many []map[string]any
	for i := range 100 {
		many = append(many, map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "n": key["n"], "e": key["e"], "kid": fmt.Sprint(i)})
	}
	d.serves(westHost+keysPath, setOf(t, append(many[:99], key)...))
	a, people = check(t, 1, flags...)
	require.Len(t, a.Accepts, 100)
	require.Contains(t, people.out, "\n           and 80 more: see --json\n")
	require.Len(t, a.has("keys_differ")[0].Kids, 10)
}

func TestDrillUsage(t *testing.T) {
	t.Parallel()
	junk := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(junk, []byte("junk"), 0o600))
	eu := []string{"--issuer", "eu=https://idp.example"}
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"nobody":              {nil, "--issuer REGION=iss"},
		"both":                {append(poolFlags("any"), eu...), "not both"},
		"URLs of a pool":      {append(poolFlags("any"), "--jwks", "us-east-1=https://x.example"), "are known"},
		"wrong pool":          {[]string{"--user-pool", "x"}, "{region}"},
		"wrong mode":          {poolFlags("new"), "original, updated or any"},
		"issuer, no region":   {[]string{"--issuer", "https://idp.example/a=b"}, "REGION=iss"},
		"issuer, no URL":      {[]string{"--issuer", "eu=idp"}, "not an https URL"},
		"keys of nobody":      {append(eu, "--jwks", "us=https://x.example"), "--jwks is REGION=URL"},
		"keys over http":      {append(eu, "--jwks", "eu=http://x.example/keys"), "https is required"},
		"wrong host":          {append(eu, "--insecure-http-host", "https://x"), "InsecureHTTPHosts"},
		"no time":             {append(eu, "--timeout", "0s"), "--timeout"},
		"no such file":        {append(eu, "--ca", "/nonexistent"), "--ca: "},
		"no certificate":      {append(eu, "--ca", junk), "no certificate in PEM"},
		"resolve, no address": {append(eu, "--resolve", "idp.example:443"), "192.0.2.7"},
		"resolve, no port":    {append(eu, "--resolve", "idp.example=192.0.2.7"), "192.0.2.7"},
		"resolve to a name":   {append(eu, "--resolve", "idp.example:443=other.example"), "an IP address"},
		"stray argument":      {append(eu, "x"), "1 unexpected arguments"},
	} {
		r := tool{}.fails(t, 2, []string{test.says}, append([]string{"check"}, test.args...)...)
		require.Empty(t, r.out, name)
		r = tool{}.run(t, append([]string{"check", "--json"}, test.args...)...)
		require.InDelta(t, 2, decode[map[string]any](t, r.out)["exit_code"], 0, name)
	}
	help := tool{}.ok(t, "help", "check")
	require.Equal(t, help, tool{}.ok(t, "check", "-h"))
	for _, text := range []string{"--resolve HOST:PORT=ADDR", "--snapshots", "$REGIONJWT_USER_POOL", "Exit codes:\n  0 ", "something would break"} {
		require.Contains(t, help, text)
	}
	require.Contains(t, tool{}.ok(t, "help"), "\n  check ")
}

// The environment that inspect reads stands in for flags here, too, and plain http is for hosts that are named.
func TestDrillOverPlainHTTP(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	tl := tool{}.with("REGIONJWT_ISSUER", issuers(w), "REGIONJWT_PROVIDER", "shop")
	out := tl.ok(t, "check", "--snapshots", "--quiet")
	require.Contains(t, out, "provider   shop\n")
	require.Contains(t, out, "verdict    ready: nothing would break (0 errors, 0 warnings, 4 infos)")
	host := strings.TrimPrefix(w.Provider().Regions[0].JWKSURLs[0], "http://")
	address, path, _ := strings.Cut(host, "/")
	flags := []string{"check", "--issuer", "a=https://idp.example", "--jwks", "a=http://keys.example/" + path, "--resolve", "keys.example:80=" + address}
	flags = append(flags, "--resolve", "idp.example:443=127.0.0.1:1", "--json")
	a := decode[drillAnswer](t, tool{}.run(t, append(flags, "--insecure-http-host", "keys.example")...).out)
	require.Equal(t, "good", a.Regions[0].KeySets[0].State)
	require.Equal(t, []string{"keys.example:80"}, a.Losses[0].Hosts)
}

// Who interrupts it gets no verdict.
func TestDrillInterrupted(t *testing.T) {
	t.Parallel()
	d, flags := updatedPool(t)
	d.Hang(west)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var out, errs bytes.Buffer
	code := main.Run(ctx, append([]string{"check"}, flags...), cli.IO{
		In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" },
	})
	require.Equal(t, 3, code)
	require.Empty(t, out.String())
	require.Contains(t, errs.String(), "regionjwt check: it was interrupted")
}
