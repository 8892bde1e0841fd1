package grpcauth

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/middleware"
)

// TokenSource has the access token that a client presents. It is asked for each call, so it should remember its token. It must
// be safe for concurrent use, and heed ctx, which is that of the call.
type TokenSource interface {
	Token(ctx context.Context) (string, error)
}

// NewCredentials returns credentials that present the tokens of source as bearer tokens (RFC 6750, section 2.1). They demand a
// transport that keeps them secret, which is TLS: without it, no client can be made, and no call.
//
// A call whose token cannot be had fails: as its context does where that has ended; with the status that the error of source
// has; and otherwise with Unavailable, so that a retry policy applies. The text of such an error is not in the status, which
// servers are apt to pass on to their own clients. What is not a token at all fails with Internal.
func NewCredentials(source TokenSource) credentials.PerRPCCredentials {
	return &perRPC{source: source, secure: true}
}

// NewInsecureCredentials is NewCredentials without the demand: whoever is on the way can read the tokens, and use them. It is
// for tests on a loopback address.
func NewInsecureCredentials(source TokenSource) credentials.PerRPCCredentials {
	return &perRPC{source: source}
}

type perRPC struct {
	source TokenSource
	secure bool
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (c *perRPC) RequireTransportSecurity() bool { return c.secure }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (c *perRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if nils.Is(c.source) {
		return nil, status.Error(codes.Internal, "grpcauth: the token source is not set, or nil")
	}
	if c.secure {
		ri, _ := credentials.RequestInfoFromContext(ctx)
		if err := credentials.CheckSecurityLevel(ri.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
			return nil, status.Error(codes.Internal, "grpcauth: the transport does not keep tokens secret")
		}
	}
	token, err := c.source.Token(ctx)
	if err != nil {
		if _, ok := status.FromError(err); ok {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		return nil, status.Error(codes.Unavailable, "grpcauth: the token source has no token")
	}
	value := "Bearer " + token
	if _, err := middleware.Bearer([]string{value}); err != nil {
		return nil, status.Error(codes.Internal, "grpcauth: what the token source returned is not a token")
	}
	return map[string]string{"authorization": value}, nil
}
