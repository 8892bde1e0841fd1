package replica_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/store"
)

// Every problem of a configuration is named, with its field.
func TestCheck(t *testing.T) { // it changes the directory
	place := t.TempDir()
	dir, copies := store.Dir(place), store.Dir(t.TempDir())
	t.Chdir(filepath.Dir(place))
	near := store.Dir("./" + filepath.Base(place) + "/")
	encrypted := store.Encrypted(dir, "f", make([]byte, 32))
	signed := store.Signed(dir, "f", nil, store.PublicKey{Key: make([]byte, 32)})
	for name, c := range map[string]struct {
		config store.ReplicaConfig
		want   []string
	}{
		"nothing":       {store.ReplicaConfig{}, nil},
		"a store":       {store.ReplicaConfig{Stores: []store.Trusted{dir}, LocalCopy: copies, Name: "n", PollInterval: 50 * time.Millisecond, MinEpoch: 1}, nil},
		"copy in store": {store.ReplicaConfig{Stores: []store.Trusted{dir}, LocalCopy: dir}, []string{"LocalCopy is in the same place as Stores[0]"}},
		"copy in signed": {
			store.ReplicaConfig{Stores: []store.Trusted{signed}, LocalCopy: near}, []string{"LocalCopy is in the same place as Stores[0]"},
		},
		"one place twice": {store.ReplicaConfig{Stores: []store.Trusted{dir, near}}, []string{"Stores[1] is there twice"}},
		"a local copy":    {store.ReplicaConfig{LocalCopy: dir, Name: "n"}, nil},
		"dead Name":       {store.ReplicaConfig{Name: "n"}, []string{"neither Stores nor LocalCopy"}},
		"dead MinEpoch":   {store.ReplicaConfig{MinEpoch: 1}, []string{"neither Stores nor LocalCopy"}},
		"dead interval":   {store.ReplicaConfig{PollInterval: time.Second}, []string{"neither Stores nor LocalCopy"}},
		"short interval": {
			store.ReplicaConfig{Stores: []store.Trusted{dir}, PollInterval: 50*time.Millisecond - 1},
			[]string{"PollInterval is 49.999999ms"},
		},
		"no store": {store.ReplicaConfig{Stores: []store.Trusted{nil}}, []string{"Replica.Stores[0] is nil"}},
		"one twice": {store.ReplicaConfig{Stores: []store.Trusted{dir, signed, dir}}, []string{
			"Stores[1] is of another fleet", "Stores[1] is there twice", "Stores[2] is there twice",
		}},
		"encrypted":    {store.ReplicaConfig{Stores: []store.Trusted{encrypted}}, []string{"Stores[0] is encrypted only"}},
		"spelled":      {store.ReplicaConfig{Stores: []store.Trusted{store.InsecureTrust(encrypted)}}, nil},
		"proven":       {store.ReplicaConfig{Stores: []store.Trusted{signed}, MaxSilence: time.Hour}, nil},
		"unproven":     {store.ReplicaConfig{Stores: []store.Trusted{dir}, MaxSilence: time.Hour}, []string{"MaxSilence needs signed stores"}},
		"dead silence": {store.ReplicaConfig{LocalCopy: dir, MaxSilence: time.Hour}, []string{"MaxSilence is set, but not Stores"}},
		"no silence":   {store.ReplicaConfig{LocalCopy: dir, MaxSilence: -1}, []string{"MaxSilence is negative"}},
		"no time":      {store.ReplicaConfig{Stores: []store.Trusted{signed}, MaxSilence: time.Second, PollInterval: time.Second}, []string{"MaxSilence is 1s, and the stores are asked every 1s"}},
		"some time":    {store.ReplicaConfig{Stores: []store.Trusted{signed}, MaxSilence: time.Second}, nil},
		"all at once": {
			store.ReplicaConfig{Stores: []store.Trusted{store.Dir("")}, LocalCopy: store.Signed(copies, "", nil), Name: strings.Repeat("n", 513), PollInterval: -1},
			[]string{
				"Replica.Stores[0]: store.Dir", "Replica.LocalCopy: store.Signed: the fleet is empty", "Replica.LocalCopy: store.Signed: there is no public key",
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
