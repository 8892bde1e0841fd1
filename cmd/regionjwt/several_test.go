package main_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// Several stores: a change needs one of them, the tool says which do not have it, and restore writes it back.
func TestSeveralStores(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	east, west := filepath.Join(dir, "east"), filepath.Join(dir, "west")
	both := tl.with("REGIONJWT_STORE", "dir:"+east+",dir:"+west, "REGIONJWT_LOCAL_COPY", filepath.Join(dir, "copy"))
	id := both.ok(t, "revoke", "--provider", "a", "--session", "s1", "--new-provider")
	for _, place := range []string{east, west} {
		require.Contains(t, tl.with("REGIONJWT_STORE", "dir:"+place).ok(t, "rules"), `sid s1`)
	}
	require.Contains(t, both.ok(t, "status"), "store    dir:"+west+": epoch 1, problem: none")

	require.NoError(t, os.RemoveAll(west)) // it is lost
	require.NoError(t, os.WriteFile(west, nil, 0o600))
	said := both.run(t, "revoke", "--provider", "a", "--actor", "bot")
	require.Zero(t, said.code, said.errors)
	require.Contains(t, said.errors, "note: dir:"+west+" is unavailable, and is not written")
	require.Contains(t, said.errors, "NOT in dir:"+west+" (unavailable)")
	both.fails(t, 3, []string{"dir:" + west}, "rules")

	require.NoError(t, os.Remove(west))
	require.Contains(t, both.run(t, "status").errors, "it has lost them")
	require.Contains(t, both.ok(t, "rules", "restore"), "rules: 2")
	require.Contains(t, tl.with("REGIONJWT_STORE", "dir:"+west).ok(t, "rules"), `actor bot`)
	both.ok(t, "status")
	both.ok(t, "unrevoke", id[:16])
	both.fails(t, 2, []string{"alive or restore"}, "rules", "repair")
}

// A heartbeat keeps a document fresh for services with a MaxSilence, by a key that can do nothing else. It is refused where a
// store misses something.
func TestAlive(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	tool{}.ok(t, "keygen", "--out", filepath.Join(dir, "machine"))
	operator, machine := filepath.Join(dir, "key.pub"), filepath.Join(dir, "machine.pub")
	timer := tl.with("REGIONJWT_SIGN_KEY", filepath.Join(dir, "machine"), "REGIONJWT_VERIFY_KEY", operator+","+machine,
		"REGIONJWT_LOCAL_COPY", filepath.Join(dir, "copy"))
	timer.fails(t, 3, []string{"no heartbeat was written"}, "rules", "alive")
	tl.ok(t, "revoke", "--provider", "a", "--subject", "s")
	require.Contains(t, timer.ok(t, "rules", "alive"), "alive: epoch 1, stores: 1")
	tl.with("REGIONJWT_LOCAL_COPY", "").fails(t, 2, []string{"--local-copy is needed"}, "rules", "alive")

	keys := make([]store.PublicKey, 2)
	for i, file := range []string{operator, machine} {
		var err error
		keys[i], err = store.ReadPublicKey(file)
		require.NoError(t, err)
	}
	keys[1].Documents = []string{"regionjwt/revocation/alive"}
	place := filepath.Join(dir, "store")
	shared := store.Signed(store.Dir(place), "test", nil, keys...)
	service, err := revocation.New(revocation.Config{
		Replica: store.ReplicaConfig{Stores: []store.Trusted{shared}, MaxSilence: time.Hour},
	})
	require.NoError(t, err)
	require.NoError(t, service.Load(t.Context()))
	require.False(t, service.Status().Replica.Stale)
	require.Len(t, service.Rules(), 1)

	old := filepath.Join(dir, "old")
	require.NoError(t, os.CopyFS(old, os.DirFS(place)))
	tl.ok(t, "revoke", "--provider", "a", "--subject", "s2")
	timer.ok(t, "rules", "alive")
	require.NoError(t, os.RemoveAll(place))
	require.NoError(t, os.Rename(old, place))
	require.NoError(t, os.Chmod(place, 0o700))
	files, err := filepath.Glob(filepath.Join(place, "*"))
	require.NoError(t, err)
	for _, file := range files {
		require.NoError(t, os.Chmod(file, 0o600))
	}
	timer.fails(t, 3, []string{"no heartbeat was written", "rules restore"}, "rules", "alive")
}
