package main

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// The methods of the service.
const (
	read  = "/example.Orders/Read"
	watch = "/example.Orders/Watch"
)

// newServer returns a server of the service. Only the health service needs no token.
func newServer(v middleware.Verifier, scope string, options ...grpc.ServerOption) (*grpc.Server, error) {
	c := grpcauth.Config{Exempt: []string{"/grpc.health.v1.Health/"}}
	if scope != "" {
		c.Default = []middleware.Requirement{middleware.Scopes(scope)}
	}
	auth, err := grpcauth.New(v, c)
	if err != nil {
		return nil, err
	}
	options = append(options, grpc.ChainUnaryInterceptor(auth.Unary()), grpc.ChainStreamInterceptor(auth.Stream()))
	server := grpc.NewServer(options...)
	server.RegisterService(&ordersDesc, orders{})
	healthpb.RegisterHealthServer(server, health.NewServer())
	return server, auth.Validate(server)
}

// orders is the service. Its description is what protoc-gen-go-grpc would make of
//
//	service Orders {
//	  rpc Read(google.protobuf.Empty) returns (google.protobuf.StringValue);
//	  rpc Watch(google.protobuf.Empty) returns (stream google.protobuf.StringValue);
//	}
type orders struct{}

// read returns the regions that may have issued the token.
func (orders) read(ctx context.Context) *wrapperspb.StringValue {
	return wrapperspb.String("issued in " + strings.Join(verifier.FromContext(ctx).Regions(), " or "))
}

// watch sends the time every 100 ms, until its context ends.
func (orders) watch(s grpc.ServerStream) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-s.Context().Done():
			return s.Context().Err()
		case now := <-ticker.C:
			if err := s.SendMsg(wrapperspb.String(now.Format(time.TimeOnly))); err != nil {
				return err
			}
		}
	}
}

var ordersDesc = grpc.ServiceDesc{
	ServiceName: "example.Orders",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Read",
		Handler: func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			in := new(emptypb.Empty)
			if err := decode(in); err != nil {
				return nil, err
			}
			handle := func(ctx context.Context, _ any) (any, error) { return orders{}.read(ctx), nil }
			if intercept == nil {
				return handle(ctx, in)
			}
			return intercept(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: read}, handle)
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName:    "Watch",
		ServerStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error {
			if err := s.RecvMsg(new(emptypb.Empty)); err != nil {
				return err
			}
			return orders{}.watch(s)
		},
	}},
}
