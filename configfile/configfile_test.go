package configfile_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/configfile"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// write writes a file of the test and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// least is the smallest file.
const least = `{"policies": [{"provider": {"oidc": "https://idp.example"}, "audience": {"audience": ["urn:api"]}}]}`

// open opens a file that holds text.
func open(t *testing.T, text string, o configfile.Options) (*configfile.File, error) {
	t.Helper()
	return configfile.Open(write(t, "regionjwt.json", text), o)
}

func TestTheSmallestFile(t *testing.T) {
	t.Parallel()
	f, err := open(t, least, configfile.Options{})
	require.NoError(t, err)
	require.NotNil(t, f.Validator())
	require.Equal(t, []verifier.Policy{
		{Provider: issuer.OIDC("https://idp.example"), Audience: verifier.Audience("urn:api")},
	}, f.Config().Policies)
}

// Every kind of provider and audience is the one that code would make.
func TestAFileSaysWhatCodeSays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]verifier.Policy{
		`"provider": {"cognito": {"pool": "us-east-1_AbCdEf123", "replicas": ["us-west-2"], "mode": "UPDATED", "domain": "shop"}},
		 "audience": {"cognitoAccess": ["a", "b"]}`: {
			Provider: issuer.UserPool{
				ID: "us-east-1_AbCdEf123", Replicas: []string{"us-west-2"}, Mode: issuer.CognitoUpdated, Domain: "shop",
			}.Provider(),
			Audience: verifier.CognitoAccess("a", "b"),
		},
		`"provider": {"id": "shop", "separateKeys": true, "regions": [{"name": "eu", "issuers": ["urn:a"], "jwksURLs": ["https://a.example"],
		 "optionalJWKSURLs": ["https://a.example"], "tokenURL": "https://a.example/token"}]},
		 "audience": {"anyOf": [{"idToken": ["app"]}, {"allOf": [{"audience": ["api"]}]}]}, "algorithms": ["ES256"], "types": ["", "JWT"],
		 "requiredClaims": ["sub"], "scopeClaims": ["scp"], "clientIDClaims": ["azp"], "groupClaims": ["roles"],
		 "allowMissingKeyID": true, "maxAge": "1h", "maxLifetime": "2h"`: {
			Provider: issuer.Provider{ID: "shop", SeparateKeys: true, Regions: []issuer.Region{{
				Name: "eu", Issuers: []string{"urn:a"}, JWKSURLs: []string{"https://a.example"},
				OptionalJWKSURLs: []string{"https://a.example"}, TokenURL: "https://a.example/token",
			}}},
			Audience:   verifier.AnyOf(verifier.IDToken("app"), verifier.AllOf(verifier.Audience("api"))),
			Algorithms: []string{"ES256"}, Types: []string{"", "JWT"}, RequiredClaims: []string{"sub"}, ScopeClaims: []string{"scp"},
			ClientIDClaims: []string{"azp"}, GroupClaims: []string{"roles"}, AllowMissingKeyID: true, MaxAge: time.Hour,
			MaxLifetime: 2 * time.Hour,
		},
		`"provider": {"awsRoles": {"issuer": "https://a.tokens.sts.global.api.aws", "account": "123456789012"}}, "audience": {"audience": ["api"]}`: verifier.AWS(
			"https://a.tokens.sts.global.api.aws", "123456789012", "api"),
		`"provider": {"oidc": "https://idp.example", "id": "idp"}, "audience": {"cognitoDerived": {"audience": "api", "clients": ["a"]}}`: {
			Provider: issuer.Provider{ID: "idp", Regions: issuer.OIDC("https://idp.example").Regions},
			Audience: verifier.CognitoDerived("api", "a"),
		},
		`"provider": {"oidc": "https://idp.example"}, "audience": {"cognitoID": ["*"]}`: {
			Provider: issuer.OIDC("https://idp.example"), Audience: verifier.CognitoID("*"),
		},
		`"provider": {"oidc": "https://idp.example"}, "audience": {"insecureAnyAudience": true}`: {
			Provider: issuer.OIDC("https://idp.example"), Audience: verifier.InsecureAnyAudience(),
		},
	} {
		f, err := open(t, `{"policies": [{`+text+`}]}`, configfile.Options{})
		require.NoError(t, err, text)
		require.Equal(t, []verifier.Policy{want}, f.Config().Policies, text)
	}
	f, err := open(t, `{"policies": [{"provider": {"kubernetes": {"issuer": "https://kubernetes.default.svc.cluster.local", "caFile": "ca.crt"}},
		"audience": {"audience": ["api"]}}]}`, configfile.Options{})
	require.NoError(t, err, "a relative file is one of the directory")
	require.NotNil(t, f.Config().Policies[0].Provider.HTTPClient)
}

