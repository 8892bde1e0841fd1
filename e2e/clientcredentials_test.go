package e2e_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
)

// egress is the network of a machine client. It counts what goes to each region.
type egress struct {
	base    http.Transport
	regions map[string]string // by host and port

	mu       sync.Mutex
	requests map[string]int
}

func (e *egress) RoundTrip(req *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.requests[e.regions[req.URL.Host]]++
	e.mu.Unlock()
	return e.base.RoundTrip(req)
}

// asked returns the requests to each region since it was last called.
func (e *egress) asked() (eastern, western int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	eastern, western = e.requests[east], e.requests[west]
	clear(e.requests)
	return eastern, western
}

// machine is a client of both regions.
type machine struct {
	*clientcredentials.TokenSource
	*egress
}

func newMachine(t *testing.T, eastern, western *process, edit func(*issuer.Provider, *clientcredentials.Config)) *machine {
	t.Helper()
	e := &egress{
		requests: map[string]int{}, regions: map[string]string{"127.0.0.1:" + eastern.port(t): east, "127.0.0.1:" + western.port(t): west},
	}
	p := issuer.Provider{ID: "tenant", HTTPClient: &http.Client{Transport: e}, Regions: []issuer.Region{
		{Name: east, Issuers: []string{eastern.issuer}, TokenURL: eastern.issuer + "/token"},
		{Name: west, Issuers: []string{western.issuer}, TokenURL: western.issuer + "/token"},
	}}
	c := clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: "machine", Secret: secret}, Scopes: []string{scope},
	}
	if edit != nil {
		edit(&p, &c)
	}
	s, err := clientcredentials.New(p, c)
	require.NoError(t, err)
	t.Cleanup(e.base.CloseIdleConnections)
	return &machine{s, e}
}

// crowd has 50 callers at once ask for a token.
func (m *machine) crowd(t *testing.T) (tokens map[*clientcredentials.Token]int, errs []error) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	tokens = map[*clientcredentials.Token]int{}
	for range 50 {
		wg.Go(func() {
			tok, err := m.Token(t.Context())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			tokens[tok]++
		})
	}
	wg.Wait()
	return tokens, errs
}

// one demands that a crowd gets one token of a region, and that a service takes it for one of that region.
func (m *machine) one(t *testing.T, s *service, region string) *clientcredentials.Token {
	t.Helper()
	tokens, errs := m.crowd(t)
	require.Empty(t, errs)
	require.Len(t, tokens, 1, "one flight for all")
	for tok := range tokens {
		require.Equal(t, region, tok.Region())
		require.WithinDuration(t, time.Now().Add(10*time.Minute), tok.Expiry(), patience)
		require.Equal(t, region, accepted(t, s.Validator, tok.Value()).Region())
		return tok
	}
	return nil
}

// patiently has a region be asked only where the other one has failed: a busy machine is no outage.
func patiently(_ *issuer.Provider, c *clientcredentials.Config) { c.Hedge = -1 }

