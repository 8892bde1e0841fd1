package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

// configured writes the configuration of a service that accepts the tokens of w, in JSON and in YAML, beside the keys of signing.
func configured(t *testing.T, w *fakeissuer.Server, dir string) (asJSON, asYAML string) {
	t.Helper()
	type m = map[string]any
	var regions []m
	var yaml strings.Builder
	for _, r := range w.Provider().Regions {
		regions = append(regions, m{"name": r.Name, "issuers": r.Issuers, "jwksURLs": r.JWKSURLs})
		yaml.WriteString("    - name: " + r.Name + "\n      issuers: [" + strings.Join(r.Issuers, ", ") + "]\n" +
			"      jwksURLs: [" + strings.Join(r.JWKSURLs, ", ") + "]\n")
	}
	doc, err := json.Marshal(m{
		"policies":   []m{{"provider": m{"id": "shop", "regions": regions}, "audience": m{"audience": []string{fakeissuer.Audience}}}},
		"keys":       m{"snapshots": "snapshots"},
		"stores":     m{"snapshots": m{"url": "dir:snapshots"}, "rules": m{"url": "dir:store", "fleet": "test", "publicKeys": []m{{"file": "key.pub"}}}},
		"revocation": m{"replica": m{"stores": []string{"rules"}}},
		"failover":   m{"shop": m{"replica": m{"stores": []string{"rules"}}}},
	})
	require.NoError(t, err)
	asJSON, asYAML = filepath.Join(dir, "service.json"), filepath.Join(dir, "service.yaml")
	require.NoError(t, os.WriteFile(asJSON, doc, 0o600))
	require.NoError(t, os.WriteFile(asYAML, []byte(`# What orders accepts.
policies:
- provider:
    id: shop
    regions:
`+yaml.String()+`  audience: {audience: [`+fakeissuer.Audience+`]}
keys: {snapshots: snapshots}
stores:
  snapshots: {url: "dir:snapshots"}
  rules:
    url: dir:store
    fleet: test
    publicKeys:
    - file: key.pub
revocation: {replica: {stores: [rules]}}
failover: {shop: {replica: {stores: [rules]}}}
`), 0o600))
	return asJSON, asYAML
}

// check, inspect and doctor read the file of the services, in both formats.
func TestOneFileForServicesAndTheTool(t *testing.T) {
	t.Parallel()
	tl, dir := signing(t)
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	asJSON, asYAML := configured(t, w, dir)
	good := w.Issue(east, fakeissuer.Claims{Subject: "alice"})
	for _, file := range []string{asJSON, asYAML} {
		x, out := examine(t, tool{}, 0, "--config", file)
		for _, check := range []string{"config", "jwks url"} {
			require.Equal(t, "ok", x.level(check), out)
		}
		require.Equal(t, "warning", x.level("rules"), out)

		in := decode[inspected](t, tool{stdin: good}.ok(t, "inspect", "--json", "--config", file, "--fetch"))
		require.Equal(t, "accepted", in.Verdict)
		for name, c := range map[string]fakeissuer.Claims{
			"audience": {Audience: []string{"x"}}, "issuer": {Issuer: "https://elsewhere.example"}, "signature": {Forged: true},
		} {
			r := tool{stdin: w.Issue(east, c)}.run(t, "inspect", "--json", "--config", file, "--fetch")
			require.Equal(t, 1, r.code, name)
			rejected, wanted, found := decode[inspected](t, r.out).rejectedBy()
			require.Equal(t, name, rejected)
			require.NotEmpty(t, wanted)
			require.NotEmpty(t, found)
			if name == "audience" {
				require.Contains(t, wanted, `the audience of the policy for shop says: `)
				require.Contains(t, wanted, `("`, "the values that are accepted")
			}
		}
		require.Contains(t, tool{}.ok(t, "check", "--config", file, "--quiet"), "provider   shop")
	}
	tl.ok(t, "revoke", "--provider", "shop", "--subject", "alice")
	pin := []string{"pin", "--provider", "shop"}
	for _, region := range w.Provider().Regions {
		pin = append(pin, "--issuer", region.Name+"="+region.Issuers[0])
	}
	tl.ok(t, append(pin, east)...)
	r := tool{stdin: good}.run(t, "inspect", "--json", "--config", asYAML, "--fetch")
	require.Equal(t, 1, r.code)
	require.Equal(t, "revoked", decode[inspected](t, r.out).Reason)
	x, out := examine(t, tool{}, 0, "--config", asYAML)
	require.Equal(t, "ok", x.level("rules"), out)
	require.Contains(t, out, "pins")
}

