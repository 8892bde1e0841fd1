package monitor_test

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/monitor"
	"github.com/regionjwt/regionjwt/store"
)

// names is a Store that notes the names of what is saved.
type names []string

func (*names) Load(context.Context, string, string) ([]byte, string, error) {
	return nil, "", store.ErrNotFound
}

func (*names) Watch(ctx context.Context, _ string, _ func()) error { <-ctx.Done(); return ctx.Err() }

func (n *names) Save(_ context.Context, name string, _ []byte, _ string) (string, error) {
	*n = append(*n, name)
	return "1", nil
}

// Two regions never share a document, whatever their names and those of their providers.
func TestEachRegionHasADocument(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	var saved names
	for _, of := range [][2]string{{"a/b", "c"}, {"a", "b/c"}, {"a%2Fb", "c"}} {
		v := monitor.Verdict{Provider: of[0], Region: of[1], Seq: 1, Began: time.Now(), TTL: time.Minute}
		signed, err := monitor.Sign(v, "f", "m", private)
		require.NoError(t, err)
		require.NoError(t, monitor.Save(t.Context(), &saved, signed))
	}
	require.Equal(t, names{"regionjwt/verdict/m/a%2Fb/c", "regionjwt/verdict/m/a/b%2Fc", "regionjwt/verdict/m/a%252Fb/c"}, saved)
}