func TestMachineTokens(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "RS256", ""), start(t, "ES256", "")
	s := serve(t, eastern, western)
	healthy := newMachine(t, eastern, western, patiently)
	tok := healthy.one(t, s, east)
	e, w := healthy.asked()
	require.Equal(t, []int{1, 0}, []int{e, w})

	switched := newMachine(t, eastern, western, func(p *issuer.Provider, c *clientcredentials.Config) {
		patiently(p, c)
		controller, err := failover.New(*p, failover.Config{})
		require.NoError(t, err)
		require.NoError(t, controller.Pin(t.Context(), west, "", 0))
		c.Failover = controller
	})
	switched.one(t, s, west)

	// A wrong secret is a verdict: the other region, where it may be right, is not asked.
	wrong := newMachine(t, eastern, western, func(p *issuer.Provider, c *clientcredentials.Config) {
		patiently(p, c)
		right := c.Credentials
		c.Credentials = clientcredentials.Credentials{}
		c.CredentialsFunc = func(_ context.Context, region string) (clientcredentials.Credentials, error) {
			if region == east {
				return clientcredentials.Credentials{ClientID: "machine", Secret: "wr+ng"}, nil
			}
			return right, nil
		}
	})
	_, errs := wrong.crowd(t)
	require.Len(t, errs, 50)
	for _, err := range errs {
		require.ErrorIs(t, err, clientcredentials.ErrRejected)
		require.Equal(t, "clientcredentials: region us-east-1: rejected invalid_client", err.Error())
	}
	e, w = wrong.asked()
	require.Equal(t, []int{1, 0}, []int{e, w})

	// The east is killed, and something else answers 503 at its address; then nothing does.
	eastern.kill()
	for _, status := range []int{http.StatusServiceUnavailable, 0} {
		if status != 0 {
			var config net.ListenConfig
			listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:"+eastern.port(t))
			require.NoError(t, err)
			gateway := &httptest.Server{Listener: listener, Config: &http.Server{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }),
			}}
			gateway.Start()
			defer gateway.Close()
		}
		lost := newMachine(t, eastern, western, patiently)
		lost.one(t, s, west)
		e, w = lost.asked()
		require.Equal(t, []int{1, 1}, []int{e, w})
	}
	again, err := healthy.Token(t.Context())
	require.NoError(t, err)
	require.Same(t, tok, again, "the token in memory")
}

// One region hangs, and then the other, too: a caller with a token does not notice.
func TestMachineTokensHang(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "RS256", ""), start(t, "ES256", "")
	s := serve(t, eastern, western)
	eastern.freeze(t)
	var controller *failover.Controller
	m := newMachine(t, eastern, western, func(p *issuer.Provider, c *clientcredentials.Config) {
		var err error
		controller, err = failover.New(*p, failover.Config{})
		require.NoError(t, err)
		c.Failover = controller
	})
	began := time.Now()
	tok := m.one(t, s, west)
	t.Logf("50 callers, one region stopped by SIGSTOP: %v", time.Since(began).Round(time.Millisecond))
	require.Less(t, time.Since(began), patience)
	e, w := m.asked()
	require.Equal(t, []int{1, 1}, []int{e, w})
	eventually(t, func() bool { return len(controller.Status().Regions[0].Reports) == 1 })
	require.Contains(t, controller.Status().Regions[0].Reports[0], "token: unknown, 1 failure in a row (timeout), ")

	western.freeze(t)
	again, err := m.Token(t.Context())
	require.NoError(t, err)
	require.Same(t, tok, again)
	cold := newMachine(t, eastern, western, nil)
	_, errs := cold.crowd(t)
	require.Len(t, errs, 50)
	for _, err := range errs {
		require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
	}
	e, w = cold.asked()
	require.Equal(t, []int{1, 1}, []int{e, w})
	western.thaw(t)
	eventually(t, func() bool {
		tok, err := cold.Token(t.Context())
		return err == nil && tok.Region() == west
	})
}

// The east is lost with its keys, and comes back with new ones: a service that starts then refuses the token in memory, and the
// round tripper has the next one at once.
func TestMachineRequests(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "RS256", ""), start(t, "ES256", "")
	m := newMachine(t, eastern, western, patiently)
	old, err := m.Token(t.Context())
	require.NoError(t, err)
	eastern.kill()
	eastern = start(t, "RS256", eastern.port(t))
	s := serve(t, eastern, western)
	s.get(t, eastern.token(t), http.StatusOK, atOnce) // so that it knows the new keys
	transport, err := m.Transport(&http.Transport{DisableKeepAlives: true}, s.url)
	require.NoError(t, err)
	client := &http.Client{Transport: transport}
	get := func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/orders", nil)
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, east, resp.Header.Get("Region"))
	}
	// It comes to be certain that the old key is gone, which it is not at first: 503 until then, and never 401.
	eventually(t, func() bool {
		status, _ := s.request(t, http.MethodGet, old.Value())
		return status == http.StatusUnauthorized
	})
	m.asked()
	get()
	get()
	e, w := m.asked()
	require.Equal(t, []int{1, 0}, []int{e, w})
	fresh, err := m.Token(t.Context())
	require.NoError(t, err)
	require.NotSame(t, old, fresh)
}

