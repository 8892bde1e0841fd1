package jwks

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/internal/outages"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// Cache fetches and keeps the key sets of providers. It is a Source. It is safe for concurrent use. Use New; the zero Cache
// answers "cannot tell".
type Cache struct {
	config  Config
	clock   clock.Clock
	log     logger
	hosts   *hosts
	clients clients
	table   atomic.Pointer[table]
	wake    chan struct{} // wakes Run; holds one signal

	seq      atomic.Uint64  // numbers requests and callers; clocks are too coarse for their order
	waiting  atomic.Int64   // callers that wait
	stuck    atomic.Int32   // calls of code of others that have not returned in time
	hooks    atomic.Int64   // calls of OnFetch under way
	outages  outages.Budget // bounds the answers "unavailable"
	changes  signal.Signal  // of keys
	updating sync.Mutex     // one Update at a time
}

// table is an immutable picture of what is served.
type table struct {
	issuers map[string]*issuerEntry
	regions []regionSets     // in the order of the configuration
	sets    []*set           // the same
	gone    map[string]*rate // by the names of URLs that an Update has just removed
}

// regionSets is a region with its key sets: one for its JWKS URLs, or one for each issuer whose URL is discovered.
type regionSets struct {
	provider, name string
	sets           []*set
}

// New returns a Cache for providers, or every problem with them and with c as one joined error. It does no I/O and starts no
// goroutine. Without providers, every issuer is unknown until Update.
func New(providers []issuer.Provider, c Config) (*Cache, error) {
	return newCache(providers, c, clock.System())
}

func newCache(providers []issuer.Provider, config Config, now clock.Clock) (*Cache, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, errors.Join(err, config.checkProviders(providers))
	}
	c := &Cache{config: config, clock: now, log: logger{guard.Logger(config.Logger)}, wake: make(chan struct{}, 1)}
	c.hosts = newHosts(config.MaxRequests, config.MaxStale, now)
	c.table.Store(&table{})
	if err := c.Update(providers); err != nil {
		return nil, err
	}
	for _, p := range providers {
		if unknown := issuercheck.UnknownRegions(p); len(unknown) > 0 {
			c.log.Warn("user pool in unknown AWS Regions: check the spelling", "provider", p.ID, "regions", unknown)
		}
	}
	for _, pair := range issuercheck.Alike(anys(providers)) {
		c.log.Warn("issuers differ by case or a slash at the end only: check the spelling", "issuers", pair[:])
	}
	return c, nil
}

func anys(providers []issuer.Provider) (all []any) {
	for _, p := range providers {
		all = append(all, p)
	}
	return all
}

// Update replaces the providers, atomically. Key sets whose URLs and HTTP client stay keep their keys. The requests for sets that
// are removed end at once. If there is a problem with the providers, Update changes nothing and returns every problem as one
// joined error.
func (c *Cache) Update(providers []issuer.Provider) error {
	if !c.made() {
		return errNotMade
	}
	if err := c.config.checkProviders(providers); err != nil {
		return err
	}
	c.updating.Lock()
	defer c.updating.Unlock()
	old := c.table.Load()
	t := c.tableOf(providers, old)
	users := t.share(old)
	for iss, e := range t.issuers {
		if old.issuers[iss] != e {
			e.rebuild() // before anybody can look at it
		}
	}
	c.table.Store(t)
	for _, s := range old.sets {
		if users[s] == nil {
			c.remove(s)
		}
	}
	for iss, was := range old.issuers {
		if t.issuers[iss] != was {
			was.retire()
		}
	}
	c.clients.keep(providers)
	c.wakeRun()
	c.changes.Send()
	return nil
}

// tableOf returns the picture of providers. Key sets that were served before are the same ones.
func (c *Cache) tableOf(providers []issuer.Provider, old *table) *table {
	n := 0
	for i := range providers {
		n += len(providers[i].Regions)
	}
	t := &table{
		issuers: make(map[string]*issuerEntry, n), sets: make([]*set, 0, n), regions: make([]regionSets, 0, n),
	}
	b := newBuilder(old)
	for _, p := range providers {
		pair := c.clients.of(p.HTTPClient, &c.config)
		for i := range p.Regions {
			r := &p.Regions[i]
			sets := b.setsOf(r, pair)
			t.regions = append(t.regions, regionSets{p.ID, r.Name, sets})
			for _, iss := range r.Issuers {
				e := t.issuers[iss]
				if e == nil {
					shape := keystate.Layout{SeparateKeys: p.SeparateKeys, Limits: c.config.limits()}
					e = &issuerEntry{layout: &layout{shape, c}}
					t.issuers[iss] = e
				}
				e.add(r.Name, sets)
			}
		}
	}
	for _, e := range t.issuers {
		e.layout = b.layoutOf(e.layout)
	}
	t.sets, t.gone = b.sets, b.gone(c.clock())
	return t
}

// share tells the key sets who uses them, and returns it. Issuers that are unchanged keep their pointers, and their keys.
func (t *table) share(old *table) map[*set][]*issuerEntry {
	users := make(map[*set][]*issuerEntry, len(t.sets))
	for iss, e := range t.issuers {
		if was := old.issuers[iss]; was != nil && was.equal(e) {
			t.issuers[iss], e = was, was
		}
		for _, s := range e.sets {
			users[s] = append(users[s], e)
		}
	}
	for s, of := range users {
		s.use(of)
	}
	return users
}

// made reports whether New has made c.
func (c *Cache) made() bool { return c != nil && c.hosts != nil }

var errNotMade = errors.New("jwks: the Cache was not made by New")

// wakeRun makes Run look for what is due.
func (c *Cache) wakeRun() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Changed implements Source.
func (c *Cache) Changed() <-chan struct{} {
	if !c.made() {
		return nil // nothing will ever change
	}
	return c.changes.Changed()
}

// clients holds the HTTP clients: the cache's own pair, and one for each Provider that brings one.
type clients struct {
	mu    sync.Mutex
	own   *clientPair
	next  int
	given map[*http.Client]*clientPair
}

// of returns the pair for a client of a provider, or the cache's own for nil.
func (cs *clients) of(client *http.Client, c *Config) *clientPair {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.own == nil {
		cs.own = newClientPair(c.HTTPClient, "", c.InsecureHTTPHosts)
		cs.given = map[*http.Client]*clientPair{}
	}
	if client == nil {
		return cs.own
	}
	if cs.given[client] == nil {
		cs.next++
		cs.given[client] = newClientPair(client, fmt.Sprintf("client %d ", cs.next), c.InsecureHTTPHosts)
	}
	return cs.given[client]
}

// keep forgets the pairs of providers that are gone.
func (cs *clients) keep(providers []issuer.Provider) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for client, pair := range cs.given {
		if !slices.ContainsFunc(providers, func(p issuer.Provider) bool { return p.HTTPClient == client }) {
			pair.gone.Store(true)
			pair.closeIdle()
			delete(cs.given, client)
		}
	}
}

// current returns what the URL has said.
func (sl *slot) current() *keystate.URL { return sl.state.Load() }
