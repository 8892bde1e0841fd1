package grpcauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// testCA is a certificate testCA of a test.
type testCA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newTestCA(t *testing.T) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &testCA{key: key, pool: x509.NewCertPool(), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate, and returns it with its thumbprint: RFC 8705, section 3.1.
func (a *testCA) issue(t *testing.T, serial int64) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"orders.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.RawURLEncoding.EncodeToString(sum[:])
}

// listen starts the service on a loopback address with TLS, where clients may present a certificate.
func (a *testCA) listen(t *testing.T, i *grpcauth.Interceptor, o *orders) (address string) {
	t.Helper()
	cert, _ := a.issue(t, 2)
	server := grpc.NewServer(append(interceptors(i), grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: a.pool,
	})))...)
	server.RegisterService(o.desc(), o)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-ended })
	return listener.Addr().String()
}

// dial returns a client that presents these certificates, and the tokens of source unless it is nil.
func (a *testCA) dial(t *testing.T, address string, source *clientcredentials.TokenSource, certs ...tls.Certificate) *grpc.ClientConn {
	t.Helper()
	options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: a.pool, ServerName: "orders.example", Certificates: certs,
	}))}
	if source != nil {
		options = append(options, grpc.WithPerRPCCredentials(grpcauth.PerRPCCredentials(source)))
	}
	conn, err := grpc.NewClient(address, options...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestOverTLS(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	ca := newTestCA(t)
	o := &orders{stream: shapes["blocked in Recv"]}
	address := ca.listen(t, guard(t, v, grpcauth.Config{Default: []middleware.Requirement{middleware.Scopes("orders/read")}}), o)
	good := newSource(t, func(*http.Request) (int, string, error) {
		return 200, `{"access_token":"` + w.Issue(west, fakeissuer.Claims{}) + `","token_type":"Bearer","expires_in":3600}`, nil
	})
	got, err := ask(t.Context(), ca.dial(t, address, good), read)
	require.NoError(t, err)
	require.Equal(t, fakeissuer.Subject, got)
	_, err = ask(t.Context(), ca.dial(t, address, nil), read)
	require.Equal(t, "token_missing", status.Convert(err).Message())
	_, err = ask(t.Context(), ca.dial(t, address, good), read, "Bearer "+w.Issue(west, fakeissuer.Claims{}))
	require.Equal(t, codes.InvalidArgument, status.Code(err), "both the credentials and the call send one")

	expiry := time.Now().Add(300 * time.Millisecond)
	short := w.Issue(west, fakeissuer.Claims{Set: map[string]any{"exp": float64(expiry.UnixMicro()) / 1e6}})
	requireEnded(t, drain(open(t.Context(), t, ca.dial(t, address, nil), chat, short)))
	require.Greater(t, time.Since(expiry), -time.Millisecond)
}

func TestCertificateBoundTokens(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	ca := newTestCA(t)
	mine, thumbprint := ca.issue(t, 3)
	other, _ := ca.issue(t, 4)
	bound := func(cnf any) string { return w.Issue(east, fakeissuer.Claims{Set: map[string]any{"cnf": cnf}}) }
	x5t := map[string]any{"x5t#S256": thumbprint}
	for _, config := range []grpcauth.Config{{InsecureIgnoreConfirmation: true}, {}, {RequireCertificate: true}} {
		ignored := config.InsecureIgnoreConfirmation
		address := ca.listen(t, guard(t, v, config), &orders{stream: func(grpc.ServerStream) error { return nil }})
		with, without, another := ca.dial(t, address, nil, mine), ca.dial(t, address, nil), ca.dial(t, address, nil, other)
		for name, c := range map[string]struct {
			conn  *grpc.ClientConn
			token string
			pass  bool
		}{
			"bound, with its certificate":          {with, bound(x5t), true},
			"bound, without a certificate":         {without, bound(x5t), ignored},
			"bound, with another certificate":      {another, bound(x5t), ignored},
			"not bound":                            {with, w.Issue(east, fakeissuer.Claims{}), !config.RequireCertificate},
			"bound to a key of DPoP":               {with, bound(map[string]any{"jkt": "x"}), ignored},
			"bound twice, with the certificate":    {with, bound(map[string]any{"x5t#S256": thumbprint, "jkt": "x"}), ignored},
			"bound to something of a wrong type":   {with, bound(map[string]any{"x5t#S256": 7}), ignored},
			"bound by a cnf that is not an object": {with, bound("x"), false},
		} {
			_, err := ask(t.Context(), c.conn, read, "Bearer "+c.token)
			streaming := open(t.Context(), t, c.conn, chat, c.token).RecvMsg(nil)
			if c.pass {
				require.NoError(t, err, "%s, %+v", name, config)
				require.EqualError(t, streaming, "EOF")
				continue
			}
			require.Equal(t, codes.Unauthenticated, status.Code(err), "%s, %+v", name, config)
			require.Equal(t, codes.Unauthenticated, status.Code(streaming))
			info, _ := detailsOf(t, err)
			require.Equal(t, "INVALID_TOKEN", info.GetReason())
		}
	}
	// A proxy has the certificate.
	der, err := x509.ParseCertificate(mine.Certificate[0])
	require.NoError(t, err)
	behind := serve(t, guard(t, v, grpcauth.Config{
		RequireCertificate: true, ClientCertificate: func(context.Context) *x509.Certificate { return der },
	}), &orders{})
	_, err = ask(t.Context(), behind, read, "Bearer "+bound(x5t))
	require.NoError(t, err)
	// Without TLS there is no certificate.
	conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{})
	_, err = ask(t.Context(), conn, read, "Bearer "+bound(x5t))
	require.Equal(t, codes.Unauthenticated, status.Code(err))
}

// A client with a retry policy recovers from the loss of a region whose keys are not in memory yet.
func TestRetryPolicyRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, v, _ := world(t)
		w.Break(east)
		rejections := 0
		conn := serve(t, guard(t, v, grpcauth.Config{OnDecision: func(_ context.Context, _ string, _ *verifier.Token, err error) {
			if err != nil {
				rejections++
			}
		}}), &orders{},
			grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}], "retryPolicy": {
				"maxAttempts": 5, "initialBackoff": "0.5s", "maxBackoff": "2s", "backoffMultiplier": 2,
				"retryableStatusCodes": ["UNAVAILABLE"]}}]}`))
		_, err := ask(t.Context(), conn, read, "Bearer "+w.Issue(west, fakeissuer.Claims{}))
		require.NoError(t, err, "the other region is there")
		require.Zero(t, rejections)
		time.AfterFunc(time.Second, func() { w.Restore(east) })
		began := time.Now()
		got, err := ask(t.Context(), conn, read, "Bearer "+w.Issue(east, fakeissuer.Claims{}))
		require.NoError(t, err)
		require.Equal(t, fakeissuer.Subject, got)
		require.Positive(t, rejections)
		require.GreaterOrEqual(t, time.Since(began), time.Second)
		t.Log(time.Since(began), rejections)

		_, err = ask(t.Context(), conn, read, "Bearer bad")
		require.Equal(t, codes.Unauthenticated, status.Code(err), "and does not ask again with a bad token")
	})
}