// pem64 are the files of the keys of a fleet: private, public.
func keyFiles(t *testing.T, dir string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	alarms, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	for name, key := range map[string]any{"operators.key": private, "operators.key.pub": public, "alarms.key.pub": alarms} {
		kind := "PRIVATE KEY"
		var der []byte
		if name == "operators.key" {
			der, err = x509.MarshalPKCS8PrivateKey(key)
		} else {
			kind = "PUBLIC KEY"
			der, err = x509.MarshalPKIXPublicKey(key)
		}
		require.NoError(t, err)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	secret := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte(secret+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "password"), []byte("hunter2\n"), 0o600))
}

// all sets every member but those of providers and audiences.
const all = `{
  "$schema": "schema.json",
  "policies": [{"provider": {"id": "p", "separateKeys": true, "regions": [
      {"name": "a", "issuers": ["urn:a"], "jwksURLs": ["https://a.example/1", "https://a.example/2"],
       "optionalJWKSURLs": ["https://a.example/2"], "tokenURL": "https://a.example/token"},
      {"name": "b", "issuers": ["https://b.example"], "discoveryURL": "https://b.example/d"}]},
    "audience": {"audience": ["api"]}, "algorithms": ["ES256"], "types": ["JWT"], "requiredClaims": ["sub"], "scopeClaims": ["scp"],
    "clientIDClaims": ["azp"], "groupClaims": ["roles"], "allowMissingKeyID": true, "maxAge": "1h", "maxLifetime": "2h"}],
  "keys": {"refreshInterval": "5m", "maxStale": "10h", "unknownKeyInterval": "3s", "unknownKeyWait": "5s",
    "insecureHTTPHosts": ["keys.internal"], "insecureKnownKeys": ["jS8J3RuOy291lpsiFe2NfKV6VkdfMF4Q_840qOLXAjs"],
    "snapshots": "snapshots", "maxKeySetBytes": 1000, "maxKeys": 10, "maxRSABits": 8192, "maxRequests": 20},
  "tokens": {"leeway": "10s", "maxTokenBytes": 2000, "cacheSize": -1},
  "revocation": {"allowUnknownRules": true, "replica": {"stores": ["shared", "other"], "localCopy": "copy", "name": "rules",
    "pollInterval": "1s", "maxSilence": "5m", "minEpoch": 7}, "signals": [{"replica": {"stores": ["events"], "localCopy": "copy",
    "name": "events", "pollInterval": "1s", "maxSilence": "5m", "minEpoch": 1}, "providers": ["p"], "maxLifetime": "2h"}]},
  "failover": {"p": {"threshold": 2, "holdDown": "1m", "probeInterval": "10s", "rejectInactive": true, "drainPeriod": "30m",
    "replica": {"stores": ["shared"], "localCopy": "copy", "name": "pins", "pollInterval": "1s", "maxSilence": "5m", "minEpoch": 1}}},
  "monitors": {"fleet": "production", "keys": {"alarms": "alarms.key.pub"}, "stores": ["verdicts", "other"], "pollInterval": "7s"},
  "stores": {
    "snapshots": {"url": "dir:snapshots"},
    "verdicts": {"url": "mem://verdicts"},
    "copy": {"url": "dir:copy", "fleet": "production", "secretFile": "secret"},
    "shared": {"url": "mem://here/0", "prefix": "x:", "passwordFile": "password", "fleet": "production",
      "publicKeys": [{"file": "operators.key.pub"}], "privateKeyFile": "operators.key"},
    "events": {"url": "mem://events", "fleet": "production", "publicKeys": [{"file": "operators.key.pub", "documents": ["events"]}]},
    "other": {"url": "mem://there", "fleet": "production", "publicKeys": [{"file": "operators.key.pub", "documents": ["rules"]}]}
  }
}`

