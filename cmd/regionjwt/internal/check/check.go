// Package check has the command check: a failover drill that loses each region in turn.
package check

import (
	"context"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/config"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/provider"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// Command is check.
func Command() cli.Command {
	return cli.Command{
		Name: "check", Short: "failover drill: what would break if a region were lost",
		Long: `
Asks every key URL and every discovery document of every region, compares what they say, lists what a verifier would accept,
and then loses each region in turn: would a service that starts in that hour, and one that is running, still have every key
that tokens may carry? The answers come from the library itself, which is given what was fetched, less the lost region's hosts.
It changes nothing, and sends nothing but GET requests. docs/drill.md says how to read what it finds.

  regionjwt check --config /etc/orders/regionjwt.json
  regionjwt check --user-pool us-east-1_AbCdEf123 --replica us-west-2 --cognito-mode updated
  regionjwt check --issuer eu=https://eu.example/shop --issuer us=https://us.example/shop --snapshots --quiet
  regionjwt check --issuer eu=https://idp.example --jwks eu=https://eu.example/keys \
                  --issuer us=https://idp.example --jwks us=https://us.example/keys

With --config it checks every provider of the file, or the one of --provider; --json then writes one document for each.

It exits with 0 if nothing would break, with 1 if something would, and with 3 if no URL could be reached at all: then it is
likelier that this machine is cut off. Progress goes to standard error, if that is a terminal.`,
		Prepare: func(c *cli.Call) cli.Action {
			var f flags
			f.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				return run(ctx, c, &f)
			}
		},
	}
}

// flags say whose regions are drilled, how they are reached, and what counts.
type flags struct {
	provider.Options
	config            config.Flags
	timeout           time.Duration
	days              int
	authorizerCache   time.Duration
	snapshots, strict bool
	quiet             bool
}

func (f *flags) define(c *cli.Call) {
	f.Define(c, provider.JWKSUsage)
	f.config.Define(c)
	c.Duration(&f.timeout, "timeout", storage.DefaultTimeout, "`time` that one answer may take (5s)")
	c.Int(&f.days, "certificate-days", 14, "warn of certificates that have fewer `days` left (14)")
	c.Duration(&f.authorizerCache, "authorizer-cache", 0,
		"`time` that API Gateway keeps the answer of a Lambda authorizer, 300s if nothing is set (0, it keeps none)")
	c.Bool(&f.snapshots, "snapshots",
		"the services keep snapshots of keys (jwks.Config.Snapshots): one that starts in an outage has them")
	provider.DefineStrict(c, &f.strict)
	c.Bool(&f.quiet, "quiet", "no progress")
}

// run makes the drills, one provider after the other, and writes what they have found.
func run(ctx context.Context, c *cli.Call, f *flags) error {
	if f.authorizerCache < 0 {
		return cli.Fail(cli.ExitUsage, "--authorizer-cache is negative")
	}
	if f.timeout <= 0 {
		return cli.Fail(cli.ExitUsage, "--timeout must be positive")
	}
	if f.days < 0 {
		return cli.Fail(cli.ExitUsage, "--certificate-days must not be negative")
	}
	all, err := f.drills(c)
	if err != nil {
		return err
	}
	verdicts := map[string]bool{}
	for i, d := range all {
		if i > 0 && !c.JSON {
			c.Printf("\n")
		}
		verdict, err := f.drill(ctx, c, d)
		if err != nil {
			return err
		}
		verdicts[verdict] = true
	}
	switch {
	case verdicts[drillNotReady]:
		return cli.Told(cli.ExitNo)
	case verdicts[drillCannotTell]:
		return cli.Told(cli.ExitCannotTell)
	}
	return nil
}

// drill makes one drill, and writes what it has found.
func (f *flags) drill(ctx context.Context, c *cli.Call, d *drill) (verdict string, err error) {
	defer d.client.CloseIdleConnections()
	if err := d.checkConfig(); err != nil {
		return "", cli.Fail(cli.ExitUsage, "%w", err)
	}
	if wantsProgress(c, f) {
		d.progress = c.Notef
	}
	d.fetchAll(ctx)
	r := d.report(ctx)
	r.authorizer(f.authorizerCache)
	if ctx.Err() != nil {
		return "", cli.Fail(cli.ExitCannotTell, "it was interrupted")
	}
	r.decide(f.strict)
	if c.JSON {
		return r.Verdict, c.WriteJSON(r)
	}
	writeReport(c, r)
	return r.Verdict, nil
}

// drills are those that the flags or the file describe.
func (f *flags) drills(c *cli.Call) ([]*drill, error) {
	client, err := f.Client(f.timeout)
	if err != nil {
		return nil, err
	}
	if !f.config.Given() {
		p, err := f.Provider("checked", f.JWKS)
		return []*drill{f.newDrill(p, client)}, err
	}
	if f.Given() || len(f.JWKS) > 0 {
		return nil, cli.Fail(cli.ExitUsage, "give --config, or flags that describe a provider, not both")
	}
	file, err := f.config.Open(c)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	policies := file.Policies
	if f.ID != "" {
		p, err := file.Policy(f.ID)
		if err != nil {
			return nil, err
		}
		policies = []verifier.Policy{p}
	}
	var all []*drill
	for _, p := range policies {
		plainHosts := slices.Concat(f.PlainHosts, file.Keys.InsecureHTTPHosts)
		d := f.newDrill(p.Provider, file.Client(p, client, plainHosts))
		d.provider.HTTPClient = nil // its requests go through the drill's
		d.plainHosts, d.snapshots = plainHosts, f.snapshots || file.Keys.Snapshots != nil
		all = append(all, d)
	}
	return all, nil
}

func (f *flags) newDrill(p issuer.Provider, client *http.Client) *drill {
	return &drill{
		provider: p, client: client, plainHosts: f.PlainHosts, timeout: f.timeout, days: f.days, snapshots: f.snapshots,
		progress: func(string, ...any) {},
	}
}

// wantsProgress reports whether progress goes to standard error: not to a file or a pipe.
func wantsProgress(c *cli.Call, f *flags) bool {
	if c.JSON || f.quiet {
		return false
	}
	if file, ok := c.Err.(*os.File); ok {
		info, err := file.Stat()
		return err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return true
}
