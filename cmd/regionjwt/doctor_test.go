package main_test

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// examined is the document of doctor --json.
type examined struct {
	Verdict string
	Checks  []struct{ Level, Check, Subject, Detail, Remedy string }
}

// examine runs doctor in both formats, which must agree.
func examine(t *testing.T, tl tool, code int, args ...string) (examined, string) {
	t.Helper()
	machine := tl.run(t, append([]string{"doctor", "--json"}, args...)...)
	people := tl.run(t, append([]string{"doctor"}, args...)...)
	require.Equal(t, code, machine.code, machine.out+machine.errors)
	require.Equal(t, code, people.code, people.out+people.errors)
	x := decode[examined](t, machine.out)
	for _, c := range x.Checks {
		require.Contains(t, people.out, c.Level)
		require.Equal(t, c.Level == "ok", c.Remedy == "", c.Detail)
	}
	return x, people.out
}

// level returns the worst level of a check.
func (x examined) level(check string) string {
	worst := ""
	for _, c := range x.Checks {
		if c.Check == check && (worst == "" || worst == "ok" || c.Level == "error") {
			worst = c.Level
		}
	}
	return worst
}

// files lists everything below a directory, with its content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			data, errRead := os.ReadFile(path)
			all[path], err = string(data), errRead
		} else {
			all[path] = "directory"
		}
		return err
	}))
	return all
}

func TestDoctorChangesNothing(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	tl.ok(t, "revoke", "--provider", "shop", "--kid", "k")
	tl.ok(t, of("pin", "us")...)
	tl = tl.with("REGIONJWT_VERIFY_KEY", filepath.Join(dir, "key.pub"), "REGIONJWT_LOCAL_COPY", filepath.Join(dir, "copy"))
	tl.ok(t, "rules")
	before := files(t, dir)
	x, out := examine(t, tl, 0)
	require.Equal(t, "ok", x.Verdict, out)
	for _, check := range []string{"key", "key pair", "store", "rules", "local copy"} {
		require.Equal(t, "ok", x.level(check), out)
	}
	require.Contains(t, out, "epoch 1, rules: 1")
	require.Contains(t, out, "0 errors, 0 warnings")
	require.Equal(t, before, files(t, dir))

	// The store has a rule more than the local copy, which does not learn it.
	tl.with("REGIONJWT_LOCAL_COPY", "").ok(t, "revoke", "--provider", "shop", "--kid", "l")
	before = files(t, dir)
	x, out = examine(t, tl, 0)
	require.Equal(t, "warning", x.level("local copy"), out)
	require.Contains(t, out, "epoch 1, the store has 2")
	require.Contains(t, out, "0 errors, 1 warning\n")
	examine(t, tl, 1, "--strict")
	require.Equal(t, before, files(t, dir))

	require.NoError(t, os.Remove(document(t, tool{}.with("REGIONJWT_STORE", "dir:"+filepath.Join(dir, "copy")))))
	_, out = examine(t, tl, 0)
	require.Contains(t, out, "epoch 0, the store has 2")
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	open := func(mode os.FileMode, path string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			require.NoError(t, os.Chmod(filepath.Join(dir, path), mode))
		}
	}
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		env   []string // name, and path in the directory or another value
		check string
		says  []string
	}{
		"a private key that others can read": {open(0o640, "key"), nil, "key", []string{"chmod 600"}},
		"a directory that others can write":  {open(0o777, "."), nil, "key", []string{"chmod go-w"}},
		"no such key":                        {nil, []string{"REGIONJWT_SIGN_KEY", "/nonexistent"}, "key", []string{"no such file", "--sign-key"}},
		"keys of two pairs":                  {nil, []string{"REGIONJWT_VERIFY_KEY", "other.pub"}, "key pair", []string{"none of --verify-key", "FILE.pub"}},
		"another fleet":                      {nil, []string{"REGIONJWT_FLEET", "production"}, "rules", []string{`"test"`, "--fleet"}},
		"no fleet":                           {nil, []string{"REGIONJWT_FLEET", ""}, "store", []string{"REGIONJWT_FLEET"}},
		"a store that others can read":       {open(0o750, "store"), nil, "store", []string{"chmod 700"}},
		"a forged document": {func(t *testing.T, dir string) {
			t.Helper()
			require.NoError(t, os.WriteFile(document(t, tool{}.with("REGIONJWT_STORE", "dir:"+filepath.Join(dir, "store"))), []byte("x"), 0o600))
		}, nil, "rules", []string{"not_authentic", "--verify-key"}},
		"a local copy that is a file": {nil, []string{"REGIONJWT_LOCAL_COPY", "key"}, "local copy", []string{"not a directory"}},
	} {
		tl, dir := signing(t)
		tool{}.ok(t, "keygen", "--out", filepath.Join(dir, "other"))
		tl.ok(t, "revoke", "--provider", "a", "--kid", "k")
		if test.spoil != nil {
			test.spoil(t, dir)
		}
		for i := 0; i < len(test.env); i += 2 {
			value := test.env[i+1]
			if _, err := os.Stat(filepath.Join(dir, value)); err == nil && value != "" {
				value = filepath.Join(dir, value)
			}
			tl = tl.with(test.env[i], value)
		}
		x, out := examine(t, tl, 1)
		require.Equal(t, "error", x.level(test.check), "%s: %s", name, out)
		require.Equal(t, "error", x.Verdict, name)
		for _, text := range test.says {
			require.Contains(t, out, text, name)
		}
		require.NotContains(t, out, "\x1b", name)
	}
	tl, dir := signing(t)
	x, out := examine(t, tl.with("REGIONJWT_STORE", "dir:"+filepath.Join(dir, "typo")), 0)
	require.Equal(t, "warning", x.level("store"), out)
	require.NoDirExists(t, filepath.Join(dir, "typo"))
}

