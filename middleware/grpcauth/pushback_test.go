package grpcauth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/verifier"
)

// Where it could not be told whether a token is good, clients that retry by themselves are told when: in the details and in a
// trailer, of unary calls and of streams. Nobody else is.
func TestClientsAreToldWhenToRetry(t *testing.T) {
	t.Parallel()
	verify := fake{
		"unavailable": &verifier.Error{Reason: verifier.ReasonKeysUnavailable, RetryAfter: 7 * time.Second},
		"limited":     &verifier.Error{Reason: verifier.ReasonUnknownKeyRateLimited, RetryAfter: 1500 * time.Millisecond},
		"invalid":     &verifier.Error{Reason: verifier.ReasonKeyNotAllowed},
	}
	conn := serve(t, guard(t, verify, grpcauth.Config{}), &orders{})
	for raw, want := range map[string]struct {
		code  codes.Code
		after time.Duration
		push  []string
	}{
		"unavailable": {codes.Unavailable, 7 * time.Second, []string{"7000"}},
		"limited":     {codes.ResourceExhausted, 1500 * time.Millisecond, []string{"1500"}},
		"invalid":     {codes.Unauthenticated, 0, nil},
	} {
		var trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+raw)
		err := conn.Invoke(ctx, read, wrapperspb.String("x"), new(wrapperspb.StringValue), grpc.Trailer(&trailer))
		require.Equal(t, want.code, status.Code(err), raw)
		_, retry := detailsOf(t, err)
		require.Equal(t, want.after, retry, raw)
		require.Equal(t, want.push, trailer.Get("grpc-retry-pushback-ms"), raw)

		s := open(t.Context(), t, conn, feed, raw)
		require.Equal(t, want.code, status.Code(drain(s)), raw)
		require.Equal(t, want.push, s.Trailer().Get("grpc-retry-pushback-ms"), raw)
	}
}
