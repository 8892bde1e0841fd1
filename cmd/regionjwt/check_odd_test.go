package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
)

// keysOf reads the keys that a URL of the provider publishes.
func (d *drilled) keysOf(t *testing.T, rawURL string) []map[string]any {
	t.Helper()
	return decode[struct{ Keys []map[string]any }](t, d.body(t, rawURL)).Keys
}

func setOf(t *testing.T, keys ...map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	return string(text)
}

// has returns the findings of a code.
func (a drillAnswer) has(code string) (all []drillFinding) {
	for _, f := range a.Findings {
		if f.Code == code {
			all = append(all, f)
		}
	}
	return all
}

func updatedPool(t *testing.T) (*drilled, []string) {
	t.Helper()
	d := newDrilled(t, fakeissuer.New(t, fakeissuer.Config{Mode: issuer.CognitoUpdated}), nil)
	d.serves(updatedHost+metaPath, metaGood)
	return d, append(poolFlags("updated"), d.flags...)
}

// A key that only a mirror lists which is not asked as long as the first one answers is lost with the region.
func TestDrillKeyOfOneMirror(t *testing.T) {
	t.Parallel()
	d, flags := updatedPool(t)
	before := d.body(t, "https://"+updatedHost+keysPath)
	d.Rotate(east)
	d.serves(updatedHost+keysPath, before)
	d.serves(westHost+keysPath, before)
	a, _ := check(t, 1, flags...)
	require.Equal(t, []string{"loss_running us-east-1", "loss_start us-east-1"}, a.codes("error"))
	require.Equal(t, []string{d.KeyID(east)}, a.has("loss_running")[0].Kids)
	require.Equal(t, []string{"keys_differ us-east-1, us-west-2", "keys_inconsistent us-east-1"}, a.codes("warning"))
	require.Contains(t, a.has("keys_differ")[0].Detail, "1 key in us-east-1 only, 0 keys in us-west-2 only")
	a, _ = check(t, 1, append(flags, "--snapshots")...)
	require.Equal(t, []string{"loss_running us-east-1"}, a.codes("error"))
}

// Two keys under one kid: in two mirrors of a region one of them is refused, in two regions both are tried.
func TestDrillOneKidTwoKeys(t *testing.T) {
	t.Parallel()
	unrelated := &drilled{Server: fakeissuer.New(t, fakeissuer.Config{})}
	mine := func(d *drilled) string {
		other := unrelated.keysOf(t, "https://"+eastHost+keysPath)[0]
		other["kid"] = d.KeyID(east)
		return setOf(t, other)
	}
	d, flags := updatedPool(t)
	d.serves(eastHost+keysPath, mine(d))
	a, _ := check(t, 1, flags...)
	require.Equal(t, []string{"key_unusable"}, a.codes("error"))
	require.Len(t, a.has("key_unusable"), 1)
	require.Equal(t, []string{d.KeyID(east)}, a.has("key_unusable")[0].Kids)
	require.Contains(t, a.has("key_unusable")[0].Detail, "answered bad_signature")
	require.Len(t, a.Accepts, 1)

	d = newDrilled(t, fakeissuer.New(t, fakeissuer.Config{Mode: issuer.CognitoOriginal}), nil)
	d.serves(westHost+keysPath, mine(d))
	a, _ = check(t, 0, append(poolFlags("original", "--snapshots"), d.flags...)...)
	require.Equal(t, []string{
		"kid_reused us-east-1, us-west-2", "no_token_endpoint us-east-1, us-west-2", "no_token_endpoint us-west-2",
		"snapshot_needed us-east-1", "snapshot_needed us-west-2",
	}, a.codes("info"))
	require.Empty(t, a.has("key_unusable"))
	require.Len(t, a.Accepts, 3)
}

func TestDrillOddKeys(t *testing.T) {
	t.Parallel()
	d, flags := updatedPool(t)
	good := d.keysOf(t, "https://"+westHost+keysPath)[0]
	private := map[string]any{"kty": "oct", "kid": "s", "k": "c2VjcmV0"}
	encryption := map[string]any{"kty": "RSA", "kid": "e", "use": "enc", "n": good["n"], "e": good["e"]}
	d.serves(westHost+keysPath, setOf(t, private, encryption, good))
	a, _ := check(t, 0, flags...)
	require.Equal(t, []string{"key_skipped us-west-2"}, a.codes("warning"))
	require.Len(t, a.has("key_skipped"), 1)
	require.Equal(t, "key s: private_member", a.has("key_skipped")[0].Detail)
	set := a.Regions[1].KeySets[0]
	require.Len(t, set.Keys, 1)
	require.Len(t, set.Skipped, 2)
	require.Equal(t, "e", set.Skipped[1].Key)
	require.Equal(t, "use_is_not_sig", set.Skipped[1].Why)
}

