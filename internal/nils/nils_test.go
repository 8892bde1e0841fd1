package nils_test

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/nils"
)

func TestIs(t *testing.T) {
	t.Parallel()
	var none http.Handler
	require.True(t, nils.Is(none))
	require.False(t, nils.Typed(none))
	for _, v := range []any{
		(*int)(nil), http.HandlerFunc(nil), http.Header(nil), (chan int)(nil), (*slog.JSONHandler)(nil),
	} {
		require.True(t, nils.Is(v), "%T", v)
		require.True(t, nils.Typed(v), "%T", v)
	}
	for _, v := range []any{0, "", []int(nil), new(int), struct{}{}, http.Header{}, http.NotFoundHandler(), [0]int{}} {
		require.False(t, nils.Is(v), "%T", v)
		require.False(t, nils.Typed(v), "%T", v)
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	require.False(t, nils.Logger(nil))
	require.False(t, nils.Logger(slog.New(slog.DiscardHandler)))
	require.True(t, nils.Logger(new(slog.Logger)))
	require.True(t, nils.Logger(slog.New((*slog.JSONHandler)(nil))))
}
