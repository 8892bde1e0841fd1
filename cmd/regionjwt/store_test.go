package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

// document is the file of the only document in a directory.
func document(t *testing.T, tl tool) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(strings.TrimPrefix(tl.env["REGIONJWT_STORE"], "dir:"), "*.doc"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	return files[0]
}

// What the tool writes is what a service reads that holds the public key.
func TestRevokeReachesAService(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	key, err := store.ReadPublicKey(filepath.Join(dir, "key.pub"))
	require.NoError(t, err)
	signed := store.Signed(store.Dir(filepath.Join(dir, "store")), "test", nil, key)
	service, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signed}}})
	require.NoError(t, err)

	began, thumbprint := time.Now(), strings.Repeat("A", 43)
	r := tl.run(t, "revoke", "--provider", "pool", "--region", "us-west-2", "--kid", "k", "--thumbprint", thumbprint,
		"--client", "c", "--subject", "s", "--token-id", "j", "--origin", "o", "--issued-before", "now", "--expires", "2d", "--note", "INC-1")
	require.Zero(t, r.code, r.errors)
	id := strings.TrimSpace(r.out)
	require.Contains(t, r.errors, "epoch 1, rules: 1")
	require.Contains(t, r.errors, "no rule in this store before")
	require.NotContains(t, r.errors, "never ends")

	require.NoError(t, service.Load(t.Context()))
	require.Len(t, service.Rules(), 1)
	rule := service.Rules()[0]
	require.Equal(t, id, rule.ID())
	require.WithinRange(t, rule.IssuedBefore, began, time.Now().Add(time.Second))
	require.Zero(t, rule.IssuedBefore.Nanosecond())
	require.WithinRange(t, rule.ExpiresAt, began.Add(48*time.Hour-time.Second), time.Now().Add(48*time.Hour))
	rule.IssuedBefore, rule.ExpiresAt, rule.Created = time.Time{}, time.Time{}, time.Time{}
	require.Equal(t, revocation.Rule{
		Provider: "pool", Region: "us-west-2", KeyID: "k", Thumbprint: thumbprint, ClientID: "c", Subject: "s",
		TokenID: "j", OriginTokenID: "o", Note: "INC-1",
	}, rule)

	all := tl.ok(t, "revoke", "--all-providers", "--issued-before", "2026-01-31T03:00:00+01:00", "--expires", "2126-01-31T03:00:00Z")
	require.NoError(t, service.Load(t.Context()))
	require.Equal(t, revocation.Rule{
		Provider: "*", IssuedBefore: time.Date(2026, 1, 31, 2, 0, 0, 0, time.UTC),
		ExpiresAt: time.Date(2126, 1, 31, 3, 0, 0, 0, time.UTC), Created: service.Rules()[1].Created,
	}, service.Rules()[1])
	require.Equal(t, all, service.Rules()[1].ID())

	tl.ok(t, "unrevoke", id, all)
	require.NoError(t, service.Load(t.Context()))
	require.Empty(t, service.Rules())
}

