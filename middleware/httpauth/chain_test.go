package httpauth_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
)

// The certificate of the client is the first of the chain, not one of its issuers (RFC 8446 section 4.4.2).
func TestTheFirstCertificateIsTheClients(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	leaf := func() *x509.Certificate { return &x509.Certificate{Raw: selfSigned(t).Certificate[0]} }
	client, ca := leaf(), leaf()
	h := protect(t, v, httpauth.Config{RequireCertificate: true})
	for i, c := range []struct {
		bound *x509.Certificate
		chain []*x509.Certificate
		want  int
	}{
		{client, []*x509.Certificate{client}, 200},
		{client, []*x509.Certificate{client, ca}, 200},
		{ca, []*x509.Certificate{client, ca}, 401},
		{client, []*x509.Certificate{ca, client}, 401},
		{client, nil, 401},
	} {
		sum := sha256.Sum256(c.bound.Raw)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com/", nil)
		r.Header.Set("Authorization", "Bearer "+issue(map[string]any{"x5t#S256": b64(sum[:])}))
		r.TLS = &tls.ConnectionState{PeerCertificates: c.chain}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, i)
	}
}

// A Host that could hide the path, or stand for another host, names no URL, and no proof fits it.
func TestAHostThatHidesThePathNamesNoURL(t *testing.T) {
	t.Parallel()
	v, issue := bound(t)
	alice := newClient(t)
	token := issue(map[string]any{"jkt": alice.thumbprint()})
	checker, err := dpop.New(dpop.Config{Algorithms: []string{"ES256"}})
	require.NoError(t, err)
	h := protect(t, v, httpauth.Config{DPoP: checker, Metadata: &httpauth.Metadata{
		Resource: "https://api.example.com", AuthorizationServers: func() []string { return nil },
	}})
	for _, host := range []string{
		`evil.example.com\`, `evil.example.com\orders`, `evil.example.com\@api.example.com`, `evil.example.com\.api.example.com`,
		"evil.example.com/", "evil.example.com/orders?", "evil.example.com#", "x@evil.example.com",
	} {
		for _, url := range []string{
			"https://evil.example.com/admin", "https://evil.example.com/orders", "https://" + host + "/admin", "https://" + host,
		} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com/admin", nil)
			r.Host = host
			r.Header.Set("Authorization", "DPoP "+token)
			r.Header.Set("DPoP", alice.proof("GET", url, token, ""))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, 401, w.Code, "%s %s", host, url)
		}
	}
}
