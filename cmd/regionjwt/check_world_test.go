package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
)

const (
	poolID      = "us-east-1_Testing01"
	eastHost    = "cognito-idp.us-east-1.amazonaws.com"
	westHost    = "cognito-idp.us-west-2.amazonaws.com"
	updatedHost = "issuer-cognito-idp.us-east-1.amazonaws.com"
)

// drilled is a fake provider behind real TLS listeners on loopback, one for each of its host names.
type drilled struct {
	*fakeissuer.Server
	ca    *testCA
	flags []string // that lead check to the listeners

	mu     sync.Mutex
	answer map[string]http.Handler // by host and path, or by host: in place of the provider
}

// newDrilled serves a fake provider. The certificates last for as long as life says, 90 days where it says nothing.
func newDrilled(t *testing.T, w *fakeissuer.Server, life map[string]time.Duration) *drilled {
	t.Helper()
	ofCA, ok := life["CA"]
	if !ok {
		ofCA = 365 * 24 * time.Hour
	}
	d := &drilled{Server: w, ca: newCA(t, ofCA), answer: map[string]http.Handler{}}
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.ca.cert.Raw}), 0o600))
	d.flags = []string{"--ca", file, "--timeout", "10s"}
	for _, host := range hostsOf(w.Provider()) {
		lasts, ok := life[host]
		if !ok {
			lasts = 90*24*time.Hour + time.Hour
		}
		s := httptest.NewUnstartedServer(d.handler(host))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{d.ca.issue(t, host, lasts)}, MinVersion: tls.VersionTLS12}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		d.flags = append(d.flags, "--resolve", host+":443="+s.Listener.Addr().String())
	}
	t.Cleanup(w.Close) // first, so that no listener waits for a hanging request
	return d
}

