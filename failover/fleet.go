package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/store"
)

// Bounds of calls to stores.
const (
	tries        = 20              // how often a writer begins again where another one was faster
	localTimeout = 2 * time.Second // for the local copy
)

// Activate makes a region active and pins it, whatever the evidence says, until Resume or another Activate. It counts here at
// once, and in the fleet when the store has it: where it could not be written the error wraps ErrNotShared, and the order
// still counts here. The reason, one line of at most 256 octets, is for people; it may be empty. ErrNoRegion and a reason
// that is not a line change nothing.
func (c *Controller) Activate(ctx context.Context, name, reason string) error {
	if !c.made() {
		return errNotMade
	}
	if c.region(name) == nil {
		return ErrNoRegion
	}
	if err := checkReason(reason); err != nil {
		return err
	}
	return c.say(ctx, intent{name, reason})
}

// Resume ends the pin. An Automatic Controller then decides by the evidence, beginning with the region that was pinned; another
// one stays where it is. The error is that of Activate.
func (c *Controller) Resume(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	return c.say(ctx, intent{})
}

// intent is what an operator wants: a region pinned, or "" where the pin shall end.
type intent struct{ region, reason string }

// order makes the order that says so, and counts against base. active is the region that was active under base.
func (i intent) order(base *order, active string, now time.Time) order {
	region := i.region
	if region == "" {
		region = active
	}
	return base.next(active, region, i.region != "", i.reason, now)
}

// say gives an order here, then shares it.
func (c *Controller) say(ctx context.Context, i intent) error {
	now := time.Now()
	c.mu.Lock()
	base := c.order
	mine := i.order(&base, c.active.name, now)
	c.obey(mine, now)
	c.decide(now)
	c.tell()
	c.poke()
	defer c.copyLocally(ctx)
	if c.config.Store == nil {
		return nil
	}
	if err := c.share(ctx, i, base, mine); err != nil {
		return fmt.Errorf("%w: %w", ErrNotShared, err)
	}
	return nil
}

// obey follows an order. The caller holds mu, and calls decide.
func (c *Controller) obey(o order, now time.Time) {
	was, to := c.order, c.region(o.Region)
	c.order = o
	switch {
	case to != c.active && (o.Pinned || !c.config.Automatic):
		to.held = time.Time{}
		c.move(to, CauseManual, now)
	case o.Pinned:
		c.generation++
		c.cause = CauseManual
		c.note(Event{At: now, Kind: Pinned, Region: to.name})
	}
	if was.Pinned && !o.Pinned {
		c.generation++
		c.note(Event{At: now, Kind: Resumed, Region: c.active.name})
	}
}

// share writes an order to the store. Where the store has one that was not known when it was given, because somebody was faster
// or another clock is ahead, it is given again on top of that.
func (c *Controller) share(ctx context.Context, i intent, base, mine order) error {
	for range tries {
		doc, err := c.load(ctx, theStore, c.config.Store)
		broken := errors.Is(err, store.ErrNotAuthentic) && doc.Revision != ""
		if err != nil && !errors.Is(err, store.ErrNotFound) && !broken {
			return err
		}
		if err == nil {
			theirs, err := c.decode(doc.Data)
			switch {
			case errors.Is(err, errNewer): // it is not ours to replace
				return err
			case err != nil:
				broken = true
			case theirs.later(&base):
				now := time.Now()
				if !now.After(mine.At) {
					now = mine.At.Add(time.Nanosecond)
				}
				base, mine = theirs, i.order(&theirs, theirs.Region, now)
				c.take(mine)
			}
		}
		if broken && !c.config.AllowOverwrite {
			return ErrUnreadable
		}
		data, err := c.encode(mine, store.Scope{})
		if err != nil {
			return err
		}
		err = c.save(ctx, theStore, c.config.Store, data, doc.Revision)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			c.confirm()
		}
		return err
	}
	return store.ErrConflict
}

// confirm notes that the store has what is known.
func (c *Controller) confirm() {
	c.mu.Lock()
	c.known, c.confirmed = true, time.Now()
	c.publish()
	c.mu.Unlock()
}

// take follows an order that came from elsewhere, where it is later than the one that is known. It reports whether it is older.
func (c *Controller) take(theirs order) (behind bool) {
	now := time.Now()
	c.mu.Lock()
	switch {
	case theirs.later(&c.order):
		c.obey(theirs, now)
	case c.order.later(&theirs):
		behind = true
	}
	c.known = true
	c.decide(now)
	c.tell()
	c.poke()
	return behind
}

