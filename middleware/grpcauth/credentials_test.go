package grpcauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
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

// newSource returns a token source of two regions that share an endpoint.
func newSource(t *testing.T, e endpoint) *clientcredentials.TokenSource {
	t.Helper()
	s, err := clientcredentials.New(issuer.Provider{
		ID: "tenant", HTTPClient: &http.Client{Transport: e}, Regions: []issuer.Region{
			{Name: east, Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
			{Name: west, Issuers: []string{"https://west.example.com"}, TokenURL: "https://west.example.com/token"},
		},
	}, clientcredentials.Config{Credentials: clientcredentials.Credentials{ClientID: "machine", Secret: "secret"}})
	require.NoError(t, err)
	return s
}

// A call gets a token, or a status that says whose fault it is and nothing of the error.
func TestPerRPCCredentials(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	i := guard(t, v, grpcauth.Config{})
	token := w.Issue(east, fakeissuer.Claims{})
	for name, c := range map[string]struct {
		endpoint endpoint
		code     codes.Code
	}{
		"a token": {func(*http.Request) (int, string, error) {
			return 200, `{"access_token":"` + token + `","token_type":"Bearer"}`, nil
		}, codes.OK},
		"no region answers":    {func(*http.Request) (int, string, error) { return 0, "", errors.New("s3cret") }, codes.Unavailable},
		"the client is wrong":  {func(*http.Request) (int, string, error) { return 401, `{"error":"invalid_client"}`, nil }, codes.Unauthenticated},
		"the deadline is over": {func(r *http.Request) (int, string, error) { <-r.Context().Done(); return 0, "", r.Context().Err() }, codes.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			creds := grpcauth.InsecurePerRPCCredentials(newSource(t, c.endpoint))
			conn := serve(t, i, &orders{}, grpc.WithPerRPCCredentials(creds))
			ctx, cancel := context.WithCancel(t.Context())
			if c.code == codes.DeadlineExceeded {
				cancel()
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			}
			defer cancel()
			got, err := ask(ctx, conn, read)
			require.Equal(t, c.code, status.Code(err), "%v", err)
			if err == nil {
				require.Equal(t, fakeissuer.Subject, got)
				return
			}
			for _, secret := range []string{"s3cret", east, token} {
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
}

// Without TLS no token is sent, unless that is asked for.
func TestPerRPCCredentialsNeedTLS(t *testing.T) {
	t.Parallel()
	_, v, _ := world(t)
	s := newSource(t, func(*http.Request) (int, string, error) {
		t.Error("a token was requested")
		return 500, "", nil
	})
	secure := grpcauth.PerRPCCredentials(s)
	require.True(t, secure.RequireTransportSecurity())
	require.False(t, grpcauth.InsecurePerRPCCredentials(s).RequireTransportSecurity())
	_, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(secure))
	require.Error(t, err)
	conn := serve(t, guard(t, v, grpcauth.Config{}), &orders{})
	err = conn.Invoke(t.Context(), read, nil, nil, grpc.PerRPCCredentials(secure))
	require.Error(t, err)
	_, err = secure.GetRequestMetadata(t.Context())
	require.Equal(t, codes.Internal, status.Code(err))
	plain := credentials.NewContextWithRequestInfo(t.Context(), credentials.RequestInfo{AuthInfo: plainInfo{
		credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity},
	}})
	_, err = secure.GetRequestMetadata(plain)
	require.Equal(t, codes.Internal, status.Code(err))
}

type plainInfo struct{ credentials.CommonAuthInfo }

func (plainInfo) AuthType() string { return "plain" }
