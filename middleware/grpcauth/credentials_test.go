package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
)

// source is a TokenSource.
type source func(context.Context) (string, error)

func (s source) Token(ctx context.Context) (string, error) { return s(ctx) }

func TestCredentials(t *testing.T) {
	t.Parallel()
	w, v, _ := world(t)
	i := guard(t, grpcauth.Config{Verifier: v})
	token := w.Token(east, issuertest.Claims{})
	for name, c := range map[string]struct {
		token string
		err   error
		code  codes.Code
	}{
		"a token":          {token, nil, codes.OK},
		"none":             {"", nil, codes.Internal},
		"a header":         {token + "\r\nx: y", nil, codes.Internal},
		"two":              {token + "," + token, nil, codes.Internal},
		"an error":         {"", errors.New("secret detail"), codes.Unavailable},
		"a status":         {"", status.Error(codes.PermissionDenied, "revoked"), codes.PermissionDenied},
		"a wrapped status": {"", fmt.Errorf("wrapped: %w", status.Error(codes.Unauthenticated, "revoked")), codes.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := serve(t, i, &orders{}, grpc.WithPerRPCCredentials(
				grpcauth.NewInsecureCredentials(source(func(context.Context) (string, error) { return c.token, c.err })),
			))
			_, err := ask(t.Context(), conn, read)
			require.Equal(t, c.code, status.Code(err), "%v", err)
			require.NotContains(t, fmt.Sprint(err), "secret")
			require.NotContains(t, fmt.Sprint(err), token)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	waits := source(func(ctx context.Context) (string, error) { return "", fmt.Errorf("gave up: %w", ctx.Err()) })
	_, err := grpcauth.NewInsecureCredentials(waits).GetRequestMetadata(ctx)
	require.Equal(t, codes.Canceled, status.Code(err))
	_, err = grpcauth.NewInsecureCredentials(nil).GetRequestMetadata(t.Context())
	require.Equal(t, codes.Internal, status.Code(err))
}

func TestCredentialsDemandSecrecy(t *testing.T) {
	t.Parallel()
	_, v, _ := world(t)
	asked := source(func(context.Context) (string, error) {
		require.Fail(t, "the source was asked")
		return "", nil
	})
	secure := grpcauth.NewCredentials(asked)
	require.True(t, secure.RequireTransportSecurity())
	require.False(t, grpcauth.NewInsecureCredentials(asked).RequireTransportSecurity())
	_, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(secure))
	require.Error(t, err)
	conn := serve(t, guard(t, grpcauth.Config{Verifier: v}), &orders{})
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
