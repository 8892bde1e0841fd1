package grpcauth_test

import (
	"context"
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// A panic of code that the interceptor calls ends neither the server nor the connection. Observe changes no answer; where the
// certificate of the client cannot be told, the answer is Unavailable.
func TestCallbacksThatPanic(t *testing.T) {
	t.Parallel()
	world := issuertest.New(t, issuertest.Config{Algorithm: "ES256"})
	keys, err := jwks.New([]issuer.Provider{world.Provider()}, jwks.Config{HTTPClient: world.Client()})
	require.NoError(t, err)
	v, err := verifier.New(verifier.Config{Keys: keys, Policies: []verifier.Policy{{
		Provider: world.Provider(), Audience: verifier.CognitoAccess(issuertest.ClientID), Algorithms: []string{"ES256"},
	}}})
	require.NoError(t, err)
	good := "Bearer " + world.Token(east, issuertest.Claims{})
	observe := func(context.Context, string, *verifier.Token, error) { panic("s3cret") }
	for name, c := range map[string]struct {
		config grpcauth.Config
		want   codes.Code
	}{
		"Observe": {grpcauth.Config{Verifier: v, Observe: observe}, codes.OK},
		"ClientCertificate": {grpcauth.Config{
			Verifier: v, Certificates: middleware.Accepted,
			ClientCertificate: func(context.Context) *x509.Certificate { panic("s3cret") },
		}, codes.Unavailable},
		"Requirement": {grpcauth.Config{Verifier: v, Default: []middleware.Requirement{
			middleware.Custom(func(*verifier.Token) error { panic("s3cret") }),
		}}, codes.Unavailable},
	} {
		conn := serve(t, guard(t, c.config), &orders{})
		for range 2 {
			_, err := ask(t.Context(), conn, read, good)
			require.Equal(t, c.want, status.Code(err), name)
			if err != nil {
				require.NotContains(t, err.Error(), "s3cret")
			}
		}
		_, err := ask(t.Context(), conn, read, "Bearer bad")
		require.Equal(t, codes.Unauthenticated, status.Code(err), name)
	}
}
