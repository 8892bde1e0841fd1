package jwks_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/jwks"
)

// A Cache that no constructor has made has no keys: it cannot tell, and does not panic. A Key that no Source has returned is not
// valid.
func TestWhatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", []string{"Key.ID"}, []any{"x"}, (*jwks.Cache)(nil), new(jwks.Cache))
	for _, c := range []*jwks.Cache{nil, {}} {
		r := c.Lookup(t.Context(), jwks.Query{Issuer: "https://idp.example.com", KeyID: "k"})
		require.Empty(t, r.Keys)
		require.False(t, r.Complete)
		require.ErrorContains(t, r.Err, "New")
		require.ErrorContains(t, c.Ready(), "New")
	}
	for _, k := range []*jwks.Key{nil, {}} {
		require.False(t, k.Valid())
		require.Empty(t, k.ID()+k.Algorithm()+k.Thumbprint())
		require.Nil(t, k.Public())
	}
}

// A Transport that is a typed nil is an error, also in the client of a provider.
func TestTypedNilTransportOfAProvider(t *testing.T) {
	t.Parallel()
	p := pool("p", []string{keysURL})
	p.HTTPClient = &http.Client{Transport: (*http.Transport)(nil)}
	_, err := jwks.New(providers(p), jwks.Config{})
	require.Error(t, err)
}

// Preload asks on goroutines of its own, where a nil context would end the process.
func TestPreloadWithoutAContext(t *testing.T) {
	t.Parallel()
	c, err := jwks.New(providers(pool("p", []string{keysURL})), jwks.Config{})
	require.NoError(t, err)
	require.ErrorContains(t, c.Preload(nil), "context") //nolint:staticcheck // a nil context
}
