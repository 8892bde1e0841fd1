package docs_test

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/failover/monitor"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// setting is a row of docs/settings.md.
type setting struct{ name, zero, least, most, negative string }

// settings reads docs/settings.md.
func settings(t *testing.T) (rows []setting) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "settings.md"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) == 8 && strings.Contains(cells[1], "`") {
			for i := range cells {
				cells[i] = strings.Trim(cells[i], " `")
			}
			rows = append(rows, setting{cells[1], cells[3], cells[4], cells[5], cells[6]})
		}
	}
	return rows
}

// Every number and duration of a configuration has a row.
func TestEverySettingIsListed(t *testing.T) {
	t.Parallel()
	var listed, declared []string
	for _, s := range settings(t) {
		listed = append(listed, s.name)
	}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		skipped := []string{"internal", "testdata", "examples", "bench", "e2e", "cmd", "conformance", "issuertest", ".tools", ".git"}
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skipped, d.Name()):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				declared = append(declared, numbers(file.Name.Name+"."+spec.Name.Name, spec)...)
			}
			return true
		})
		return nil
	}))
	require.ElementsMatch(t, declared, listed)
}

// numbers returns the fields of a configuration that are numbers or durations.
func numbers(name string, spec *ast.TypeSpec) (fields []string) {
	configuration := []string{"Config", "Options", "ReplicaConfig", "Policy", "Signals"}
	s, ok := spec.Type.(*ast.StructType)
	if !ok || !slices.Contains(configuration, spec.Name.Name) {
		return nil
	}
	for _, f := range s.Fields.List {
		text := fmt.Sprint(f.Type)
		if i, isSelector := f.Type.(*ast.SelectorExpr); isSelector {
			text = fmt.Sprint(i.X) + "." + i.Sel.Name
		}
		if !slices.Contains([]string{"int", "int64", "uint64", "time.Duration"}, text) {
			continue
		}
		for _, n := range f.Names {
			if n.IsExported() {
				fields = append(fields, name+"."+n.Name)
			}
		}
	}
	return fields
}

var amount = regexp.MustCompile(`^(\d+)(?: (milliseconds?|seconds?|minutes?|hours?|days?))?\b`)

// value reads "15 minutes" or "4096" at the beginning of a cell; ok is false if there is none.
func value(cell string) (n int64, ok bool) {
	m := amount.FindStringSubmatch(cell)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]time.Duration{
		"": 1, "millisecond": time.Millisecond, "second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour,
	}[strings.TrimSuffix(m[2], "s")]
	return n * int64(unit), err == nil
}

// Each constructor accepts and rejects what the table says.
func TestSettingsAreAsListed(t *testing.T) {
	t.Parallel()
	with := constructors(t)
	for _, s := range settings(t) {
		try, ok := with[s.name]
		if !ok {
			require.Regexp(t, `^(configfile|lambdaauth|workload|dynamostore|s3store|redisstore|sharedsignals)\.`, s.name)
			continue // their packages test it: these need a client or a file
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, try(0), "0 is the default")
			if byDefault, ok := value(s.zero); ok {
				require.NoError(t, try(byDefault), "the default itself")
			}
			least, hasLeast := value(s.least)
			if hasLeast {
				require.NoError(t, try(least), "the least")
				if least > 1 {
					require.Error(t, try(least-1), "below the least")
				}
			}
			if most, ok := value(s.most); ok {
				require.NoError(t, try(most), "the most")
				require.Error(t, try(most+1), "above the most")
			} else if s.least == "" || hasLeast {
				require.NoError(t, try(math.MaxInt64), "there is no most")
			}
			if s.negative == "" {
				require.Error(t, try(-1), "negative")
			} else {
				require.NoError(t, try(-1), s.negative)
			}
		})
	}
}

