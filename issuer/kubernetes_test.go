package issuer_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

const clusterIssuer = "https://kubernetes.default.svc.cluster.local"

// apiServer serves a key set to those who send its token.
type apiServer struct {
	*httptest.Server
	mu     sync.Mutex
	token  string
	seen   []string // the Authorization of requests
	signer *josetest.Signer
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{token: "first"}
	var err error
	s.signer, err = josetest.NewSigner("ES256")
	require.NoError(t, err)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = append(s.seen, r.Header.Get("Authorization"))
		if r.URL.Path != "/openid/v1/jwks" || r.Header.Get("Authorization") != "Bearer "+s.token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		doc, _ := josetest.Set(s.signer)
		_, _ = w.Write(doc)
	}))
	t.Cleanup(s.Close)
	return s
}

func write(t *testing.T, file string, data []byte) string {
	t.Helper()
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

func (s *apiServer) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// The keys come from the API server, with its CA and the token of the moment.
func TestKubernetesKeysNeedTheTokenAndTheCA(t *testing.T) {
	t.Parallel()
	s, dir := newAPIServer(t), t.TempDir()
	ca, token := write(t, filepath.Join(dir, "ca.crt"), s.ca()), write(t, filepath.Join(dir, "token"), []byte("first\n"))
	p := issuer.Kubernetes(clusterIssuer, s.URL+"/", ca, token)
	require.NoError(t, issuercheck.Validate(p))
	require.Equal(t, []string{clusterIssuer}, p.Regions[0].Issuers)
	preload := func() error {
		c, err := jwks.New([]issuer.Provider{p}, jwks.Config{UnknownKeyWait: -1})
		require.NoError(t, err)
		return c.Preload(t.Context())
	}
	require.NoError(t, preload())
	s.mu.Lock()
	s.token = "second" // the kubelet has replaced it
	s.mu.Unlock()
	require.Error(t, preload())
	write(t, token, []byte("second"))
	require.NoError(t, preload())

	require.NoError(t, os.Remove(token))
	require.Error(t, preload(), "no token")
	write(t, token, []byte("second"))
	write(t, ca, []byte("no PEM"))
	require.Error(t, preload(), "no CA")
	require.NoError(t, os.Remove(ca))
	require.Error(t, preload())
}

// A server whose certificate the CA has not signed does not get the token, nor does a server of another name.
func TestKubernetesTokenIsSentToTheServerOnly(t *testing.T) {
	t.Parallel()
	s, other, dir := newAPIServer(t), newAPIServer(t), t.TempDir()
	token := write(t, filepath.Join(dir, "token"), []byte("first"))
	p := issuer.Kubernetes(clusterIssuer, s.URL, write(t, filepath.Join(dir, "ca.crt"), s.ca()), token)
	get := func(p issuer.Provider, where string) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, where, http.NoBody)
		require.NoError(t, err)
		resp, err := p.HTTPClient.Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	require.NoError(t, get(p, s.URL+"/openid/v1/jwks"))
	require.Error(t, get(p, other.URL+"/openid/v1/jwks"))
	require.Error(t, get(p, "http"+s.URL[len("https"):]+"/openid/v1/jwks"))
	require.Empty(t, other.seen)
	require.Len(t, s.seen, 1)
	p.Regions[0].JWKSURLs = []string{other.URL + "/openid/v1/jwks"}
	c, err := jwks.New([]issuer.Provider{p}, jwks.Config{UnknownKeyWait: -1})
	require.NoError(t, err)
	require.Error(t, c.Preload(t.Context()))
	require.Empty(t, other.seen)
	foreign := write(t, filepath.Join(dir, "foreign.crt"), []byte(foreignCA))
	require.Error(t, get(issuer.Kubernetes(clusterIssuer, s.URL, foreign, token), s.URL+"/openid/v1/jwks"))
	require.Len(t, s.seen, 1)
}

func TestKubernetesNamesEveryProblem(t *testing.T) {
	t.Parallel()
	require.NoError(t, issuercheck.Validate(issuer.Kubernetes(clusterIssuer, "", "", "")))
	err := issuercheck.Validate(issuer.Kubernetes("", "http://api", "ca.crt", "token"))
	for _, want := range []string{`server "http://api": an https URL`, `file "ca.crt"`, `file "token"`, "ID: required", `issuer "": empty`} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, issuercheck.Validate(issuer.Kubernetes(clusterIssuer, "/ca.crt", "", "")), "server")
}

// foreignCA is a certificate that signed nothing. Its key was thrown away.
const foreignCA = `-----BEGIN CERTIFICATE-----
MIIBTDCB86ADAgECAgEBMAoGCCqGSM49BAMCMBUxEzARBgNVBAMTCkZvcmVpZ24g
Q0EwIBcNNzAwMTAxMDAwMDAwWhgPMjEwMDAxMDEwMDAwMDBaMBUxEzARBgNVBAMT
CkZvcmVpZ24gQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQZZukWxDdvCHCh
4QVjhs94A6vxd81x/OUIYHxsKigBfcavzGgiZO00X69H4K1PhYKGr0Gh2tN0tjqL
AhtZDge5ozIwMDAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBQKKFmODXoxgJt9
oMH5hUmvkgnnCjAKBggqhkjOPQQDAgNIADBFAiA/iE0K63JrQuGh4YEZExYmQnv/
c7b4BajE2DOb+gwuBwIhAJ4TCpm7RV+jNcoVdpZeD+mZJV0HYhzLrTUP/KR7E7Og
-----END CERTIFICATE-----
`
