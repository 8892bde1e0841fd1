package main_test

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

var shop = []string{"-authority", "shop", "-issuer", "eu=https://eu.example", "-issuer", "us=https://us.example"}

// of is a command about the shop.
func of(command string, rest ...string) []string { return slices.Concat([]string{command}, shop, rest) }

// What the tool orders is what a service follows that holds the public key.
func TestActivateReachesAService(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	signed, err := store.Signed(store.Dir(filepath.Join(dir, "store")), "test", store.Signing{
		Public: []ed25519.PublicKey{publicKey(t, filepath.Join(dir, "key.pub"))},
	})
	require.NoError(t, err)
	service, err := failover.New(failover.Config{Store: signed, Provider: issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"https://eu.example"}}, {Name: "us", Issuers: []string{"https://us.example"}},
	}}})
	require.NoError(t, err)
	do := func(command string, rest ...string) string { return tl.ok(t, of(command, rest...)...) }

	require.Contains(t, do("active"), "no order was ever given; services begin with eu")
	require.Contains(t, do("activate", "-reason", "INC-42", "us"), "shop: us, pinned since ")
	require.NoError(t, service.Load(t.Context()))
	require.Equal(t, "us", service.Active())
	require.Equal(t, "INC-42", service.State().Reason)
	out := decode[map[string]any](t, do("active", "-json"))
	require.Equal(t, "us", out["region"])
	require.Equal(t, true, out["pinned"])
	require.InDelta(t, 1, out["epoch"], 0)

	for _, command := range []string{"resume", "active"} {
		text := do(command)
		require.Contains(t, text, "shop: no region is pinned since ")
		require.Contains(t, text, "(order 2)")
		require.Contains(t, text, "services that move by themselves decide by what they see, beginning with us; others stay with us")
	}
	require.NoError(t, service.Load(t.Context()))
	require.Equal(t, "us", service.Active())
	require.False(t, service.State().Manual)
	require.Contains(t, do("activate", "eu"), "(order 3)")
}

// The document of an order has a name of its own: that of the rules, which operators set in their shell, is not taken for it.
func TestTheNameOfAnOrderIsNotThatOfTheRules(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	both := tl.with("REGIONJWT_NAME", "fleet/rules")
	rule := []string{"revoke", "-authority", "shop", "-subject", "mallory"}
	both.ok(t, rule...)
	both.ok(t, of("activate", "us")...)
	require.Contains(t, tl.ok(t, of("active")...), "shop: us, pinned", "it has the name by which services look for it")
	require.Contains(t, both.ok(t, "rules"), "mallory")

	other := both.with("REGIONJWT_ORDER_NAME", "fleet/order")
	require.Contains(t, other.ok(t, of("active")...), "no order was ever given")
	other.ok(t, of("activate", "eu")...)
	require.Contains(t, tl.ok(t, of("active", "-name", "fleet/order")...), "shop: eu, pinned")
	for _, command := range []string{"activate", "resume", "active"} {
		help := tl.ok(t, "help", command)
		require.Contains(t, help, "name of the document (regionjwt/failover/ and the authority's ID) [$REGIONJWT_ORDER_NAME]")
		require.NotContains(t, help, "regionjwt/revocation")
		require.NotContains(t, help, "REGIONJWT_NAME")
		require.NotContains(t, help, "-copy", "it would do nothing")
	}
	require.Contains(t, tl.ok(t, "help", "revoke"), "name of the document (regionjwt/revocation) [$REGIONJWT_NAME]")
}

// Where nothing was pinned, resume does not say that a pin has ended.
func TestResumeWithoutAPin(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	require.Contains(t, tl.ok(t, of("resume")...), "shop: no region is pinned since ")
}

func TestOrdersThatAreNotGiven(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	tl.ok(t, of("activate", "us")...)
	tl.fails(t, 2, []string{"no region of that name"}, of("activate", "asia")...)
	tl.fails(t, 2, []string{"which region?"}, of("activate")...)
	tl.fails(t, 2, []string{"control character"}, of("activate", "-reason", "two\nlines", "us")...)
	tl.fails(t, 2, []string{"-authority"}, "activate", "-issuer", "eu=https://eu.example", "eu")
	tl.fails(t, 2, []string{"whose regions?"}, "resume")
	tl.fails(t, 2, []string{"pool"}, "activate", "-user-pool", "nonsense", "us")

	reader := tl.with("REGIONJWT_SIGN_KEY", "", "REGIONJWT_VERIFY_KEY", filepath.Join(dir, "key.pub"))
	require.NotZero(t, reader.run(t, of("activate", "eu")...).code, "who may only read")
	require.Contains(t, reader.ok(t, of("active")...), "shop: us, pinned")

	require.NoError(t, os.WriteFile(document(t, tl), []byte("forged"), 0o600))
	tl.fails(t, 3, []string{"not signed"}, of("active")...)
	tl.fails(t, 3, []string{"nothing was changed"}, of("activate", "eu")...)
	require.Contains(t, tl.ok(t, of("activate", "-overwrite", "eu")...), "shop: eu, pinned")
}
