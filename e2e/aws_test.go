package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The hosts of a Cognito user pool with one replica.
const (
	east = "us-east-1"
	west = "us-west-2"
	pool = east + "_AbCdEf123"

	hostEast    = "cognito-idp.us-east-1.amazonaws.com"
	hostWest    = "cognito-idp.us-west-2.amazonaws.com"
	hostUpdated = "issuer-cognito-idp.us-east-1.amazonaws.com"

	issEast    = "https://" + hostEast + "/" + pool
	issWest    = "https://" + hostWest + "/" + pool
	issUpdated = "https://" + hostUpdated + "/" + pool
)

// domain is the host of a region's token endpoint.
func domain(region string) string { return "shop.auth." + region + ".amazoncognito.com" }

// aws is the public side of a user pool and its replica: the real host names, each with a TLS listener on loopback and a
// certificate of a CA made for the test. Each region has keys of its own, and a certified OpenID provider that signs with
// them and publishes them.
type aws struct {
	t     *testing.T
	ca    *testCA
	rings map[string]*ring // by region

	mu      sync.Mutex
	servers map[string]*httptest.Server // by host; a host without one refuses connections
	addrs   map[string]string           // of every host that ever listened
	tenants map[[2]string]http.Handler  // by host and first segment of the path
	grants  map[[2]string]http.Handler  // by the host of the token endpoint and iss
	fetches map[string]int              // of key sets, by host
}

// newAWS opens every host. The pool is in the original mode: the host of the updated one has nothing for it.
func newAWS(t *testing.T) *aws {
	t.Helper()
	a := &aws{
		t: t, ca: newTestCA(t), rings: map[string]*ring{east: newRing(t, "RS256"), west: newRing(t, "RS256")},
		servers: map[string]*httptest.Server{}, addrs: map[string]string{},
		tenants: map[[2]string]http.Handler{}, grants: map[[2]string]http.Handler{}, fetches: map[string]int{},
	}
	a.publish(hostEast, pool, newProvider(t, issEast, a.rings[east]))
	a.publish(hostWest, pool, newProvider(t, issWest, a.rings[west]))
	a.open(a.ca, hostEast, hostWest, hostUpdated, domain(east), domain(west))
	return a
}

// switchToUpdated has the host of the updated mode answer for the pool: one document for all regions.
func (a *aws) switchToUpdated(t *testing.T) {
	t.Helper()
	a.publish(hostUpdated, pool, newProvider(t, issUpdated, &ring{of: []*ring{a.rings[east], a.rings[west]}}))
}

// publish has a host serve a provider under a path.
func (a *aws) publish(host, tenant string, provider http.Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tenants[[2]string{host, tenant}] = provider
}

// open has hosts listen, each with a certificate of ca.
func (a *aws) open(ca *testCA, hosts ...string) {
	for _, host := range hosts {
		s := httptest.NewUnstartedServer(a.handler(host))
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(a.t, host)}, MinVersion: tls.VersionTLS12}
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust the certificate
		s.StartTLS()
		a.t.Cleanup(s.Close)
		a.mu.Lock()
		a.servers[host], a.addrs[host] = s, s.Listener.Addr().String()
		a.mu.Unlock()
	}
}

// close ends the listeners and the connections of hosts; later ones are refused.
func (a *aws) close(hosts ...string) {
	for _, host := range hosts {
		a.mu.Lock()
		s := a.servers[host]
		delete(a.servers, host)
		a.mu.Unlock()
		s.CloseClientConnections()
		s.Close()
	}
}

// handler answers for a host.
func (a *aws) handler(host string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		a.mu.Lock()
		provider := a.tenants[[2]string{host, tenant}]
		if strings.HasSuffix(r.URL.Path, "/jwks.json") {
			a.fetches[host]++
		}
		a.mu.Unlock()
		switch {
		case strings.HasPrefix(host, "shop.auth."):
			a.mintFor(host, r.URL.Query().Get("iss")).ServeHTTP(w, r)
		case provider != nil:
			http.StripPrefix("/"+tenant, provider).ServeHTTP(w, r)
		case host == hostUpdated:
			w.WriteHeader(http.StatusForbidden) // what Cognito says for a pool in the original mode
		default:
			http.NotFound(w, r)
		}
	})
}

// mintFor returns the provider behind the host of a token endpoint that writes iss into its tokens. In AWS the mode of
// the pool decides which that is; here the caller does, in the query.
func (a *aws) mintFor(host, iss string) http.Handler {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.grants[[2]string{host, iss}]
}

// fetched is how often a host was asked for keys.
func (a *aws) fetched(host string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetches[host]
}

// client is an ordinary HTTP client with two differences: it trusts the CA of the test alone, and whatever the port and
// the host, it dials the loopback listener of that host.
func (a *aws) client() *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		a.mu.Lock()
		local := a.addrs[host]
		a.mu.Unlock()
		if local == "" || port != "443" {
			return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
		}
		return new(net.Dialer).DialContext(ctx, network, local)
	}
	transport := &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: a.ca.pool(), MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// tokens is an answer of the token endpoint.
type tokens struct {
	Access string `json:"access_token"`
	ID     string `json:"id_token"`
}

// grant is a request for tokens.
type grant struct {
	client   string
	user     string // "" for a machine
	scope    string
	resource string // the audience; "" for none
}

// issue makes the provider of a region issue tokens that carry iss, over its token endpoint.
func (a *aws) issue(t *testing.T, region, iss string, g grant) tokens {
	t.Helper()
	host := domain(region)
	a.mu.Lock()
	if id := [2]string{host, iss}; a.grants[id] == nil {
		a.grants[id] = newProvider(t, iss, a.rings[region])
	}
	a.mu.Unlock()
	endpoint := "https://" + host + "/oauth2/token?iss=" + url.QueryEscape(iss)
	return requestTokens(t, a.client(), endpoint, g.client, form(g))
}

// form spells a grant as RFC 6749, section 4.4.2, and RFC 7523, section 2.1, have it.
func form(g grant) url.Values {
	f := url.Values{"grant_type": {"client_credentials"}}
	if g.user != "" {
		f = url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {g.user}}
	}
	for name, v := range map[string]string{"scope": g.scope, "resource": g.resource} {
		if v != "" {
			f.Set(name, v)
		}
	}
	return f
}

// requestTokens posts a request for tokens as RFC 6749, section 3.2, has it.
func requestTokens(t *testing.T, c *http.Client, endpoint, client string, form url.Values) (got tokens) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(client, secret)
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	require.NoError(t, json.Unmarshal(body, &got))
	return got
}

// authority is a certificate authority.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestCA(t *testing.T) *testCA {
	t.Helper()
	ca := &testCA{}
	template := template(t, "CA of one test")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	ca.cert, ca.key = certify(t, template, template, nil)
	return ca
}

// issue makes a certificate for a host.
func (ca *testCA) issue(t *testing.T, host string) tls.Certificate {
	t.Helper()
	leaf := template(t, host)
	leaf.DNSNames, leaf.ExtKeyUsage = []string{host}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	cert, key := certify(t, leaf, ca.cert, ca.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (ca *testCA) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

func template(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

// certify signs a certificate with the key of its parent, or with its own where there is none.
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
