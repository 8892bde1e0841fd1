package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/rules"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// file checks what the configuration file of the services describes.
func (x *examination) file(ctx context.Context) error {
	f := x.flags
	c, err := f.config.Open(x.call)
	if err != nil {
		x.fail("config", f.config.File, err.Error(), "correct the file; the schema of package configfile has every member")
		return nil
	}
	defer c.Close()
	x.ok("config", f.config.File, fmt.Sprintf("it has no problem; providers: %d", len(c.Policies)))
	if path := trust.Of(c.Keys.Snapshots).Path; path != "" {
		x.directory("snapshots", path)
	}
	limited, cancel := context.WithTimeout(ctx, f.rules.Timeout)
	defer cancel()
	if o := c.Rules(); o != nil {
		l, err := rules.OpenFrom(o, c.Revocation.Replica)
		if err != nil {
			return err
		}
		x.rulesIn(limited, l)
	}
	for _, id := range slices.Sorted(maps.Keys(c.Failover)) {
		replica := c.Failover[id].Replica
		if o := c.Stores(replica); o != nil {
			x.pinsIn(limited, o, providerOf(c.Policies, id), replica.Name)
		}
	}
	for _, p := range c.Policies {
		if err := x.urls(ctx, p.Provider, c); err != nil {
			return err
		}
	}
	return nil
}

func providerOf(policies []verifier.Policy, id string) issuer.Provider {
	i := slices.IndexFunc(policies, func(p verifier.Policy) bool { return p.Provider.ID == id })
	return policies[i].Provider // the file has no problem, so it is there
}
