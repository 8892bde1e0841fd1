package main_test

import (
	"context"
	"encoding/base64"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
)

const password = "hunter2%/? secret"

// startRedis starts a redis-server at a unix socket, with a password, and returns a client of it.
func startRedis(t *testing.T) (socket string, client *redis.Client) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err, "this test needs redis-server 7 or later: install it (Debian: apt-get install redis-server) and try again")
	storage.Silence()
	dir := t.TempDir()
	socket = filepath.Join(dir, "s")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path,
		"--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir, "--requirepass", password)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	client = redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Password: password, DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	require.Eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }, 10*time.Second, 5*time.Millisecond)
	return socket, client
}

// secretless checks that nothing in a result is the password, as it is or as it stands in a URL.
func secretless(t *testing.T, r result) {
	t.Helper()
	for _, text := range []string{"hunter2", password, url.QueryEscape(password)} {
		require.NotContains(t, r.out+r.errors, text)
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()
	socket, client := startRedis(t)
	tl, dir := signing(t)
	tl = tl.with("REGIONJWT_STORE", "unix://"+socket, "REGIONJWT_REDIS_PASSWORD", password)
	inURL := tl.with("REGIONJWT_STORE", "unix://"+url.UserPassword("default", password).String()+"@"+socket+"?db=0", "REGIONJWT_REDIS_PASSWORD", "")
	reader := tl.with("REGIONJWT_SIGN_KEY", "", "REGIONJWT_VERIFY_KEY", filepath.Join(dir, "key.pub"))

	id := tl.ok(t, "revoke", "--provider", "a", "--kid", "k")
	for _, one := range []tool{tl, inURL, reader} {
		for _, args := range [][]string{{"rules"}, {"rules", "--json"}, {"status"}, {"status", "--json"}, {"help", "status"}} {
			r := one.run(t, args...)
			require.Zero(t, r.code, r.errors)
			secretless(t, r)
		}
		require.Contains(t, one.ok(t, "rules"), id)
		require.Contains(t, one.ok(t, "status"), "unix:")
		require.Contains(t, one.ok(t, "status"), "(signed)")
	}
	reader.fails(t, 2, []string{"--sign-key"}, "unrevoke", id)

	plain := tl.with("REGIONJWT_SIGN_KEY", "")
	for _, args := range [][]string{{"status"}, {"rules"}, {"revoke", "--provider", "a", "--kid", "k"}, {"unrevoke", id}} {
		secretless(t, plain.fails(t, 2, []string{"--insecure-plain-store", "--verify-key"}, args...))
	}
	plain.ok(t, "revoke", "--insecure-plain-store", "--prefix", "plain:", "--provider", "a", "--kid", "k")
	require.Contains(t, plain.ok(t, "status", "--insecure-plain-store", "--prefix", "plain:"), "(plain)")
	require.Contains(t, tl.ok(t, "status", "--name", "other"), "the store is empty")

	// A user who may read only has a rule that is in force nowhere, and is told so.
	acl := []any{"ACL", "SETUSER", "watcher", "on", ">pw", "~*", "&*", "-@all", "+eval_ro", "+evalsha_ro", "+exists", "+hstrlen", "+hexists", "+hget"}
	require.NoError(t, client.Do(t.Context(), acl...).Err())
	watcher := tl.with("REGIONJWT_STORE", "unix://watcher:pw@"+socket, "REGIONJWT_LOCAL_COPY", filepath.Join(dir, "copy"))
	require.Empty(t, watcher.fails(t, 4, []string{"regionjwt rules"}, "revoke", "--provider", "a", "--kid", "m").out)
	watcher.fails(t, 4, []string{"regionjwt rules"}, "unrevoke", id)
	require.NotContains(t, watcher.ok(t, "rules"), "kid m", "neither the store nor the copy has it")
	require.NotContains(t, tl.with("REGIONJWT_LOCAL_COPY", filepath.Join(dir, "copy")).ok(t, "rules"), "kid m")
	require.Contains(t, watcher.ok(t, "rules"), id)

	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))), 0o600))
	sealed := plain.with("REGIONJWT_SECRET_FILE", secret, "REGIONJWT_PREFIX", "sealed:")
	sealed.ok(t, "revoke", "--provider", "a", "--kid", "k")
	require.Contains(t, sealed.ok(t, "status"), "(encrypted)")

	keys, err := client.Keys(t.Context(), "regionjwt:*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.NoError(t, client.HSet(t.Context(), keys[0], "data", "junk").Err())
	tl.fails(t, 3, []string{"not authentic"}, "status")
	tl.fails(t, 3, []string{"nothing was changed"}, "revoke", "--provider", "a", "--kid", "l")
	require.Equal(t, "junk", client.HGet(t.Context(), keys[0], "data").Val())
	tl.ok(t, "revoke", "--overwrite", "--provider", "a", "--kid", "l")
	require.NoError(t, client.Set(t.Context(), keys[0], "junk", 0).Err())
	tl.fails(t, 3, []string{keys[0]}, "status")
	require.NoError(t, client.Del(t.Context(), keys[0]).Err())
	require.Contains(t, tl.ok(t, "status"), "the store is empty")
}

func TestRedisThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	socket, client := startRedis(t)
	tl, dir := signing(t)
	tl = tl.with("REGIONJWT_STORE", "unix://"+socket, "REGIONJWT_REDIS_PASSWORD", password, "REGIONJWT_LOCAL_COPY", filepath.Join(dir, "copy"))
	id := tl.ok(t, "revoke", "--provider", "a", "--kid", "k")

	wrong := tl.with("REGIONJWT_STORE", "unix://:hunter2wrong@"+socket)
	broken := tl.with("REGIONJWT_STORE", "redis://default:hunter2 x@%zz/0")
	frozen := client.ClientPause(t.Context(), time.Second)
	require.NoError(t, frozen.Err())
	began := time.Now()
	secretless(t, tl.fails(t, 3, []string{"unavailable"}, "status", "--timeout", "300ms"))
	require.Less(t, time.Since(began), 5*time.Second)
	require.NoError(t, client.ClientUnpause(t.Context()).Err())

	for _, one := range []tool{wrong, broken, tl.with("REGIONJWT_STORE", "unix://:"+url.QueryEscape(password)+"@"+socket+".gone")} {
		code := map[bool]int{true: 2, false: 3}[one.env["REGIONJWT_STORE"] == broken.env["REGIONJWT_STORE"]]
		for _, args := range [][]string{{"status"}, {"rules"}, {"revoke", "--provider", "a", "--kid", "k"}, {"unrevoke", id}} {
			secretless(t, one.fails(t, code, []string{"--store"}, args...))
			r := one.fails(t, code, nil, append([]string{args[0], "--json"}, args[1:]...)...)
			secretless(t, r)
			decode[map[string]any](t, r.out)
		}
	}
	gone := tl.with("REGIONJWT_STORE", "unix://"+socket+".gone")
	require.Contains(t, gone.run(t, "rules").out, id, "the copy knows it")
	r := gone.fails(t, 3, []string{"nothing was changed"}, "revoke", "--provider", "a", "--kid", "l")
	require.Empty(t, r.out)
	require.NotContains(t, gone.run(t, "rules").out, "kid l")
}