func TestRulesAndStatus(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	empty := tl.ok(t, "status")
	require.Contains(t, empty, "the store is empty")
	require.Equal(t, []any{}, decode[map[string]any](t, tl.ok(t, "rules", "--json"))["rules"])
	require.Contains(t, tl.run(t, "rules").errors, "no rules are in effect")

	out := decode[map[string]any](t, tl.ok(t, "revoke", "--json", "--provider", "a", "--kid", "k", "--note", "why \u200b\u2060"))
	require.InDelta(t, 1, out["epoch"], 0)
	require.Equal(t, "signed", out["trust"])
	id := out["id"].(string)
	require.NotContains(t, tl.run(t, "revoke", "--provider", "a", "--subject", "s").errors, "no rule in this store before")

	for _, text := range []string{tl.ok(t, "rules"), tl.ok(t, "rules", "--json")} {
		require.Contains(t, text, id)
		require.Contains(t, text, `why \u200b\u2060`, "what cannot be seen is shown")
	}
	rules := decode[map[string]any](t, tl.ok(t, "rules", "--json"))
	require.Len(t, rules["rules"], 2)
	rule := rules["rules"].([]any)[0].(map[string]any)["rule"].(map[string]any)
	delete(rule, "created")
	require.NotEmpty(t, rule["expires"], "it ends by itself")
	delete(rule, "expires")
	require.Equal(t, map[string]any{"provider": "a", "kid": "k", "note": "why \u200b\u2060"}, rule)

	require.Contains(t, tl.ok(t, "status"), "epoch    2")
	health := decode[map[string]any](t, tl.ok(t, "status", "--json"))
	require.InDelta(t, 2, health["epoch"], 0)
	require.InDelta(t, 2, health["rules"], 0)
	require.Equal(t, true, health["known"])
	require.Empty(t, health["problem"])
	require.NotEmpty(t, health["last_added"])

	tl.fails(t, 1, []string{"no rule AAAAAAAAAAAAAAAA", "nothing was changed"}, "unrevoke", id, "AAAAAAAAAAAAAAAA")
	require.Contains(t, tl.ok(t, "status"), "rules    2", "nothing was changed")
	removed := decode[map[string]any](t, tl.ok(t, "unrevoke", "--json", id))
	require.Equal(t, []any{id}, removed["removed"])
	require.InDelta(t, 1, removed["rules"], 0)
	tl.fails(t, 1, []string{"no rule " + id}, "unrevoke", id)
}

// A time that was probably not meant is a valid one, and what it does is said.
func TestAnOddTimeIsNoted(t *testing.T) {
	t.Parallel()
	for before, want := range map[string]string{
		"now": "", time.Now().Add(-time.Hour).Format(time.RFC3339): "",
		time.Now().Add(time.Hour).Format(time.RFC3339):         "also those of a new sign-in",
		time.Now().Add(-1000 * time.Hour).Format(time.RFC3339): "the rule matches none",
	} {
		r := tool{}.run(t, "revoke", "--dry-run", "--provider", "a", "--subject", "s", "--issued-before", before)
		require.Zero(t, r.code, r.errors)
		if want == "" {
			require.NotContains(t, r.errors, "note: --issued-before", before)
			continue
		}
		require.Contains(t, r.errors, want, before)
	}
}

// A text with a space at an end, which nobody sees, is a valid one, and is told.
func TestASpaceAtAnEndIsNoted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"s ", "\ts", "s\n"} {
		for _, flag := range []string{"kid", "client", "subject", "token-id", "origin", "session", "actor"} {
			r := tool{}.run(t, "revoke", "--dry-run", "--provider", "a", "--"+flag, text)
			require.Zero(t, r.code, r.errors)
			require.Contains(t, r.errors, "note: --"+flag+" begins or ends with a space")
		}
	}
	require.NotContains(t, tool{}.run(t, "revoke", "--dry-run", "--provider", "a", "--subject", "a b").errors, "note:")
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	args := []string{"revoke", "--dry-run", "--provider", "a", "--kid", "k"}
	r := tool{}.run(t, args...) // not even a store is needed
	require.Zero(t, r.code, r.errors)
	require.Contains(t, r.errors, "nothing was changed")
	out := decode[map[string]any](t, tool{}.ok(t, append(args, "--json")...))
	require.Equal(t, strings.TrimSpace(r.out), out["id"])
	require.Equal(t, true, out["dry_run"])
	require.NotContains(t, out, "epoch")
	tl, _ := signing(t)
	require.Equal(t, out["id"], tl.ok(t, args...))
	require.Contains(t, tl.ok(t, "status"), "epoch    0")
}

