package grpccreds_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/failover/clientcredentials/grpccreds"
	"github.com/regionjwt/regionjwt/issuer"
)

// endpoint is a token endpoint in memory.
type endpoint func(*http.Request) (status int, body string, err error)

func (e endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	code, body, err := e(req)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req,
	}, nil
}

func source(t *testing.T, e endpoint) *clientcredentials.Source {
	t.Helper()
	s, err := clientcredentials.New(clientcredentials.Config{
		Provider: issuer.Provider{ID: "tenant", Regions: []issuer.Region{
			{Name: "us-east-1", Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
			{Name: "us-west-2", Issuers: []string{"https://west.example.com"}, TokenURL: "https://west.example.com/token"},
		}},
		Credentials: map[string]clientcredentials.Credentials{"": {ClientID: "machine", Secret: "secret"}},
		Client:      &http.Client{Transport: e},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// serve starts a server that says which authorization it was sent, and returns a call of it.
func serve(t *testing.T, server credentials.TransportCredentials, options ...grpc.DialOption) (call func(context.Context) (string, error), err error) {
	t.Helper()
	seen := make(chan []string, 1)
	s := grpc.NewServer(grpc.Creds(server), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			seen <- metadata.ValueFromIncomingContext(ctx, "authorization")
			return handler(ctx, req)
		}))
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:"+listener.Addr().String(), options...)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func(ctx context.Context) (string, error) {
		if _, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
			return "", err
		}
		return strings.Join(<-seen, ","), nil
	}, nil
}

// pair is TLS for a server and a client that trusts it.
func pair(t *testing.T) (server, client credentials.TransportCredentials) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return credentials.NewServerTLSFromCert(&tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}), credentials.NewClientTLSFromCert(roots, "")
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	_, err := grpccreds.New(grpccreds.Config{})
	require.Error(t, err)
	good := func(*http.Request) (int, string, error) {
		return 200, `{"access_token":"s3cret","token_type":"Bearer"}`, nil
	}
	creds, err := grpccreds.New(grpccreds.Config{Source: source(t, good)})
	require.NoError(t, err)
	server, client := pair(t)
	call, err := serve(t, server, grpc.WithTransportCredentials(client), grpc.WithPerRPCCredentials(creds))
	require.NoError(t, err)
	got, err := call(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Bearer s3cret", got)

	// Without TLS no token is presented, unless that is asked for.
	plain := insecure.NewCredentials()
	_, err = serve(t, plain, grpc.WithTransportCredentials(plain), grpc.WithPerRPCCredentials(creds))
	require.Error(t, err)
	_, err = creds.GetRequestMetadata(t.Context())
	require.Equal(t, codes.Internal, status.Code(err))
	lax, err := grpccreds.New(grpccreds.Config{Source: source(t, good), InsecureTransport: true})
	require.NoError(t, err)
	call, err = serve(t, plain, grpc.WithTransportCredentials(plain), grpc.WithPerRPCCredentials(lax))
	require.NoError(t, err)
	got, err = call(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Bearer s3cret", got)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for code, e := range map[codes.Code]endpoint{
		codes.Unavailable:      func(*http.Request) (int, string, error) { return 0, "", errors.New("s3cret") },
		codes.Unauthenticated:  func(*http.Request) (int, string, error) { return 401, `{"error":"invalid_client"}`, nil },
		codes.DeadlineExceeded: func(r *http.Request) (int, string, error) { <-r.Context().Done(); return 0, "", r.Context().Err() },
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			creds, err := grpccreds.New(grpccreds.Config{Source: source(t, e), InsecureTransport: true})
			require.NoError(t, err)
			plain := insecure.NewCredentials()
			call, err := serve(t, plain, grpc.WithTransportCredentials(plain), grpc.WithPerRPCCredentials(creds))
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			if code == codes.DeadlineExceeded {
				cancel()
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			}
			defer cancel()
			_, err = call(ctx)
			require.Equal(t, code, status.Code(err), "%v", err)
			require.NotContains(t, err.Error(), "us-east-1")
		})
	}
}
