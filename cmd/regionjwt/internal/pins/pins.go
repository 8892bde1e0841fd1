// Package pins has the commands that move a fleet to a region: pin, unpin and active.
package pins

import (
	"context"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/provider"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
)

const help = `
Describe the provider as the services do, because the pin names it and its regions: --user-pool and --replica, or --provider
and --issuer REGION=iss for each region. The store is theirs, too. A pin is signed or encrypted as rules are.
` + storage.Help

// longest is the longest lifetime of a pin.
const longest = 30 * 24 * time.Hour

// Commands returns the commands.
func Commands() []cli.Command { return []cli.Command{pinCommand(), unpinCommand(), activeCommand()} }

func pinCommand() cli.Command {
	var f flags
	return cli.Command{
		Name: "pin", Arguments: "REGION", Short: "make a region the active one, until it is unpinned",
		Long: `
Tells every service that follows the store which region is active: where machine tokens are fetched, which authorization server
is named first, and, if services reject tokens of inactive regions, whose tokens are accepted. The region stays active, whatever
the services observe, until the pin ends (24 hours, or --for) or 'regionjwt unpin'. Afterwards it says what is in the stores.

It replaces all pins that the stores have. Pins whose writers did not know of each other are in conflict: one of them is in
effect, and 'regionjwt active' names all of them.

  regionjwt pin --user-pool us-east-1_AbCdEf123 --replica us-west-2 --note "INC-42" us-west-2
` + help,
		Complete: func() []string { return f.provider.Regions() },
		Prepare: func(c *cli.Call) cli.Action {
			f.define(c)
			c.Text(&f.note, "note", "`text` for people: one line of at most 256 bytes")
			c.Text(&f.lifetime, "for", "`duration` of the pin, such as 90m, 12h, 7d, at most 30d (24h)")
			c.Bool(&f.overwrite, "overwrite",
				"replace a document that is not authentic or cannot be read, unless it is of a newer version")
			return func(ctx context.Context, arguments []string) error {
				if len(arguments) != 1 {
					return cli.Fail(cli.ExitUsage, "which region? Give the name of one")
				}
				lifetime, err := cli.Lifetime("for", f.lifetime)
				if err != nil {
					return err
				}
				if lifetime > longest {
					return cli.Fail(cli.ExitUsage, "--for is more than 30d: a pin that stays is part of the configuration")
				}
				return run(ctx, c, &f, arguments[0], func(ctx context.Context, ctl *Controller) error {
					return ctl.pin(ctx, arguments[0], f.note, lifetime)
				})
			}
		},
	}
}

func unpinCommand() cli.Command {
	return cli.Command{
		Name: "unpin", Short: "end the pin of a region",
		Long: `
Ends what 'regionjwt pin' began. Services with automatic failover then choose the active region by health again, each by itself;
the others stay with the region that was pinned. Afterwards it says what is in the store.
` + help,
		Prepare: func(c *cli.Call) cli.Action {
			var f flags
			f.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				return run(ctx, c, &f, "", func(ctx context.Context, ctl *Controller) error { return ctl.unpin(ctx) })
			}
		},
	}
}

func activeCommand() cli.Command {
	return cli.Command{
		Name: "active", Short: "say which region operators have pinned",
		Long: `
Says which region is pinned, since when, and with which note, or that none is pinned. While none is pinned, services with
automatic failover may use another region: their status pages say which.
` + help,
		Prepare: func(c *cli.Call) cli.Action {
			var f flags
			f.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				return run(ctx, c, &f, "", nil)
			}
		},
	}
}

// flags say whose regions a pin is about, and where it is written.
type flags struct {
	provider  provider.Flags
	store     storage.Flags
	name      string
	note      string
	lifetime  string
	overwrite bool
}

func (f *flags) define(c *cli.Call) {
	f.provider.Define(c)
	DefineName(c, &f.name)
	f.store.Define(c, "pins", "move every service")
}

