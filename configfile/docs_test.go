package configfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/configfile"
	"github.com/regionjwt/regionjwt/store"
)

// The file that the documentation shows is one.
func TestTheFileOfTheDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/configuration.md")
	require.NoError(t, err)
	_, after, _ := strings.Cut(string(text), "```json\n")
	example, _, _ := strings.Cut(after, "```")
	dir := t.TempDir()
	keyFiles(t, dir)
	require.NoError(t, os.Rename(filepath.Join(dir, "password"), filepath.Join(dir, "redis-password")))
	path := filepath.Join(dir, "regionjwt.json")
	require.NoError(t, os.WriteFile(path, []byte(example), 0o600))
	f, err := configfile.Open(path, configfile.Options{Stores: map[string]func(configfile.Location) (store.Store, error){
		"rediss": func(l configfile.Location) (store.Store, error) {
			require.Equal(t, configfile.Location{URL: "rediss://redis.example:6379/0", Password: "hunter2"}, l)
			return memory{}, nil
		},
	}})
	require.NoError(t, err)
	require.Len(t, f.Config().Policies, 2)
}
