package clientcredentials_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

var secret = clientcredentials.Credentials{ClientID: "worker", Secret: "s3cret"}

func newKey(t *testing.T, alg string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "RS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	require.NoError(t, err)
	return key
}

// decoded is a segment of a JWT.
func decoded(t *testing.T, segment string) (members map[string]any) {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(segment)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &members))
	return members
}

// local is a RoundTripper that asks a handler.
type local struct{ http.Handler }

func (l local) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	in.RequestURI, in.Host = req.URL.RequestURI(), req.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, in)
	return w.Result(), nil
}

// boundAPI is a service that accepts tokens bound by DPoP only, with nonces of its own if it demands them.
func boundAPI(t *testing.T, s *issuertest.Server, c dpop.Config) (http.RoundTripper, func() []string) {
	t.Helper()
	c.Algorithms = []string{"ES256", "ES512", "RS256", "EdDSA"}
	checker, err := dpop.New(c)
	require.NoError(t, err)
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{s.Policy()}})
	require.NoError(t, err)
	m, err := httpauth.New(v, httpauth.Config{DPoP: checker, RequireDPoP: true, ExternalURL: func(r *http.Request) string {
		return "https://api.example.com" + r.URL.EscapedPath()
	}})
	require.NoError(t, err)
	var mu sync.Mutex
	var seen []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, verifier.FromContext(r.Context()).Subject()+" "+r.URL.Path+" "+string(body))
		w.WriteHeader(http.StatusNoContent)
	})
	return local{m.Require()(handler)}, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

// A client that is DPoP-only is served, with each kind of key, by a service that demands nonces, also with the region lost that
// was first.
func TestTokensAreBoundToAKey(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"ES256", "ES512", "RS256", "EdDSA"} {
		synctest.Test(t, func(t *testing.T) {
			s := issuertest.New(t, provider, issuertest.Config{Algorithm: "ES256"})
			source, err := clientcredentials.New(s.Provider(), clientcredentials.Config{Credentials: secret, DPoPKey: newKey(t, alg)})
			require.NoError(t, err)
			service, seen := boundAPI(t, s, dpop.Config{NonceKeys: [][]byte{make([]byte, 32)}})
			transport, err := source.Transport(service, "https://api.example.com")
			require.NoError(t, err)
			client := &http.Client{Transport: transport}
			send := func(path string) int {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://API.example.com"+path, strings.NewReader("body"))
				require.NoError(t, err)
				resp, err := client.Do(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				return resp.StatusCode
			}
			require.Equal(t, 204, send("/orders?all=1#top"), alg)
			require.Equal(t, 204, send("/"), "a second proof")
			s.Hang(east)
			time.Sleep(2 * time.Hour)
			require.Equal(t, 204, send("/orders%20two"))
			require.Equal(t, []string{"worker /orders body", "worker / body", "worker /orders two body"}, seen())
			token, err := source.Token(t.Context())
			require.NoError(t, err)
			require.Equal(t, west, token.Region())
			stolen := &http.Client{Transport: service}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com/", http.NoBody)
			require.NoError(t, err)
			req.Header.Set("Authorization", "DPoP "+token.Value())
			resp, err := stolen.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, 401, resp.StatusCode, "the token is of no use without the key")
			s.Restore(east)
			source.Settle()
		})
	}
}

// A token endpoint that demands a nonce gets it at once, one that returns a bearer token for a proof is not believed.
func TestNoncesOfTokenEndpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, bearer := 0, false
		p := provider
		p.HTTPClient = &http.Client{Transport: local{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("DPoP-Nonce", fmt.Sprint("nonce-", asked/4))
			claims := decoded(t, strings.Split(r.Header.Get("DPoP"), ".")[1])
			require.Equal(t, "https://"+r.Host+"/token", claims["htu"])
			require.Equal(t, "POST", claims["htm"])
			require.NotContains(t, claims, "ath")
			kind := map[bool]string{false: "DPoP", true: "Bearer"}[bearer]
			if !bearer && claims["nonce"] != fmt.Sprint("nonce-", asked/4) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":"use_dpop_nonce"}`)
				return
			}
			_, _ = io.WriteString(w, `{"access_token":"abc","token_type":"`+kind+`","expires_in":60}`)
		})}}
		config := clientcredentials.Config{Credentials: secret, DPoPKey: newKey(t, "ES256")}
		source, err := clientcredentials.New(p, config)
		require.NoError(t, err)
		for range 4 {
			_, err = source.Token(t.Context())
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		source.Settle()
		require.LessOrEqual(t, asked, 8)
		bearer = true
		_, err = source.Token(t.Context())
		require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
		require.ErrorContains(t, err, "malformed")
		source.Settle()
	})
}

// While a secret is replaced, each region is asked with the one that it knows: no call fails, whichever region learns of it first.
func TestASecretIsReplacedWithoutAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		known := map[string]map[string]bool{"east.example.com": {"old": true}, "west.example.com": {"old": true}}
		asked := map[string]int{}
		p := provider
		p.HTTPClient = &http.Client{Transport: local{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, given, _ := r.BasicAuth()
			asked[given]++
			w.Header().Set("Content-Type", "application/json")
			if !known[r.Host][given] {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
				return
			}
			_, _ = io.WriteString(w, `{"access_token":"abc","token_type":"Bearer","expires_in":60}`)
		})}}
		source, err := clientcredentials.New(p, clientcredentials.Config{
			Credentials: clientcredentials.Credentials{ClientID: "worker", Secret: "new", PreviousSecret: "old"},
		})
		require.NoError(t, err)
		another := func() {
			_, err := source.Token(t.Context())
			require.NoError(t, err)
			source.Settle()
			time.Sleep(time.Minute)
		}
		for range 3 {
			another()
		}
		require.Equal(t, map[string]int{"new": 1, "old": 3}, asked, "the secret that worked is used first")
		known["east.example.com"]["new"] = true
		another()
		delete(known["east.example.com"], "old")
		another()
		another()
		require.Equal(t, map[string]int{"new": 3, "old": 5}, asked)
		delete(known["east.example.com"], "new")
		_, err = source.Token(t.Context())
		require.ErrorIs(t, err, clientcredentials.ErrRejected, "both are wrong")
		source.Settle()
	})
}

