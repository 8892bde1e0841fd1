package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// bind has a machine client get tokens that are bound to a key.
func bind(t *testing.T, client string, hedge time.Duration) func(*issuer.Provider, *clientcredentials.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return func(_ *issuer.Provider, c *clientcredentials.Config) {
		c.Credentials.ClientID, c.DPoPKey, c.Hedge = client, key, hedge
	}
}

// bound demands that a crowd gets one token of a region, and that a service which takes no other than bound ones takes it.
func (m *machine) bound(t *testing.T, url, region string) *clientcredentials.Token {
	t.Helper()
	began := time.Now()
	tokens, errs := m.crowd(t)
	took := time.Since(began)
	t.Logf("50 callers, token of %s: %v", region, took.Round(time.Millisecond))
	require.Less(t, took, patience)
	require.Empty(t, errs)
	require.Len(t, tokens, 1, "one round for all")
	transport, err := m.Transport(&http.Transport{DisableKeepAlives: true}, strings.TrimSuffix(url, "/orders"))
	require.NoError(t, err)
	status, header := fetch(t, &http.Client{Transport: transport}, url, "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, region, header.Get("Region"))
	for token := range tokens {
		require.Equal(t, region, token.Region())
		status, _ = fetch(t, http.DefaultClient, url, "DPoP "+token.Value())
		require.Equal(t, http.StatusUnauthorized, status, "the token is of no use without the key")
		return token
	}
	return nil
}

func fetch(t *testing.T, client *http.Client, url, authorization string) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, resp.Header
}

// A client to which oidc-provider gives tokens only with a proof is served by both regions: with one request for one token, or
// two where the first has to learn a nonce; and while the first region hangs, with one request to each.
func TestDPoPOnlyMachines(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "EdDSA", ""), start(t, "RS256", "")
	v := serve(t, eastern, western)
	for i, url := range []string{serveDPoP(t, v, false), serveDPoP(t, v, true)} {
		client, requests := []string{"bound", "challenged"}[i], []int{1, 2}[i]
		m := newMachine(t, eastern, western, bind(t, client, -1))
		m.bound(t, url, east)
		e, w := m.asked()
		require.Equal(t, []int{requests, 0}, []int{e, w}, client)

		bearer := newMachine(t, eastern, western, func(_ *issuer.Provider, c *clientcredentials.Config) {
			c.Credentials.ClientID, c.Hedge = client, -1
		})
		_, err := bearer.Token(t.Context())
		require.ErrorIs(t, err, clientcredentials.ErrRejected, client)
	}
	url := serveDPoP(t, v, true)
	eastern.freeze(t)
	m := newMachine(t, eastern, western, bind(t, "bound", 0))
	token := m.bound(t, url, west)
	e, w := m.asked()
	require.Equal(t, []int{1, 1}, []int{e, w})
	again, err := m.Token(t.Context())
	require.NoError(t, err)
	require.Same(t, token, again)
	eastern.thaw(t)
}

// Both regions have one token URL: whichever of its names is used, it is asked once for one token, hanging or not.
func TestNoTokenURLIsAskedTwice(t *testing.T) {
	t.Parallel()
	p := start(t, "ES256", "")
	m := newMachine(t, p, p, func(p *issuer.Provider, c *clientcredentials.Config) {
		p.Regions[1].TokenURL = strings.Replace(p.Regions[1].TokenURL, "http://", "HTTP://", 1)
		c.Hedge = time.Millisecond
	})
	tokens, errs := m.crowd(t)
	require.Empty(t, errs)
	require.Len(t, tokens, 1)
	e, w := m.asked()
	require.Equal(t, 1, e+w)
	p.freeze(t)
	m = newMachine(t, p, p, func(_ *issuer.Provider, c *clientcredentials.Config) { c.Hedge = time.Millisecond })
	_, errs = m.crowd(t)
	require.Len(t, errs, 50)
	for _, err := range errs {
		require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
	}
	e, w = m.asked()
	require.Equal(t, 1, e+w)
	p.thaw(t)
}

// standalone runs the program that developers use, and returns what takes the place of its regions.
func standalone(t *testing.T) (eastern, western *process, control func(path string)) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "serve")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/regionjwt/regionjwt/issuer/issuertest/serve").CombinedOutput()
	require.NoError(t, err, "%s", out)
	addresses := make([]string, 3)
	for i := range addresses {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		addresses[i] = l.Addr().String()
		require.NoError(t, l.Close())
	}
	p := launch(t, ".", nil, program, "-region", east+"="+addresses[0], "-region", west+"="+addresses[1], "-control", addresses[2],
		"-audience", api)
	for !strings.HasPrefix(string(p.line(t)), "control: ") {
	}
	return &process{issuer: "http://" + addresses[0]}, &process{issuer: "http://" + addresses[1]}, func(path string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addresses[2]+path, nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
	}
}

// The standalone fake provider serves a client whose tokens are bound, and loses a region on demand.
func TestStandaloneIssuer(t *testing.T) {
	t.Parallel()
	eastern, western, control := standalone(t)
	at := func(name string, p *process) issuer.Region {
		return issuer.Region{Name: name, Issuers: []string{p.issuer}, JWKSURLs: []string{p.issuer + "/.well-known/jwks.json"}}
	}
	v := &service{Validator: validator(t, nil, verifier.Policy{
		Provider: issuer.Provider{ID: "local", Regions: []issuer.Region{at(east, eastern), at(west, western)}}, Audience: verifier.Audience(api),
	})}
	url := serveDPoP(t, v, true)
	healthy := newMachine(t, eastern, western, bind(t, "machine", -1))
	healthy.bound(t, url, east)
	e, w := healthy.asked()
	require.Equal(t, []int{1, 0}, []int{e, w})
	for _, lost := range []string{"/hang/", "/break/"} {
		control(lost + east)
		m := newMachine(t, eastern, western, bind(t, "machine", 0))
		m.bound(t, url, west)
		e, w = m.asked()
		require.Equal(t, []int{1, 1}, []int{e, w}, lost)
		control("/restore/" + east)
	}
}
