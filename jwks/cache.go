package jwks

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/issuer"
)

// Cache fetches and keeps the key sets of authorities. It is a Source, a Holder, a Peeker, a Notifier and a Doubter, safe for
// concurrent use.
type Cache struct {
	config Config
	clock  clock
	log    logger
	hosts  hosts
	table  atomic.Pointer[table]
	wake   chan struct{} // wakes Run; holds one signal
	stuck  atomic.Int64  // calls to the Store that have not returned in time
	turn   atomic.Int64  // orders flights and the callers that wait; clocks are too coarse for that

	mu       sync.Mutex // guards what follows; taken inside a set's mutex, never around it
	updating sync.Mutex // one Update at a time
	closed   bool
	flights  map[int64]inFlight
	nextID   int64
	watchers map[int64]func()
}

// inFlight ends a flight, and tells when it has ended.
type inFlight struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// table is an immutable picture of what is served.
type table struct {
	issuers map[string]*served
	regions []regionSets // in the order of the configuration
	sets    map[string]*set
	uses    map[*set][]use // nil without Hooks
}

type regionSets struct {
	authority, region string
	sets              []*set
}

// New returns a Cache for the authorities of c, or everything that is wrong with c as one joined error. It does no I/O
// and starts no goroutine.
func New(c Config) (*Cache, error) { return newCache(c, systemClock()) }

func newCache(config Config, clock clock) (*Cache, error) {
	config, err := config.withDefaults()
	c := &Cache{
		config: config, clock: clock, log: logger{guard.Logger(config.Logger)}, wake: make(chan struct{}, 1),
		flights: map[int64]inFlight{}, watchers: map[int64]func(){},
	}
	c.table.Store(&table{})
	if updateErr := c.Update(config.Authorities); updateErr != nil || err != nil {
		return nil, errors.Join(err, updateErr)
	}
	return c, nil
}

// Update replaces the authorities, atomically. Key sets whose URLs stay keep their keys. Where the new authorities are
// wrong it changes nothing and returns everything that is wrong with them as one joined error.
func (c *Cache) Update(authorities []issuer.Authority) error {
	if !c.made() {
		return errNotMade
	}
	if err := c.config.checkAuthorities(authorities); err != nil {
		return err
	}
	c.updating.Lock()
	old := c.table.Load()
	now := c.clock()
	t := &table{issuers: map[string]*served{}, sets: map[string]*set{}}
	if c.config.Hooks.hooked() {
		t.uses = map[*set][]use{}
	}
	for _, a := range authorities {
		for _, r := range a.Regions {
			sets := t.setsOf(r, old, &c.config, now)
			t.regions = append(t.regions, regionSets{a.ID, r.Name, sets})
			for _, s := range sets {
				if t.uses != nil {
					t.uses[s] = append(t.uses[s], use{a.ID, r.Name, slices.Clone(r.JWKS), homes(a, r)})
				}
			}
			for _, iss := range r.Issuers {
				e := t.issuers[iss]
				if e == nil {
					e = &served{authority: a.ID}
					t.issuers[iss] = e
				}
				for _, s := range sets {
					e.parts = append(e.parts, part{region: r.Name, set: s})
				}
			}
		}
	}
	for iss, e := range t.issuers { // unchanged issuers keep their pointers
		if was := old.issuers[iss]; was != nil && was.authority == e.authority && slices.Equal(was.parts, e.parts) {
			t.issuers[iss] = was
		}
	}
	c.table.Store(t)
	c.updating.Unlock()
	c.poke()
	c.changed()
	return nil
}

// setsOf returns the sets of a region: one for its JWKS URLs, or one for each issuer whose URL is discovered.
func (t *table) setsOf(r issuer.Region, old *table, c *Config, now instant) []*set {
	find := func(id string, endpoints func() []*endpoint) *set {
		s := t.sets[id]
		if s == nil {
			if s = old.sets[id]; s != nil {
				s.prefer(r.JWKS)
			}
		}
		if s == nil {
			s = newSet(id, endpoints(), c, now)
		}
		t.sets[id] = s
		return s
	}
	if len(r.JWKS) > 0 {
		return []*set{find(setID(r.JWKS), func() (eps []*endpoint) {
			for _, u := range r.JWKS {
				eps = append(eps, &endpoint{url: u})
			}
			return eps
		})}
	}
	var sets []*set
	for _, iss := range r.Issuers {
		sets = append(sets, find("discovery "+iss, func() []*endpoint { return []*endpoint{{issuer: iss}} }))
	}
	return sets
}

