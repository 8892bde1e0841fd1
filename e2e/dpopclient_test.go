package e2e_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// serveDPoP starts a service that takes only tokens that are bound to a key, with a nonce of its own or without.
func serveDPoP(t *testing.T, v middleware.Verifier, nonces bool) (url string) {
	t.Helper()
	c := dpop.Config{}
	if nonces {
		c.NonceKeys = [][]byte{bytes.Repeat([]byte("k"), 32)}
	}
	checker, err := dpop.New(c)
	require.NoError(t, err)
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	m, err := httpauth.New(v, httpauth.Config{
		DPoP: checker, RequireDPoP: true, ExternalURL: func(r *http.Request) string { return s.URL + r.URL.Path },
	})
	require.NoError(t, err)
	mux.Handle("GET /orders", m.Require(middleware.Scopes(scope))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Region", verifier.FromContext(r.Context()).Region())
	})))
	return s.URL + "/orders"
}

// A client of oauth4webapi binds its tokens to a key. Tokens of both regions pass with a proof while either region hangs, with a
// nonce of the service and without, and never without a proof.
func TestDPoPClients(t *testing.T) {
	t.Parallel()
	eastern, western := start(t, "EdDSA", ""), start(t, "RS256", "")
	v := serve(t, eastern, western)
	urls := []string{serveDPoP(t, v, false), serveDPoP(t, v, true)}
	for _, alg := range []string{"ES256"} {
		clients := map[string]*process{}
		for region, p := range map[string]*process{east: eastern, west: western} {
			client := launch(t, "idp", nil, "node", "client.js")
			raw := client.ask(t, "token", map[string]any{"do": "token", "issuer": p.issuer, "alg": alg}).Token
			require.Contains(t, payload(t, raw), "cnf")
			accepted(t, v.Validator, raw)
			v.get(t, raw, http.StatusUnauthorized, atOnce) // as a bearer token it is worth nothing
			clients[region] = client
		}
		eastern.freeze(t)
		for region, client := range clients {
			for _, url := range urls {
				got := client.ask(t, "got", map[string]any{"do": "get", "url": url})
				require.Equal(t, http.StatusOK, got.Status, "%s %s", alg, region)
				require.Equal(t, region, got.Region)
			}
		}
		eastern.thaw(t)
	}
}
