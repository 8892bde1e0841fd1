package grpcauth_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	east, west = "us-east-1", "us-west-2"
	read       = "/test.Orders/Read"
	remove     = "/test.Orders/Remove"
	chat       = "/test.Orders/Chat"
	feed       = "/test.Orders/Feed"
	upload     = "/test.Orders/Upload"
)

// orders is the service of the tests. A nil unary returns the subject of the token, or "anonymous".
type orders struct {
	unary  func(ctx context.Context) (string, error)
	stream func(grpc.ServerStream) error
}

func (o *orders) call(ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor, method string) (any, error) {
	in := new(wrapperspb.StringValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	handle := func(ctx context.Context, _ any) (any, error) {
		if o.unary != nil {
			s, err := o.unary(ctx)
			return wrapperspb.String(s), err
		}
		if tok := verifier.FromContext(ctx); tok != nil {
			return wrapperspb.String(tok.Subject()), nil
		}
		return wrapperspb.String("anonymous"), nil
	}
	if intercept == nil {
		return handle(ctx, in)
	}
	return intercept(ctx, in, &grpc.UnaryServerInfo{Server: o, FullMethod: method}, handle)
}

func (o *orders) desc() *grpc.ServiceDesc {
	desc := &grpc.ServiceDesc{ServiceName: "test.Orders", HandlerType: (*any)(nil)}
	for _, name := range []string{"Read", "Remove"} {
		desc.Methods = append(desc.Methods, grpc.MethodDesc{
			MethodName: name,
			Handler: func(_ any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
				return o.call(ctx, decode, i, "/test.Orders/"+name)
			},
		})
	}
	handler := func(_ any, s grpc.ServerStream) error { return o.stream(s) }
	desc.Streams = []grpc.StreamDesc{
		{StreamName: "Chat", Handler: handler, ServerStreams: true, ClientStreams: true},
		{StreamName: "Feed", Handler: handler, ServerStreams: true},
		{StreamName: "Upload", Handler: handler, ClientStreams: true},
	}
	return desc
}

// serve starts the service in memory, behind the interceptor unless it is nil, and returns a client.
func serve(t testing.TB, i *grpcauth.Interceptor, o *orders, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(interceptors(i)...)
	server.RegisterService(o.desc(), o)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	options = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	}, options...)
	conn, err := grpc.NewClient("passthrough:///orders", options...)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-ended
	})
	return conn
}

func interceptors(i *grpcauth.Interceptor) []grpc.ServerOption {
	if i == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.UnaryInterceptor(i.Unary()), grpc.StreamInterceptor(i.Stream())}
}

func guard(t testing.TB, v middleware.Verifier, c grpcauth.Config) *grpcauth.Interceptor {
	t.Helper()
	i, err := grpcauth.New(v, c)
	require.NoError(t, err)
	return i
}

// ask makes a unary call with these values of authorization.
func ask(ctx context.Context, conn *grpc.ClientConn, method string, authorization ...string) (string, error) {
	for _, a := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", a)
	}
	out := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, method, wrapperspb.String("x"), out)
	return out.GetValue(), err
}

// open starts a stream; Feed and Chat need nothing more.
func open(ctx context.Context, t testing.TB, conn *grpc.ClientConn, method, token string) grpc.ClientStream {
	t.Helper()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: method != upload, ClientStreams: method != feed}, method)
	require.NoError(t, err)
	return s
}

// detailsOf returns what the status of err says beyond its code and message.
func detailsOf(t testing.TB, err error) (info *errdetails.ErrorInfo, retry time.Duration) {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			require.Nil(t, info)
			info = d
		case *errdetails.RetryInfo:
			retry = d.GetRetryDelay().AsDuration()
		default:
			require.Fail(t, "unexpected detail")
		}
	}
	require.NotNil(t, info, "%v", err)
	require.Equal(t, "regionjwt", info.GetDomain())
	return info, retry
}

// rules are revocation rules of one switch.
type rules struct {
	mu      sync.Mutex
	on      bool
	changes signal.Signal
}

func (r *rules) Revoked(*verifier.Token) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on {
		return "rule", nil
	}
	return "", nil
}

func (r *rules) Changed() <-chan struct{} { return r.changes.Changed() }

func (r *rules) revoke() {
	r.mu.Lock()
	r.on = true
	r.mu.Unlock()
	r.changes.Send()
}

// world makes a provider with two regions and a verifier without leeway for its tokens.
func world(t testing.TB, change ...func(*verifier.Config)) (*fakeissuer.Server, *verifier.Verifier, *jwks.Cache) {
	t.Helper()
	w := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256", Layout: fakeissuer.IssuerPerRegion})
	cache, err := jwks.New([]issuer.Provider{w.Provider()}, jwks.Config{HTTPClient: w.Client()})
	require.NoError(t, err)
	c := verifier.Config{Leeway: -1}
	for _, f := range change {
		f(&c)
	}
	v, err := verifier.New([]verifier.Policy{
		{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)},
	}, cache, c)
	require.NoError(t, err)
	return w, v, cache
}

// fake is a Verifier with an error for each token.
type fake map[string]error

func (f fake) Verify(_ context.Context, raw string) (*verifier.Token, error) {
	return nil, f[raw]
}

func (fake) Recheck(context.Context, *verifier.Token) error { return nil }
func (fake) Changed() <-chan struct{}                       { return nil }

var _ middleware.Verifier = fake{}
