//go:build !race

package httpauth_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
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

// For a request with a cached token, the middleware allocates only the context value and the copy of the request.
func TestAllocations(t *testing.T) {
	fake := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: fake.Client()}, Policies: []verifier.Policy{{
		Provider: fake.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{"ES256"},
	}}})
	require.NoError(t, err)
	passed := 0
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ })
	h := httpauth.Require(v, middleware.Scopes("orders/read"))(next)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+fake.Issue("us-east-1", fakeissuer.Claims{}))
	w := silent{http.Header{}}
	h.ServeHTTP(w, r)
	require.Equal(t, 1, passed)
	least := math.Inf(1)
	for range 20 { // the fetch of the other region's keys may still run, and allocates, too
		least = min(least, testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }))
	}
	require.LessOrEqual(t, least, 3.0)
}
