package jwks

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

// Defaults of Config.
const (
	DefaultRefresh        = 15 * time.Minute
	DefaultMaxStale       = 24 * time.Hour
	DefaultUnknownKeyWait = 2 * time.Second
	DefaultBurst          = 5
	DefaultEvery          = 10 * time.Second
)

// Bounds that are not configured.
const (
	maxBody         = 256 << 10              // octets of a document after decompression
	fetchTime       = 5 * time.Second        // one fetch over all mirrors
	attemptTime     = 2 * time.Second        // one mirror while another is untried
	discoverTime    = 2 * time.Second        // to read a discovery document again
	leastTime       = time.Second            // an attempt whose connection had to be waited for
	hedgeAfter      = 500 * time.Millisecond // until the next mirror is asked as well
	minCacheControl = time.Minute
	maxCacheControl = time.Hour
	withdrawAfter   = time.Minute      // between the two good answers that withdraw a key
	attributeAfter  = 10 * time.Second // between an answer and the next one, where a key has appeared in a sibling
	darkPause       = 2 * time.Hour    // between failures, from which on they are not one outage
	rediscoverRetry = time.Hour        // after the discovery document could not be read again
	firstBackOff    = time.Second
	maxBackOff      = time.Minute
	maxRetryAfter   = time.Minute
	disabledFor     = time.Hour      // a URL that never answered well and says 403 or 404
	rediscoverAfter = 24 * time.Hour // the discovery document is read again
	negativeEntries = 1024           // unknown kids remembered for each set
	negativeFor     = 30 * time.Second
	maxWaiters      = 256 // callers that wait for one set
	hostConnections = 16  // concurrent requests of each kind to one host
	minRefresh      = time.Second
	minEvery        = 100 * time.Millisecond
	maxBurst        = 1000
	maxMaxStale     = 31 * 24 * time.Hour
	closeTime       = 5 * time.Second // that Close waits
	inspectAfter    = 24 * time.Hour  // a refresh asks every mirror, so that those which differ are noticed
	eagerSets       = 100             // up to so many sets are fetched when Run starts; more are fetched on use
)

// Budget bounds the fetches that unknown key IDs may cause: a bucket of Burst fetches for each key set, one of which
// comes back every Every. Failed fetches are not counted.
type Budget struct {
	Burst int           // 0 means 5; at most 1,000
	Every time.Duration // 0 means 10 s; at least 100 ms
}

// Config configures a Cache. The zero value of every field but Authorities is the default.
type Config struct {
	// Authorities lists whose keys are fetched. No two may list the same iss or have the same ID.
	Authorities []issuer.Authority

	// Client sends the requests. It is copied; redirects are never followed and no cookies kept, whatever it says. Nil
	// means a client of the cache's own that honours the proxy variables of the environment.
	//
	// A discovered jwks_uri whose host is a loopback, link-local or unspecified address or localhost is refused, unless the
	// host is that of the issuer or listed in InsecureHTTPHosts, or the issuer's own host is such a host. If the Transport is
	// an *http.Transport, the addresses that names resolve to are checked in the same way, on a clone of it with connections of
	// its own. They are not checked if the Transport is of another type, or if a proxy makes the connection. JWKS URLs that are
	// configured are not restricted.
	Client *http.Client

	// Refresh is the time after which a key set is fetched again, give or take a tenth. A Cache-Control max-age of the
	// server replaces it, held within 1 minute and 1 hour. 0 means 15 minutes; what is below a second is refused.
	Refresh time.Duration

	// MaxStale is how long a key is used after an answer last listed it. 0 means 24 hours; at most 31 days.
	MaxStale time.Duration

	// UnknownKey bounds the fetches caused by unknown key IDs.
	UnknownKey Budget

	// UnknownKeyWait is how long a call waits for keys that are not at hand. 0 means 2 seconds; negative means that no
	// call waits: the fetch goes on without it.
	UnknownKeyWait time.Duration

	// InsecureHTTPHosts lists hosts, without port, whose keys may be fetched over plain http. Loopback hosts always may. A
	// discovered jwks_uri may name them wherever they are: see Client. Whoever is on the path to such a host can make the cache
	// trust any key.
	InsecureHTTPHosts []string

	// InsecurePublishedKeys lists RFC 7638 thumbprints of development keys whose private half anyone can have, and which
	// are used all the same. They are skipped unless listed.
	InsecurePublishedKeys []string

	// Store keeps a snapshot of each key set, so that a process that starts while no key server answers can verify. A
	// snapshot is read only where nothing was fetched yet and the first mirror has failed or is silent; its keys age from
	// when they were fetched. Nil means none. A store that is not store.Authentic is refused: who can write to it could
	// have the cache trust any key.
	Store store.Store

	// InsecurePlainSnapshots has the cache believe a Store that is not store.Authentic.
	InsecurePlainSnapshots bool

	// Logger receives one line for each change of state: a mirror that fails and answers again, keys that change, have become
	// too old and can be used again, snapshots that are used or cannot be saved. It also receives a line for each hook, Client
	// or Store that panics. Nil is silent. Its handler is called as Hooks are. If the handler panics, the record is lost, and
	// the first such panic is reported to standard error.
	Logger *slog.Logger

	// Hooks are told of fetches and of changes.
	Hooks Hooks

	ownClient bool // Client was nil
}