// IDs and flags may come in any order.
func TestFlagsMayComeLast(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	id := tl.ok(t, "revoke", "--provider", "a", "--kid", "k")
	require.Equal(t, revocation.Rule{Provider: "a", KeyID: "k"}.ID(), id)
	require.NotEqual(t, byte('-'), id[0])
	require.Equal(t, []any{id}, decode[map[string]any](t, tl.ok(t, "unrevoke", id, "--json"))["removed"])
}

// What could turn the writing on a terminal around is no rule.
func TestRevokeRefusesControlCharacters(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	for _, reason := range []string{"\u202e", "\u009b2J", "a\nb"} {
		tl.fails(t, 2, []string{"Note holds a control character"}, "revoke", "--provider", "a", "--kid", "k", "--note", reason)
	}
}

// A rule may name whatever a token holds. It is shown escaped, and so that it can be told from other names.
func TestHostileNamesAreShownEscaped(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	for name, shown := range map[string]string{
		"a\nb":        `sub "a\u000ab"`,
		`a\u000ab`:    `sub a\u000ab`,
		`"a\u000ab"`:  `sub "\"a\\u000ab\""`,
		"\x1b[2J":     `sub "\u001b[2J"`,
		"\u202esuper": `sub "\u202esuper"`,
		"\u009b2J":    `sub "\u009b2J"`,
	} {
		revoked := tl.run(t, "revoke", "--provider", "a", "--subject", name)
		require.Zero(t, revoked.code)
		id := strings.TrimSpace(revoked.out)
		for _, out := range []string{revoked.errors, tl.ok(t, "rules"), tl.ok(t, "rules", "--json")} {
			require.False(t, strings.ContainsFunc(out, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }), "%q", out)
			require.True(t, strings.HasPrefix(out, "{") || strings.Contains(out, shown), "%q", out)
		}
		require.Equal(t, revocation.Rule{Provider: "a", Subject: name}.ID(), id)
		tl.ok(t, "unrevoke", id)
	}
}

// With a wrong key one reads nothing, and replaces nothing.
func TestNotAuthentic(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	id := tl.ok(t, "revoke", "--provider", "a", "--kid", "k")
	tool{}.ok(t, "keygen", "--out", filepath.Join(dir, "other"))
	other := tl.with("REGIONJWT_SIGN_KEY", filepath.Join(dir, "other"))
	plain := tool{}.with("REGIONJWT_STORE", tl.env["REGIONJWT_STORE"])
	before, err := os.ReadFile(document(t, tl))
	require.NoError(t, err)

	for _, args := range [][]string{{"status"}, {"rules"}, {"unrevoke", id}, {"revoke", "--provider", "a", "--kid", "l"}} {
		other.fails(t, 3, []string{"not authentic", "--verify-key"}, args...)
		plain.fails(t, 3, []string{"not a document of rules", "signed"}, args...)
		r := other.fails(t, 3, nil, append([]string{args[0], "--json"}, args[1:]...)...)
		require.Contains(t, fmt.Sprint(decode[map[string]any](t, r.out)), "not authentic")
	}
	require.Equal(t, "not_authentic", decode[map[string]any](t, other.run(t, "status", "--json").out)["problem"])
	require.Equal(t, "malformed", decode[map[string]any](t, plain.run(t, "status", "--json").out)["problem"])
	after, err := os.ReadFile(document(t, tl))
	require.NoError(t, err)
	require.Equal(t, before, after)

	require.NoError(t, os.Chmod(document(t, tl), 0o640))
	tl.fails(t, 3, []string{"not authentic", "mode"}, "status")
	require.NoError(t, os.Chmod(document(t, tl), 0o600))
	tl.ok(t, "status")

	require.Contains(t, other.run(t, "revoke", "--overwrite", "--provider", "a", "--kid", "l").errors, "the document in the store is replaced")
	other.ok(t, "status")
	tl.fails(t, 3, nil, "status")
	require.NoError(t, os.WriteFile(document(t, tl), []byte("junk"), 0o600))
	plain.fails(t, 3, []string{"--overwrite"}, "revoke", "--provider", "a", "--kid", "l")
	plain.ok(t, "revoke", "--overwrite", "--provider", "a", "--kid", "l")
	require.Contains(t, plain.ok(t, "rules"), "kid l")
	newer := `{"version":999,"epoch":1,"rules":[]}`
	require.NoError(t, os.WriteFile(document(t, tl), []byte(newer), 0o600))
	plain.fails(t, 3, []string{"newer version", "no older version replaces it"}, "revoke", "--overwrite", "--provider", "a", "--kid", "m")
	after, err = os.ReadFile(document(t, tl))
	require.NoError(t, err)
	require.Equal(t, newer, string(after))
}

