package httpauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

var b64 = base64.RawURLEncoding.EncodeToString

// client has a key for DPoP.
type client struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	n   int
}

func newClient(t *testing.T) *client {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &client{t: t, key: k}
}

func (c *client) jwk() string {
	point, err := c.key.PublicKey.Bytes()
	require.NoError(c.t, err)
	return fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, b64(point[1:33]), b64(point[33:]))
}

func (c *client) thumbprint() string {
	sum := sha256.Sum256([]byte(c.jwk()))
	return b64(sum[:])
}

// proof makes a DPoP proof: RFC 9449, section 4.2.
func (c *client) proof(method, url, token, nonce string) string {
	c.n++
	ath := sha256.Sum256([]byte(token))
	payload := map[string]any{
		"jti": fmt.Sprint("jti-", c.n), "htm": method, "htu": url, "iat": time.Now().Unix(), "ath": b64(ath[:]),
	}
	if nonce != "" {
		payload["nonce"] = nonce
	}
	body, err := json.Marshal(payload)
	require.NoError(c.t, err)
	input := b64([]byte(`{"typ":"dpop+jwt","alg":"ES256","jwk":`+c.jwk()+`}`)) + "." + b64(body)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, c.key, sum[:])
	require.NoError(c.t, err)
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + b64(signature)
}

// bound returns a Verifier, and a function that issues a token with a cnf claim.
func bound(t *testing.T) (middleware.Verifier, func(cnf map[string]any) string) {
	world := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
	keys, err := jwks.New([]issuer.Provider{world.Provider()}, jwks.Config{HTTPClient: world.Client()})
	require.NoError(t, err)
	require.NoError(t, keys.Preload(t.Context()))
	v, err := verifier.New([]verifier.Policy{{
		Provider: world.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{"ES256"},
	}}, keys, verifier.Config{})
	require.NoError(t, err)
	return v, func(cnf map[string]any) string {
		c := fakeissuer.Claims{}
		if cnf != nil {
			c.Set = map[string]any{"cnf": cnf}
		}
		return world.Issue("us-east-1", c)
	}
}