// Load reads the local copy and asks the store once. The error is the store's; that it has no document is none.
func (c *Controller) Load(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	c.readCopy(ctx)
	if c.config.Store == nil {
		return nil
	}
	doc, err := c.load(ctx, theStore, c.config.Store)
	c.follow(doc, err)
	c.copyLocally(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// follow takes in what the store says.
func (c *Controller) follow(d store.Document, err error) {
	var trouble Trouble
	answered := true
	switch {
	case errors.Is(err, store.ErrNotFound):
		if c.snapshot.Load().OrderEpoch > 0 {
			trouble = Wiped
		}
		c.mu.Lock()
		c.known = c.known || !c.config.RefuseInactive
		c.mu.Unlock()
	case errors.Is(err, store.ErrNotAuthentic):
		trouble, answered = NotAuthentic, false
	case err != nil:
		trouble, answered = Unreachable, false
	default:
		var theirs order
		theirs, err = c.decodeOnce(d.Data)
		switch {
		case errors.Is(err, store.ErrNotAuthentic):
			trouble, answered = NotAuthentic, false
		case err != nil:
			trouble = Malformed
		case c.take(theirs):
			trouble = Behind
		}
	}
	c.mu.Lock()
	if answered && trouble != Malformed {
		c.confirmed = time.Now()
	}
	if trouble != c.trouble {
		c.trouble = trouble
		c.note(Event{At: time.Now(), Kind: StoreChanged, Region: c.active.name, Err: err})
	}
	c.publish()
	c.tell()
}

// answered notes that the store has answered.
func (c *Controller) answered() {
	c.mu.Lock()
	c.confirmed = time.Now()
	c.publish()
	c.mu.Unlock()
}

// judged is what a document of the store said.
type judged struct {
	order order
	err   error
}

// decodeOnce is decode, which remembers what documents said, so that one which comes again and again costs nothing.
func (c *Controller) decodeOnce(data []byte) (order, error) {
	digest := seen.Of(c.config.Name, data)
	if j, known := c.judged.Get(digest); known {
		return j.order, j.err
	}
	o, err := c.decode(data)
	if !errors.Is(err, errFar) { // that one may be near some day
		c.judged.Put(digest, judged{o, err})
	}
	return o, err
}

// readCopy follows the local copy, as long as nothing later is known.
func (c *Controller) readCopy(ctx context.Context) {
	if c.config.LocalCopy == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	doc, err := c.load(ctx, theLocalCopy, c.config.LocalCopy)
	if errors.Is(err, store.ErrNotFound) {
		if c.config.Store == nil { // it is all there is
			c.mu.Lock()
			c.known = true
			c.publish()
			c.mu.Unlock()
		}
		return
	}
	var copied order
	if err == nil {
		copied, err = c.decodeCopy(doc.Data)
	}
	if err != nil {
		c.config.Logger.Warn("the local copy of the active region is not used", "error", err)
		return
	}
	c.take(copied)
}

// copyLocally keeps the last order for the next start.
func (c *Controller) copyLocally(ctx context.Context) {
	c.mu.Lock()
	mine, same := c.order, c.order.At.Equal(c.copied.At)
	c.mu.Unlock()
	if c.config.LocalCopy == nil || same {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), localTimeout)
	defer cancel()
	if err := c.saveCopy(ctx, mine); err != nil {
		c.config.Logger.Warn("the active region could not be copied", "error", err)
		return
	}
	c.mu.Lock()
	c.copied = mine
	c.mu.Unlock()
}

// saveCopy writes an order, unless a later one stands there.
func (c *Controller) saveCopy(ctx context.Context, mine order) error {
	scope, err := c.scope()
	if err != nil {
		return err
	}
	data, err := c.encode(mine, scope)
	for range tries {
		if err != nil {
			return err
		}
		doc, loadErr := c.load(ctx, theLocalCopy, c.config.LocalCopy)
		if loadErr == nil {
			if theirs, err := c.decodeCopy(doc.Data); err == nil && theirs.later(&mine) {
				return nil
			}
		} else if !errors.Is(loadErr, store.ErrNotFound) && doc.Revision == "" {
			return loadErr
		}
		if err = c.save(ctx, theLocalCopy, c.config.LocalCopy, data, doc.Revision); err == nil {
			return nil
		}
		if errors.Is(err, store.ErrConflict) {
			err = nil
		}
	}
	return store.ErrConflict
}
