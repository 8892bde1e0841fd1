package grpcauth_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

type verifierFunc func(context.Context, string) (*verifier.Token, error)

func (f verifierFunc) Verify(ctx context.Context, raw string) (*verifier.Token, error) {
	return f(ctx, raw)
}

func (verifierFunc) Recheck(context.Context, *verifier.Token) error { return nil }
func (verifierFunc) Changed() <-chan struct{}                       { return nil }

func TestNewRejectsNil(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]middleware.Verifier{
		"nothing": nil, "a nil Verifier": (*verifier.Verifier)(nil), "a nil function": verifierFunc(nil),
	} {
		_, err := grpcauth.New(v, grpcauth.Config{Grace: -1})
		require.ErrorContains(t, err, "grpcauth: New: the Verifier is nil", name)
		require.ErrorContains(t, err, "Grace -1ns is negative", "every problem at once")
	}
	for _, s := range []*clientcredentials.TokenSource{nil, {}} {
		require.PanicsWithValue(t, "grpcauth: PerRPCCredentials: the token source was not made by clientcredentials.New",
			func() { grpcauth.PerRPCCredentials(s) })
		require.PanicsWithValue(t, "grpcauth: InsecurePerRPCCredentials: the token source was not made by clientcredentials.New",
			func() { grpcauth.InsecurePerRPCCredentials(s) })
	}
}

// stub is a stream of which nothing but the context is asked.
type stub struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stub) Context() context.Context { return s.ctx }

// An Interceptor that New has not made lets nothing pass. A panic would end the process, as gRPC recovers none.
func TestInterceptorsThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	nilstest.Methods(t, "New", nil, nil, (*grpcauth.Interceptor)(nil), new(grpcauth.Interceptor))
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer a.b.c"))
	for _, i := range []*grpcauth.Interceptor{nil, {}} {
		_, err := i.Unary()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: read}, func(context.Context, any) (any, error) {
			t.Error("the handler was called")
			return nil, nil
		})
		require.Equal(t, codes.Unavailable, status.Code(err))
		err = i.Stream()(nil, stub{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: chat}, func(any, grpc.ServerStream) error {
			t.Error("the handler was called")
			return nil
		})
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.ErrorContains(t, i.Validate(grpc.NewServer()), "New")
	}
	_, v, _ := world(t)
	require.ErrorContains(t, guard(t, v, grpcauth.Config{}).Validate(nil), "nil")
}

// A Verifier that returns a nil *verifier.Error in an error admits nobody.
func TestANilErrorLetsNobodyIn(t *testing.T) {
	t.Parallel()
	i := guard(t, verifierFunc(func(context.Context, string) (*verifier.Token, error) {
		return nil, (*verifier.Error)(nil)
	}), grpcauth.Config{})
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer a.b.c"))
	_, err := i.Unary()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: read}, nil)
	require.Equal(t, codes.Unavailable, status.Code(err))
}

// The certificate of the client is the first of the chain, not one of its issuers (RFC 8446 section 4.4.2).
func TestTheFirstCertificateIsTheClients(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	ca := newTestCA(t)
	issue := func(serial int64) (*x509.Certificate, string) {
		c, thumbprint := ca.issue(t, serial)
		parsed, err := x509.ParseCertificate(c.Certificate[0])
		require.NoError(t, err)
		return parsed, thumbprint
	}
	client, thumbprint := issue(3)
	sum := sha256.Sum256(ca.cert.Raw)
	i := guard(t, v, grpcauth.Config{RequireCertificate: true})
	for n, c := range []struct {
		bound string
		chain []*x509.Certificate
		want  codes.Code
	}{
		{thumbprint, []*x509.Certificate{client}, codes.OK},
		{thumbprint, []*x509.Certificate{client, ca.cert}, codes.OK},
		{base64.RawURLEncoding.EncodeToString(sum[:]), []*x509.Certificate{client, ca.cert}, codes.Unauthenticated},
		{thumbprint, []*x509.Certificate{ca.cert, client}, codes.Unauthenticated},
		{thumbprint, nil, codes.Unauthenticated},
	} {
		token := w.Issue(east, fakeissuer.Claims{Set: map[string]any{"cnf": map[string]any{"x5t#S256": c.bound}}})
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+token))
		ctx = peer.NewContext(ctx, &peer.Peer{AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: c.chain}}})
		_, err := i.Unary()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: read}, func(context.Context, any) (any, error) {
			return nil, nil
		})
		require.Equal(t, c.want, status.Code(err), n)
	}
}