// withDefaults returns c with defaults filled in and slices copied, and everything that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Refresh < 0 || c.MaxStale < 0 || c.UnknownKey.Burst < 0 || c.UnknownKey.Every < 0 {
		errs = append(errs, errors.New("jwks: Refresh, MaxStale and UnknownKey cannot be negative"))
	}
	c.Refresh = cmp.Or(c.Refresh, DefaultRefresh)
	c.MaxStale = cmp.Or(c.MaxStale, DefaultMaxStale)
	c.UnknownKeyWait = cmp.Or(c.UnknownKeyWait, DefaultUnknownKeyWait)
	c.UnknownKey.Burst = cmp.Or(c.UnknownKey.Burst, DefaultBurst)
	c.UnknownKey.Every = cmp.Or(c.UnknownKey.Every, DefaultEvery)
	if c.Refresh > 0 && c.Refresh < minRefresh || c.UnknownKey.Every > 0 && c.UnknownKey.Every < minEvery {
		errs = append(errs, fmt.Errorf("jwks: Refresh is below %v, or UnknownKey.Every below %v", minRefresh, minEvery))
	}
	if c.UnknownKey.Burst > maxBurst || c.MaxStale > maxMaxStale {
		errs = append(errs, fmt.Errorf("jwks: UnknownKey.Burst is above %d, or MaxStale above %v", maxBurst, maxMaxStale))
	}
	if c.MaxStale < c.Refresh {
		errs = append(errs, fmt.Errorf("jwks: MaxStale %v is shorter than Refresh %v", c.MaxStale, c.Refresh))
	}
	for _, h := range c.InsecureHTTPHosts {
		if h == "" || strings.ContainsAny(h, ":/@*[] ") && !issuer.IsLoopback(h) {
			errs = append(errs, fmt.Errorf("jwks: InsecureHTTPHosts: %q is not a host name", h))
		}
	}
	if _, ok := c.Store.(store.Authentic); c.Store != nil && !ok && !c.InsecurePlainSnapshots {
		errs = append(errs, errors.New("jwks: Store is not store.Authentic: seal it with store.Sealed"))
	}
	c.InsecureHTTPHosts = slices.Clone(c.InsecureHTTPHosts)
	c.InsecurePublishedKeys = slices.Clone(c.InsecurePublishedKeys)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.ownClient = c.Client == nil
	c.Client = outbound.Careful(outbound.Client(c.Client, ownTransport()), c.InsecureHTTPHosts)
	return c, errors.Join(errs...)
}

func ownTransport() *http.Transport {
	t := outbound.Transport(fetchTime, 90*time.Second)
	t.MaxIdleConns = 256
	return t
}

// mayFetch reports whether keys may be fetched from u: over https, or http from loopback and the listed hosts.
func (c *Config) mayFetch(u *url.URL) bool { return outbound.Allowed(u, c.InsecureHTTPHosts) }

// checkAuthorities reports everything that keeps the authorities from being served together.
func (c *Config) checkAuthorities(as []issuer.Authority) error {
	var errs []error
	ids, owners := map[string]bool{}, map[string]string{}
	for _, a := range as {
		if err := a.Validate(); err != nil {
			errs = append(errs, err)
		}
		if ids[a.ID] {
			errs = append(errs, fmt.Errorf("authority %q is listed twice", a.ID))
		}
		ids[a.ID] = true
		for _, r := range a.Regions {
			for _, iss := range r.Issuers {
				if owner, taken := owners[iss]; taken && owner != a.ID {
					errs = append(errs, fmt.Errorf("issuer %q is listed by the authorities %q and %q", iss, owner, a.ID))
				}
				owners[iss] = a.ID
			}
			for _, s := range r.JWKS {
				if u, err := url.Parse(s); err == nil && !c.mayFetch(u) {
					errs = append(errs, fmt.Errorf("authority %q: region %q: JWKS URL %q: https is required", a.ID, r.Name, s))
				}
			}
		}
	}
	return errors.Join(errs...)
}
