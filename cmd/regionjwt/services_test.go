package main_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// download writes what a status page answers to a file, as curl does.
func download(t *testing.T, v *regionjwt.Validator, path, file string) {
	t.Helper()
	w := httptest.NewRecorder()
	statuspage.Handler(v, "").ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	require.Equal(t, 200, w.Code)
	require.NoError(t, os.WriteFile(file, w.Body.Bytes(), 0o600))
}

// Rules that only a service knows are taken from its status page, and nothing else is: no rule that is over, and none that this
// version of the tool cannot read.
func TestRestoreFromAStatusPage(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", ID: "shop"})
	w.Serve()
	key, err := store.ReadPublicKey(filepath.Join(dir, "key.pub"))
	require.NoError(t, err)
	place := filepath.Join(dir, "store")
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}},
		Revocation: &revocation.Config{Replica: store.ReplicaConfig{
			Stores: []store.Trusted{store.Signed(store.Dir(place), "test", nil, key)},
		}},
	})
	require.NoError(t, err)
	id := tl.ok(t, "revoke", "--provider", "shop", "--subject", "mallory", "--note", "INC-1", "--expires", "48h")
	tl.ok(t, "revoke", "--provider", "shop", "--issued-before", "now", "--expires", "24h")
	require.NoError(t, v.Revocation().Load(t.Context()))
	require.NoError(t, os.RemoveAll(place))

	file := filepath.Join(dir, "rules.json")
	download(t, v, "/rules.json", file)
	dry := tl.run(t, "rules", "restore", "--from", file, "--dry-run")
	require.Zero(t, dry.code, dry.errors)
	require.Contains(t, dry.out, id)
	require.Contains(t, dry.errors, `it rejects every token of provider shop `)
	require.NoDirExists(t, place)
	back := tl.run(t, "rules", "restore", "--from", file)
	require.Zero(t, back.code, back.errors)
	require.Contains(t, back.out, "rules: 2")
	list := decode[struct {
		Rules []struct {
			ID   string
			Rule revocation.Rule
		}
	}](t, tl.ok(t, "rules", "--json"))
	require.Len(t, list.Rules, 2)
	for _, one := range list.Rules {
		if one.ID == id {
			require.Equal(t, "INC-1", one.Rule.Note)
			require.WithinDuration(t, time.Now().Add(48*time.Hour), one.Rule.ExpiresAt, time.Hour)
		}
	}
	require.Contains(t, tl.run(t, "rules", "restore", "--from", file).errors, "no rule is missing")
	own := filepath.Join(dir, "own.json")
	require.NoError(t, os.WriteFile(own, []byte(tl.ok(t, "rules", "--json")), 0o600))
	require.NoError(t, os.RemoveAll(place))
	require.Contains(t, tl.ok(t, "rules", "restore", "--from", own), "rules: 2", "what the tool has listed does as well")

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(own, []byte(strings.ReplaceAll(string(text), `"created"`, `"signals":"events","created"`)), 0o600))
	require.NoError(t, os.RemoveAll(place))
	require.Contains(t, tl.run(t, "rules", "restore", "--from", own).errors, "no rule is missing", "those of security events are not taken")
	require.Contains(t, tl.ok(t, "rules", "restore", "--from", file), "rules: 2")
	odd := revocation.Rule{Provider: "shop", Thumbprint: "of an older version"}
	require.NoError(t, os.WriteFile(own, []byte(strings.Replace(string(text), `"rules":[`,
		`"rules":[{"id":"`+odd.ID()+`","rule":{"provider":"shop","thumbprint":"of an older version"}},`, 1)), 0o600))
	require.NoError(t, os.RemoveAll(place))
	without := tl.run(t, "rules", "restore", "--from", own)
	require.Zero(t, without.code, without.errors)
	require.Contains(t, without.errors, "the rule "+odd.ID()+" is left out: revocation: no token can match the rule")
	require.Contains(t, without.out, "rules: 2")
	for says, change := range map[string]func(string) string{
		"cannot read":            func(s string) string { return strings.Replace(s, `"sub":"mallory"`, `"new":"x"`, 1) },
		"has no rules":           func(string) string { return `{"ready":true}` },
		"not what a status page": func(s string) string { return s + s },
	} {
		require.NoError(t, os.WriteFile(file, []byte(change(string(text))), 0o600))
		tl.fails(t, 2, []string{says}, "rules", "restore", "--from", file)
	}
	require.Contains(t, tl.ok(t, "rules"), id)
	tl.fails(t, 2, []string{"unknown flag: --from"}, "rules", "--from", file)
	tl.fails(t, 2, []string{"--from"}, "rules", "restore", "--dry-run")
}

