package regionjwt_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/regionjwt/regionjwt"

// arrows lists what each package of the module may import of the module; a package that is not listed may not exist.
var arrows = map[string][]string{
	"":                       {"failover", "failover/monitor", "issuer", "jwks", "revocation", "store", "verifier", "internal/guard", "internal/handover", "internal/issuercheck", "internal/joined", "internal/nils", "internal/replica", "internal/label", "internal/tokenkinds"},
	"issuer":                 {"internal/control", "internal/issuercheck", "internal/outbound"},
	"internal/control":       nil,
	"internal/issuercheck":   nil,
	"issuer/issuertest":      {"issuer", "jwks", "verifier", "internal/fakeissuer"},
	"internal/fakeissuer":    {"issuer", "internal/issuercheck", "internal/jose", "internal/jose/josetest", "internal/strictjson"},
	"jwks/internal/keystate": {"internal/jose", "internal/clock"},
	"jwks": {
		"issuer", "store", "jwks/internal/keystate", "internal/guard", "internal/issuercheck", "internal/jose", "internal/nils",
		"internal/outbound", "internal/signal", "internal/strictjson", "internal/trust", "internal/verdict", "internal/label", "internal/limit", "internal/clock", "internal/backoff",
		"internal/keymaker", "internal/outages",
	},
	"configfile":                           {"", "failover", "failover/monitor", "issuer", "jwks", "revocation", "store", "verifier", "internal/albtoken", "internal/guard", "internal/nils", "internal/outbound", "internal/strictjson", "internal/trust"},
	"failover":                             {"issuer", "store", "internal/control", "internal/event", "internal/verdict", "internal/guard", "internal/handover", "internal/issuercheck", "internal/jose", "internal/nils", "internal/outbound", "internal/replica", "internal/strictjson", "internal/label", "internal/backoff", "failover/internal/health"},
	"failover/clientcredentials":           {"failover", "issuer", "internal/guard", "internal/issuercheck", "internal/nils", "internal/outbound", "internal/strictjson", "internal/label", "internal/clock", "internal/backoff", "internal/jose", "internal/tokenwatch"},
	"failover/internal/health":             {"internal/label"},
	"failover/monitor":                     {"failover", "failover/internal/health", "store", "internal/backoff", "internal/guard", "internal/jose", "internal/nils", "internal/strictjson"},
	"middleware/statuspage":                {"", "failover", "jwks", "revocation", "internal/control", "internal/label"},
	"store":                                {"internal/document", "internal/nils", "internal/seen", "internal/trust", "internal/limit"},
	"store/storetest":                      {"store", "internal/document"},
	"revocation":                           {"store", "verifier", "internal/trust", "revocation/internal/signaldoc", "internal/control", "internal/document", "internal/event", "internal/clients", "internal/guard", "internal/signal", "internal/strictjson", "internal/nils", "internal/replica", "internal/label"},
	"internal/secevent":                    {"jwks", "internal/strictjson"},
	"revocation/internal/signaldoc":        {"store"},
	"revocation/sharedsignals":             {"issuer", "jwks", "store", "verifier", "revocation/internal/signaldoc", "internal/backoff", "internal/guard", "internal/label", "internal/nils", "internal/outbound", "internal/secevent", "internal/strictjson"},
	"revocation/sharedsignals/signalstest": {"issuer", "issuer/issuertest"},
	"verifier":                             {"issuer", "jwks", "internal/clients", "internal/secevent", "internal/joined", "internal/verdict", "internal/guard", "internal/issuercheck", "internal/jose", "internal/signal", "internal/strictjson", "internal/nils", "internal/limit", "internal/tokenkinds", "internal/albtoken"},
	"observe/audit":                        {"verifier", "internal/guard", "internal/nils", "internal/pseudonym"},
	"middleware":                           {"verifier", "internal/authz", "internal/guard", "internal/jose", "internal/limit", "internal/nils"},
	"middleware/httpauth":                  {"middleware", "middleware/dpop", "verifier", "internal/authz", "internal/guard", "internal/nils", "internal/outbound"},
	"middleware/dpop":                      {"verifier", "internal/authz", "internal/guard", "internal/jose", "internal/strictjson", "internal/limit"},
	"internal/authz":                       {"verifier", "internal/guard", "internal/limit"},
	"internal/conformance":                 nil,
	"internal/guard":                       nil,
	"internal/handover":                    nil,
	"internal/signal":                      nil,
	"internal/verdict":                     nil,
	"internal/clients":                     nil,
	"internal/joined":                      nil,
	"internal/tokenkinds":                  nil,
	"internal/albtoken":                    {"internal/outbound"},
	"internal/keymaker":                    {"internal/jose"},
	"internal/outages":                     {"internal/clock"},
	"internal/outbound":                    {"internal/label", "internal/limit"},
	"internal/document":                    nil,
	"internal/trust":                       {"internal/nils"},
	"internal/replica":                     {"store", "internal/guard", "internal/label", "internal/seen", "internal/strictjson", "internal/trust"},
	"internal/pseudonym":                   nil,
	"internal/seen":                        nil,
	"internal/strictjson":                  nil,
	"internal/nils":                        nil,
	"internal/nils/nilstest":               nil,
	"internal/label":                       nil,
	"internal/event":                       nil,
	"internal/clock":                       nil,
	"internal/backoff":                     nil,
	"internal/limit":                       nil,
	"internal/jose":                        {"internal/strictjson"},
	"internal/jose/josetest":               {"internal/jose"},
	"internal/release":                     nil,
	"internal/mutate":                      nil,
	"internal/answers":                     {"issuer", "internal/fakeissuer", "jwks", "middleware", "verifier"},
	"issuer/issuertest/serve":              {"issuer", "issuer/issuertest"},
	"examples/agents":                      {"", "failover/clientcredentials", "issuer", "issuer/issuertest", "middleware", "middleware/httpauth", "revocation", "verifier"},
	"examples/outage":                      {"", "issuer", "issuer/issuertest", "jwks", "middleware", "middleware/httpauth", "verifier"},
	"internal/replica/replicatest":         {"store"},
	"internal/tokenwatch":                  nil,
	"examples/failover-drill": {
		"", "failover", "failover/clientcredentials", "issuer", "issuer/issuertest", "middleware/httpauth",
		"middleware/statuspage", "verifier",
	},
	"examples/httpserver": {"", "issuer", "jwks", "middleware", "middleware/httpauth", "verifier"},
}

