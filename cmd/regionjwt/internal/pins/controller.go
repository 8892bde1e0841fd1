package pins

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/rules"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

// All calls of package failover are in this file.

// Controller reads and writes the pins of a provider.
type Controller struct {
	*storage.Opened
	ctl      *failover.Controller
	provider issuer.Provider
	name     string // of the document
}

// State is what is in the store.
type State struct {
	Provider, Region string
	Pinned           bool
	Note             string
	Expires          time.Time // of the pin
	Conflicts        []string  // several pins whose writers did not know of each other
	Epoch            uint64    // counts the pins and their ends; 0 if there was none
	At               time.Time // zero if there was none
}

// New returns a Controller. It has not read the store. Each has its own knowledge.
func New(o *storage.Opened, p issuer.Provider, name string) (*Controller, error) {
	c := &Controller{Opened: o, provider: p, name: cmp.Or(name, rules.PinName(p.ID))}
	return c, c.read(o.Stores())
}

// read makes c one of stores, of which it knows nothing yet.
func (c *Controller) read(from []store.Trusted) error {
	ctl, err := failover.New(c.provider, failover.Config{Replica: store.ReplicaConfig{Stores: from, Name: c.name}})
	if err != nil {
		return cli.Fail(cli.ExitUsage, "%w", err)
	}
	c.ctl = ctl
	return nil
}

// State returns what was read.
func (c *Controller) State() State {
	st := c.ctl.Status()
	s := State{Provider: st.Provider, Region: st.Active, Pinned: st.Pinned, Note: st.Note, Epoch: st.Replica.Epoch}
	s.Expires, s.Conflicts = st.Expires, st.Conflicts
	if s.Epoch > 0 && st.Cause != "start" {
		s.At = st.Since
	}
	return s
}

// Problem returns the label of the problem of the first store that has one, or "".
func (c *Controller) Problem() string { return c.ctl.Status().Replica.StoreProblem }

var problems = map[string]string{
	label.Unavailable:  "it is unavailable",
	label.NotAuthentic: "its document is not signed for this fleet by a configured key: see --fleet, --sign-key and --verify-key",
	label.Malformed: "its document is not one of pins for the provider and the regions that the flags describe: " +
		"check --issuer, or --user-pool and --replica, then --provider and --pin-name",
}

// Load asks the stores once. The error says what the first problem is, as a failure.
func (c *Controller) Load(ctx context.Context) error {
	err := c.ctl.Load(ctx)
	st := c.ctl.Status().Replica
	where, what := c.Where, problems[st.StoreProblem]
	for i, one := range st.Stores {
		if one.Problem == st.StoreProblem {
			where = c.Places[i].Where
			break
		}
	}
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return cli.Fail(cli.ExitCannotTell, "%s: %s (%w)", where, what, err)
	case what != "":
		return cli.Fail(cli.ExitCannotTell, "%s: %s", where, what)
	}
	return nil
}

// loadToWrite is Load before a change: one store is enough. With overwrite, the change replaces documents that cannot be read.
func (c *Controller) loadToWrite(ctx context.Context, call *cli.Call, overwrite bool) error {
	var old []*storage.Unreadable
	if overwrite {
		for _, p := range c.Places {
			old = append(old, storage.Remember(ctx, p.Store, c.name))
		}
	}
	err := c.Load(ctx)
	if err == nil {
		return nil
	}
	stores, writable, replaces, unread := c.Stores(), 0, false, false
	for i, one := range c.ctl.Status().Replica.Stores {
		switch unreadable := one.Problem == label.NotAuthentic || one.Problem == label.Malformed; {
		case unreadable && overwrite:
			if stores[i], err = old[i].Replace(err); err != nil {
				return err
			}
			replaces = true
		case len(stores) == 1 && (unreadable || one.Problem == label.Unavailable): // the error says so
			unread = unreadable
		case unreadable, one.Problem == label.Unavailable:
			unread = unread || unreadable
			call.Notef("note: %s has a problem (%s), and is not written\n", c.Places[i].Where, one.Problem)
		default:
			writable++
		}
	}
	switch {
	case replaces:
		if err := c.read(stores); err != nil {
			return err
		}
		_ = c.ctl.Load(ctx) // what the others know counts
		return nil
	case writable > 0:
		return nil
	}
	if unread && !overwrite {
		return cli.Fail(cli.ExitCannotTell, "%w; nothing was changed: if the flags are right, find out who wrote it, then "+
			"'regionjwt pin --overwrite' replaces it", err)
	}
	return cli.Fail(cli.ExitCannotTell, "%w; nothing was changed", err)
}

// pin makes a region active for a lifetime, or until unpin.
func (c *Controller) pin(ctx context.Context, region, note string, lifetime time.Duration) error {
	return changed("the pin", c.ctl.Pin(ctx, region, note, lifetime))
}

// unpin ends a pin.
func (c *Controller) unpin(ctx context.Context) error {
	return changed("the end of the pin", c.ctl.Unpin(ctx))
}

func changed(what string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotShared):
		return cli.Fail(cli.ExitNotShared,
			"%s may not have been written: see 'regionjwt active', and try again when the cause is gone (%w)",
			what, storage.Causes(err))
	case err != nil:
		return cli.Fail(cli.ExitUsage, "%w", err)
	}
	return nil
}
