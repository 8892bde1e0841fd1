package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// Bounds of calls to stores.
const (
	tries        = 20              // how often a writer starts again because another one was faster
	localTimeout = 2 * time.Second // for the local copy
)

// replicaState is the state of the shared pin. Origin "none" means that it is not known what operators have decided.
type replicaState struct {
	status             store.ReplicaStatus // without Epoch
	storeErr, localErr error               // the causes of StoreProblem and LocalProblem
	saved              pin                 // the last one that is in the local copy
}

// Pin makes a region active, whatever its health, until Unpin or another Pin. It takes effect in this process at once, and in the
// fleet when the store has it: if it cannot be written, the error wraps store.ErrNotShared and the cause, and the pin is in
// effect here. A document in the store that is not authentic or malformed is not replaced. The note is one line of at most 256
// bytes for people; it may be empty. An unknown region or a note that is not one line changes nothing.
func (c *Controller) Pin(ctx context.Context, region, note string) error {
	if !c.made() {
		return errNotMade
	}
	if c.region(region) == nil {
		return fmt.Errorf("failover: provider %q has no region %q", c.provider.ID, region)
	}
	if err := checkNote(note); err != nil {
		return err
	}
	return c.apply(ctx, request{region, note})
}

// Unpin ends a pin. An Automatic Controller then decides by itself, starting with the region that was pinned; another one stays
// there. The error is that of Pin.
func (c *Controller) Unpin(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	return c.apply(ctx, request{})
}

// request is what an operator wants: a region to be pinned, or "" to end a pin.
type request struct{ region, note string }

// apply applies a request here, then shares it.
func (c *Controller) apply(ctx context.Context, r request) error {
	now := time.Now()
	c.mu.Lock()
	base := c.pin
	mine := base.next(c.active.name, r, now, c.config.Replica.MinEpoch)
	c.applyPin(mine)
	c.choose(now)
	c.mu.Unlock()
	c.notify()
	c.wake()
	defer c.saveLocal(ctx)
	if c.config.Replica.Store == nil {
		return nil
	}
	if err := c.push(ctx, r, base, mine); err != nil {
		return fmt.Errorf("failover: the pin is %w: %w", store.ErrNotShared, err)
	}
	return nil
}

// applyPin follows a pin. The caller holds mu, and calls choose.
func (c *Controller) applyPin(p pin) {
	to, was := c.region(p.Region), c.pin.Pinned
	c.pin = p
	moves := to != c.active && (p.Pinned || !c.config.Automatic)
	if moves {
		to.holdDown = time.Time{}
		c.active = to
	}
	switch {
	case p.Pinned:
		c.since, c.cause = p.At, causePinned
	case was || moves || to == c.active:
		c.since, c.cause = p.At, causeUnpinned
	}
}

// push writes a pin to the store. If the store has one that was not known when it was made, because another operator was faster
// or another clock is ahead, the request is applied again on top of that.
func (c *Controller) push(ctx context.Context, r request, base, mine pin) error {
	for range tries {
		data, revision, err := c.load(ctx, theStore, c.config.Replica.Store)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			theirs, err := c.decode(data)
			if err != nil { // it is not ours to replace
				return err
			}
			if theirs.later(&base) {
				now := time.Now()
				if !now.After(mine.At) {
					now = mine.At.Add(time.Nanosecond)
				}
				base, mine = theirs, theirs.next(theirs.Region, r, now, c.config.Replica.MinEpoch)
				c.merge(mine)
			}
		}
		data, err = c.encode(mine, trust.Scope{})
		if err != nil {
			return err
		}
		err = c.save(ctx, theStore, c.config.Replica.Store, data, revision)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			c.received("", nil, true)
		}
		return err
	}
	return store.ErrConflict
}

// merge follows a pin that came from elsewhere, if it is later than the known one. It reports whether it is older.
func (c *Controller) merge(theirs pin) (older bool) {
	now := time.Now()
	c.mu.Lock()
	switch {
	case theirs.later(&c.pin):
		c.applyPin(theirs)
	case c.pin.later(&theirs):
		older = true
	}
	c.choose(now)
	c.mu.Unlock()
	c.notify()
	c.wake()
	return older
}

// Load reads the local copy and the store once, for processes that do not call Run. The error is the problem with the store or
// its document. A store without a document is no error, unless Replica.MinEpoch demands one.
func (c *Controller) Load(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	c.readLocal(ctx)
	if c.config.Replica.Store == nil {
		return nil
	}
	data, _, err := c.load(ctx, theStore, c.config.Replica.Store)
	err = c.take(data, err)
	c.saveLocal(ctx)
	if errors.Is(err, store.ErrNotFound) && c.config.Replica.MinEpoch == 0 {
		return nil
	}
	return err
}

// receive is take for callers that have no use for the error.
func (c *Controller) receive(data []byte, err error) { _ = c.take(data, err) }

