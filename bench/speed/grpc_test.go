package speed_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/regionjwt/regionjwt/middleware/grpcauth"
)

// BenchmarkGRPC makes calls in memory to a server with the interceptor, whose verifier knows the token, against a bare one. Both
// calls carry the token.
func BenchmarkGRPC(b *testing.B) {
	s := theSite(b, "RS256")
	v := newValidator(b, s, hundred.size)
	hundred.remember(b, v)
	guard, err := grpcauth.New(v, grpcauth.Config{})
	if err != nil {
		b.Fatal(err)
	}
	bare, guarded := healthServer(b), healthServer(b, grpc.UnaryInterceptor(guard.Unary()))
	call := func(c healthpb.HealthClient) func() {
		pool := ring[string]{all: hundred.all(b)}
		return func() {
			ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+pool.next())
			if _, err := c.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	r := pair(b, call(bare), call(guarded))
	b.ReportMetric(r.Ratio, "x-bare")
	b.ReportMetric(r.Over, "ns-over")
}

func healthServer(b *testing.B, options ...grpc.ServerOption) healthpb.HealthClient {
	b.Helper()
	server := grpc.NewServer(options...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	listener := bufconn.Listen(1 << 20)
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}
