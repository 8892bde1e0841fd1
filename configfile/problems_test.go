package configfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/configfile"
	"github.com/regionjwt/regionjwt/store"
)

// lines are the problems of an error.
func lines(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Every problem is told at once, with its line and path.
func TestEveryProblemIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown members, at every depth": {
			"{\n\"policies\": [\n{\"provider\": {\"oidc\": \"https://idp.example\"},\n\"audiance\": {},\n\"audience\": {\"audience\": [\"a\"]}}],\n" +
				"\"keys\": {\"MaxStale\": \"1h\",\n\"color\": 1}}",
			[]string{
				`line 4: policies[0].audiance: there is no such member: did you mean "audience"?`,
				`line 6: keys.MaxStale: there is no such member: did you mean "maxStale"?`,
				`line 7: keys.color: there is no such member: the members here are refreshInterval, maxStale`,
			},
		},
		"wrong types": {
			`{"policies": {}, "keys": {"maxStale": 5, "refreshInterval": "soon", "maxKeys": "1", "maxRSABits": 1.5}, "tokens": null,
			  "stores": {"a b": []}, "revocation": {"replica": {"minEpoch": -1, "stores": ["x", 1]}}}`,
			[]string{
				`line 1: policies: an array is wanted, and an object was found`,
				`line 1: keys.maxStale: a duration in quotes, such as "15m", is wanted, and a number was found`,
				`line 1: keys.refreshInterval: "soon" is not a duration`,
				`line 1: keys.maxKeys: a number is wanted, and a string was found`,
				`line 1: keys.maxRSABits: 1.5 is not a whole number`,
				`line 1: tokens: an object is wanted, and null was found`,
				`line 2: stores["a b"]: an object is wanted, and an array was found`,
				`line 2: revocation.replica.minEpoch: -1 is not a whole number of 0 or more`,
				`line 2: revocation.replica.stores[1]: a string is wanted, and a number was found`,
			},
		},
		"missing members": {
			`{"policies": [{}], "stores": {"a": {}}}`,
			[]string{`line 1: policies[0]: "provider" is missing`, `policies[0]: "audience" is missing`, `stores.a: "url" is missing`},
		},
		"members without a value": { // a template that found none: rules would not be shared, or not be copied
			`{"policies": [{"provider": {"oidc": "https://idp.example"}, "audience": {"audience": ["a"]}}], "keys": {"snapshots": ""},
			  "revocation": {"replica": {"stores": ["a"], "localCopy": ""}},
			  "stores": {"a": {"url": ""}, "b": {"url": "dir:x", "passwordFile": "", "publicKeys": [{"file": ""}], "privateKeyFile": ""}}}`,
			[]string{
				`line 1: keys.snapshots: the text is empty`, `line 2: revocation.replica.localCopy: the text is empty`,
				`line 3: stores.a.url: the text is empty: leave the member out, or give it a value`, `stores.b.passwordFile: the text is empty`,
				`stores.b.publicKeys[0].file: the text is empty`, `stores.b.privateKeyFile: the text is empty`,
			},
		},
		"members twice": {
			"{\"policies\": [],\n\"policies\": [],\"keys\":{\"maxKeys\":1,\n\"maxKeys\":2}}",
			[]string{`line 2: the member "policies" is there twice`, `line 3: the member "maxKeys" is there twice`},
		},
		"not exactly one": {
			`{"policies": [
			  {"provider": {"oidc": "https://a.example", "regions": []}, "audience": {}},
			  {"provider": {}, "audience": {"audience": ["a"], "idToken": ["b"]}},
			  {"provider": {"oidc": "https://b.example"}, "audience": {"insecureAnyAudience": false}},
			  {"provider": {"cognito": {"pool": "us-east-1_AbCdEf123"}, "id": "x"}, "audience": {"cognitoAccess": ["a"]}}]}`,
			[]string{
				`line 2: policies[0].provider: exactly one of cognito, oidc, kubernetes, awsRoles and regions is wanted, and 2 were found`,
				`line 2: policies[0].audience: exactly one member is wanted, and 0 were found`,
				`line 3: policies[1].provider: exactly one of cognito`, `line 3: policies[1].audience: exactly one member`,
				`line 4: policies[2].audience: insecureAnyAudience is false`,
				`line 5: policies[3].provider: id: the ID of a Cognito user pool`,
			},
		},
		"what New finds": {
			`{"policies": [{"provider": {"cognito": {"pool": "nowhere"}}, "audience": {"audience": []}}], "keys": {"maxKeys": -1}}`,
			[]string{`user pool "nowhere"`, "Audience: there is no audience", "MaxKeys is -1"},
		},
		"no JSON":             {"{\n\"policies\": [\n}", []string{"line 3: not JSON"}},
		"an end too early":    {"{\"policies\": [\n", []string{"line 1: the JSON ends too early"}},
		"nothing":             {"", []string{"line 1: the JSON ends too early"}},
		"an array":            {"[]", []string{"line 1: the file must hold one JSON object"}},
		"two objects":         {"{}\n{}", []string{"line 2: something follows the JSON object"}},
		"no UTF-8":            {"{\n\"a\": \"\xff\"}", []string{"line 2: not UTF-8"}},
		"half a surrogate":    {`{"$schema": "\ud800"}`, []string{"invalid UTF-8 or surrogate"}},
		"objects too deep":    {strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), []string{"nests too deep"}},
		"a comma too many":    {`{"policies": [],}`, []string{"not JSON"}},
		"a file that is gone": {strings.Replace(least, `.example"}`, `.example", "caFile": "nowhere.pem"}`, 1), []string{`line 1: policies[0].provider: caFile: stat`}},
		"a file of no certificate": {
			strings.Replace(least, `.example"}`, `.example", "caFile": "password"}`, 1), []string{"holds no CA certificate"},
		},
	} {
		_, _, err := openAll(t, c.text, configfile.Options{})
		for _, want := range c.want {
			require.Contains(t, lines(err), want, name)
		}
	}
}

