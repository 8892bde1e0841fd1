package main_test

import (
	"bytes"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	main "github.com/regionjwt/regionjwt/cmd/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^regionjwt \S+ \(go1\.`, tool{}.ok(t, "version"))
	v := decode[map[string]any](t, tool{}.ok(t, "version", "--json"))
	require.NotEmpty(t, v["version"])
	require.NotEmpty(t, v["go"])
	tool{}.fails(t, 2, []string{"flags only"}, "version", "x")
}

// full is a standard output on a disk that is full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// Output that is lost is told, and never exit code 0, nor 2: what was changed is changed.
func TestOutputIsLost(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	lost := func(args ...string) (int, string) {
		var errs bytes.Buffer
		code := main.Run(t.Context(), args, cli.IO{
			In: strings.NewReader(tl.stdin), Out: full{}, Err: &errs, Getenv: func(name string) string { return tl.env[name] },
		})
		return code, errs.String()
	}
	for _, args := range [][]string{
		{"version"},
		{"version", "--json"},
		{"help"},
		{"help", "revoke"},
		{"revoke", "--help"},
		{"completion", "bash"},
		{"revoke", "--provider", "shop", "--kid", "k"},
		{"revoke", "--provider", "shop", "--kid", "l", "--json"},
		{"rules"},
		{"rules", "--json"},
		{"status"},
	} {
		code, errs := lost(args...)
		require.Equal(t, 3, code, "%v: %s", args, errs)
		require.Contains(t, errs, "standard output could not be written: no space left on device", "%v", args)
	}
	require.Contains(t, tl.ok(t, "rules"), "kid l")
	tl.stdin = "a.b.c"
	code, errs := lost("inspect")
	require.Equal(t, 1, code, "the answer is no")
	require.Contains(t, errs, "standard output could not be written")
	code, errs = lost("revoke", "--json")
	require.Equal(t, 2, code, "nothing was changed: %s", errs)
}

// A local copy in the directory of the store would replace its document, even by a command that only reads.
func TestLocalCopyInTheStore(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	tl.ok(t, "revoke", "--provider", "shop", "--kid", "k")
	for _, copied := range []string{"store", "store/", "./x/../store"} {
		tl.fails(t, 2, []string{"LocalCopy is in the same place"}, "rules", "--local-copy", dir+"/"+copied)
	}
	require.Contains(t, tl.ok(t, "rules"), "kid k")
}

// Completion needs neither a network nor a store.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		require.Contains(t, tool{}.ok(t, "completion", shell), "regionjwt", shell)
	}
	dead := tool{}.with("REGIONJWT_STORE", "redis://127.0.0.1:1/0")
	complete := func(args ...string) string { return dead.run(t, append([]string{"__complete"}, args...)...).out }
	require.Contains(t, complete("re"), "revoke\treject tokens")
	require.Contains(t, complete("revoke", "--thumb"), "--thumbprint")
	require.Contains(t, complete("inspect", "--audience-kind", ""), "id-token\n")
	require.Contains(t, complete("inspect", "--cognito-mode", ""), "updated\n")
	require.Contains(t, complete("pin", "--user-pool", poolID, "--replica", west, ""), west+"\n")
	require.Contains(t, complete("help", "un"), "unrevoke\t")
	require.Contains(t, complete("rules", ""), ":4\n", "no files")
	tool{}.fails(t, 2, []string{"csh"}, "completion", "csh")
}

// Every flag can be given by the environment, and a flag wins.
func TestEveryFlagHasAVariable(t *testing.T) {
	t.Parallel()
	flag := regexp.MustCompile(`(?m)^  --([a-z-]+).*\n        .*$`)
	for _, name := range allCommands {
		for _, m := range flag.FindAllStringSubmatch(tool{}.ok(t, append([]string{"help"}, strings.Fields(name)...)...), -1) {
			if m[1] == "help" {
				continue
			}
			variable := "REGIONJWT_" + strings.ToUpper(strings.ReplaceAll(m[1], "-", "_"))
			require.Contains(t, m[0], "[$"+variable+"]", name)
		}
	}
	tl := tool{}.with("REGIONJWT_DRY_RUN", "true", "REGIONJWT_JSON", "true", "REGIONJWT_PROVIDER", "a", "REGIONJWT_KID", "k")
	r := tl.run(t, "revoke", "--kid", "l")
	require.Zero(t, r.code, r.errors)
	require.Equal(t, map[string]any{"provider": "a", "kid": "l"}, decode[map[string]any](t, r.out)["rule"])
	require.Contains(t, r.errors, "the environment adds to the rule: REGIONJWT_PROVIDER\n")
	tl.with("REGIONJWT_DRY_RUN", "perhaps").fails(t, 2, []string{"REGIONJWT_DRY_RUN does not fit --dry-run"}, "revoke")
	tool{}.fails(t, 2, []string{"two dashes"}, "revoke", "-provider", "a")
}

// A rule for a provider that nobody has would match no token.
func TestRevokeForAnUnknownProvider(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	first := tl.run(t, "revoke", "--provider", "shop", "--kid", "k")
	require.Zero(t, first.code)
	require.Contains(t, first.errors, "no rule and no pin in ")
	require.NotContains(t, tl.run(t, "revoke", "--provider", "shop", "--kid", "l").errors, "no pin")
	tl.fails(t, 2, []string{"no provider shpo is known, only shop", "nothing was changed", "--new-provider"}, "revoke", "--provider", "shpo", "--kid", "k")
	require.Contains(t, tl.ok(t, "status"), "epoch    2")
	tl.ok(t, "revoke", "--provider", "bank", "--kid", "k", "--new-provider")
	tl.ok(t, "revoke", "--provider", "bank", "--kid", "l")
	tl.ok(t, "revoke", "--all-providers", "--kid", "l")

	// A pin names one, too, and so do the flags, which are the only ones then.
	tl.ok(t, "pin", "--provider", "mall", "--issuer", "eu=https://eu.example", "--issuer", "us=https://us.example", "us")
	tl.ok(t, "revoke", "--provider", "mall", "--kid", "k")
	known := tl.with("REGIONJWT_KNOWN_PROVIDER", "fair,\x1b[2J")
	r := known.fails(t, 2, []string{"only "}, "revoke", "--provider", "shop", "--kid", "m")
	require.NotContains(t, r.errors, "\x1b")
	known.fails(t, 2, []string{"is known"}, "revoke", "--dry-run", "--provider", "fiar", "--kid", "m")
	known.ok(t, "revoke", "--provider", "fair", "--kid", "m")
}

// Help needs no network, no store and no file.
func TestHelpSuggests(t *testing.T) {
	t.Parallel()
	tool{}.fails(t, 2, []string{"perhaps revoke"}, "revok")
	require.Contains(t, tool{}.ok(t, "help", "completion"), "bash")
	require.Contains(t, tool{}.ok(t, "help", "completion", "bash"), "source <(regionjwt completion bash)")
}
