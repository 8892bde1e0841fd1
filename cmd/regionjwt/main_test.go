package main_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	main "github.com/regionjwt/regionjwt/cmd/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
)

// TestMain runs the tool instead of the tests if the program is called by its name, as the runbook does. Most tests wait for
// servers: more of them than there are processors run at once.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "regionjwt" {
		main.Main()
		return
	}
	flag.Parse()
	if n := flag.Lookup("test.parallel"); n != nil && n.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", "8") // it was not given
	}
	m.Run()
}

// tool runs the tool with an environment and a standard input.
type tool struct {
	env   map[string]string
	stdin string
}

// result is what a run has left.
type result struct {
	code        int
	out, errors string
}

func (tl tool) run(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := main.Run(t.Context(), args, cli.IO{
		In: strings.NewReader(tl.stdin), Out: &out, Err: &errs, Getenv: func(name string) string { return tl.env[name] },
	})
	return result{code, out.String(), errs.String()}
}

// ok runs the tool and wants it to succeed.
func (tl tool) ok(t *testing.T, args ...string) string {
	t.Helper()
	r := tl.run(t, args...)
	require.Zero(t, r.code, "%v: %s%s", args, r.out, r.errors)
	return strings.TrimSpace(r.out)
}

// fails runs the tool and wants that exit code, and a message that holds each of the texts.
func (tl tool) fails(t *testing.T, code int, texts []string, args ...string) result {
	t.Helper()
	r := tl.run(t, args...)
	require.Equal(t, code, r.code, "%v: %s%s", args, r.out, r.errors)
	for _, text := range texts {
		require.Contains(t, r.errors, text, "%v", args)
	}
	return r
}

// with returns the tool in a larger environment.
func (tl tool) with(pairs ...string) tool {
	env := maps.Clone(tl.env)
	if env == nil {
		env = map[string]string{}
	}
	for pair := range slices.Chunk(pairs, 2) {
		env[pair[0]] = pair[1]
	}
	return tool{env: env, stdin: tl.stdin}
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	require.NoError(t, d.Decode(&v), text)
	require.False(t, d.More(), "more than one document: %s", text)
	return v
}

// signing makes keys in a directory and returns the tool that uses them with a Dir.
func signing(t *testing.T) (tl tool, dir string) {
	t.Helper()
	dir = t.TempDir()
	tool{}.ok(t, "keygen", "--out", filepath.Join(dir, "key"))
	return tool{}.with("REGIONJWT_SIGN_KEY", filepath.Join(dir, "key"), "REGIONJWT_FLEET", "test",
		"REGIONJWT_STORE", "dir:"+filepath.Join(dir, "store")), dir
}

var allCommands = []string{
	"keygen", "revoke", "unrevoke", "ignore", "rules", "rules alive", "rules restore", "status", "inspect", "check", "doctor", "pin", "unpin",
	"active", "failover why", "failover verdict", "pseudonym", "serve", "version",
}