func TestDPoP(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	alice, mallory := newClient(t), newClient(t)
	token, plain := issue(map[string]any{"jkt": alice.thumbprint()}), issue(nil)
	const url = "https://api.example.com/orders"
	fresh := func(tok string) []string { return []string{alice.proof("GET", url, tok, "")} }
	used := alice.proof("GET", url, token, "")
	checker, err := dpop.New(dpop.Config{Algorithms: []string{"ES256"}})
	require.NoError(t, err)
	for _, c := range []struct {
		name          string
		required      bool
		authorization string
		proofs        []string
		want          int
		challenge     string
	}{
		{"proved", false, "DPoP " + token, []string{used}, 200, ""},
		{"scheme in any case", true, "dpop " + token, fresh(token), 200, ""},
		{"replayed", false, "DPoP " + token, []string{used}, 401, `DPoP error="invalid_dpop_proof", scope="orders/read", algs="ES256"`},
		{"no proof", false, "DPoP " + token, nil, 401, `DPoP error="invalid_dpop_proof", scope="orders/read", algs="ES256"`},
		{"two proofs", false, "DPoP " + token, append(fresh(token), fresh(token)...), 400, `DPoP error="invalid_request", algs="ES256"`},
		{
			"by another key", false, "DPoP " + token,
			[]string{mallory.proof("GET", url, token, "")},
			401, `DPoP error="invalid_dpop_proof", scope="orders/read", algs="ES256"`,
		},
		{
			"for another method", false, "DPoP " + token,
			[]string{alice.proof("POST", url, token, "")},
			401, `DPoP error="invalid_dpop_proof", scope="orders/read", algs="ES256"`,
		},
		{
			"for another token", false, "DPoP " + token, fresh(plain), 401, `DPoP error="invalid_dpop_proof", scope="orders/read", algs="ES256"`,
		},
		{"as a bearer token", false, "Bearer " + token, fresh(token), 401, `DPoP error="invalid_token", scope="orders/read", algs="ES256"`},
		{"a bearer token", false, "Bearer " + plain, nil, 200, ""},
		{"not bound, proved", false, "DPoP " + plain, fresh(plain), 401, `DPoP error="invalid_token", scope="orders/read", algs="ES256"`},
		{"not bound", true, "Bearer " + plain, nil, 401, `DPoP scope="orders/read", algs="ES256"`},
		{"nothing", true, "", nil, 401, `DPoP scope="orders/read", algs="ES256"`},
	} {
		h := protect(t, v, httpauth.Config{
			DPoP: checker, RequireDPoP: c.required, ExternalURL: asServed,
		}, middleware.Scopes("orders/read"))
		r := httptest.NewRequest(http.MethodGet, url+"?query=ignored", nil)
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		r.Header["Dpop"] = c.proofs
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, c.name)
		challenges := w.Header().Values("WWW-Authenticate")
		switch {
		case c.challenge == "":
			require.Empty(t, challenges)
		case c.required:
			require.Equal(t, []string{c.challenge}, challenges, c.name)
		default:
			require.Len(t, challenges, 2)
			require.Equal(t, c.challenge, challenges[1], c.name)
		}
	}
	// The path is that of the request line, whatever the router has cut off it.
	stripped := http.StripPrefix("/v1", protect(t, v, httpauth.Config{DPoP: checker, Metadata: resource("https://api.example.com")}))
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/v1/a%2Fb?c=d", nil)
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", alice.proof("GET", "https://api.example.com/v1/a%2Fb", token, ""))
	w := httptest.NewRecorder()
	stripped.ServeHTTP(w, r)
	require.Equal(t, 200, w.Code)

	// Without DPoP, a token that is bound by it is rejected, and the scheme is not accepted. If confirmations are ignored, the
	// token is a bearer token.
	for authorization, want := range map[string][2]int{"Bearer " + token: {401, 200}, "DPoP " + token: {401, 401}, "Bearer " + plain: {200, 200}} {
		for i, config := range []httpauth.Config{{}, {InsecureIgnoreConfirmation: true}} {
			r := httptest.NewRequest(http.MethodGet, url, nil)
			r.Header.Set("Authorization", authorization)
			w := httptest.NewRecorder()
			protect(t, v, config).ServeHTTP(w, r)
			require.Equal(t, want[i], w.Code, "%s %v", authorization[:6], config.InsecureIgnoreConfirmation)
		}
	}
}

func TestDPoPNonce(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	alice := newClient(t)
	token := issue(map[string]any{"jkt": alice.thumbprint()})
	c, err := dpop.New(dpop.Config{NonceKeys: [][]byte{[]byte("a secret of the fleet of 32 bytes")}})
	require.NoError(t, err)
	seen := ""
	h := protect(t, v, httpauth.Config{
		DPoP: c, RequireDPoP: true,
		ExternalURL: func(r *http.Request) string { seen = r.URL.Path; return "https://outside.example.com/v1" + r.URL.Path },
	})
	ask := func(nonce string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "http://inside.internal/orders", nil)
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", alice.proof("GET", "https://outside.example.com/v1/orders", token, nonce))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := ask("")
	require.Equal(t, 401, w.Code)
	require.Equal(t, `DPoP error="use_dpop_nonce", algs="ES256 ES384 PS256 RS256 Ed25519 EdDSA"`, w.Header().Get("WWW-Authenticate"))
	nonce := w.Header().Get("DPoP-Nonce")
	require.NotEmpty(t, nonce)
	w = ask(nonce)
	require.Equal(t, 200, w.Code)
	require.Equal(t, nonce, w.Header().Get("DPoP-Nonce"), "a good answer has it, too")
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.Equal(t, "/orders", seen)
}