// A store that nothing protects, and one that contradicts itself, are told.
func TestStoresThatNothingProtects(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{`{"url": "mem://a"}`, "line 1: stores.s: everyone who can write there could forge documents"},
		{`{"url": "mem://a", "fleet": "f"}`, "fleet has no effect"},
		{`{"url": "mem://a", "secretFile": "secret"}`, "fleet is missing"},
		{`{"url": "mem://a", "privateKeyFile": "operators.key"}`, "privateKeyFile needs publicKeys"},
		{`{"url": "mem://u:hunter2@a", "insecureTrust": true}`, "a password belongs into a file of its own"},
		{`{"url": "mem://a:hunter2", "insecureTrust": true}`, "url is not a URL such as"},
		{`{"url": "other://a", "insecureTrust": true}`, `opens no store of the kind "other"; it opens dir, broken, mem, nothing`},
		{`{"url": "broken://a", "insecureTrust": true}`, "no table"},
		{`{"url": "nothing://a", "insecureTrust": true}`, "returned no store and no error"},
		{`{"url": "dir:"}`, "dir: needs a path"},
		{`{"url": "dir:a", "prefix": "x"}`, "neither prefix nor passwordFile"},
		{`{"url": "dir:a", "insecureTrust": true}`, "insecureTrust has no effect"},
		{`{"url": "mem://a", "fleet": "f", "secretFile": "password"}`, "does not hold one line of base64"},
		{`{"url": "mem://a", "fleet": "f", "secretFile": "secret"}`, "InsecureTrust"},
		{`{"url": "mem://a", "fleet": "f", "publicKeys": [{"file": "secret"}]}`, "is not one Ed25519 public key"},
		{`{"url": "mem://a", "fleet": "\u0007", "publicKeys": [{"file": "operators.key.pub"}]}`, "printable"},
		{`{"url": "mem://a", "fleet": "f", "publicKeys": [{"file": "operators.key.pub"}], "secretFile": "secret"}`, "not both"},
		{`{"url": "mem://a", "fleet": "f", "publicKeys": [{"file": "operators.key.pub"}], "insecureTrust": true}`, "no effect with publicKeys"},
		{`{"url": "mem://a", "fleet": "f", "publicKeys": [{"file": "operators.key.pub"}], "privateKeyFile": "operators.key.pub"}`, "is not an Ed25519 private key"},
		{`{"url": "mem://a", "fleet": "f", "publicKeys": [{"file": "operators.key.pub"}], "privateKeyFile": "secret"}`, "is not an Ed25519 private key"},
	} {
		text, want := c[0], c[1]
		_, _, err := openAll(t, strings.TrimSuffix(least, "}")+`, "stores": {"s": `+text+`}, "revocation": {"replica": {"stores": ["s"]}}}`,
			configfile.Options{Stores: map[string]func(configfile.Location) (store.Store, error){
				"mem":     func(configfile.Location) (store.Store, error) { return memory{}, nil },
				"broken":  func(configfile.Location) (store.Store, error) { return nil, errors.New("no table") },
				"nothing": func(configfile.Location) (store.Store, error) { return (*memory)(nil), nil },
			}})
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "hunter2", text)
		require.NotContains(t, err.Error(), "there is no store", text)
	}
	_, err := open(t, strings.TrimSuffix(least, "}")+`, "keys": {"snapshots": "x"}}`, configfile.Options{})
	require.ErrorContains(t, err, `line 1: keys: snapshots: there is no store "x" in the member stores`)
}

