package grpcauth_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// The health service stands for any other here: one of its methods is open, the rest needs a token.
func Example() {
	world := issuertest.New(nil, issuertest.Config{Algorithm: "ES256"})
	defer world.Close()
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: world.Client()}, Policies: []verifier.Policy{{
		Provider:   world.Provider(),
		Audience:   verifier.CognitoAccess(issuertest.ClientID),
		Algorithms: []string{"ES256"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	auth, err := grpcauth.New(grpcauth.Config{
		Verifier: v,
		Exempt:   []string{"/grpc.health.v1.Health/List"},
		Default:  []middleware.Requirement{middleware.Scopes("orders/read")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(auth.Unary()), grpc.StreamInterceptor(auth.Stream()))
	healthpb.RegisterHealthServer(server, health.NewServer())
	if err := auth.Validate(server); err != nil {
		fmt.Println(err)
		return
	}
	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	for _, token := range []string{
		world.Token("us-west-2", issuertest.Claims{Machine: true}),
		world.Token("us-west-2", issuertest.Claims{Scope: "openid"}),
		world.Token("us-west-2", issuertest.Claims{Forge: true}),
	} {
		conn, err := grpc.NewClient("passthrough:///memory",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithPerRPCCredentials(grpcauth.NewInsecureCredentials(static(token))),
		)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
		fmt.Printf("%v %q\n", status.Code(err), status.Convert(err).Message())
		_ = conn.Close()
	}
	// Output:
	// OK ""
	// PermissionDenied "insufficient_scope"
	// Unauthenticated "invalid_token"
}

// static is a source of one token.
type static string

// Token implements grpcauth.TokenSource.
func (s static) Token(context.Context) (string, error) { return string(s), nil }