// memory is a store that is never asked.
type memory struct{ store.Store }

// openAll opens the file that sets everything.
func openAll(t *testing.T, text string, o configfile.Options) (*configfile.File, string, error) {
	t.Helper()
	dir := t.TempDir()
	keyFiles(t, dir)
	path := filepath.Join(dir, "regionjwt.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	if o.Stores == nil {
		o.Stores = map[string]func(configfile.Location) (store.Store, error){
			"mem": func(configfile.Location) (store.Store, error) { return memory{}, nil },
		}
	}
	f, err := configfile.Open(path, o)
	return f, dir, err
}

// A file is named by its path, absolute or from the directory of the configuration.
func TestPathsOfFiles(t *testing.T) {
	t.Parallel()
	const text = `{"policies": [{"provider": {"oidc": "https://idp.example"}, "audience": {"audience": ["a"]}}],
		"keys": {"snapshots": "s"}, "stores": {"s": {"url": "dir:%s", "fleet": "f", "secretFile": "%s"}}}`
	dir := t.TempDir()
	keyFiles(t, dir)
	for _, secret := range []string{"secret", "./secret", filepath.Join(dir, "secret")} {
		path := filepath.Join(t.TempDir(), "regionjwt.json")
		if !filepath.IsAbs(secret) {
			path = filepath.Join(dir, "regionjwt.json")
		}
		require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, text, filepath.Join(dir, "keys"), secret), 0o600))
		f, err := configfile.Open(path, configfile.Options{})
		require.NoError(t, err, secret)
		require.Equal(t, filepath.Join(dir, "keys"), trust.Of(f.Config().Keys.Snapshots).Path)
	}
}

// inCode are the fields of the Config that a file cannot set: code of the program, and what says how it is run. automatic excludes
// rejectInactive.
var inCode = []string{
	"Policies.Provider.HTTPClient", "Policies.RegionPolicy", "Policies.Check", "Keys.HTTPClient", "Keys.Logger", "Keys.OnFetch",
	"Tokens.Revocation", "Tokens.OnDecision", "Revocation.Logger", "Revocation.OnChange", "Failover.Automatic", "Failover.Probe", "Monitors.Logger",
	"Failover.Logger", "Failover.OnChange", "WrapKeys", "Logger",
}

// unset lists the exported fields that are zero.
func unset(path string, v reflect.Value) (fields []string) {
	switch v.Kind() { //nolint:exhaustive // of the types of a Config
	case reflect.Pointer:
		return unset(path, v.Elem())
	case reflect.Map:
		return unset(path, v.MapIndex(v.MapKeys()[0]))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			set := map[string]int{}
			for i := range v.Len() {
				for _, f := range unset(path, v.Index(i)) {
					if set[f]++; set[f] == v.Len() { // in all of them
						fields = append(fields, f)
					}
				}
			}
			return fields
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[verifier.AudiencePolicy]() {
			return nil
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			switch name := strings.TrimPrefix(path+"."+f.Name, "."); {
			case !f.IsExported():
			case v.Field(i).IsZero():
				fields = append(fields, name)
			default:
				fields = append(fields, unset(name, v.Field(i))...)
			}
		}
	}
	return fields
}