// A verifier gives a mirror 2 s while another is untried, and waits for none beyond 5 s, whatever --timeout says.
func TestDrillSlowMirror(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		by            time.Duration
		timeout       string
		code          int
		finds, detail string
	}{
		"slow":             {2100 * time.Millisecond, "10s", 0, "slow", ""},
		"slower than that": {1200 * time.Millisecond, "1s", 1, "url_down", "timeout"},
		"too slow":         {5100 * time.Millisecond, "10s", 1, "url_down", "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, flags := updatedPool(t)
			d.Slow(west, test.by)
			r := tool{}.run(t, append(append([]string{"check", "--json"}, flags...), "--timeout", test.timeout)...)
			require.Equal(t, test.code, r.code, r.out)
			a := decode[drillAnswer](t, r.out)
			require.Equal(t, "us-west-2", a.has(test.finds)[0].Region)
			if test.detail != "" {
				require.Equal(t, test.detail, a.has(test.finds)[0].Detail)
			}
			require.GreaterOrEqual(t, a.Regions[1].KeySets[0].Millis, min(test.by.Milliseconds(), 5100)*4/5)
		})
	}
}

// Two issuers with keys of their own, found by discovery. A service that keeps no snapshot hangs on each.
func TestDrillOfTwoIssuers(t *testing.T) {
	t.Parallel()
	const eastIdP, westIdP, meta = "us-east-1.idp.example", "us-west-2.idp.example", "/tenant/.well-known/openid-configuration"
	doc := func(iss, keys string) string {
		return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"token_endpoint":"https://t.example"}`, iss, keys)
	}
	const westKeys = "https://" + westIdP + "/tenant/.well-known/jwks.json"
	type list = []string
	for name, test := range map[string]struct {
		more             []string
		life             map[string]time.Duration
		spoil            func(d *drilled)
		code             int
		errors, warnings []string
		infos            []string
	}{
		"without snapshots": {code: 1, errors: list{"loss_start us-east-1", "loss_start us-west-2"}},
		"with snapshots":    {more: list{"--snapshots"}, infos: list{"snapshot_needed us-east-1", "snapshot_needed us-west-2"}},
		"one dark": {
			more: list{"--snapshots"}, spoil: func(d *drilled) { d.Break(west) }, code: 1,
			errors: list{"region_unavailable us-west-2"}, warnings: list{"discovery_down us-west-2"},
		},
		"wrong issuer": {
			more: list{"--snapshots"}, spoil: func(d *drilled) { d.serves(westIdP+meta, doc("https://us-east-1.idp.example/tenant", westKeys)) },
			code: 1, errors: list{"discovery_issuer us-west-2", "region_unavailable us-west-2"},
		},
		"no issuer": {
			more: list{"--snapshots"}, spoil: func(d *drilled) { d.serves(westIdP+meta, `{"jwks_uri":"`+westKeys+`"}`) },
			code: 1, errors: list{"discovery_issuer us-west-2", "region_unavailable us-west-2"},
		},
		"issuer with a slash more": {
			more: list{"--snapshots"}, spoil: func(d *drilled) { d.serves(westIdP+meta, doc("https://us-west-2.idp.example/tenant/", westKeys)) },
			code: 1, errors: list{"discovery_issuer us-west-2", "region_unavailable us-west-2"},
		},
		"expired certificate": {
			more: list{"--snapshots"}, life: map[string]time.Duration{westIdP: expired},
			code: 1, errors: list{"region_unavailable us-west-2"}, warnings: list{"certificate_invalid"},
		},
		"keys over plain http": {
			more: list{"--snapshots"}, spoil: func(d *drilled) {
				d.serves(westIdP+meta, doc("https://us-west-2.idp.example/tenant", "http://us-west-2.idp.example/keys"))
			},
			code: 1, errors: list{"region_unavailable us-west-2"}, warnings: list{"discovery_unusable us-west-2"},
		},
		"keys in a file": {
			more: list{"--snapshots"}, spoil: func(d *drilled) {
				d.serves(westIdP+meta, doc("https://us-west-2.idp.example/tenant", "file:///etc/passwd"))
			},
			code: 1, errors: list{"region_unavailable us-west-2"}, warnings: list{"discovery_unusable us-west-2"},
		},
		"keys here": {
			more: list{"--snapshots"}, spoil: func(d *drilled) {
				d.serves(westIdP+meta, doc("https://us-west-2.idp.example/tenant", "http://127.0.0.1:1/keys"))
			},
			code: 1, errors: list{"region_unavailable us-west-2"}, warnings: list{"discovery_unusable us-west-2"},
		},
		"no document": {
			more: list{"--snapshots"}, spoil: func(d *drilled) { d.instead(westIdP+meta, status(404)) },
			code: 1, errors: list{"region_unavailable us-west-2"}, warnings: list{"discovery_down us-west-2"},
		},
		"no JSON": {
			more: list{"--snapshots"}, spoil: func(d *drilled) { d.serves(westIdP+meta, `{"issuer":"a","issuer":"b"}`) },
			code: 1, errors: list{"region_unavailable us-west-2"}, warnings: list{"discovery_down us-west-2"},
		},
		"one of its two issuers": {
			more: list{"--snapshots", "--issuer", "us-west-2=https://us-west-2.idp.example/old"},
		},
		"no keys": {
			more: list{"--snapshots"}, spoil: func(d *drilled) { d.serves(westIdP+"/tenant/.well-known/jwks.json", `{"keys":[]}`) },
			code: 1, errors: list{"region_unavailable us-west-2"}, warnings: list{"url_down us-west-2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", Discovery: true})
			d := newDrilled(t, w, test.life)
			if test.spoil != nil {
				test.spoil(d)
			}
			a, _ := check(t, test.code, append(append(test.more, d.regionFlags()...), d.flags...)...)
			require.Equal(t, test.errors, nonEmpty(a.codes("error")))
			require.Equal(t, test.warnings, nonEmpty(a.codes("warning")))
			require.Subset(t, a.codes("info"), test.infos)
			require.True(t, a.Discovery[0].Used)
			require.Empty(t, a.has("keys_elsewhere"))
			for _, f := range append(a.has("loss_start"), a.has("snapshot_needed")...) {
				require.Equal(t, "1 key of tokens that it issued before, answered keys_unavailable", f.Detail)
			}
		})
	}
}

func nonEmpty(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return s
}

// The key sets that a region's issuers name are no mirrors: what they list counts for each issuer.
func TestDrillOfOneRegionWithTwoIssuers(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", Discovery: true})
	d := newDrilled(t, w, nil)
	flags := []string{"--issuer", "a=https://us-east-1.idp.example/tenant", "--issuer", "a=https://us-west-2.idp.example/tenant"}
	a, _ := check(t, 1, append(flags, d.flags...)...)
	require.Equal(t, []string{"no_other_region a"}, a.codes("error"))
	require.Empty(t, a.codes("warning"))
	require.Len(t, a.Accepts, 4)
}

// Regions behind one name cannot be lost one by one.
func TestDrillOfOneHost(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", Discovery: true})
	d := newDrilled(t, w, nil)
	const iss = "https://us-east-1.idp.example/tenant"
	a, people := check(t, 0, append([]string{"--issuer", "a=" + iss, "--issuer", "b=" + iss, "--provider", "shop"}, d.flags...)...)
	require.Equal(t, "shop", a.Provider)
	require.Equal(t, []string{"not_drilled a", "not_drilled b"}, a.codes("warning"))
	require.Contains(t, a.codes("info"), "shared_host a, b")
	require.Contains(t, people.out, "lose       a (no host of its own)")
	require.Equal(t, []string{"a", "b"}, a.Discovery[0].Regions)
	slash, _ := check(t, 1, append([]string{"--issuer", "a=" + iss + "/"}, d.flags...)...)
	require.Equal(t, iss+"/.well-known/openid-configuration", slash.Discovery[0].URL)
	require.Equal(t, iss, slash.Discovery[0].Names)
	// A 404 without a sibling that works is an outage.
	alone, _ := check(t, 1, append([]string{"--issuer", "a=" + iss, "--jwks", "a=" + iss + "/nothing"}, d.flags...)...)
	require.Equal(t, []string{"no_other_region a", "region_unavailable a"}, alone.codes("error"))
	require.Equal(t, "status 404", alone.has("url_down")[0].Detail)
	// A mirror outside of both regions stays.
	flags := []string{"--issuer", "a=" + iss, "--jwks", "a=https://us-east-1.idp.example/tenant/.well-known/jwks.json", "--jwks", "a=https://us-west-2.idp.example/mirror"}
	flags = append(flags, "--issuer", "b="+iss, "--jwks", "b=https://us-east-1.idp.example/other", "--jwks", "b=https://us-west-2.idp.example/mirror")
	d.serves("us-west-2.idp.example/mirror", d.body(t, iss+"/.well-known/jwks.json"))
	a, _ = check(t, 0, append(flags, d.flags...)...)
	require.Equal(t, []string{"no_token_endpoint a, b", "not_enabled b", "shared_host a, b"}, a.codes("info"))
	require.Len(t, a.has("shared_host"), 2)
}

// Keys that discovery finds elsewhere than services look are worth a note.
func TestDrillKeysElsewhere(t *testing.T) {
	t.Parallel()
	d, flags := updatedPool(t)
	d.serves(updatedHost+metaPath, strings.Replace(metaGood, `"jwks_uri":"`, `"jwks_uri":"https://new.example/`, 1))
	a, _ := check(t, 0, flags...)
	require.Equal(t, []string{"keys_elsewhere us-east-1, us-west-2"}, a.codes("info"))
}

const hostile = "\x1b[2J\x1b]0;owned\x07\u009b31m\u202e\u200b\x7f\r\n"
