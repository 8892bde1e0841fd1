package grpcauth_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/regionjwt/regionjwt/internal/answers"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
)

// Every failure is answered as docs/answers.md says.
func TestConformance(t *testing.T) {
	t.Parallel()
	rows := answers.Rows(t, "../../docs/answers.md")
	tried := map[string]bool{answers.Good: true}
	for _, c := range answers.Cases(t) {
		i := guard(t, c.Verifier, grpcauth.Config{RequireCertificate: c.RequireCertificate, Default: c.Requirements})
		ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"authorization": c.Authorization})
		ran := false
		_, err := i.Unary()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/orders.Orders/Get"},
			func(context.Context, any) (any, error) { ran = true; return "", nil })
		if c.Name == answers.Good {
			require.NoError(t, err)
			continue
		}
		tried[c.Name] = true
		row, ok := rows[c.Name]
		require.True(t, ok, "%q has no row", c.Name)
		require.False(t, ran, c.Name)
		s, ok := status.FromError(err)
		require.True(t, ok)
		info, retry := detailsOf(t, err)
		require.Equal(t, row.Code, s.Code().String(), c.Name)
		require.Equal(t, row.Reason, s.Message(), c.Name)
		require.Equal(t, strings.ToUpper(row.Reason), info.GetReason(), c.Name)
		require.Equal(t, "regionjwt", info.GetDomain())
		want := time.Duration(0)
		if row.RetryInfo != "" {
			want, err = time.ParseDuration(row.RetryInfo)
			require.NoError(t, err)
		}
		require.InDelta(t, want, retry, float64(200*time.Millisecond), c.Name)
		require.NotContains(t, s.Proto().String(), answers.Secret, c.Name)
	}
	for name := range rows {
		require.True(t, tried[name], "%q was not tried", name)
	}
}