// Before a rule is added and after, the tool says how many services cannot read it, whether it is about a provider that they have,
// and for whom it rejects everything.
func TestServicesThatAFleetHas(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", ID: "shop"})
	w.Serve()
	v, err := regionjwt.New(regionjwt.Config{
		Policies:   []verifier.Policy{{Provider: w.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}},
		Revocation: &revocation.Config{},
	})
	require.NoError(t, err)
	current, older := filepath.Join(dir, "current.json"), filepath.Join(dir, "older.json")
	download(t, v, "/status.json", current)
	text, err := os.ReadFile(current)
	require.NoError(t, err)
	require.Contains(t, string(text), `"reads":2`)
	require.NoError(t, os.WriteFile(older, []byte(strings.Replace(string(text), `"reads":2`, `"unreadable":3,"reads":1`, 1)), 0o600))
	both := tl.with("REGIONJWT_SERVICE_STATUS", current+","+older)

	said := both.run(t, "revoke", "--provider", "shop", "--session", "s")
	require.Zero(t, said.code, said.errors)
	require.Contains(t, said.errors, "1 of 2 services cannot read this rule, which has version 2, and do NOT apply it; upgrade them: ")
	require.Contains(t, said.errors, "older.json")
	require.NotContains(t, both.run(t, "revoke", "--provider", "shop", "--subject", "s").errors, "cannot read")
	both.fails(t, 2, []string{`no provider shpo is known, only shop`}, "revoke", "--provider", "shpo", "--subject", "s")
	said = both.run(t, "revoke", "--provider", "shop", "--region", "us-west-2")
	require.Contains(t, said.errors, `the region us-west-2 has not answered 2 of 2 services`)
	require.Contains(t, both.run(t, "revoke", "--all-providers", "--issued-before", "now").errors, "every token of each of 1 providers")

	tl.ok(t, "revoke", "--provider", "other", "--subject", "s", "--new-provider")
	said = both.run(t, "status")
	require.Zero(t, said.code, said.errors)
	require.Contains(t, said.out, `every token up to a time of issue is rejected of providers: 1: *`)
	require.Contains(t, said.errors, `is about the provider other, which no service of --service-status has`)
	require.Contains(t, said.errors, "does NOT apply 3 rules")
	require.Equal(t, []any{"*"}, decode[map[string]any](t, both.ok(t, "status", "--json"))["everything"])
	both.fails(t, 2, []string{"--service-status"}, "status", "--service-status", filepath.Join(dir, "key"))
}

// An operator makes every service ignore the rules of a receiver whose key has leaked.
func TestIgnore(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	key, err := store.ReadPublicKey(filepath.Join(dir, "key.pub"))
	require.NoError(t, err)
	replica := func(name string, key store.PublicKey) store.ReplicaConfig {
		return store.ReplicaConfig{Name: name, Stores: []store.Trusted{store.Signed(store.Dir(filepath.Join(dir, "store")), "test", nil, key)}}
	}
	signals := func(name string) revocation.Signals {
		receiver := store.PublicKey{Key: key.Key, Documents: []string{name}}
		return revocation.Signals{Replica: replica(name, receiver), Providers: []string{"shop"}}
	}
	ignored := func() (all []bool) {
		l, err := revocation.New(revocation.Config{
			Replica: replica("", key), Signals: []revocation.Signals{signals("regionjwt/signals"), signals("shop/signals")},
		})
		require.NoError(t, err)
		_ = l.Load(t.Context())
		for _, s := range l.Status().Signals {
			all = append(all, s.Ignored)
		}
		return all
	}
	id := tl.ok(t, "revoke", "--provider", "shop", "--subject", "mallory")
	require.Equal(t, []bool{false, false}, ignored())
	require.Contains(t, tl.ok(t, "ignore"), "regionjwt/signals is ignored until ")
	require.Equal(t, []bool{true, false}, ignored())
	until := decode[struct{ Until time.Time }](t, tl.ok(t, "ignore", "--json", "--signals", "shop/signals", "--for", "3d")).Until
	require.WithinDuration(t, time.Now().Add(72*time.Hour), until, time.Hour)
	require.Equal(t, []bool{true, true}, ignored())
	require.Contains(t, tl.ok(t, "rules"), id, "the rules of operators stay")
	tl.fails(t, 2, []string{"1 minute to 31 days"}, "ignore", "--for", "1s")
	tl.with("REGIONJWT_SIGN_KEY", "", "REGIONJWT_VERIFY_KEY", filepath.Join(dir, "key.pub")).fails(t, 2, []string{"--sign-key"}, "ignore")
}
