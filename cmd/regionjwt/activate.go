package main

import (
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

const regionHelp = `
The authority is described as the services describe it, because the order names it and its regions: -user-pool and
-replica, or -authority and -issuer REGION=iss for each region. The store is theirs, too. An order is signed or sealed as
rules are.
A Redis password is best given in $` + passwordEnv + `.`

func activateCommand() command {
	return command{
		name: "activate", arguments: "REGION", short: "make a region the active one, and pin it",
		long: `
Tells every service that follows the store which region is active: where machine tokens are fetched, which authorization server
is named first, and, where services refuse tokens of inactive regions, whose tokens count. The region stays pinned, whatever
the services see, until 'regionjwt resume'. It says what is in the store afterwards.

  regionjwt activate -user-pool us-east-1_AbCdEf123 -replica us-west-2 -reason "INC-42" us-west-2
` + regionHelp,
		prepare: func(c *call) action {
			var f orderFlags
			f.define(c)
			c.text(&f.reason, "reason", "", "`text` for people: one line of at most 256 octets")
			c.flags.BoolVar(&f.store.overwrite, "overwrite", false, "replace a document that cannot be believed or read")
			return func(ctx context.Context, arguments []string) error {
				if len(arguments) != 1 {
					return fail(exitUsage, "which region? Give the name of one")
				}
				return c.order(ctx, &f, func(ctx context.Context, ctl *failover.Controller) error {
					return ctl.Activate(ctx, arguments[0], f.reason)
				})
			}
		},
	}
}

func resumeCommand() command {
	return command{
		name: "resume", short: "end the pin of a region",
		long: `
Ends what 'regionjwt activate' began: services that move by themselves decide by what they see again, each for itself; others
stay with the region that was pinned. It says what is in the store afterwards.
` + regionHelp,
		prepare: func(c *call) action {
			var f orderFlags
			f.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.none(arguments); err != nil {
					return err
				}
				return c.order(ctx, &f, func(ctx context.Context, ctl *failover.Controller) error { return ctl.Resume(ctx) })
			}
		},
	}
}

func activeCommand() command {
	return command{
		name: "active", short: "say which region operators have activated",
		long: `
Says which region the last order pins, since when, and why, or that none is pinned. Services that move by themselves may be
elsewhere while nothing is pinned: their status pages say where.
` + regionHelp,
		prepare: func(c *call) action {
			var f orderFlags
			f.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.none(arguments); err != nil {
					return err
				}
				return c.order(ctx, &f, nil)
			}
		},
	}
}

// orderFlags say whose regions an order is about, and where it is written.
type orderFlags struct {
	trust  trustFlags // for whom tokens are does not matter here
	store  storeFlags
	reason string
}

func (f *orderFlags) define(c *call) {
	f.trust.defineRegions(c)
	f.store.defineForOrders(c)
}

// authority is what the flags describe.
func (f *orderFlags) authority() (issuer.Provider, error) {
	if len(f.trust.issuers) > 0 && f.trust.authority == "" {
		return issuer.Provider{}, fail(exitUsage, "an order names the authority: give -authority, as the services have it")
	}
	same := drillFlags{trust: f.trust, timeout: defaultTimeout}
	return same.authority()
}

// ordered is the answer: the order that is in the store.
type ordered struct {
	Authority string     `json:"authority"`
	Region    string     `json:"region"`
	Pinned    bool       `json:"pinned"`
	Reason    string     `json:"reason,omitempty"`
	Epoch     uint64     `json:"epoch"` // counts the orders; 0 where there is none
	At        *time.Time `json:"at,omitempty"`
	Store     string     `json:"store"`
	Trust     string     `json:"trust"`
}

// giver gives an order.
type giver func(context.Context, *failover.Controller) error

// order gives an order, where there is one to give, and reads back what is in the store.
func (c *call) order(ctx context.Context, f *orderFlags, give giver) error {
	authority, err := f.authority()
	if err != nil {
		return err
	}
	o, err := f.store.openStore(c, give != nil)
	if err != nil {
		return err
	}
	defer o.closeAll()
	ctx, cancel := context.WithTimeout(ctx, f.store.timeout)
	defer cancel()
	config := failover.Config{
		Provider: authority, Store: o.store, InsecurePlainStore: f.store.plain, Name: f.store.name,
		AllowOverwrite: f.store.overwrite,
	}
	if give != nil {
		if err := c.give(ctx, config, o, give); err != nil {
			return err
		}
	}
	fresh, err := failover.New(config)
	if err != nil {
		return fail(exitUsage, "%w", err)
	}
	if err := loadOrder(ctx, fresh, o); err != nil {
		if give != nil {
			return fail(exitNotShared, "the order was written, but could not be read back (%w): look at 'regionjwt active'", err)
		}
		return err
	}
	return c.tellOrder(fresh.State(), o)
}

// give loads what is known, then gives the order.
func (c *call) give(ctx context.Context, config failover.Config, o *opened, give giver) error {
	ctl, err := failover.New(config)
	if err != nil {
		return fail(exitUsage, "%w", err)
	}
	if err := loadOrder(ctx, ctl, o); err != nil && !config.AllowOverwrite {
		return fail(exitStore, "%w; nothing was changed", err)
	}
	switch err := give(ctx, ctl); {
	case errors.Is(err, failover.ErrNotShared):
		return fail(exitNotShared, "%w", err)
	case err != nil:
		return fail(exitUsage, "%w", err)
	}
	return nil
}

// loadOrder asks the store, and turns trouble into an error.
func loadOrder(ctx context.Context, ctl *failover.Controller, o *opened) error {
	err := ctl.Load(ctx)
	trouble := ctl.State().Trouble
	what := map[failover.Trouble]string{
		failover.Unreachable:  "it does not answer",
		failover.NotAuthentic: "its document is not signed for this fleet by a key that is trusted: see -fleet and -verify-key",
		failover.Malformed:    "its document is not an order for this authority and these regions: check -name and -authority",
	}[trouble]
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return fail(exitStore, "%s: %s (%w)", o.where, what, err)
	case what != "":
		return fail(exitStore, "%s: %s", o.where, what)
	}
	return nil
}

func (c *call) tellOrder(s failover.State, o *opened) error {
	out := ordered{
		Authority: s.Provider, Region: s.Active, Pinned: s.Manual, Reason: s.Reason, Epoch: s.OrderEpoch,
		Store: o.where, Trust: o.trust,
	}
	if !s.OrderAt.IsZero() {
		at := s.OrderAt.UTC()
		out.At = &at
	}
	switch {
	case c.json:
		return c.writeJSON(out)
	case out.Epoch == 0:
		c.printf("%s: no order was ever given; services begin with %s\n", out.Authority, out.Region)
		return nil
	}
	if out.Pinned {
		c.printf("%s: %s, pinned since %s (order %d)\n", out.Authority, out.Region, stamp(*out.At), out.Epoch)
	} else {
		c.printf("%s: no region is pinned since %s (order %d); services that move by themselves decide by what they see, "+
			"beginning with %s; others stay with %s\n", out.Authority, stamp(*out.At), out.Epoch, out.Region, out.Region)
	}
	if out.Reason != "" {
		c.printf("reason: %s\n", out.Reason)
	}
	return nil
}
