//go:build !race

package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// silent is a ResponseWriter that costs nothing.
type silent struct{ header http.Header }

func (s silent) Header() http.Header       { return s.header }
func (silent) Write(b []byte) (int, error) { return len(b), nil }
func (silent) WriteHeader(int)             {}

// What the middleware may allocate for a request whose token the verifier knows: the context value and the copy of the request.
func TestAllocations(t *testing.T) {
	world := issuertest.New(t, issuertest.Config{Algorithm: "ES256"})
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: world.Client()}, Policies: []verifier.Policy{{
		Provider: world.Provider(), Audience: verifier.CognitoAccess(issuertest.ClientID), Algorithms: []string{"ES256"},
	}}})
	require.NoError(t, err)
	auth, err := httpauth.New(httpauth.Config{Verifier: v})
	require.NoError(t, err)
	passed := 0
	h := auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ }), middleware.Scopes("orders/read"))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+world.Token("us-east-1", issuertest.Claims{}))
	w := silent{http.Header{}}
	h.ServeHTTP(w, r)
	require.Equal(t, 1, passed)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }), 3.0)
}