// hostsOf lists the hosts that a provider names.
func hostsOf(a issuer.Provider) []string {
	hosts := map[string]bool{}
	for _, r := range a.Regions {
		for _, u := range append(slices.Clone(r.JWKSURLs), r.Issuers...) {
			host, _, _ := strings.Cut(strings.TrimPrefix(u, "https://"), "/")
			hosts[host] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

func (d *drilled) handler(host string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		other := d.answer[host+r.URL.Path]
		if other == nil {
			other = d.answer[host]
		}
		d.mu.Unlock()
		if other != nil {
			other.ServeHTTP(w, r)
			return
		}
		req := r.Clone(r.Context())
		req.URL.Scheme, req.URL.Host = "https", host
		resp, err := d.Client().Transport.RoundTrip(req)
		if err != nil {
			panic(http.ErrAbortHandler) // closes the connection
		}
		defer func() { _ = resp.Body.Close() }()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
}

// instead has a host, or one path of it, answer something else.
func (d *drilled) instead(where string, h http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer[where] = h
}

// serves has a host, or one path of it, answer with a document.
func (d *drilled) serves(where, body string) {
	d.instead(where, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	})
}

// body returns what a URL of the provider publishes.
func (d *drilled) body(t *testing.T, rawURL string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rawURL, nil)
	require.NoError(t, err)
	resp, err := d.Client().Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}

// regionFlags describe the provider's regions, as services would have them.
func (d *drilled) regionFlags() []string {
	var flags []string
	for _, r := range d.Provider().Regions {
		for _, iss := range r.Issuers {
			flags = append(flags, "--issuer", r.Name+"="+iss)
		}
		for _, u := range r.JWKSURLs {
			flags = append(flags, "--jwks", r.Name+"="+u)
		}
	}
	return flags
}

// drillAnswer is the document of check --json, as docs/drill.md describes it.
type drillAnswer struct {
	Verdict   string        `json:"verdict"`
	Provider  string        `json:"provider"`
	Regions   []drillRegion `json:"regions"`
	Discovery []drillURL    `json:"discovery"`
	Accepts   []drillKey    `json:"accepts"`
	Losses    []struct {
		Region  string     `json:"region"`
		Hosts   []string   `json:"hosts"`
		Start   []drillKey `json:"lost_at_start"`
		Running []drillKey `json:"lost_while_running"`
	} `json:"losses"`
	Findings []drillFinding `json:"findings"`
	Limits   []string       `json:"limits"`
}

type drillRegion struct {
	Name    string     `json:"name"`
	Issuers []string   `json:"issuers"`
	KeySets []drillURL `json:"key_sets"`
}

type drillURL struct {
	Region      string     `json:"region"`
	Regions     []string   `json:"regions"`
	Issuer      string     `json:"issuer"`
	URL         string     `json:"url"`
	From        string     `json:"discovered_from"`
	Used        bool       `json:"used_for_keys"`
	State       string     `json:"state"`
	Error       string     `json:"error"`
	Status      int        `json:"status"`
	Millis      int64      `json:"milliseconds"`
	Names       string     `json:"names_issuer"`
	KeysAt      string     `json:"jwks_uri"`
	Token       bool       `json:"token_endpoint"`
	Keys        []drillKey `json:"keys"`
	Certificate struct {
		Expires time.Time `json:"expires"`
		Days    int       `json:"days_left"`
		Flaw    string    `json:"flaw"`
	} `json:"certificate"`
	Skipped []struct {
		Key string `json:"key"`
		Why string `json:"why"`
	} `json:"skipped"`
}

type drillKey struct {
	Issuer     string   `json:"issuer"`
	Kid        string   `json:"kid"`
	Alg        string   `json:"alg"`
	Thumbprint string   `json:"thumbprint"`
	Regions    []string `json:"regions"`
	Answer     string   `json:"answer"`
}

type drillFinding struct {
	Level   string   `json:"level"`
	Code    string   `json:"code"`
	Region  string   `json:"region"`
	Issuer  string   `json:"issuer"`
	URL     string   `json:"url"`
	Host    string   `json:"host"`
	Kids    []string `json:"kids"`
	Detail  string   `json:"detail"`
	Meaning string   `json:"meaning"`
	Measure string   `json:"measure"`
}

// check runs check in both formats, which must agree, and hold nothing that could do something to a terminal.
func check(t *testing.T, code int, args ...string) (drillAnswer, result) {
	t.Helper()
	machine := tool{}.run(t, append([]string{"check", "--json"}, args...)...)
	people := tool{}.run(t, append([]string{"check"}, args...)...)
	for _, r := range []result{machine, people} {
		require.Equal(t, code, r.code, r.out+r.errors)
		require.False(t, strings.ContainsFunc(r.out+r.errors, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }))
		require.Less(t, len(r.out), 200_000)
	}
	require.Empty(t, machine.errors)
	d := json.NewDecoder(strings.NewReader(machine.out))
	d.DisallowUnknownFields() // the schema is all that there is
	var a drillAnswer
	require.NoError(t, d.Decode(&a), machine.out)
	for _, f := range a.Findings {
		if f.Code == "slow" { // one of the two runs may be
			continue
		}
		require.Contains(t, people.out, "\n"+f.Level+strings.Repeat(" ", 11-len(f.Level))+f.Code)
		require.NotEmpty(t, f.Meaning)
		require.NotEmpty(t, f.Measure)
	}
	levels := []string{"error", "warning", "info"}
	require.True(t, slices.IsSortedFunc(a.Findings, func(a, b drillFinding) int {
		return slices.Index(levels, a.Level) - slices.Index(levels, b.Level)
	}), "the worst first")
	require.NotEmpty(t, a.Limits)
	require.Contains(t, people.out, "\nverdict    "+strings.ReplaceAll(a.Verdict, "_", " "))
	return a, people
}

// codes lists the findings of a level, each with its region.
func (a drillAnswer) codes(levels ...string) []string {
	all := []string{}
	for _, f := range a.Findings {
		if slices.Contains(levels, f.Level) {
			one := f.Code
			if f.Region != "" {
				one += " " + f.Region
			}
			all = append(all, one)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// testCA is a certificate ofCA of one test.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, lasts time.Duration) *testCA {
	t.Helper()
	ca := &testCA{}
	template := certificateOf("CA of one test", lasts)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	ca.cert, ca.key = certify(t, template, template, nil)
	return ca
}

// issue makes a certificate for a host that ends after a time, or ended that long ago.
func (ca *testCA) issue(t *testing.T, host string, lasts time.Duration) tls.Certificate {
	t.Helper()
	leaf := certificateOf(host, lasts)
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{host}
	}
	cert, key := certify(t, leaf, ca.cert, ca.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func certificateOf(name string, lasts time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62)) // never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(lasts),
	}
}

func certify(t *testing.T, c, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, key
}
