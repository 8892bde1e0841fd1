package grpcauth_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// The health service is an example of any service: one of its methods needs no token, the others do.
func Example() {
	world := fakeissuer.New(nil, fakeissuer.Config{Algorithm: "ES256"})
	defer world.Close()
	v, err := regionjwt.New(regionjwt.Config{Keys: jwks.Config{HTTPClient: world.Client()}, Policies: []verifier.Policy{{
		Provider:   world.Provider(),
		Audience:   verifier.CognitoAccess(fakeissuer.ClientID),
		Algorithms: []string{"ES256"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := v.Preload(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	auth, err := grpcauth.New(v, grpcauth.Config{
		Exempt:  []string{"/grpc.health.v1.Health/List"},
		Default: []middleware.Requirement{middleware.Scopes("orders/read")},
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
		world.Issue("us-west-2", fakeissuer.Claims{Machine: true}),
		world.Issue("us-west-2", fakeissuer.Claims{Scope: "openid"}),
		world.Issue("us-west-2", fakeissuer.Claims{Forged: true}),
	} {
		conn, err := grpc.NewClient("passthrough:///memory",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
		)
		if err != nil {
			fmt.Println(err)
			return
		}
		ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+token)
		_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
		fmt.Printf("%v %q\n", status.Code(err), status.Convert(err).Message())
		_ = conn.Close()
	}
	// Output:
	// OK ""
	// PermissionDenied "insufficient_scope"
	// Unauthenticated "invalid_token"
}

// A client sends the tokens of its client credentials with every call.
func ExamplePerRPCCredentials() {
	source, err := clientcredentials.New(issuer.Provider{ID: "tenant", Regions: []issuer.Region{
		{Name: "us-east-1", Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
		{Name: "us-west-2", Issuers: []string{"https://west.example.com"}, TokenURL: "https://west.example.com/token"},
	}}, clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: "orders", Secret: "from your vault"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	creds := grpcauth.PerRPCCredentials(source)
	conn, err := grpc.NewClient("dns:///orders.example.com:443",
		grpc.WithTransportCredentials(credentials.NewTLS(nil)), grpc.WithPerRPCCredentials(creds))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()
	fmt.Println("only with TLS:", creds.RequireTransportSecurity())
	// Output: only with TLS: true
}