// A client certificate authenticates the client (RFC 8705): nothing but the client ID is sent.
func TestAClientCertificateAuthenticates(t *testing.T) {
	t.Parallel()
	var forms []url.Values
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		forms = append(forms, r.PostForm)
		if len(r.TLS.PeerCertificates) != 1 || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"abc","token_type":"Bearer","expires_in":60}`)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	p := issuer.Provider{ID: "tenant", Regions: []issuer.Region{
		{Name: east, Issuers: []string{"https://east.example.com"}, TokenURL: server.URL + "/token"},
	}}
	config := clientcredentials.Config{Credentials: clientcredentials.Credentials{ClientID: "worker"}}
	p.HTTPClient = server.Client()
	_, err := clientcredentials.New(p, config)
	require.ErrorContains(t, err, "with a client certificate")
	p.HTTPClient.Transport.(*http.Transport).TLSClientConfig.Certificates = server.TLS.Certificates
	source, err := clientcredentials.New(p, config)
	require.NoError(t, err)
	token, err := source.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, "abc", token.Value())
	source.Settle()
	require.Equal(t, []url.Values{{"grant_type": {"client_credentials"}, "client_id": {"worker"}}}, forms)
}

// A token is exchanged for one that names the user and the agent, at the region that answers; what is learned about the regions
// counts for both kinds of requests.
func TestATokenIsExchanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := issuertest.New(t, provider, issuertest.Config{Algorithm: "ES256"})
		source, err := clientcredentials.New(s.Provider(), clientcredentials.Config{Credentials: secret})
		require.NoError(t, err)
		policy := s.Policy()
		policy.Audience = verifier.Audience("https://tools.example")
		v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{policy}})
		require.NoError(t, err)
		s.Hang(east)
		own, err := source.Token(t.Context())
		require.NoError(t, err)
		began := time.Now()
		exchanged, err := source.Exchange(t.Context(), clientcredentials.Exchange{
			SubjectToken: s.Issue(west, issuertest.Claims{Subject: "alice", Scope: "orders/read"}), ActorToken: own.Value(),
			Scopes: []string{"orders/read"}, Params: url.Values{"resource": {"https://tools.example"}},
		})
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(began), 200*time.Millisecond)
		require.Equal(t, west, exchanged.Region())
		token, err := v.Verify(t.Context(), exchanged.Value())
		require.NoError(t, err)
		require.Equal(t, "alice", token.Subject())
		require.Equal(t, "worker", token.Actor().Subject)
		require.True(t, token.HasScope("orders/read"))

		time.Sleep(10 * time.Second) // the requests to the region that hangs have ended
		began = time.Now()
		_, err = source.Exchange(t.Context(), clientcredentials.Exchange{SubjectToken: exchanged.Value()})
		require.NoError(t, err)
		require.Zero(t, time.Since(began), "the region that does not answer is asked last")

		_, err = source.Exchange(t.Context(), clientcredentials.Exchange{SubjectToken: "abc"})
		require.ErrorIs(t, err, clientcredentials.ErrRejected)
		another, err := source.Token(t.Context())
		require.NoError(t, err, "the token of a user that is rejected says nothing about the client")
		require.Equal(t, own, another)
		_, err = source.Exchange(t.Context(), clientcredentials.Exchange{Scopes: []string{"a b"}, Params: url.Values{"scope": {"x"}, "actor_token_type": {"y"}}})
		for _, part := range []string{"SubjectToken is required", "number 0 is not a scope", `cannot have "scope"`, "needs an ActorToken"} {
			require.ErrorContains(t, err, part)
		}
		_, err = (*clientcredentials.TokenSource)(nil).Exchange(t.Context(), clientcredentials.Exchange{})
		require.ErrorContains(t, err, "clientcredentials.New")
		s.Restore(east)
		source.Settle()
	})
}

// badSigner is a key that panics.
type badSigner struct{ crypto.Signer }

func (badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { panic("s3cret") }

// A key that cannot sign is an error, and never a panic.
func TestKeysThatCannotBind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := issuertest.New(t, provider, issuertest.Config{Algorithm: "ES256"})
		config := clientcredentials.Config{Credentials: secret, DPoPKey: badSigner{}}
		_, err := clientcredentials.New(s.Provider(), config)
		require.ErrorContains(t, err, "DPoPKey: the key has no public key")
		config.DPoPKey = badSigner{newKey(t, "ES256")}
		source, err := clientcredentials.New(s.Provider(), config)
		require.NoError(t, err)
		_, err = source.Token(context.Background())
		require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
		require.ErrorContains(t, err, "no_credentials")
		require.NotContains(t, err.Error(), "s3cret")
		source.Settle()
	})
	for want, c := range map[string]clientcredentials.Credentials{
		"PreviousSecret needs another Secret": {ClientID: "worker", Secret: "a", PreviousSecret: "a"},
		"Secrets and SecretInBody cannot":     {ClientID: "worker", Key: newKey(t, "ES256"), PreviousSecret: "a"},
		"a Secret, a Key, or":                 {ClientID: "worker"},
	} {
		_, err := clientcredentials.New(provider, clientcredentials.Config{Credentials: c})
		require.ErrorContains(t, err, want)
	}
}
