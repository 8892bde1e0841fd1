package jwks_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/jwks"
)

// Sources that no constructor has made have no keys: they cannot tell, and do not panic.
func TestSourcesThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", []string{"Cache.Close"}, []any{"x"},
		(*jwks.Cache)(nil), new(jwks.Cache), (*jwks.Static)(nil), new(jwks.Static))
	for _, s := range []jwks.Source{(*jwks.Cache)(nil), new(jwks.Cache), (*jwks.Static)(nil), new(jwks.Static)} {
		keys, err := s.Keys(t.Context(), "https://idp.example.com", "k")
		require.Empty(t, keys)
		require.NotErrorIs(t, err, jwks.ErrUnknownKey, "it is not certain")
	}
	for _, c := range []*jwks.Cache{nil, {}} {
		require.ErrorIs(t, c.Doubt("https://idp.example.com", "k"), jwks.ErrUnavailable)
		require.False(t, c.Holds("https://idp.example.com", new(jwks.Key)))
		c.OnChange(func() {})()
	}
}
