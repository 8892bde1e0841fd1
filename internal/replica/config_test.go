package replica_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/store"
)

// Every problem of a configuration is named, with its field.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := store.Dir(t.TempDir())
	for name, c := range map[string]struct {
		config store.ReplicaConfig
		want   []string
	}{
		"nothing":       {store.ReplicaConfig{}, nil},
		"a store":       {store.ReplicaConfig{Store: dir, LocalCopy: dir, Name: "n", PollInterval: 1, MinEpoch: 1}, nil},
		"a local copy":  {store.ReplicaConfig{LocalCopy: dir, Name: "n"}, nil},
		"dead Name":     {store.ReplicaConfig{Name: "n"}, []string{"neither Store nor LocalCopy"}},
		"dead MinEpoch": {store.ReplicaConfig{MinEpoch: 1}, []string{"neither Store nor LocalCopy"}},
		"dead interval": {store.ReplicaConfig{PollInterval: 1}, []string{"neither Store nor LocalCopy"}},
		"all at once": {
			store.ReplicaConfig{Store: store.Dir(""), LocalCopy: store.Signed(dir, "", nil), Name: strings.Repeat("n", 513), PollInterval: -1},
			[]string{
				"Replica.Store: store.Dir", "Replica.LocalCopy: store.Signed: the fleet is empty", "Replica.LocalCopy: store.Signed: there is no public key",
				"Replica.Name has 513", "Replica.PollInterval is negative",
			},
		},
	} {
		problems := replica.Check(c.config)
		require.Len(t, problems, len(c.want), name)
		for i, want := range c.want {
			require.ErrorContains(t, problems[i], want, name)
		}
	}
	require.Equal(t, store.ReplicaConfig{Name: "n", PollInterval: 500 * time.Millisecond}, replica.Default(store.ReplicaConfig{}, "n"))
}