// A file with a problem is told with its line, in YAML, too.
func TestProblemsOfTheFileHaveALine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"policies:\n- provider: {oidc: \"https://idp.example\"}\n\n  audiance: {}\n": `line 4: policies[0].audiance: there is no such member`,
		"# a comment\npolicies: []\nkeys:\n  maxKeys: |\n    ten\n":                  `line 4: keys.maxKeys: a number is wanted`,
		"policies: []\nkeys:\n  maxStale: 5\n":                                       `line 3: keys.maxStale: a duration in quotes`,
		"policies: []\npolicies: []\n":                                               `line 2: the member "policies" is there twice`,
		"policies: &a []\n":                                                          `line 1: an anchor or alias`,
		"policies: []\nkeys: *a\n":                                                   `not YAML`,
		"policies: []\n---\npolicies: []\n":                                          `several YAML documents`,
		"policies: []\nkeys: {maxKeys: 1.5}\n":                                       `line 2: 1.5 is not a whole number`,
		"policies: []\nkeys: !!set {a}\n":                                            `line 2: the tag !!set`,
		"policies: []\nkeys: {maxKeys: !secret 5}\n":                                 `line 2: the tag !secret`,
		"policies: []\nkeys: {maxKeys: 0x10}\n":                                      `line 2: 0x10 is not a whole number in decimal`,
		"policies: []\nkeys: null\n":                                                 `line 2: keys: an object is wanted, and null was found`,
		"- a\n":                                                                      `line 1: the file must hold one JSON object`,
		"a: [\n":                                                                     `not YAML`,
		"":                                                                           `not YAML`,
		"? [a]\n: b\n":                                                               `line 1: the name of a member is not a plain text`,
		"policies: []\ntokens: {leeway: \"1s\\u0000\"}\n":                            `line 2: tokens.leeway`,
		"policies: []\n<<: {a: b}\n":                                                 `line 2: the name of a member is not a plain text`,
	} {
		file := filepath.Join(t.TempDir(), "service.yml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		tool{}.fails(t, 2, []string{want}, "check", "--config", file)
		_, out := examine(t, tool{}, 1, "--config", file)
		require.Contains(t, out, want, text)
	}
}

// A file excludes the flags that it stands for.
func TestAFileInsteadOfFlags(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "service.json")
	policy := func(iss string) string {
		return `{"provider": {"oidc": "` + iss + `"}, "audience": {"audience": ["a"]}}`
	}
	require.NoError(t, os.WriteFile(file, []byte(`{"policies": [`+policy("https://a.example")+`, `+policy("https://b.example")+`],
		"stores": {"s": {"url": "dynamodb://table", "insecureTrust": true}, "r": {"url": "redis://localhost:1/0", "insecureTrust": true}},
		"revocation": {"replica": {"stores": ["s"]}}}`), 0o600))
	tool{}.fails(t, 2, []string{"no provider of that ID"}, "check", "--config", file, "--provider", "c")
	tool{}.fails(t, 2, []string{"not both"}, "check", "--config", file, "--issuer", "a=https://a.example")
	tool{}.fails(t, 2, []string{"not both"}, "doctor", "--config", file, "--store", "dir:x")
	for _, more := range [][]string{
		{"--audience", "a"},
		{"--audience-kind", "id-token"},
		{"--store", "dir:x"},
		{"--max-age", "1m"},
		{"--allow-missing-kid"},
		{"--jwks", "https://a.example"},
	} {
		tool{stdin: "x"}.fails(t, 2, []string{"not both"}, append([]string{"inspect", "--config", file}, more...)...)
	}
	require.Contains(t, tool{}.run(t, "doctor", "--config", file, "--timeout", "1s").out, "rules        store 1 of "+file+": unavailable")
	empty := filepath.Join(t.TempDir(), "empty.json")
	require.NoError(t, os.WriteFile(empty, []byte(`{"policies": [`+policy("https://a.example")+`],
		"stores": {"s": {"url": "dir:rules"}}, "revocation": {"replica": {"stores": ["s"]}}}`), 0o600))
	out := tool{}.run(t, "doctor", "--config", empty, "--timeout", "1s").out
	require.Contains(t, out, "check url, prefix and name; if they are right, there is nothing to correct")
	require.NotContains(t, out, "check --store", "beside --config there is no such flag")
	require.NoError(t, os.WriteFile(file, []byte(`{"policies": [`+policy("https://a.example")+`],
		"stores": {"r": {"url": "redis://localhost/first", "insecureTrust": true}}}`), 0o600))
	tool{}.fails(t, 2, []string{"not a URL such as"}, "check", "--config", file)
}

// A directory of snapshots that others can use is useless to the service, which says so in its log only.
func TestDoctorLooksAtTheSnapshots(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "service.json")
	require.NoError(t, os.WriteFile(file, []byte(`{
		"policies": [{"provider": {"oidc": "https://a.invalid"}, "audience": {"audience": ["a"]}}],
		"keys": {"snapshots": "s"}, "stores": {"s": {"url": "dir:keys"}}}`), 0o600))
	keys := filepath.Join(dir, "keys")
	doctor := func() string { return tool{}.run(t, "doctor", "--config", file, "--timeout", "1s").out }
	require.Contains(t, doctor(), "the directory is not there")
	require.NoError(t, os.Mkdir(keys, 0o700))
	require.Contains(t, doctor(), "only its owner can use it")
	require.NoError(t, os.Chmod(keys, 0o755))
	require.Contains(t, doctor(), "chmod 700 "+keys)
}