// A token that is bound to a certificate, over mutual TLS.
func TestCertificateBound(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	certificate, other := selfSigned(t), selfSigned(t)
	sum := sha256.Sum256(certificate.Certificate[0])
	token, plain := issue(map[string]any{"x5t#S256": b64(sum[:])}), issue(nil)
	for _, c := range []struct {
		config httpauth.Config
		want   [4]int // bound: proven, with another certificate, without one; not bound
	}{
		{httpauth.Config{InsecureIgnoreConfirmation: true}, [4]int{200, 200, 200, 200}},
		{httpauth.Config{}, [4]int{200, 401, 401, 200}},
		{httpauth.Config{RequireCertificate: true}, [4]int{200, 401, 401, 401}},
	} {
		server := httptest.NewUnstartedServer(protect(t, v, c.config))
		server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
		server.StartTLS()
		t.Cleanup(server.Close)
		get := func(raw string, certificates ...tls.Certificate) int {
			transport := server.Client().Transport.(*http.Transport).Clone()
			transport.TLSClientConfig.Certificates = certificates
			defer transport.CloseIdleConnections()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+raw)
			resp, err := transport.RoundTrip(r)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			return resp.StatusCode
		}
		require.Equal(t, c.want, [4]int{get(token, certificate), get(token, other), get(token), get(plain, certificate)}, "%+v", c)
	}
	// A confirmation that is not understood, or not well formed, cannot be proved.
	h := protect(t, v, httpauth.Config{
		ClientCertificate: func(*http.Request) *x509.Certificate { return &x509.Certificate{Raw: certificate.Certificate[0]} },
	})
	for _, c := range []struct {
		cnf  map[string]any
		want int
	}{
		{map[string]any{"x5t#S256": b64(sum[:])}, 200},
		{map[string]any{"x5t#S256": b64(sum[:]), "jkt": "x"}, 401},
		{map[string]any{"jkt": "x"}, 401},
		{map[string]any{"kid": "x"}, 401},
		{map[string]any{"x5t#S256": 1}, 401},
		{map[string]any{"x5t#S256": b64(sum[:]), "n": json.Number("1e999")}, 401},
		{map[string]any{"x5t#S256": ""}, 401},
		{map[string]any{}, 200},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+issue(c.cnf))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, "%v", c.cnf)
	}
}

// OnDecision gets the token or the error, never both, and its panic changes no answer.
func TestOnDecisionGetsTokenOrError(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	for scope, want := range map[string]int{"orders/read": 200, "orders/write": 403} {
		called := 0
		h := protect(t, v, httpauth.Config{OnDecision: func(_ *http.Request, tok *verifier.Token, err error) {
			called++
			require.Equal(t, want == 200, tok != nil)
			require.Equal(t, want != 200, err != nil)
			panic("s3cret")
		}}, middleware.Scopes(scope))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+issue(nil))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, want, w.Code)
		require.Equal(t, 1, called)
	}
}

// The certificate of the client is the first of the chain: a token that is bound to the certificate of its issuer is rejected.
func TestTheCertificateIsTheFirstOfTheChain(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	client, intermediate, root := selfSigned(t).Certificate[0], selfSigned(t).Certificate[0], selfSigned(t).Certificate[0]
	h := protect(t, v, httpauth.Config{RequireCertificate: true})
	for i, of := range [][]byte{client, intermediate, root} {
		sum := sha256.Sum256(of)
		r := httptest.NewRequest(http.MethodGet, "https://api.example.com/", nil)
		r.TLS.PeerCertificates = []*x509.Certificate{{Raw: client}, {Raw: intermediate}, {Raw: root}}
		r.Header.Set("Authorization", "Bearer "+issue(map[string]any{"x5t#S256": b64(sum[:])}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, map[bool]int{true: 200, false: 401}[i == 0], w.Code, i)
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