// take takes in what the store has answered, and returns the problem with it.
func (c *Controller) take(data []byte, err error) error {
	problem, known := "", false
	switch {
	case errors.Is(err, store.ErrNotFound):
		least := c.config.Replica.MinEpoch
		known = !c.config.RejectInactive && least == 0
		switch {
		case c.snapshot.Load().status.Replica.Epoch > 0:
			problem = label.Lost
		case least > 0:
			problem = label.Missing
		}
	case errors.Is(err, store.ErrNotAuthentic):
		problem = label.NotAuthentic
	case err != nil:
		problem = label.Unavailable
	default:
		var theirs pin
		theirs, err = c.decodeOnce(data)
		switch {
		case errors.Is(err, store.ErrNotAuthentic):
			problem = label.NotAuthentic
		case err != nil:
			problem = label.Malformed
		case c.merge(theirs) || theirs.Epoch < c.config.Replica.MinEpoch:
			problem, known = label.RolledBack, theirs.Epoch >= c.config.Replica.MinEpoch
		default:
			known = true
		}
	}
	c.received(problem, err, known)
	return err
}

// received notes what the store has: a problem, or what is known here. It is then known what operators have decided if known is
// set, or was before.
func (c *Controller) received(problem string, err error, known bool) {
	c.mu.Lock()
	status := &c.replica.status
	status.StoreProblem, c.replica.storeErr = problem, err
	if problem == "" {
		status.Confirmed = time.Now()
	}
	if known {
		status.Origin = label.Store
	}
	c.publish()
	c.mu.Unlock()
	c.notify()
}

// unchanged notes that the store has answered what it answered before.
func (c *Controller) unchanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.replica.status.StoreProblem == "" {
		c.replica.status.Confirmed = time.Now()
		c.publish()
	}
}

// decoded is what a document of the store says.
type decoded struct {
	pin pin
	err error
}

// decodeOnce is decode, which remembers what documents say, so that a document which comes again and again costs nothing.
func (c *Controller) decodeOnce(data []byte) (pin, error) {
	digest := seen.Of(c.config.Replica.Name, data)
	if d, known := c.decoded.Get(digest); known {
		return d.pin, d.err
	}
	p, err := c.decode(data)
	if !errors.Is(err, errFar) { // that one may be near later
		c.decoded.Put(digest, decoded{p, err})
	}
	return p, err
}

// readLocal follows the local copy, if nothing later is known.
func (c *Controller) readLocal(ctx context.Context) {
	if c.config.Replica.LocalCopy == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	least := c.config.Replica.MinEpoch
	problem, known := "", false
	var copied pin
	data, _, err := c.load(ctx, theLocalCopy, c.config.Replica.LocalCopy)
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = nil
		if c.config.Replica.Store == nil { // it is all there is
			if known = least == 0; !known {
				problem = label.Missing
			}
		}
	case err != nil:
		problem = localProblem(err)
	default:
		if copied, err = c.decodeCopy(data); err != nil {
			if problem = label.Malformed; errors.Is(err, store.ErrNotAuthentic) {
				problem = label.NotAuthentic
			}
			break
		}
		c.merge(copied)
		if known = copied.Epoch >= least; !known {
			problem = label.RolledBack
		}
	}
	c.mu.Lock()
	c.replica.localErr, c.replica.saved = err, copied
	status := &c.replica.status
	status.LocalProblem = problem
	if known && status.Origin == label.None {
		status.Origin = label.LocalCopy
	}
	c.publish()
	c.mu.Unlock()
	c.notify()
}

// localProblem is the label of an error of the local copy.
func localProblem(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, store.ErrNotAuthentic):
		return label.NotAuthentic
	}
	return label.Unavailable
}

// saveLocal writes the pin to the local copy, for the next start.
func (c *Controller) saveLocal(ctx context.Context) {
	c.mu.Lock()
	mine, same := c.pin, c.pin.At.Equal(c.replica.saved.At)
	c.mu.Unlock()
	if c.config.Replica.LocalCopy == nil || same {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), localTimeout)
	defer cancel()
	err := c.writeLocal(ctx, mine)
	c.mu.Lock()
	status := &c.replica.status
	status.LocalProblem, c.replica.localErr = localProblem(err), err
	if err == nil {
		c.replica.saved = mine
		if c.config.Replica.Store == nil {
			status.Origin = label.LocalCopy
		}
	}
	c.publish()
	c.mu.Unlock()
	c.notify()
}

// writeLocal writes a pin to the local copy, unless a later one is there.
func (c *Controller) writeLocal(ctx context.Context, mine pin) error {
	scope, err := c.scope()
	if err != nil {
		return err
	}
	data, err := c.encode(mine, scope)
	for range tries {
		if err != nil {
			return err
		}
		old, revision, loadErr := c.load(ctx, theLocalCopy, c.config.Replica.LocalCopy)
		if loadErr == nil {
			if theirs, err := c.decodeCopy(old); err == nil && theirs.later(&mine) {
				return nil
			}
		} else if !errors.Is(loadErr, store.ErrNotFound) && revision == "" {
			return loadErr
		}
		if err = c.save(ctx, theLocalCopy, c.config.Replica.LocalCopy, data, revision); err == nil {
			return nil
		}
		if errors.Is(err, store.ErrConflict) {
			err = nil
		}
	}
	return store.ErrConflict
}
