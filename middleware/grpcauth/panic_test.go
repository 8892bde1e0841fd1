package grpcauth_test

import (
	"context"
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// A panic of code that the interceptor calls ends neither the server nor the connection. OnDecision changes no answer; if the
// certificate of the client is not known, the answer is Unavailable.
func TestCallbacksThatPanic(t *testing.T) {
	t.Parallel()
	world := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
	keys, err := jwks.New([]issuer.Provider{world.Provider()}, jwks.Config{HTTPClient: world.Client()})
	require.NoError(t, err)
	v, err := verifier.New([]verifier.Policy{{
		Provider: world.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{"ES256"},
	}}, keys, verifier.Config{})
	require.NoError(t, err)
	bearer := "Bearer " + world.Issue(east, fakeissuer.Claims{})
	bound := "Bearer " + world.Issue(east, fakeissuer.Claims{Set: map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}})
	onDecision := func(context.Context, string, *verifier.Token, error) { panic("s3cret") }
	for name, c := range map[string]struct {
		config grpcauth.Config
		token  string
		want   codes.Code
	}{
		"OnDecision": {grpcauth.Config{OnDecision: onDecision}, bearer, codes.OK},
		"ClientCertificate": {grpcauth.Config{
			ClientCertificate: func(context.Context) *x509.Certificate { panic("s3cret") },
		}, bound, codes.Unavailable},
		"Requirement": {grpcauth.Config{Default: []middleware.Requirement{
			middleware.RequirementFunc(func(*verifier.Token) error { panic("s3cret") }),
		}}, bearer, codes.Unavailable},
	} {
		conn := serve(t, guard(t, v, c.config), &orders{})
		for range 2 {
			_, err := ask(t.Context(), conn, read, c.token)
			require.Equal(t, c.want, status.Code(err), name)
			if err != nil {
				require.NotContains(t, err.Error(), "s3cret")
			}
		}
		_, err := ask(t.Context(), conn, read, "Bearer bad")
		require.Equal(t, codes.Unauthenticated, status.Code(err), name)
	}
}