// graph lists the modules that a user of the root module gets into the build list, testing's included.
var graph = []string{
	"github.com/davecgh/go-spew", "github.com/decred/dcrd/crypto/blake256", "github.com/decred/dcrd/dcrec/secp256k1/v4",
	"github.com/goccy/go-json", "github.com/hashicorp/golang-lru/v2", "github.com/lestrrat-go/blackmagic",
	"github.com/lestrrat-go/httpcc", "github.com/lestrrat-go/httprc", "github.com/lestrrat-go/iter",
	"github.com/lestrrat-go/jwx/v2", "github.com/lestrrat-go/option", "github.com/pmezard/go-difflib",
	"github.com/segmentio/asm", "github.com/stretchr/objx", "github.com/stretchr/testify", "golang.org/x/crypto",
	"golang.org/x/net", "golang.org/x/sync", "golang.org/x/sys", "golang.org/x/term", "golang.org/x/text",
	"gopkg.in/check.v1", "gopkg.in/yaml.v3",
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

func TestArrows(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, line := range goList(t, "-f", `{{.ImportPath}}={{join .Imports ","}}`, "./...") {
		path, imports, _ := strings.Cut(line, "=")
		pkg := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		allowed, listed := arrows[pkg]
		require.True(t, listed, "package %q has no place in the tree", pkg)
		seen[pkg] = true
		for i := range strings.SplitSeq(imports, ",") {
			if inner, ours := strings.CutPrefix(i, module); ours {
				require.Contains(t, allowed, strings.TrimPrefix(inner, "/"), "%s imports %s", path, i)
			}
			if strings.HasPrefix(i, "github.com/lestrrat-go/") {
				require.True(t, strings.HasPrefix(pkg, "internal/jose"), "%s imports %s", path, i)
			}
			require.False(t, strings.HasPrefix(i, "github.com/stretchr/"), "%s imports %s outside tests", path, i)
		}
	}
	for pkg := range arrows {
		require.True(t, seen[pkg], "package %q is gone", pkg)
	}
}

func TestNothingHeavyIsLinked(t *testing.T) {
	t.Parallel()
	for _, dep := range goList(t, "-deps", "./middleware/httpauth", ".") {
		for _, unwanted := range []string{
			"google.golang.org", "opentelemetry", "redis", "testify", "/jwx/v2/jwt", "/jwx/v2/jwe", "/jwx/v2/jws", "httptest",
		} {
			require.NotContains(t, dep, unwanted)
		}
	}
}

func TestModuleGraph(t *testing.T) {
	t.Parallel()
	got := goList(t, "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all")
	slices.Sort(got)
	require.Equal(t, graph, got)
}

// modules are the directories of all modules. A module more is a dependency graph more to keep: eight at most.
var modules = []string{".", "aws", "bench", "cmd/regionjwt", "e2e", "middleware/grpcauth", "observe/otel", "store/redisstore"}

func TestModulesAreFew(t *testing.T) {
	t.Parallel()
	var found []string
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if d.Name() == "go.mod" {
			found = append(found, filepath.ToSlash(filepath.Dir(path)))
		}
		return err
	}))
	require.ElementsMatch(t, modules, found)
	require.LessOrEqual(t, len(found), 8)
}

