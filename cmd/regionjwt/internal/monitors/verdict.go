// Package monitors has the command that signs the verdict of a monitor on the health of a region.
package monitors

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/keys"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/provider"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
	"github.com/regionjwt/regionjwt/failover/monitor"
)

// The verdicts.
const (
	healthy   = "healthy"
	unhealthy = "unhealthy"
)

const longestTTL = 2 * time.Minute

// flags say who signs a verdict, about which regions, and where it goes.
type flags struct {
	provider   provider.Flags
	store      storage.Flags
	monitor    string
	fleet, key string
	ttl        time.Duration
}

// Command returns the command.
func Command() cli.Command {
	var f flags
	return cli.Command{
		Name: "verdict", Arguments: "REGION healthy|unhealthy", Short: "sign what a monitor says about a region",
		Long: `
Signs a verdict, as a monitor outside of the services: a timer that reads an alarm in a third region. It goes to standard output,
to be posted to each service, or with --store to the stores that the services poll. Services believe it if their configuration has
the public key under the name of the monitor (the member monitors, or Config.Monitors), until --ttl has passed: repeat it before
that. If the alarm cannot tell, say nothing. Describe the provider as the services do. Give each monitor a key of its own, which
signs nothing else: 'regionjwt keygen --out alarms.key'.

  regionjwt failover verdict --user-pool us-east-1_AbCdEf123 --replica us-west-2 --monitor alarms --fleet production \
    --sign-key alarms.key us-east-1 unhealthy | curl --fail --data-binary @- http://orders-7.internal:9000/verdicts

With --store, give a Redis password in $REGIONJWT_REDIS_PASSWORD: other users of a machine can see arguments.
`,
		Complete: func() []string { return append(f.provider.Regions(), healthy, unhealthy) },
		Prepare: func(c *cli.Call) cli.Action {
			f.provider.Define(c)
			c.Text(&f.monitor, "monitor", "`name` of the monitor, as the services have it (required)")
			c.Text(&f.fleet, "fleet", "`name` of the fleet, as the services have it for monitors (required)")
			c.File(&f.key, "sign-key", "`file` of the monitor's private key, mode 0600 (required); see 'regionjwt help keygen'")
			c.Duration(&f.ttl, "ttl", longestTTL, "`time` for which the verdict counts, at most 2m (2m)")
			f.store.DefinePlaces(c, "verdicts")
			return func(ctx context.Context, arguments []string) error { return f.run(ctx, c, arguments) }
		},
	}
}

func (f *flags) run(ctx context.Context, c *cli.Call, arguments []string) error {
	switch {
	case len(arguments) != 2 || arguments[1] != healthy && arguments[1] != unhealthy:
		return cli.Fail(cli.ExitUsage, "give the name of a region, and healthy or unhealthy")
	case f.monitor == "" || f.fleet == "" || f.key == "":
		return cli.Fail(cli.ExitUsage, "give --monitor, --fleet and --sign-key")
	case f.ttl < time.Millisecond || f.ttl > longestTTL:
		return cli.Fail(cli.ExitUsage, "--ttl is from 1ms to 2m")
	}
	p, err := f.provider.Named("a verdict names the provider")
	if err != nil {
		return err
	}
	if err := provider.CheckRegion(p, arguments[0]); err != nil {
		return err
	}
	key, err := keys.ReadPrivate(f.key)
	if err != nil {
		return err
	}
	now := time.Now()
	signed, err := monitor.Sign(monitor.Verdict{
		Provider: p.ID, Region: arguments[0], Healthy: arguments[1] == healthy,
		Began: now, Seq: uint64(max(now.UnixMilli(), 0)), TTL: f.ttl,
	}, f.fleet, f.monitor, key)
	if err != nil {
		return cli.Fail(cli.ExitUsage, "%w", err)
	}
	if len(f.store.Stores) > 0 {
		return f.save(ctx, c, signed)
	}
	if c.JSON {
		return c.WriteJSON(struct {
			Verdict string `json:"verdict"`
		}{string(signed)})
	}
	c.Printf("%s", signed)
	return nil
}

// save writes a verdict to each store. One is enough.
func (f *flags) save(ctx context.Context, c *cli.Call, signed []byte) error {
	o, err := f.store.OpenPlaces(c)
	if err != nil {
		return err
	}
	defer o.CloseAll()
	ctx, cancel := context.WithTimeout(ctx, f.store.Timeout)
	defer cancel()
	var written, problems []string
	for _, p := range o.Places {
		if err := monitor.Save(ctx, p.Inner(), signed); err != nil {
			problems = append(problems, p.Where+": "+err.Error())
			continue
		}
		written = append(written, p.Where)
	}
	if len(written) == 0 {
		return cli.Fail(cli.ExitNotShared, "the verdict was not written: %s", strings.Join(problems, "; "))
	}
	for _, text := range problems {
		c.Notef("note: not every store has the verdict: %s\n", cli.SafeText(text))
	}
	if c.JSON {
		return c.WriteJSON(struct {
			Stores []string `json:"stores"` // that have the verdict
		}{slices.Clone(written)})
	}
	c.Printf("the verdict is in %s\n", strings.Join(written, ", "))
	return nil
}