func TestDoctorAsksEveryURLAndTheClock(t *testing.T) {
	t.Parallel()
	d, flags := updatedPool(t)
	x, out := examine(t, tool{}, 0, flags...)
	require.Equal(t, "ok", x.Verdict, out)
	require.Contains(t, out, "https://"+westHost+keysPath)
	require.Equal(t, "ok", x.level("clock"), out)

	d.Break(west)
	x, out = examine(t, tool{}, 1, flags...)
	require.Equal(t, "error", x.level("jwks url"), out)
	require.Contains(t, out, "no keys: network")
	d.instead(westHost, status(404))
	x, _ = examine(t, tool{}, 0, flags...)
	require.Equal(t, "warning", x.level("jwks url"))
	for ahead, level := range map[time.Duration]string{10 * time.Second: "warning", -time.Hour: "error"} {
		d.instead(westHost, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusNotFound)
		})
		x, out = examine(t, tool{}, map[string]int{"error": 1}[level], flags...)
		require.Equal(t, level, x.level("clock"), out)
		require.Contains(t, out, "NTP")
	}
}

func TestDoctorOfRedis(t *testing.T) {
	t.Parallel()
	socket, client := startRedis(t)
	tl, _ := signing(t)
	tl = tl.with("REGIONJWT_STORE", "unix://"+socket, "REGIONJWT_REDIS_PASSWORD", password)
	tl.ok(t, "revoke", "--provider", "a", "--kid", "k")
	dump := func() string { return strings.Join(client.Keys(t.Context(), "*").Val(), " ") }
	before := dump()
	x, out := examine(t, tl, 0)
	require.Equal(t, "ok", x.level("clock"), out)
	require.Equal(t, "ok", x.level("rules"), out)
	require.Equal(t, before, dump())
	gone := tl.with("REGIONJWT_STORE", "unix://"+socket+".gone", "REGIONJWT_PROVIDER", "a", "REGIONJWT_ISSUER", "eu=http://localhost:1")
	x, out = examine(t, gone, 1)
	require.Equal(t, "error", x.level("rules"), out)
	require.Contains(t, out, "unavailable")
	for _, c := range x.Checks {
		if c.Check == "rules" || c.Check == "pins" {
			require.Equal(t, "the store is unavailable: check --store, the network and the password", c.Remedy)
			require.NotContains(t, c.Detail, c.Subject, "the line names the store already")
			require.NotContains(t, c.Detail, c.Remedy, "the next line says it")
		}
	}
	require.Equal(t, "error", x.level("pins"), out)
	require.NotContains(t, out, "hunter2")
	tool{}.fails(t, 2, []string{"what is to be checked?"}, "doctor")
}