// So is a directory of rules, however empty. What a service would log as a warning is a line, too.
func TestDoctorLooksAtEachDirectoryAndPolicy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "service.json")
	require.NoError(t, os.WriteFile(file, []byte(`{
		"policies": [{"provider": {"cognito": {"pool": "us-east-1_AbCdEf123"}}, "audience": {"audience": ["client"]}}],
		"revocation": {"replica": {"stores": ["rules"], "localCopy": "copy"}},
		"stores": {"rules": {"url": "dir:rules"}, "copy": {"url": "dir:copy"}}}`), 0o600))
	for _, one := range []string{"rules", "copy"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, one), 0o755))
	}
	got := tool{}.run(t, "doctor", "--config", file, "--timeout", "1s")
	require.Equal(t, 1, got.code)
	for _, want := range []string{
		"the policy rejects most access tokens, provider: us-east-1_AbCdEf123", "others can read or write it (mode 0755)",
		"config       " + dir + ": only its owner can exchange the files", "chmod 700 " + filepath.Join(dir, "rules"), "chmod 700 " + filepath.Join(dir, "copy"), "fleet and publicKeys of the store in the file",
	} {
		require.Contains(t, got.out, want)
	}
}

// The drill says what a cached answer of an authorizer means.
func TestDrillOfAnAuthorizer(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
	w.Serve()
	_, file := configured(t, w, func() string { _, dir := signing(t); return dir }())
	for kept, want := range map[string]string{"0s": "", "60s": "info       authorizer_cache:", "300s": "warning    authorizer_cache_long:"} {
		out := tool{}.ok(t, "check", "--config", file, "--authorizer-cache", kept)
		if want == "" {
			require.NotContains(t, out, "authorizer_cache")
			continue
		}
		require.Contains(t, out, want)
	}
	tool{}.fails(t, 2, []string{"negative"}, "check", "--config", file, "--authorizer-cache", "-1s")
}

// check drills every provider of a file, one after the other, or one of them; the worst one decides.
func TestCheckOfSeveralProviders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	type m = map[string]any
	var policies []m
	var worlds []*fakeissuer.Server
	for _, id := range []string{"good", "bad"} {
		w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256", ID: id})
		w.Serve()
		worlds = append(worlds, w)
		var regions []m
		for _, r := range w.Provider().Regions {
			regions = append(regions, m{"name": r.Name, "issuers": r.Issuers, "jwksURLs": r.JWKSURLs})
		}
		policies = append(policies, m{"provider": m{"id": id, "regions": regions}, "audience": m{"audience": []string{"a"}}})
	}
	doc, err := json.Marshal(m{"policies": policies, "keys": m{"snapshots": "snapshots"}, "stores": m{"snapshots": m{"url": "dir:snapshots"}}})
	require.NoError(t, err)
	file := filepath.Join(dir, "service.json")
	require.NoError(t, os.WriteFile(file, doc, 0o600))
	reports := func(code int, more ...string) (all []drillAnswer) {
		r := tool{}.run(t, append([]string{"check", "--json", "--config", file}, more...)...)
		require.Equal(t, code, r.code, r.out)
		for d := json.NewDecoder(strings.NewReader(r.out)); d.More(); {
			var one drillAnswer
			require.NoError(t, d.Decode(&one))
			all = append(all, one)
		}
		return all
	}
	all := reports(0)
	require.Len(t, all, 2)
	require.Equal(t, "ready", all[0].Verdict)
	require.Equal(t, "ready", all[1].Verdict)

	worlds[1].Break(worlds[1].Provider().Regions[0].Name)
	all = reports(1)
	require.Len(t, all, 2)
	require.Equal(t, "ready", all[0].Verdict)
	require.Equal(t, "not_ready", all[1].Verdict)
	require.Len(t, reports(0, "--provider", "good"), 1)
	require.Len(t, reports(1, "--provider", "bad"), 1)
	out := tool{}.run(t, "check", "--config", file).out
	require.Contains(t, out, "provider   good")
	require.Contains(t, out, "\nprovider   bad")
}

// Who can exchange the file decides what is trusted.
func TestDoctorLooksAtTheDirectoryOfTheFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "open")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.Chmod(dir, 0o777))
	file := filepath.Join(dir, "service.json")
	require.NoError(t, os.WriteFile(file,
		[]byte(`{"policies": [{"provider": {"oidc": "https://a.invalid"}, "audience": {"audience": ["https://api.example"]}}]}`), 0o600))
	out := tool{}.run(t, "doctor", "--config", file, "--timeout", "1s").out
	require.Contains(t, out, "others can exchange the files of the directory (mode 0777)")
	require.Contains(t, out, "chmod go-w "+dir)
}