func TestHelp(t *testing.T) {
	t.Parallel()
	overview := tool{}.ok(t, "help")
	for _, name := range allCommands {
		words := strings.Fields(name)
		require.Contains(t, overview, "\n  "+words[0]+" ")
		secret := tool{}.with("REGIONJWT_STORE", "redis://:hunter2@redis/0", "REGIONJWT_REDIS_PASSWORD", "hunter2")
		text := secret.ok(t, append([]string{"help"}, words...)...)
		require.Equal(t, text, secret.ok(t, append(words, "-h")...))
		require.Equal(t, text, secret.ok(t, append(words, "--help")...))
		require.Contains(t, text, "Usage: regionjwt "+name)
		require.Contains(t, text, "  --json\n")
		require.Contains(t, text, "Exit codes:\n  0 ")
		require.NotContains(t, text, "hunter2")
	}
	revoke := tool{}.ok(t, "help", "revoke")
	for _, text := range []string{
		"$REGIONJWT_STORE", "$REGIONJWT_PREFIX", "$REGIONJWT_NAME", "$REGIONJWT_FLEET", "$REGIONJWT_SIGN_KEY", "$REGIONJWT_VERIFY_KEY",
		"$REGIONJWT_SECRET_FILE", "$REGIONJWT_LOCAL_COPY", "$REGIONJWT_REDIS_PASSWORD", "--insecure-plain-store",
	} {
		require.Contains(t, revoke, text)
	}
	for _, code := range []string{"  0  ", "  1  ", "  2  ", "  3  ", "  4  "} {
		require.Contains(t, overview, code)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	tl, _ := signing(t)
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"no command":             {nil, "Usage: regionjwt COMMAND"},
		"unknown command":        {[]string{"revok"}, "no command revok"},
		"unknown command's help": {[]string{"help", "revok"}, "no command revok"},
		"unknown flag":           {[]string{"rules", "-x"}, "regionjwt help rules"},
		"a command of nothing":   {[]string{"failover"}, "Usage: regionjwt failover COMMAND"},
		"unknown command below":  {[]string{"failover", "wy"}, "regionjwt failover has no command wy (perhaps why): see 'regionjwt help failover'"},
		"its help":               {[]string{"help", "failover", "how"}, "regionjwt failover has no command how (perhaps verdict or why)"},
		"help below no command":  {[]string{"help", "pin", "us"}, "regionjwt pin has no command us: see 'regionjwt help pin'"},
		"stray argument below":   {[]string{"rules", "alive", "x"}, "1 unexpected arguments, it takes flags only: see 'regionjwt help rules alive'"},
		"stray argument":         {[]string{"status", "x"}, "1 unexpected arguments"},
		"keygen without path":    {[]string{"keygen"}, "--out PATH"},
		"no provider":            {[]string{"revoke", "--kid", "k"}, "either --provider ID or --all-providers"},
		"the provider *":         {[]string{"revoke", "--kid", "k", "--provider", "*"}, "--all-providers"},
		"both of them":           {[]string{"revoke", "--kid", "k", "--provider", "a", "--all-providers"}, "either --provider"},
		"nothing but provider":   {[]string{"revoke", "--provider", "a", "--expires", "1h", "--note", "r"}, "--issued-before now"},
		"an issuer alone":        {[]string{"revoke", "--provider", "a", "--actor-issuer", "x"}, "ActorIssuer needs Actor"},
		"wrong time":             {[]string{"revoke", "--provider", "a", "--issued-before", "noon"}, "2026-01-31T03:00:00Z nor now"},
		"wrong end":              {[]string{"revoke", "--provider", "a", "--kid", "k", "--expires", "later"}, "30d"},
		"negative end":           {[]string{"revoke", "--provider", "a", "--kid", "k", "--expires", "-1h"}, "30d"},
		"past end":               {[]string{"revoke", "--provider", "a", "--kid", "k", "--expires", "2020-01-01T00:00:00Z"}, "in the past"},
		"control character":      {[]string{"revoke", "--provider", "a", "--kid", "k", "--note", "k\x1b[2J"}, "control character"},
		"no ID":                  {[]string{"unrevoke"}, "regionjwt rules"},
		"not an ID":              {[]string{"unrevoke", "x"}, "is not the ID of a rule"},
		"empty value":            {[]string{"status", "--verify-key", "a,,b"}, "a value is empty"},
		"no store":               {[]string{"status", "--store", ""}, "a value is empty"},
		"no time":                {[]string{"status", "--timeout", "0s"}, "--timeout"},
		"unknown store":          {[]string{"status", "--store", "/tmp/x"}, "--store is none of"},
		"no path":                {[]string{"status", "--store", "dir:"}, "needs a path"},
		"prefix of a directory":  {[]string{"status", "--prefix", "x"}, "--prefix is for Redis"},
		"wrong database":         {[]string{"status", "--store", "redis://localhost/x"}, "--store is none of"},
		"signed and encrypted":   {[]string{"status", "--secret-file", "x"}, "signed or encrypted"},
		"no key file":            {[]string{"status", "--sign-key", "/nonexistent"}, "--sign-key: "},
		"derived for nobody":     {[]string{"inspect", "--issuer", "a=https://b.example", "--audience-kind", "cognito-derived", "--client-id", "c"}, "one --audience"},
		"wrong kind of token":    {[]string{"inspect", "--issuer", "a=https://b.example", "--audience-kind", "refresh"}, "cognito-access"},
		"two kinds of issuers":   {[]string{"inspect", "--user-pool", "p", "--issuer", "a=b"}, "not both"},
		"fetch for nobody":       {[]string{"inspect", "--fetch"}, "--user-pool"},
		"pool without client":    {[]string{"inspect", "--user-pool", "us-east-1_X1"}, "--client-id"},
		"wrong pool":             {[]string{"inspect", "--user-pool", "x", "--client-id", "c"}, "{region}"},
		"issuer without region":  {[]string{"inspect", "--issuer", "https://idp.example", "--audience", "a"}, "REGION=iss"},
		"region without name":    {[]string{"check", "--issuer", "=https://idp.example"}, "--issuer is REGION=iss"},
		"region without issuer":  {[]string{"check", "--issuer", "eu="}, "--issuer is REGION=iss"},
		"region without URL":     {[]string{"check", "--issuer", "eu=https://idp.example", "--jwks", "eu="}, "--jwks is REGION=URL"},
		"negative days":          {[]string{"check", "--issuer", "eu=https://idp.example", "--certificate-days", "-1"}, "--certificate-days must"},
		"issuer for nobody":      {[]string{"inspect", "--issuer", "eu=https://idp.example"}, "--audience"},
		"token as argument":      {[]string{"inspect", "aaa.bbb.signature"}, "flags only"},
		"nothing to inspect":     {[]string{"inspect"}, "no token on standard input"},
	} {
		r := tl.run(t, test.args...)
		require.Equal(t, 2, r.code, name)
		require.Contains(t, r.errors, test.says, name)
		require.Empty(t, r.out, name)
		require.NotContains(t, r.errors, "\x1b", name)
		require.NotContains(t, r.errors, "signature", name)
		if len(test.args) > 0 && slices.Contains(allCommands, test.args[0]) && !strings.Contains(test.says, "help") {
			r := tl.run(t, append([]string{test.args[0], "--json"}, test.args[1:]...)...)
			require.Equal(t, 2, r.code, name)
			require.InDelta(t, 2, decode[map[string]any](t, r.out)["exit_code"], 0, name)
		}
	}
	_, err := os.Stat(tl.env["REGIONJWT_STORE"][len("dir:"):])
	require.ErrorIs(t, err, os.ErrNotExist, "nothing was written")
}

// An argument in the wrong place may be a token: its signature is not repeated.
func TestErrorsDoNotRepeatTokens(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("eyJhbGciOiJub25lIn0.", 8) + "SIGNATURE"
	for _, args := range [][]string{{token}, {"help", token}, {"inspect", token}, {"inspect", "-" + token}, {"unrevoke", token}, {"rules", "--json=" + token}} {
		r := tool{}.run(t, args...)
		require.Equal(t, 2, r.code)
		require.NotContains(t, r.out+r.errors, "SIGNATURE")
		require.Less(t, len(r.errors), 400)
	}
}