// A document that cannot be read takes no rules of the operators' local copy with it.
func TestOverwriteKeepsTheRulesOfTheLocalCopy(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	copied := tl.with("REGIONJWT_LOCAL_COPY", filepath.Join(dir, "copy"))
	copied.ok(t, "revoke", "--provider", "a", "--kid", "k")
	require.NoError(t, os.WriteFile(document(t, tl), []byte("junk"), 0o600))
	copied.fails(t, 3, []string{"not authentic", "--overwrite"}, "revoke", "--provider", "a", "--kid", "l")
	r := copied.run(t, "revoke", "--overwrite", "--provider", "a", "--kid", "l")
	require.Zero(t, r.code, r.errors)
	require.Contains(t, r.errors, "epoch 2, rules: 2")
	require.Contains(t, tl.ok(t, "rules"), "kid k")

	// What can be read is never replaced.
	require.NotContains(t, copied.run(t, "revoke", "--overwrite", "--provider", "a", "--kid", "m").errors, "is replaced")
	require.Contains(t, tl.ok(t, "status"), "rules    3")
}

// With a copy of their own, operators notice what happened to the store, and write back what it lost.
func TestWipedAndRolledBack(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	tl = tl.with("REGIONJWT_LOCAL_COPY", filepath.Join(dir, "copy"))
	first := tl.ok(t, "revoke", "--provider", "a", "--kid", "1")
	old, err := os.ReadFile(document(t, tl))
	require.NoError(t, err)
	second := tl.ok(t, "revoke", "--provider", "a", "--kid", "2")

	require.NotContains(t, tl.run(t, "revoke", "--provider", "a", "--kid", "1").errors, "copy")
	broken := tl.with("REGIONJWT_LOCAL_COPY", document(t, tl)) // a file
	require.Contains(t, broken.run(t, "revoke", "--provider", "a", "--kid", "1").errors, "the local copy could not be written")
	require.Equal(t, "failed", decode[map[string]any](t, broken.ok(t, "revoke", "--json", "--provider", "a", "--kid", "1"))["local_copy"])

	require.NoError(t, os.WriteFile(document(t, tl), old, 0o600))
	tl.fails(t, 3, []string{"rolled back", "regionjwt revoke"}, "status")
	require.Contains(t, tl.run(t, "rules").out, second, "the copy knows it")
	tl.ok(t, "revoke", "--provider", "a", "--kid", "1")
	require.Contains(t, tl.with("REGIONJWT_LOCAL_COPY", "").ok(t, "rules"), second)

	require.NoError(t, os.Remove(document(t, tl)))
	r := tl.fails(t, 3, nil, "status", "--json")
	require.Equal(t, "lost", decode[map[string]any](t, r.out)["problem"])
	require.Empty(t, tl.with("REGIONJWT_LOCAL_COPY", "").ok(t, "rules"), "without a copy nobody can tell")
	require.Contains(t, tl.run(t, "unrevoke", first).errors, "written back")
	require.Contains(t, tl.with("REGIONJWT_LOCAL_COPY", "").ok(t, "rules"), second)
	tl.ok(t, "status")
}