// A file can set every field of every Config that is not code.
func TestAFileCanSetEverything(t *testing.T) {
	t.Parallel()
	var at []configfile.Location
	f, _, err := openAll(t, all, configfile.Options{Stores: map[string]func(configfile.Location) (store.Store, error){
		"mem": func(l configfile.Location) (store.Store, error) { at = append(at, l); return memory{}, nil },
	}})
	require.NoError(t, err)
	require.ElementsMatch(t, inCode, unset("", reflect.ValueOf(f.Config())))
	require.Equal(t, []configfile.Location{
		{URL: "mem://events"}, {URL: "mem://there"}, {URL: "mem://here/0", Prefix: "x:", Password: "hunter2"}, {URL: "mem://verdicts"},
	}, at, "each store is opened once")
	c := f.Config()
	require.Equal(t, uint64(7), c.Revocation.Replica.MinEpoch)
	require.Equal(t, 5*time.Minute, c.Revocation.Replica.MaxSilence)
	require.Len(t, c.Revocation.Replica.Stores, 2)
	require.Equal(t, 30*time.Minute, c.Failover["p"].DrainPeriod)
	require.Len(t, c.Monitors.Keys["alarms"], ed25519.PublicKeySize)
	require.Equal(t, []store.Store{memory{}, memory{}}, c.Monitors.Stores, "verdicts are signed: nothing else needs to protect them")
	require.NotNil(t, f.Validator().Monitors())
}

// Edit completes what the file says, and its problems are those of the file.
func TestEdit(t *testing.T) {
	t.Parallel()
	f, err := open(t, least, configfile.Options{Edit: func(c *regionjwt.Config) error {
		c.Policies[0].Check = func(context.Context, *verifier.Token) error { return nil }
		return nil
	}})
	require.NoError(t, err)
	require.NotNil(t, f.Config().Policies[0].Check)
	_, err = open(t, least, configfile.Options{Edit: func(*regionjwt.Config) error { return errors.New("no region") }})
	require.ErrorContains(t, err, "no region")
	_, err = open(t, least, configfile.Options{Edit: func(*regionjwt.Config) error { panic("boom") }})
	require.ErrorContains(t, err, "Options.Edit panicked")
	_, err = open(t, least, configfile.Options{Edit: func(c *regionjwt.Config) error { c.Logger = new(slog.Logger); return nil }})
	require.ErrorContains(t, err, "Logger has no handler")
}

// Another format is converted first.
func TestConvert(t *testing.T) {
	t.Parallel()
	f, err := open(t, "policies: []", configfile.Options{Convert: func(text []byte) ([]byte, error) {
		require.Equal(t, "policies: []", string(text))
		return []byte(least), nil
	}})
	require.NoError(t, err)
	require.Len(t, f.Config().Policies, 1)
	for _, convert := range []func([]byte) ([]byte, error){
		func([]byte) ([]byte, error) { return nil, errors.New("line 1: tabs") },
		func([]byte) ([]byte, error) { panic("boom") },
	} {
		_, err = open(t, least, configfile.Options{Convert: convert})
		require.Error(t, err)
	}
}

// Misuse is an error, and no panic.
func TestMisuse(t *testing.T) {
	t.Parallel()
	_, err := open(t, least, configfile.Options{PollInterval: time.Millisecond})
	require.ErrorContains(t, err, "PollInterval")
	for _, scheme := range []string{"", "mem"} {
		_, err = open(t, least, configfile.Options{Stores: map[string]func(configfile.Location) (store.Store, error){scheme: nil}})
		require.ErrorContains(t, err, "Stores")
	}
	for _, f := range []*configfile.File{nil, {}} {
		require.Nil(t, f.Validator())
		require.Empty(t, f.Config())
		require.ErrorContains(t, f.Reload(), "configfile.Open")
		require.ErrorContains(t, f.Follow(t.Context(), nil), "configfile.Open")
	}
}