// A store is not opened where the file says too little or too much of it.
func TestStoresWithProblemsAreNotOpened(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"url": "mem://a"}`, `{"url": "mem://a", "fleet": "f"}`} {
		_, _, err := openAll(t, strings.TrimSuffix(least, "}")+`, "stores": {"s": `+text+`}, "revocation": {"replica": {"stores": ["s"]}}}`,
			configfile.Options{Stores: map[string]func(configfile.Location) (store.Store, error){
				"mem": func(configfile.Location) (store.Store, error) { panic("opened") },
			}})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "opened", text)
	}
}

// Every problem with monitors is reported, and a store that only verdicts may be in is no store for anything else.
func TestMonitorsThatCannotWork(t *testing.T) {
	t.Parallel()
	const failover = `, "failover": {"https://idp.example": {}}`
	for _, c := range [][2]string{
		{`"monitors": {"fleet": "f", "keys": {}}` + failover, "Keys is empty"},
		{`"monitors": {"keys": {"a": "alarms.key.pub"}}` + failover, `monitors: "fleet" is missing`},
		{`"monitors": {"fleet": "f", "keys": {"a": "alarms.key.pub"}}`, "Monitors has no effect without Failover"},
		{`"monitors": {"fleet": "f", "keys": {"A": "alarms.key.pub"}}` + failover, `Keys["A"]`},
		{`"monitors": {"fleet": "f", "keys": {"a": "alarms.key.pub", "b": "alarms.key.pub"}}` + failover, `Keys["b"] is the key of "a"`},
		{`"monitors": {"fleet": "f", "keys": {"a": "secret"}}` + failover, `line 1: monitors: keys.a: `},
		{`"monitors": {"fleet": "f", "keys": {"a": "none"}}` + failover, `line 1: monitors: keys.a: stat`},
		{`"monitors": {"fleet": "f", "keys": {"a": 1}}` + failover, "monitors.keys.a: a string is wanted"},
		{`"monitors": {"fleet": "f", "keys": {"a": "alarms.key.pub"}, "stores": ["x"]}` + failover, `monitors: stores[0]: there is no store "x"`},
		{`"monitors": {"fleet": "f", "keys": {"a": "alarms.key.pub"}, "stores": ["s"]}, "stores": {"s": {"url": "mem://s"}},
		  "failover": {"https://idp.example": {"replica": {"stores": ["s"]}}}`, `replica: stores[0]: store "s": everyone who can write there could forge documents`},
	} {
		_, _, err := openAll(t, strings.TrimSuffix(least, "}")+", "+c[0]+"}", configfile.Options{})
		require.ErrorContains(t, err, c[1], c[0])
	}
}

// Files that others can change, and secrets that others can read, are not used.
func TestFilesOfOthersAreNotUsed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	signed := strings.TrimSuffix(least, "}") + `, "stores": {"s": {"url": "mem://a", "passwordFile": "password", "fleet": "f",
		"publicKeys": [{"file": "operators.key.pub"}], "privateKeyFile": "operators.key"}}}`
	for name, c := range map[string]struct {
		mode os.FileMode
		fine bool
	}{
		"regionjwt.json":    {0o662, false},
		"password":          {0o604, false},
		"operators.key":     {0o620, false},
		"operators.key.pub": {0o602, false},
		"./regionjwt.json":  {0o644, true},
		"./password":        {0o440, true},
	} {
		f, dir, err := openAll(t, signed, configfile.Options{})
		require.NoError(t, err)
		require.NoError(t, os.Chmod(filepath.Join(dir, name), c.mode))
		err = f.Reload()
		require.Equal(t, c.fine, err == nil, "%s: %v", name, err)
		if !c.fine {
			require.ErrorContains(t, err, "other users can", name)
		}
	}
	_, err := configfile.Open(t.TempDir(), configfile.Options{})
	require.ErrorContains(t, err, "is not a regular file")
}

// Problems come in the order of their lines, whatever part of the file they are in.
func TestProblemsComeInTheOrderOfTheLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "regionjwt.json")
	require.NoError(t, os.WriteFile(path, []byte("{\"policies\": [\n{\"provider\": {\"oidc\": \"no URL\"},\n\"audience\": {}}],\n"+
		"\"revocation\": {\"replica\": {\"stores\": [\"c\"]}},\n\"stores\": {\n\"%s\": {\"url\": \"x\"},\n\"b\": {\"url\": \"y\"}}}"), 0o600))
	_, err := configfile.Open(path, configfile.Options{})
	require.Error(t, err)
	var got []int
	for line := range strings.Lines(err.Error()) {
		_, rest, ok := strings.Cut(line, "line ")
		require.True(t, ok, line)
		number, _, _ := strings.Cut(rest, ":")
		n, atoi := strconv.Atoi(number)
		require.NoError(t, atoi)
		got = append(got, n)
	}
	require.GreaterOrEqual(t, len(got), 4)
	require.IsNonDecreasing(t, got, err.Error())
	require.Contains(t, err.Error(), `stores["%s"]: `)
}
