// Package grpccreds presents the tokens of a clientcredentials.Source on the calls of a gRPC client.
package grpccreds

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// Config configures credentials. Source is required.
type Config struct {
	// Source has the tokens. It is a *clientcredentials.Source, made by clientcredentials.New.
	Source interface {
		Token(ctx context.Context) (*clientcredentials.Token, error)
	}

	// InsecureTransport presents tokens over transports that do not keep them secret, too: whoever is on the way can read and use
	// them. It is for tests on a loopback address, and where a mesh encrypts below gRPC.
	InsecureTransport bool
}

// New returns credentials for grpc.WithPerRPCCredentials, which present c.Source's token as a bearer token (RFC 6750, section
// 2.1) to the one server or service that the client is connected to.
//
// A call whose token cannot be had fails: as its context does where that has ended; with Unauthenticated where the issuer refuses
// the client; and otherwise with Unavailable, so that a retry policy applies. The text of the
// Source's error is not in the status, which servers are apt to pass on to their own clients.
func New(c Config) (credentials.PerRPCCredentials, error) {
	if err := checkSource(c.Source); err != nil {
		return nil, fmt.Errorf("grpccreds: %w", err)
	}
	return &perRPC{c}, nil
}

// checkSource reports a Source that cannot have tokens: nil, a nil pointer, or one that clientcredentials.New has not made.
func checkSource(s any) error {
	if v := reflect.ValueOf(s); s == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("the Source is nil: make it with clientcredentials.New")
	}
	if s, ok := s.(*clientcredentials.Source); ok {
		_, err := s.Transport(clientcredentials.TransportConfig{Origins: []string{"https://localhost"}}) // does no I/O
		return err
	}
	return nil
}

type perRPC struct{ config Config }

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (p *perRPC) RequireTransportSecurity() bool { return !p.config.InsecureTransport }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (p *perRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if !p.config.InsecureTransport {
		ri, _ := credentials.RequestInfoFromContext(ctx)
		if err := credentials.CheckSecurityLevel(ri.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
			return nil, status.Error(codes.Internal, "grpccreds: the transport does not keep tokens secret")
		}
	}
	token, err := p.config.Source.Token(ctx)
	switch {
	case err == nil && token != nil:
		return map[string]string{"authorization": "Bearer " + token.Value()}, nil
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, clientcredentials.ErrRefused):
		return nil, status.Error(codes.Unauthenticated, "grpccreds: the issuer refuses this client a token")
	}
	return nil, status.Error(codes.Unavailable, "grpccreds: no token can be had now")
}
