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
	Epoch            uint64    // counts the pins and their ends; 0 if there was none
	At               time.Time // zero if there was none
}

// New returns a Controller. It has not read the store. Each has its own knowledge.
func New(o *storage.Opened, p issuer.Provider, name string) (*Controller, error) {
	c := &Controller{Opened: o, provider: p, name: cmp.Or(name, rules.PinName(p.ID))}
	return c, c.read(o.Store)
}

// read makes c one of a store, of which it knows nothing yet.
func (c *Controller) read(from store.Trusted) error {
	ctl, err := failover.New(c.provider, failover.Config{Replica: store.ReplicaConfig{Store: from, Name: c.name}})
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
	if s.Epoch > 0 {
		s.At = st.Since
	}
	return s
}

var problems = map[string]string{
	label.Unavailable:  "it is unavailable",
	label.NotAuthentic: "its document is not signed for this fleet by a configured key: see --fleet and --verify-key",
	label.Malformed:    "its document is not a pin for this provider and these regions: check --pin-name and --provider",
}

// Load asks the store once. The error says what the problem is, as a failure.
func (c *Controller) Load(ctx context.Context) error {
	err := c.ctl.Load(ctx)
	if err == nil {
		return nil
	}
	return cli.Fail(cli.ExitCannotTell, "%s: %s (%w)", c.Where, problems[c.ctl.Status().Replica.StoreProblem], err)
}

// loadToWrite is Load before a change. With overwrite, the change replaces a document that cannot be read.
func (c *Controller) loadToWrite(ctx context.Context, overwrite bool) error {
	var old *storage.Unreadable
	if overwrite {
		old = storage.Remember(ctx, c.Store, c.name)
	}
	err := c.Load(ctx)
	if err == nil {
		return nil
	}
	problem := c.ctl.Status().Replica.StoreProblem
	if !overwrite || problem != label.NotAuthentic && problem != label.Malformed {
		return cli.Fail(cli.ExitCannotTell, "%w; nothing was changed", err)
	}
	replaced, err := old.Replace(err)
	if err != nil {
		return err
	}
	return c.read(replaced)
}

// pin makes a region active until unpin.
func (c *Controller) pin(ctx context.Context, region, note string) error {
	return changed(c.ctl.Pin(ctx, region, note))
}

// unpin ends a pin.
func (c *Controller) unpin(ctx context.Context) error { return changed(c.ctl.Unpin(ctx)) }

func changed(err error) error {
	switch {
	case errors.Is(err, store.ErrNotShared):
		return cli.Fail(cli.ExitNotShared, "%w", err)
	case err != nil:
		return cli.Fail(cli.ExitUsage, "%w", err)
	}
	return nil
}
