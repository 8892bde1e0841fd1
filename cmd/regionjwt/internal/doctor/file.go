package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/config"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/rules"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
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
	for _, text := range c.Warnings {
		x.warn("config", f.config.File, text, "leave it, if it is intended; services log it when they start")
	}
	x.keyDir("config", f.config.File, false)
	x.directoriesOf(c)
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

// directoriesOf checks each directory that the file names, once.
func (x *examination) directoriesOf(c *config.Config) {
	seen := map[string]bool{}
	look := func(check string, all ...store.Trusted) {
		for _, s := range all {
			if path := trust.Of(s).Path; path != "" && !seen[path] {
				seen[path] = true
				x.directory(check, path)
			}
		}
	}
	look("snapshots", c.Keys.Snapshots)
	replicas := make([]store.ReplicaConfig, 0, len(c.Failover)+1)
	if c.Revocation != nil {
		replicas = append(replicas, c.Revocation.Replica)
		for _, s := range c.Revocation.Signals {
			replicas = append(replicas, s.Replica)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Failover)) {
		replicas = append(replicas, c.Failover[id].Replica)
	}
	for _, r := range replicas {
		look("store", r.Stores...)
		look("local copy", r.LocalCopy)
	}
}

func providerOf(policies []verifier.Policy, id string) issuer.Provider {
	i := slices.IndexFunc(policies, func(p verifier.Policy) bool { return p.Provider.ID == id })
	return policies[i].Provider // the file has no problem, so it is there
}