// constructors calls New of each package with one setting.
func constructors(t *testing.T) map[string]func(int64) error {
	t.Helper()
	pool := issuer.Cognito("us-east-1_AbCdEf123", "us-west-2")
	policy := verifier.Policy{Provider: pool, Audience: verifier.CognitoAccess("client")}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signed := store.Signed(store.Dir(t.TempDir()), "test", private, store.PublicKey{Key: public})
	replica := store.ReplicaConfig{Stores: []store.Trusted{signed}}
	d := func(n int64) time.Duration { return time.Duration(n) }
	validator := func(c regionjwt.Config) error {
		c.Policies = append(c.Policies, policy)[:1]
		_, err := regionjwt.New(c)
		return err
	}
	keys := func(c jwks.Config) error {
		if c.RefreshInterval > 24*time.Hour {
			c.MaxStale = cmp.Or(c.MaxStale, c.RefreshInterval)
		} else if 0 < c.MaxStale && c.MaxStale < 15*time.Minute {
			c.RefreshInterval = c.MaxStale
		}
		return validator(regionjwt.Config{Keys: c})
	}
	rules := func(c store.ReplicaConfig) error {
		return validator(regionjwt.Config{Revocation: &revocation.Config{Replica: c}})
	}
	over := func(c failover.Config) error {
		return validator(regionjwt.Config{Failover: map[string]failover.Config{pool.ID: c}})
	}
	v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{policy}})
	require.NoError(t, err)
	return map[string]func(int64) error{
		"jwks.Config.RefreshInterval":    func(n int64) error { return keys(jwks.Config{RefreshInterval: d(n)}) },
		"jwks.Config.MaxStale":           func(n int64) error { return keys(jwks.Config{MaxStale: d(n)}) },
		"jwks.Config.UnknownKeyInterval": func(n int64) error { return keys(jwks.Config{UnknownKeyInterval: d(n)}) },
		"jwks.Config.UnknownKeyWait":     func(n int64) error { return keys(jwks.Config{UnknownKeyWait: d(n)}) },
		"jwks.Config.MaxKeySetBytes":     func(n int64) error { return keys(jwks.Config{MaxKeySetBytes: int(n)}) },
		"jwks.Config.MaxKeys":            func(n int64) error { return keys(jwks.Config{MaxKeys: int(n)}) },
		"jwks.Config.MaxRSABits":         func(n int64) error { return keys(jwks.Config{MaxRSABits: int(n)}) },
		"jwks.Config.MaxRequests":        func(n int64) error { return keys(jwks.Config{MaxRequests: int(n)}) },
		"verifier.Config.Leeway": func(n int64) error {
			return validator(regionjwt.Config{Tokens: verifier.Config{Leeway: d(n)}})
		},
		"verifier.Config.MaxTokenBytes": func(n int64) error {
			return validator(regionjwt.Config{Tokens: verifier.Config{MaxTokenBytes: int(n)}})
		},
		"verifier.Config.CacheSize": func(n int64) error {
			return validator(regionjwt.Config{Tokens: verifier.Config{CacheSize: int(n)}})
		},
		"verifier.Policy.MaxAge": func(n int64) error {
			p := policy
			p.MaxAge = d(n)
			return validator(regionjwt.Config{Policies: []verifier.Policy{p}})
		},
		"verifier.Policy.MaxLifetime": func(n int64) error {
			p := policy
			p.MaxLifetime = d(n)
			return validator(regionjwt.Config{Policies: []verifier.Policy{p}})
		},
		"store.ReplicaConfig.PollInterval": func(n int64) error {
			c := replica
			c.PollInterval = d(n)
			return rules(c)
		},
		"store.ReplicaConfig.MaxSilence": func(n int64) error {
			c := replica
			c.MaxSilence = d(n)
			return rules(c)
		},
		"failover.Config.Threshold":     func(n int64) error { return over(failover.Config{Threshold: int(n)}) },
		"failover.Config.HoldDown":      func(n int64) error { return over(failover.Config{HoldDown: d(n)}) },
		"failover.Config.ProbeInterval": func(n int64) error { return over(failover.Config{ProbeInterval: d(n)}) },
		"grpcauth.Config.Grace": func(n int64) error {
			_, err := grpcauth.New(v, grpcauth.Config{Grace: d(n)})
			return err
		},
		"dpop.Config.MaxAge": func(n int64) error {
			_, err := dpop.New(dpop.Config{MaxAge: d(n)})
			return err
		},
		"dpop.Config.Leeway": func(n int64) error {
			_, err := dpop.New(dpop.Config{Leeway: d(n)})
			return err
		},
		"clientcredentials.Config.Hedge": func(n int64) error {
			p := issuer.Provider{ID: "p", Regions: []issuer.Region{
				{Name: "one", Issuers: []string{"https://idp.example"}, TokenURL: "https://idp.example/token"},
			}}
			c := clientcredentials.Config{Credentials: clientcredentials.Credentials{ClientID: "c", Secret: "s"}, Hedge: d(n)}
			_, err := clientcredentials.New(p, c)
			return err
		},
		"monitor.Config.PollInterval": func(n int64) error {
			controller, err := failover.New(pool, failover.Config{})
			require.NoError(t, err)
			_, err = monitor.New(monitor.Config{
				Fleet: "test", Keys: map[string]ed25519.PublicKey{"m": public}, Stores: []store.Store{signed}, PollInterval: d(n),
			}, controller)
			return err
		},
		"audit.Config.SampleCached": func(n int64) error {
			_, err := audit.New(slog.NewTextHandler(io.Discard, nil), audit.Config{SampleCached: int(n)})
			return err
		},
		"audit.Config.MaxRejectionsPerSecond": func(n int64) error {
			_, err := audit.New(slog.NewTextHandler(io.Discard, nil), audit.Config{MaxRejectionsPerSecond: int(n)})
			return err
		},
		"otel.Config.MaxProviders": func(n int64) error {
			_, err := otel.Instrument(v, otel.Config{MeterProvider: noop.NewMeterProvider(), MaxProviders: int(n)})
			return err
		},
		"revocation.Signals.MaxLifetime": func(n int64) error {
			c := replica
			key := store.PublicKey{Key: public, Documents: []string{"regionjwt/signals"}}
			c.Stores = []store.Trusted{store.Signed(store.Dir(t.TempDir()), "test", private, key)}
			signals := revocation.Signals{Replica: c, Providers: []string{pool.ID}, MaxLifetime: d(n)}
			return validator(regionjwt.Config{Revocation: &revocation.Config{Replica: replica, Signals: []revocation.Signals{signals}}})
		},
		"failover.Config.DrainPeriod": func(n int64) error {
			c := replica
			c.MinEpoch = 1
			p := issuer.Provider{ID: "p", Regions: []issuer.Region{
				{Name: "one", Issuers: []string{"https://one.idp.example"}}, {Name: "two", Issuers: []string{"https://two.idp.example"}},
			}}
			_, err := failover.New(p, failover.Config{RejectInactive: true, Replica: c, DrainPeriod: d(n)})
			return err
		},
		"store.ReplicaConfig.MinEpoch": func(n int64) error {
			if n < 0 {
				return fs.ErrInvalid // it has no sign
			}
			c := replica
			c.MinEpoch = uint64(n)
			return rules(c)
		},
	}
}