func TestFull(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	list, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{store.Dir(filepath.Join(dir, "filled"))}}})
	require.NoError(t, err)
	reason := strings.Repeat("<", 500) // takes six bytes each in a document
	for i := 0; err == nil; i++ {
		_, err = list.Add(t.Context(), revocation.Rule{
			Provider: "a", KeyID: fmt.Sprint(i), Subject: reason, ClientID: reason, TokenID: reason, SessionID: reason,
			OriginTokenID: reason, Note: reason,
		})
	}
	require.ErrorContains(t, err, "no room")
	full := tl.with("REGIONJWT_SIGN_KEY", "", "REGIONJWT_FLEET", "", "REGIONJWT_STORE", "dir:"+filepath.Join(dir, "filled"))
	full.fails(t, 4, []string{"no room"}, "revoke", "--timeout", "1m", "--provider", "a", "--kid", "k", "--note", reason, "--subject", reason,
		"--client", reason, "--token-id", reason, "--session", reason, "--origin", reason)
}

// What is written for one fleet is refused in another, and the message says how to repair that.
func TestFleets(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="), 0o600))
	sealed := tool{}.with("REGIONJWT_FLEET", "test", "REGIONJWT_STORE", "dir:"+filepath.Join(dir, "sealed"), "REGIONJWT_SECRET_FILE", secret)
	for _, tl := range []tool{tl, sealed} {
		nameless := tl.with("REGIONJWT_FLEET", "")
		nameless.fails(t, 2, []string{"--fleet", "REGIONJWT_FLEET"}, "status")
		nameless.fails(t, 2, []string{"--fleet"}, "revoke", "--provider", "a", "--kid", "k")
		tl.fails(t, 2, []string{"fleet"}, "status", "--fleet", "a\nb")
		id := tl.ok(t, "revoke", "--provider", "a", "--kid", "k")
		for _, args := range [][]string{{"status"}, {"rules"}, {"unrevoke", id}, {"revoke", "--provider", "a", "--kid", "l"}} {
			args = append(args, "--fleet", "production")
			tl.fails(t, 3, []string{`"test"`, `"production"`, "--fleet", "REGIONJWT_FLEET"}, args...)
		}
		require.Contains(t, nameless.ok(t, "rules", "--fleet", "test"), id)
	}
	other, _ := signing(t)
	other.ok(t, of("pin", "us")...)
	other.with("REGIONJWT_FLEET", "production").fails(t, 3, []string{`"test"`, "--fleet"}, of("active")...)
}

// The operators' copy of one fleet is not used for another.
func TestCopiesOfOtherFleets(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	tl = tl.with("REGIONJWT_LOCAL_COPY", filepath.Join(dir, "copy"))
	id := tl.ok(t, "revoke", "--provider", "a", "--kid", "k")
	require.NotContains(t, tl.run(t, "revoke", "--provider", "a", "--kid", "l").errors, "copy could not be written")
	other := tl.with("REGIONJWT_FLEET", "production", "REGIONJWT_STORE", "dir:"+filepath.Join(dir, "other"))
	require.NotContains(t, other.ok(t, "rules"), id)
	other.ok(t, "revoke", "--provider", "a", "--kid", "m")
	require.NotContains(t, other.ok(t, "rules"), id, "nothing of the other fleet is written back")
}

// A directory that others may use is told as that, with its path and how to correct it, and not as a wrong key.
func TestAnOpenDirectoryIsToldAsThat(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "rules")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for _, command := range [][]string{{"rules"}, {"status"}, {"revoke", "--provider", "p", "--note", "n", "--subject", "s"}} {
		got := tool{}.run(t, append(command, "--store", "dir:"+dir)...)
		require.NotZero(t, got.code, command)
		require.Contains(t, got.out+got.errors, "others may read or write "+dir+" (mode 0755): find out who did, then chmod 700 it", command)
		require.NotContains(t, got.out+got.errors, "--verify-key", command)
	}
}
