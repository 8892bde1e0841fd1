package main

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/regionjwt/regionjwt/verifier"
)

// The methods of the service under test.
const (
	ordersPath = "/orders"
	readMethod = "/soak.Orders/Read"
	watchName  = "/soak.Orders/Watch"

	watchEvery = 250 * time.Millisecond // between two messages of a stream
)

// orders is the service under test. Its gRPC description is what protoc-gen-go-grpc would make of
//
//	service Orders {
//	  rpc Read(google.protobuf.Empty) returns (google.protobuf.StringValue);
//	  rpc Watch(google.protobuf.Empty) returns (stream google.protobuf.StringValue);
//	}
type orders struct{}

// ServeHTTP implements http.Handler.
func (orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := verifier.FromContext(r.Context())
	w.Header().Set("Region", t.Region())
	_, _ = w.Write([]byte("{}\n"))
}

func (orders) read(ctx context.Context) *wrapperspb.StringValue {
	t := verifier.FromContext(ctx)
	return wrapperspb.String(t.Region())
}

// watch sends the region of the token until the stream ends.
func (orders) watch(s grpc.ServerStream) error {
	t := verifier.FromContext(s.Context())
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if err := s.SendMsg(wrapperspb.String(t.Region())); err != nil {
			return err
		}
		select {
		case <-s.Context().Done():
			return s.Context().Err()
		case <-ticker.C:
		}
	}
}

var ordersDesc = grpc.ServiceDesc{
	ServiceName: "soak.Orders",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Read",
		Handler: func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			in := new(emptypb.Empty)
			if err := decode(in); err != nil {
				return nil, err
			}
			handle := func(ctx context.Context, _ any) (any, error) { return orders{}.read(ctx), nil }
			return intercept(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: readMethod}, handle)
		},
	}},
	Streams: []grpc.StreamDesc{watchDesc},
}

var watchDesc = grpc.StreamDesc{
	StreamName:    "Watch",
	ServerStreams: true,
	Handler: func(_ any, s grpc.ServerStream) error {
		if err := s.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		return orders{}.watch(s)
	},
}