// made reports whether New has made c.
func (c *Cache) made() bool { return c != nil && c.table.Load() != nil }

var errNotMade = errors.New("jwks: the Cache was not made by New")

// served finds what serves iss; nil where nobody lists it, or c was not made by New.
func (c *Cache) served(iss string) *served {
	if !c.made() {
		return nil
	}
	if t := c.table.Load(); t != nil {
		return t.issuers[iss]
	}
	return nil
}

// Keys implements Source. A key that is at hand is returned without waiting; one that is not is asked for, within
// Config.UnknownKey and Config.UnknownKeyWait. The error is ErrUnknownIssuer, ErrUnknownKey or an *UnavailableError.
func (c *Cache) Keys(ctx context.Context, iss, kid string) ([]*Key, error) {
	if !c.made() {
		return nil, &UnavailableError{RetryAfter: firstBackOff, Err: errNotMade}
	}
	e := c.served(iss)
	if e == nil {
		return nil, ErrUnknownIssuer
	}
	now := c.clock()
	keys := e.lookup(c, kid, now)
	c.refreshDue(e, now)
	if len(keys) > 0 {
		return keys, nil
	}
	return c.ask(ctx, e, kid)
}

// Holds implements Holder.
func (c *Cache) Holds(iss string, k *Key) bool {
	e := c.served(iss)
	if e == nil {
		return false
	}
	now := c.clock()
	c.refreshDue(e, now)
	return e.holds(c, k, now)
}

// Peek implements Peeker.
func (c *Cache) Peek(iss, kid string) []*Key {
	e := c.served(iss)
	if e == nil {
		return nil
	}
	return e.lookup(c, kid, c.clock())
}

// Doubt implements Doubter: a region that lists iss and whose keys are not known now could have a key of that name.
func (c *Cache) Doubt(iss, _ string) error {
	if !c.made() {
		return &UnavailableError{RetryAfter: firstBackOff, Err: errNotMade}
	}
	e := c.served(iss)
	if e == nil {
		return nil
	}
	now := c.clock()
	fresh := e.usable(now)
	for _, p := range e.parts {
		s := p.set
		if s.usable(now) {
			continue
		}
		s.mu.Lock()
		doubt := !s.dark() && (!fresh || !s.notEnabled(now, disabledFor))
		s.mu.Unlock()
		if doubt {
			return &UnavailableError{RetryAfter: firstBackOff}
		}
	}
	return nil
}

// OnChange implements Notifier.
func (c *Cache) OnChange(f func()) (remove func()) {
	if !c.made() {
		return func() {} // nothing will ever change
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextID++
	id := c.nextID
	c.watchers[id] = f
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, id)
	}
}

func (c *Cache) changed() {
	c.mu.Lock()
	fs := make([]func(), 0, len(c.watchers))
	for _, f := range c.watchers {
		fs = append(fs, f)
	}
	c.mu.Unlock()
	for _, f := range fs {
		c.log.tell("OnChange", f)
	}
}

// Close ends the fetches in progress and waits for them, and for a snapshot that is being saved, 5 seconds at most. Keys
// that are at hand go on being answered until they are too old; others are unavailable. Close is idempotent and returns nil.
func (c *Cache) Close() error {
	if !c.made() {
		return nil
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.endFlights()
	if c.config.ownClient {
		c.config.Client.CloseIdleConnections()
	}
	return nil
}

// endFlights ends the flights that are on their way now, and waits for them, but not for ever: a hook may block.
func (c *Cache) endFlights() {
	c.mu.Lock()
	flights := slices.Collect(maps.Values(c.flights))
	c.mu.Unlock()
	for _, f := range flights {
		f.cancel()
	}
	enough := time.NewTimer(closeTime)
	defer enough.Stop()
	for _, f := range flights {
		select {
		case <-f.ended:
		case <-enough.C:
			return
		}
	}
}

// begin returns a context for a flight, or nil where the cache is closed. done has to be called at its end.
func (c *Cache) begin() (ctx context.Context, done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.nextID++
	id := c.nextID
	f := inFlight{cancel, make(chan struct{})}
	c.flights[id] = f
	return ctx, func() {
		cancel()
		c.mu.Lock()
		delete(c.flights, id)
		c.mu.Unlock()
		close(f.ended)
	}
}

// poke has Run look for what is due.
func (c *Cache) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
