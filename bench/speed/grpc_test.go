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

// BenchmarkGRPC makes calls and opens streams in memory, to a server with the interceptors, whose verifier knows the token, against a bare one. Both
// calls carry the token.
func BenchmarkGRPC(b *testing.B) {
	s := theSite(b, "RS256")
	v := newValidator(b, s, hundred.size)
	hundred.remember(b, v)
	guard, err := grpcauth.New(v, grpcauth.Config{})
	if err != nil {
		b.Fatal(err)
	}
	bare := healthServer(b)
	guarded := healthServer(b, grpc.UnaryInterceptor(guard.Unary()), grpc.StreamInterceptor(guard.Stream()))
	for name, call := range map[string]func(context.Context, healthpb.HealthClient) error{"unary": check, "stream": watch} {
		b.Run(name, func(b *testing.B) {
			calls := func(c healthpb.HealthClient) func() {
				pool := ring[string]{all: hundred.all(b)}
				return func() {
					ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+pool.next())
					if err := call(ctx, c); err != nil {
						b.Fatal(err)
					}
				}
			}
			r := pair(b, calls(bare), calls(guarded))
			b.ReportMetric(r.Ratio, "x-bare")
			b.ReportMetric(r.Over, "ns-over")
		})
	}
}

func check(ctx context.Context, c healthpb.HealthClient) error {
	_, err := c.Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// watch opens a stream, reads its first message, and ends it.
func watch(ctx context.Context, c healthpb.HealthClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
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