// DefineName defines the flag that names the document of the pins. It has another name than that of the rules.
func DefineName(c *cli.Call, into *string) {
	c.Text(into, "pin-name", "`name` of the document of pins (regionjwt/failover/ and the provider's ID)")
}

// answer says what is in the store.
type answer struct {
	Provider string     `json:"provider"`
	Region   string     `json:"region"`
	Pinned   bool       `json:"pinned"`
	Note     string     `json:"note,omitempty"`
	Epoch    uint64     `json:"epoch"` // counts the pins and their ends; 0 if there was none
	At       *time.Time `json:"at,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"`
	Conflict []string   `json:"conflicts,omitempty"`
	Store    string     `json:"store"`
	Trust    string     `json:"trust"`
}

// change is a pin, or its end.
type change func(context.Context, *Controller) error

// run makes a change, if there is one, and reads back what is in the store. The region is that of a pin, or "".
func run(ctx context.Context, c *cli.Call, f *flags, region string, apply change) error {
	p, err := f.provider.Named("a pin names the provider")
	if err != nil {
		return err
	}
	if region != "" {
		if err := provider.CheckRegion(p, region); err != nil {
			return err
		}
	}
	o, err := f.store.Open(c, apply != nil)
	if err != nil {
		return err
	}
	defer o.CloseAll()
	ctx, cancel := context.WithTimeout(ctx, f.store.Timeout)
	defer cancel()
	if apply != nil {
		ctl, err := New(o, p, f.name)
		if err != nil {
			return err
		}
		if err := ctl.loadToWrite(ctx, c, f.overwrite); err != nil {
			return err
		}
		if region != "" && ctl.State().Epoch == 0 {
			c.Notef("note: this is the first pin of provider %s in %s: if it moves no service, compare --provider and "+
				"--pin-name with the configuration of the services\n", cli.Quoted(p.ID), o.Where)
		}
		if err := apply(ctx, ctl); err != nil {
			return err
		}
	}
	fresh, err := New(o, p, f.name)
	if err != nil {
		return err
	}
	if err := fresh.Load(ctx); err != nil {
		if apply != nil {
			return cli.Fail(cli.ExitNotShared,
				"the change was written, but could not be read back (%w): see 'regionjwt active'", err)
		}
		return err
	}
	return write(c, fresh.State(), o)
}

func write(c *cli.Call, s State, o *storage.Opened) error {
	out := answer{
		Provider: s.Provider, Region: s.Region, Pinned: s.Pinned, Note: s.Note, Epoch: s.Epoch, Store: o.Where, Trust: o.Trust,
	}
	if !s.At.IsZero() {
		at := s.At.UTC()
		out.At = &at
	}
	if !s.Expires.IsZero() {
		expires := s.Expires.UTC()
		out.Expires = &expires
	}
	out.Conflict = s.Conflicts
	switch {
	case c.JSON:
		return c.WriteJSON(out)
	case out.Epoch == 0:
		c.Printf("%s: no region was ever pinned; services begin with %s\n", out.Provider, out.Region)
		return nil
	case out.Pinned:
		c.Printf("%s: %s, pinned since %s until %s (epoch %d)\n",
			out.Provider, out.Region, cli.Stamp(*out.At), cli.Stamp(*out.Expires), out.Epoch)
	case out.At == nil:
		c.Printf("%s: the last pin has expired (epoch %d); services that start begin with %s\n",
			out.Provider, out.Epoch, out.Region)
	default:
		c.Printf("%s: no region has been pinned since %s (epoch %d); services with automatic failover decide by health again, "+
			"others stay with %s\n", out.Provider, cli.Stamp(*out.At), out.Epoch, out.Region)
	}
	if out.Note != "" {
		c.Printf("note: %s\n", out.Note)
	}
	for _, one := range out.Conflict {
		c.Printf("in conflict: %s\n", one)
	}
	return nil
}