// A certified provider takes what this client proves itself with: a secret in the body, and assertions of each kind of key.
func TestMachineCredentials(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	curve := func(c elliptic.Curve) crypto.Signer {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		require.NoError(t, err)
		return key
	}
	for name, c := range map[string]clientcredentials.Credentials{
		"basic": {Secret: secret}, // this provider does not decode it, as RFC 6749, section 2.3.1, has it
		"post":  {Secret: "s:e c+r%et&é", SecretInBody: true},
		"RS256": {Key: rsaKey},
		"PS256": {Key: rsaKey, Algorithm: "PS256"},
		"ES256": {Key: curve(elliptic.P256()), KeyID: "k"},
		"ES384": {Key: curve(elliptic.P384()), KeyID: "k"},
		"ES512": {Key: curve(elliptic.P521()), KeyID: "k"},
		"EdDSA": {Key: edKey, KeyID: "k"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.ClientID = "machine"
			var op http.Handler
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { op.ServeHTTP(w, r) }))
			t.Cleanup(server.Close)
			op = certified(t, server.URL, c, name)
			get := func(c clientcredentials.Credentials) (*clientcredentials.Token, error) {
				s, err := clientcredentials.New(issuer.Provider{ID: "tenant", Regions: []issuer.Region{
					{Name: east, Issuers: []string{server.URL}, TokenURL: server.URL + "/oauth2/token"},
				}}, clientcredentials.Config{Credentials: c, Scopes: []string{scope}})
				require.NoError(t, err)
				return s.Token(t.Context())
			}
			tok, err := get(c)
			require.NoError(t, err)
			require.Equal(t, server.URL, payload(t, tok.Value())["iss"])
			switch {
			case c.Key != nil:
				c.Audience = "https://elsewhere.example.com"
			default:
				c.Secret = "another"
			}
			_, err = get(c)
			require.ErrorIs(t, err, clientcredentials.ErrRejected)
		})
	}
}

// certified returns a provider with one client, which proves itself with c.
func certified(t *testing.T, iss string, c clientcredentials.Credentials, alg string) http.Handler {
	t.Helper()
	meta := goidc.ClientMeta{GrantTypes: []goidc.GrantType{goidc.GrantClientCredentials}, ScopeIDs: scope}
	options := []provider.Option{
		provider.WithTokenEndpoint("/oauth2/token"),
		provider.WithScopes(goidc.NewScope(scope)),
		provider.WithClientCredentialsGrant(),
		provider.WithTokenOptions(func(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
			return goidc.NewJWTTokenOptions(goidc.ES256, 600)
		}),
		provider.WithIDTokenSignatureAlgs(goidc.ES256),
	}
	switch {
	case c.Key == nil && !c.SecretInBody:
		meta.TokenAuthnMethod = goidc.AuthnMethodSecretBasic
	case c.SecretInBody:
		meta.TokenAuthnMethod = goidc.AuthnMethodSecretPost
	default:
		meta.TokenAuthnMethod = goidc.AuthnMethodPrivateKeyJWT
		meta.TokenAuthnSigAlg = goidc.SignatureAlgorithm(alg)
		meta.JWKS = &goidc.JSONWebKeySet{Keys: []goidc.JSONWebKey{{Key: c.Key.Public(), KeyID: c.KeyID, Algorithm: alg, Use: "sig"}}}
		options = append(options, provider.WithPrivateKeyJWTSignatureAlgs(goidc.SignatureAlgorithm(alg)))
	}
	options = append(options, provider.WithTokenAuthnMethods(meta.TokenAuthnMethod),
		provider.WithStaticClient(&goidc.Client{ID: c.ClientID, Secret: c.Secret, ClientMeta: meta}))
	op, err := provider.New(goidc.ProfileOpenID, iss, newRing(t, goidc.ES256).set, options...)
	require.NoError(t, err)
	return op.Handler()
}
