package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	primary   = "us-east-1"
	secondary = "us-west-2"
)

// retry is the service config of the clients: nothing but a retry policy of gRPC itself.
const retry = `{"methodConfig": [{"name": [{"service": "example.Orders"}], "retryPolicy": {
	"maxAttempts": 5, "initialBackoff": "0.5s", "maxBackoff": "2s", "backoffMultiplier": 2,
	"retryableStatusCodes": ["UNAVAILABLE"]}}]}`

// story plays the scenes against one server.
type story struct {
	out          io.Writer
	idp          *issuertest.Server
	asked, wrong int
}

// tell plays the story, and returns an error if anything was not as it should be.
func tell(ctx context.Context, out io.Writer) error {
	pool := issuer.UserPool{
		ID: primary + "_Testing01", Replicas: []string{secondary}, Mode: issuer.CognitoOriginal,
	}.Provider()
	idp := issuertest.New(nil, pool, issuertest.Config{})
	defer idp.Close()
	s := &story{out: out, idp: idp}
	first, stop, err := s.start()
	if err != nil {
		return err
	}
	defer stop()
	s.calls(ctx, first)
	s.stream(ctx, first)
	s.scene("Both regions are lost: the server has the keys, and goes on")
	s.idp.Break(primary)
	s.idp.Break(secondary)
	s.read(ctx, "token", primary, issuertest.Claims{}, first, codes.OK)
	s.read(ctx, "token", secondary, issuertest.Claims{}, first, codes.OK)

	s.scene("Another instance starts meanwhile, and one region returns a second later: the retry policy of gRPC gets over it")
	second, stopSecond, err := s.start()
	if err != nil {
		return err
	}
	defer stopSecond()
	timer := time.AfterFunc(time.Second, func() { s.idp.Restore(secondary) })
	defer timer.Stop()
	s.read(ctx, "token", secondary, issuertest.Claims{}, second, codes.OK)
	if s.wrong > 0 {
		return fmt.Errorf("%d of %d answers were not as they should be", s.wrong, s.asked)
	}
	_, err = fmt.Fprintf(out, "\nAll %d answers were as they should be.\n", s.asked)
	return err
}

// start runs a server on a loopback port.
func (s *story) start() (address string, stop func(), err error) {
	v, err := regionjwt.New(regionjwt.Config{
		Tokens:   verifier.Config{Leeway: -1}, // so that the story need not wait for it
		Policies: []verifier.Policy{s.idp.Policy()},
	})
	if err != nil {
		return "", nil, err
	}
	server, err := newServer(v, "orders/read")
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	return listener.Addr().String(), func() {
		server.Stop()
		<-ended
	}, nil
}

func (s *story) calls(ctx context.Context, address string) {
	s.scene("Calls")
	s.read(ctx, "user token", primary, issuertest.Claims{}, address, codes.OK)
	machine := issuertest.Claims{Subject: "billing", Set: map[string]any{"username": nil}}
	s.read(ctx, "machine token", secondary, machine, address, codes.OK)
	s.read(ctx, "without the scope", primary, issuertest.Claims{Scope: "openid"}, address, codes.PermissionDenied)
	s.read(ctx, "forged token", primary, issuertest.Claims{Forged: true}, address, codes.Unauthenticated)
	s.read(ctx, "ID token", primary, issuertest.Claims{IDToken: true}, address, codes.Unauthenticated)
	s.ask("no token", address, "", codes.Unauthenticated, func(c *grpc.ClientConn) (string, error) { return call(ctx, c) })
	s.ask("health, no token", address, "", codes.OK, func(c *grpc.ClientConn) (string, error) {
		r, err := healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{})
		return r.GetStatus().String(), err
	})
}

// stream shows that a stream ends when its token does.
func (s *story) stream(ctx context.Context, address string) {
	s.scene("A stream whose token expires in two seconds")
	expiry := time.Now().Add(2 * time.Second)
	token := s.idp.Issue(primary, issuertest.Claims{Set: map[string]any{"exp": float64(expiry.UnixMicro()) / 1e6}})
	s.ask("stream", address, token, codes.Unauthenticated, func(c *grpc.ClientConn) (string, error) {
		messages, err := follow(ctx, c)
		late := time.Since(expiry)
		if late < -50*time.Millisecond || late > time.Second {
			return "", fmt.Errorf("ended %v after the token: %w", late, err)
		}
		return fmt.Sprintf("%d messages, ended %d ms late", messages, max(late, 0).Milliseconds()), err
	})
}

// call makes a unary call.
func call(ctx context.Context, c *grpc.ClientConn) (string, error) {
	out := new(wrapperspb.StringValue)
	err := c.Invoke(ctx, read, new(emptypb.Empty), out)
	return out.GetValue(), err
}

// follow receives from a stream until that ends.
func follow(ctx context.Context, c *grpc.ClientConn) (messages int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, watch)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(stream.SendMsg(new(emptypb.Empty)), stream.CloseSend()); err != nil {
		return 0, err
	}
	for {
		if err := stream.RecvMsg(new(wrapperspb.StringValue)); err != nil {
			return messages, err
		}
		messages++
	}
}

func (s *story) scene(text string) { _, _ = fmt.Fprintf(s.out, "\n%s\n", text) }

// read makes a unary call with a token.
func (s *story) read(ctx context.Context, what, region string, c issuertest.Claims, address string, want codes.Code) {
	s.ask(what+" of "+region, address, s.idp.Issue(region, c), want, func(c *grpc.ClientConn) (string, error) {
		return call(ctx, c)
	})
}

// ask does something as a client with a token, and compares what comes of it with what should.
func (s *story) ask(what, address, token string, want codes.Code, do func(*grpc.ClientConn) (string, error)) {
	s.asked++
	began := time.Now()
	text, err := s.as(address, token, do)
	took := time.Since(began)
	if err != nil {
		text += " (" + status.Convert(err).Message() + ")"
	}
	verdict := "ok"
	if status.Code(err) != want {
		s.wrong++
		verdict = fmt.Sprintf("WRONG, should be %v", want)
	}
	_, _ = fmt.Fprintf(s.out, "  %-30s %-17v %-55s %8.2f ms  %s\n",
		what, status.Code(err), strings.TrimSpace(text), float64(took.Microseconds())/1000, verdict)
}

func (s *story) as(address, token string, do func(*grpc.ClientConn) (string, error)) (string, error) {
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(retry)}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(fixed(token)))
	}
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return do(conn)
}

// fixed sends one token without TLS. A real client uses grpcauth.PerRPCCredentials.
type fixed string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (f fixed) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(f)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (fixed) RequireTransportSecurity() bool { return false }
