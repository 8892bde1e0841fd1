package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/store"
)

// maxRounds is how often a pin replaces others that operators have written at the same time.
const maxRounds = 3

// Pin makes a region active, whatever its health, for a lifetime, or until Unpin or another Pin. A lifetime of 0 is 24 hours;
// the maximum is 30 days. It takes effect in this process at once, and in the fleet when a store has it: if no store has
// accepted it, the error wraps store.ErrNotShared and the causes, the pin is in effect here, and Run writes it when a store can
// be written. A document in a store that is not authentic or malformed is not replaced. The note is one line of at most 256 bytes
// for people; it may be empty. An unknown region, a note that is not one line or another lifetime changes nothing. Neither does
// any pin of a process that can write to no store, such as one with store.Signed and no private key.
//
// A pin replaces all pins that this process knows, so call Load or Run before. Pins that operators have written without
// knowing of each other are in conflict: see Status.Conflicts.
func (c *Controller) Pin(ctx context.Context, region, note string, lifetime time.Duration) error {
	if !c.made() {
		return errNotMade
	}
	if !c.has(region) {
		return fmt.Errorf("failover: provider %q has no region %q: its regions are %s", c.provider.ID, region, c.regions())
	}
	if lifetime == 0 {
		lifetime = defaultPinned
	}
	if lifetime < 0 || lifetime > maxPinned {
		return errors.New("failover: the lifetime of a pin is negative, or more than 30 days")
	}
	if err := checkNote(note); err != nil {
		return err
	}
	now := time.Now()
	return c.decide(ctx, pin{Region: region, Pinned: true, Note: note, At: now, Expires: now.Add(lifetime)})
}

// Unpin ends a pin, and every other one that is in conflict with it. The region that was pinned stays active. An Automatic
// Controller then decides by its reports again: if a preferred region is healthy, it goes there at once. The error is
// that of Pin.
func (c *Controller) Unpin(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	now := time.Now()
	return c.decide(ctx, pin{At: now, Expires: now})
}

// decide adds what an operator decided. If that turns out to conflict with a pin that the stores have, it replaces that one, too.
func (c *Controller) decide(ctx context.Context, p pin) error {
	if err := c.replica.Unwritable(ctx); err != nil {
		return fmt.Errorf("failover: nothing was changed, because this process cannot write to the stores of Replica (%w): "+
			"use 'regionjwt pin' and 'regionjwt unpin' where the operators have their key, "+
			"or give the private key to store.Signed (privateKeyFile in a configuration file)", err)
	}
	what := "the end of the pin"
	if p.Pinned {
		what = "the pin"
	}
	p.Provider = c.provider.ID
	active := c.Active()
	for range maxRounds {
		err := c.replica.Change(ctx, func(h *history) (*history, error) {
			if !p.Pinned {
				p.Region = active
				if pinned := h.inEffect(p.At); pinned != nil && pinned.inForce(p.At) {
					p.Region = pinned.Region
				}
			}
			return h.add(p), nil
		})
		switch {
		case errors.Is(err, store.ErrNotShared):
			return fmt.Errorf("failover: %s is %w", what, err)
		case err != nil:
			return fmt.Errorf("failover: %w", err)
		case len(c.replica.State().Document.heads) == 1:
			return nil
		}
	}
	return nil
}

// Load reads the local copy and the stores once, for processes that do not call Run. The first call waits until every store has
// answered or failed, at most 2 seconds; a later one waits 250 ms for all, or for the first. The error says why
// no store has made the pins known: they are unavailable, have documents that are not authentic or cannot be read, or have none
// although Replica.MinEpoch demands one.
func (c *Controller) Load(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	if err := c.replica.Load(ctx); err != nil {
		return fmt.Errorf("failover: %w", err)
	}
	return nil
}

// replicaChanged is called after each change of what is known.
func (c *Controller) replicaChanged(_, _ *replica.State[*history]) {
	c.mu.Lock()
	c.choose()
	c.mu.Unlock()
	c.notify()
	c.wake()
}
