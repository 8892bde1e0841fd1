package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

var shop = []string{"--provider", "shop", "--issuer", "eu=https://eu.example", "--issuer", "us=https://us.example"}

// of is a command about the shop.
func of(command string, rest ...string) []string { return slices.Concat([]string{command}, shop, rest) }

// What the tool orders is what a service follows that holds the public key.
func TestActivateReachesAService(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	key, err := store.ReadPublicKey(filepath.Join(dir, "key.pub"))
	require.NoError(t, err)
	signed := store.Signed(store.Dir(filepath.Join(dir, "store")), "test", nil, key)
	service, err := failover.New(issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"https://eu.example"}}, {Name: "us", Issuers: []string{"https://us.example"}},
	}}, failover.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{signed}}})
	require.NoError(t, err)
	do := func(command string, rest ...string) string { return tl.ok(t, of(command, rest...)...) }

	require.Contains(t, do("active"), "no region was ever pinned; services begin with eu")
	require.Contains(t, do("pin", "--note", "INC-42", "us"), "shop: us, pinned since ")
	require.NoError(t, service.Load(t.Context()))
	require.Equal(t, "us", service.Active())
	require.Equal(t, "INC-42", service.Status().Note)
	out := decode[map[string]any](t, do("active", "--json"))
	require.Equal(t, "us", out["region"])
	require.Equal(t, true, out["pinned"])
	require.InDelta(t, 1, out["epoch"], 0)

	for _, command := range []string{"unpin", "active"} {
		text := do(command)
		require.Contains(t, text, "shop: no region has been pinned since ")
		require.Contains(t, text, "(epoch 2)")
		require.Contains(t, text, "services with automatic failover decide by health again, others stay with us")
	}
	require.NoError(t, service.Load(t.Context()))
	require.Equal(t, "us", service.Active())
	require.False(t, service.Status().Pinned)
	require.Contains(t, do("pin", "eu"), "(epoch 3)")
}

// The document of an order has a name of its own: that of the rules, which operators set in their shell, is not taken for it.
func TestTheNameOfAnOrderIsNotThatOfTheRules(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	both := tl.with("REGIONJWT_NAME", "fleet/rules")
	rule := []string{"revoke", "--provider", "shop", "--subject", "mallory"}
	both.ok(t, rule...)
	both.ok(t, of("pin", "us")...)
	require.Contains(t, tl.ok(t, of("active")...), "shop: us, pinned", "it has the name by which services look for it")
	require.Contains(t, both.ok(t, "rules"), "mallory")

	other := both.with("REGIONJWT_PIN_NAME", "fleet/order")
	require.Contains(t, other.ok(t, of("active")...), "no region was ever pinned")
	other.ok(t, of("pin", "eu")...)
	require.Contains(t, tl.ok(t, of("active", "--pin-name", "fleet/order")...), "shop: eu, pinned")
	for _, command := range []string{"pin", "unpin", "active"} {
		help := tl.ok(t, "help", command)
		require.Contains(t, help, "name of the document of pins (regionjwt/failover/ and the provider's ID) [$REGIONJWT_PIN_NAME]")
		require.NotContains(t, help, "regionjwt/revocation")
		require.NotContains(t, help, "REGIONJWT_NAME")
		require.NotContains(t, help, "--local-copy", "it would do nothing")
	}
	require.Contains(t, tl.ok(t, "help", "revoke"), "name of the document (regionjwt/revocation) [$REGIONJWT_NAME]")
}

// Where nothing was pinned, resume does not say that a pin has ended.
func TestResumeWithoutAPin(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	require.Contains(t, tl.ok(t, of("unpin")...), "shop: no region has been pinned since ")
}

func TestOrdersThatAreNotGiven(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	first := tl.run(t, of("pin", "us")...)
	require.Contains(t, first.errors, "the first pin of provider shop")
	require.NotContains(t, tl.run(t, of("pin", "us")...).errors, "the first pin")
	tl.fails(t, 2, []string{"--for is more than 30d"}, of("pin", "--for", "31d", "us")...)
	tl.fails(t, 2, []string{"no region asia", "eu, us"}, of("pin", "asia")...)
	wrong := []string{"--provider", "shop", "--issuer", "eu=https://eu.example", "--issuer", "usa=https://us.example"}
	for _, args := range [][]string{{"pin", "eu"}, {"unpin"}, {"active"}} {
		tl.fails(t, 3, []string{"check --issuer", `names region "us", and the regions here are eu, usa`}, append(args, wrong...)...)
	}
	tl.fails(t, 3, []string{"check --issuer", "--pin-name", `it is for provider "shop"`},
		"active", "--provider", "mall", "--issuer", "eu=https://eu.example", "--issuer", "us=https://us.example", "--pin-name", "regionjwt/failover/shop")
	tl.fails(t, 2, []string{"which region?"}, of("pin")...)
	tl.fails(t, 2, []string{"control character"}, of("pin", "--note", "two\nlines", "us")...)
	tl.fails(t, 2, []string{"--provider"}, "pin", "--issuer", "eu=https://eu.example", "eu")
	tl.fails(t, 2, []string{"whose regions?"}, "unpin")
	tl.fails(t, 2, []string{"pool"}, "pin", "--user-pool", "nonsense", "us")

	// Services of a fleet would not read what is not signed.
	keyless := tl.with("REGIONJWT_SIGN_KEY", "")
	for _, args := range [][]string{{"pin", "eu"}, {"unpin"}, {"active"}} {
		keyless.fails(t, 2, []string{"--fleet has no effect", "--sign-key"}, of(args[0], args[1:]...)...)
	}
	keyless.fails(t, 2, []string{"--fleet has no effect", "--sign-key"}, "revoke", "--provider", "shop", "--kid", "k")

	reader := tl.with("REGIONJWT_SIGN_KEY", "", "REGIONJWT_VERIFY_KEY", filepath.Join(dir, "key.pub"))
	require.NotZero(t, reader.run(t, of("pin", "eu")...).code, "who may only read")
	require.Contains(t, reader.ok(t, of("active")...), "shop: us, pinned")

	require.NoError(t, os.WriteFile(document(t, tl), []byte("forged"), 0o600))
	tl.fails(t, 3, []string{"not signed"}, of("active")...)
	r := tl.fails(t, 3, []string{"nothing was changed", "'regionjwt pin --overwrite' replaces it"}, of("pin", "eu")...)
	require.Equal(t, 1, strings.Count(r.errors, "\n"), "it is said once")
	require.Contains(t, tl.ok(t, of("pin", "--overwrite", "eu")...), "shop: eu, pinned")

	unsigned := tool{}.with("REGIONJWT_STORE", tl.env["REGIONJWT_STORE"])
	for _, newer := range []string{`{"version":2,"provider":"shop"}`, `{"version":1e999}`} {
		require.NoError(t, os.WriteFile(document(t, tl), []byte(newer), 0o600))
		unsigned.fails(t, 3, []string{"no older version replaces it"}, of("pin", "--overwrite", "eu")...)
		kept, err := os.ReadFile(document(t, tl))
		require.NoError(t, err)
		require.Equal(t, newer, string(kept))
	}
	require.NoError(t, os.WriteFile(document(t, tl), []byte(`{"version":1,"provider":"mall"}`), 0o600))
	require.Contains(t, unsigned.ok(t, of("pin", "--overwrite", "us")...), "shop: us, pinned since ")
}
