package grpcauth_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
)

// both runs a benchmark bare and behind an interceptor whose verifier knows the token. Both present it.
func both(b *testing.B, o *orders, run func(*testing.B, context.Context, *grpc.ClientConn)) {
	b.Helper()
	w, v, _ := world(b)
	token := w.Issue(east, fakeissuer.Claims{})
	i := guard(b, v, grpcauth.Config{Default: []middleware.Requirement{middleware.Scopes("orders/read")}})
	for name, i := range map[string]*grpcauth.Interceptor{"bare": nil, "guarded": i} {
		b.Run(name, func(b *testing.B) {
			conn := serve(b, i, o)
			ctx := metadata.AppendToOutgoingContext(b.Context(), "authorization", "Bearer "+token)
			_, err := ask(ctx, conn, read)
			require.NoError(b, err)
			b.ReportAllocs()
			run(b, ctx, conn)
		})
	}
}

func BenchmarkUnary(b *testing.B) {
	both(b, &orders{unary: func(context.Context) (string, error) { return "x", nil }}, func(b *testing.B, ctx context.Context, conn *grpc.ClientConn) {
		in, out := wrapperspb.String("x"), new(wrapperspb.StringValue)
		for b.Loop() {
			if err := conn.Invoke(ctx, read, in, out); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStream measures one message there and back.
func BenchmarkStream(b *testing.B) {
	both(b, &orders{stream: func(s grpc.ServerStream) error {
		m := new(wrapperspb.StringValue)
		for {
			if err := s.RecvMsg(m); err != nil {
				return err
			}
			if err := s.SendMsg(m); err != nil {
				return err
			}
		}
	}}, func(b *testing.B, ctx context.Context, conn *grpc.ClientConn) {
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, chat)
		require.NoError(b, err)
		m := wrapperspb.String("x")
		for b.Loop() {
			if s.SendMsg(m) != nil || s.RecvMsg(m) != nil {
				b.Fatal("the stream ended")
			}
		}
	})
}

// BenchmarkAdmission measures the interceptor alone.
func BenchmarkAdmission(b *testing.B) {
	w, v, _ := world(b)
	i := guard(b, v, grpcauth.Config{Default: []middleware.Requirement{middleware.Scopes("orders/read")}}).Unary()
	ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs("authorization", "Bearer "+w.Issue(east, fakeissuer.Claims{})))
	info := &grpc.UnaryServerInfo{FullMethod: read}
	handler := func(context.Context, any) (any, error) { return nil, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i(ctx, nil, info, handler); err != nil {
			b.Fatal(err)
		}
	}
}