// body returns the statements of func Example, without the indent of a function.
func body(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(text), "func Example() {\n")
	require.True(t, ok)
	inner, _, ok := strings.Cut(after, "\n}\n")
	require.True(t, ok)
	return strings.ReplaceAll(strings.TrimPrefix(inner, "\t"), "\n\t", "\n")
}

func TestREADMEShowsTheExample(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), "```go\n"+body(t)+"\n```")
	require.LessOrEqual(t, strings.Count(string(readme), "\n"), 200)
}

// Every test that SECURITY.md names exists.
func TestAttackCatalogue(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	}))
	security, err := os.ReadFile("SECURITY.md")
	require.NoError(t, err)
	names := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w*`).FindAllString(string(security), -1)
	require.Greater(t, len(names), 40)
	for _, name := range names {
		require.Contains(t, tests.String(), "func "+name+"(", "SECURITY.md names it")
	}
}

// code is a block of a document.
var code = regexp.MustCompile("(?ms)^```.*?^```$")

// Every path in a link of a document exists.
func TestLinks(t *testing.T) {
	t.Parallel()
	var documents []string
	for _, where := range []string{"*.md", "docs/*.md", "bench/*.md", "bench/soak/*.md", "examples/*.md", "verifier/testdata/*.md", "conformance/*.md"} {
		found, err := filepath.Glob(where)
		require.NoError(t, err)
		documents = append(documents, found...)
	}
	require.GreaterOrEqual(t, len(documents), 8)
	for _, document := range documents {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for i, part := range strings.Split(code.ReplaceAllString(string(text), ""), "](") {
			target, _, _ := strings.Cut(part, ")")
			if i == 0 || strings.Contains(target, "://") || strings.HasPrefix(target, "#") {
				continue
			}
			target, _, _ = strings.Cut(target, "#")
			_, err := os.Stat(filepath.Join(filepath.Dir(document), target))
			require.NoError(t, err, "%s links to %s", document, target)
		}
	}
}