// A client for a private CA is one client, however often the file is read.
func TestAPrivateCAIsTrusted(t *testing.T) {
	t.Parallel()
	var clients []*http.Client
	text := strings.ReplaceAll(least, `.example"}`, `.example", "caFile": "ca.pem"}`)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "regionjwt.json"), []byte(text), 0o600))
	writeCA(t, filepath.Join(dir, "ca.pem"))
	f, err := configfile.Open(filepath.Join(dir, "regionjwt.json"), configfile.Options{Edit: func(c *regionjwt.Config) error {
		clients = append(clients, c.Policies[0].Provider.HTTPClient)
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, f.Reload())
	require.Same(t, clients[0], clients[1])
	require.NotNil(t, clients[0].Transport)
	writeCA(t, filepath.Join(dir, "ca.pem"))
	require.NoError(t, f.Reload(), "a new CA is in effect without a restart")
	require.NotSame(t, clients[1], clients[2])
	require.Same(t, clients[2], f.Config().Policies[0].Provider.HTTPClient)
}

// A file says which load balancers authenticate the users of a provider that it has.
func TestLoadBalancersOfAFile(t *testing.T) {
	t.Parallel()
	const (
		id   = "https://idp.example"
		east = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"
		iso  = "arn:aws-iso:elasticloadbalancing:us-iso-east-1:123456789012:loadbalancer/app/shop/73e2d6bc24d8a067"
	)
	open := func(of, arns, clients, more string) (*configfile.File, error) {
		return open(t, strings.TrimSuffix(least, "}")+`, "loadBalancers": {"`+of+`": {"arns": [`+arns+"],\n"+
			`"clients": [`+clients+`]`+more+`}}}`, configfile.Options{})
	}
	quoted := func(text ...string) string { return `"` + strings.Join(text, "\",\n\"") + `"` }
	f, err := open(id, quoted(east, iso), quoted("a"), `, "keysURLs": {"`+iso+`": "https://keys.example"}`)
	require.NoError(t, err)
	got, ok := f.LoadBalancers(id)
	require.True(t, ok)
	want := configfile.LoadBalancers{
		ARNs: []string{east, iso}, Clients: []string{"a"}, KeysURLs: map[string]string{iso: "https://keys.example"},
	}
	require.Equal(t, want, got)
	got.ARNs[0], got.KeysURLs["arn:1"] = "changed", "changed"
	got, _ = f.LoadBalancers(id)
	require.Equal(t, want, got)
	_, ok = f.LoadBalancers("other")
	require.False(t, ok)
	_, ok = (*configfile.File)(nil).LoadBalancers(id)
	require.False(t, ok)

	for want, text := range map[string][4]string{
		`loadBalancers.other: there is no policy for a provider with the ID "other": there are those for "https://idp.example"`: {"other", quoted(east), `"a"`},
		`"arn:3" is none of the arns`:                   {id, quoted(east), `"a"`, `, "keysURLs": {"arn:3": "https://keys.example"}`},
		`arns has 0 entries`:                            {id, "", `"a"`},
		`"arn:x" is not the ARN of an Application`:      {id, quoted(east, "arn:x"), `"a"`},
		`line 2: loadBalancers["` + id + `"].arns[1]: `: {id, quoted(east, east), `"a"`},
		`set its URL in keysURLs`:                       {id, quoted(iso), `"a"`},
		`its URL in keysURLs is not an https URL`:       {id, quoted(iso), `"a"`, `, "keysURLs": {"` + iso + `": "http://keys.example"}`},
		`"*" alone for every client`:                    {id, quoted(east), ""},
		`clients: an ID is empty`:                       {id, quoted(east), quoted("a", "")},
		`clients: "*" is not the only one`:              {id, quoted(east), quoted("a", "*")},
	} {
		_, err := open(text[0], text[1], text[2], text[3])
		require.ErrorContains(t, err, want)
	}
	_, err = configfile.Open(write(t, "f.json", strings.TrimSuffix(least, "}")+`, "loadBalancers": {"`+id+`": {}}}`), configfile.Options{})
	require.ErrorContains(t, err, `"arns" is missing`)
	require.ErrorContains(t, err, `"clients" is missing`)
}
