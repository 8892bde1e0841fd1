package grpcauth

import (
	"context"
	"errors"
	"reflect"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/authz"
	"github.com/regionjwt/regionjwt/middleware"
)

// PerRPCCredentials returns credentials for grpc.WithPerRPCCredentials that send the tokens of s as bearer tokens (RFC 6750
// section 2.1). They need a connection with TLS: otherwise no client can be made, and no call.
//
// A call for which there is no token fails: with the status of its context if that has ended; with Unauthenticated if the
// provider rejects the client; and otherwise with Unavailable, so that a retry policy applies. The status does not contain the
// text of the error, as servers often return the statuses of their calls to their own clients.
//
// PerRPCCredentials panics if s was not made by clientcredentials.New.
func PerRPCCredentials(s *clientcredentials.TokenSource) credentials.PerRPCCredentials {
	return newPerRPC("PerRPCCredentials", s, true)
}

// InsecurePerRPCCredentials is PerRPCCredentials without TLS, for tests: everyone on the network path can use the tokens.
func InsecurePerRPCCredentials(s *clientcredentials.TokenSource) credentials.PerRPCCredentials {
	return newPerRPC("InsecurePerRPCCredentials", s, false)
}

func newPerRPC(function string, s *clientcredentials.TokenSource, secure bool) *perRPC {
	if s == nil || reflect.ValueOf(s).Elem().IsZero() {
		panic("grpcauth: " + function + ": the token source was not made by clientcredentials.New") //nolint:forbidigo // at start
	}
	return &perRPC{source: s, secure: secure}
}

// source is a *clientcredentials.TokenSource.
type source interface {
	Token(ctx context.Context) (*clientcredentials.Token, error)
}

type perRPC struct {
	source source
	secure bool
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (c *perRPC) RequireTransportSecurity() bool { return c.secure }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (c *perRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if c.secure {
		ri, _ := credentials.RequestInfoFromContext(ctx)
		if err := credentials.CheckSecurityLevel(ri.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
			return nil, status.Error(codes.Internal, "grpcauth: the connection does not encrypt tokens")
		}
	}
	token, err := c.source.Token(ctx)
	switch {
	case err == nil && token != nil:
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, clientcredentials.ErrRejected):
		return nil, status.Error(codes.Unauthenticated, "grpcauth: the provider rejects this client")
	default:
		return nil, status.Error(codes.Unavailable, "grpcauth: no token is available")
	}
	value := authz.Bearer + " " + token.Value()
	if _, err := middleware.BearerToken(value); err != nil {
		return nil, status.Error(codes.Internal, "grpcauth: the token of the source cannot be sent")
	}
	return map[string]string{"authorization": value}, nil
}
