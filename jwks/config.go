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

	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
	"github.com/regionjwt/regionjwt/store"
)

// Defaults of Config.
const (
	defaultRefresh  = 15 * time.Minute
	defaultMaxStale = 24 * time.Hour
	defaultWait     = 3 * time.Second
	defaultInterval = 2 * time.Second
	defaultBody     = limit.KeySetBytes
	defaultRequests = 256
)

// Bounds of Config.
const (
	minRefresh  = time.Second
	minInterval = 100 * time.Millisecond
	maxMaxStale = 31 * 24 * time.Hour
	maxBody     = 16 << 20
	maxKeys     = 10_000
	maxRequests = 10_000
)

// Config configures a Cache. The zero value of every field is the default.
type Config struct {
	// HTTPClient sends the requests. It is copied. Redirects are never followed and no cookies kept, whatever it says. An
	// *http.Transport is cloned twice, so that a request can be repeated on another connection; any other RoundTripper is
	// used as it is, and must itself give up connections that have died. Nil means clients of the cache's own, which use the
	// proxy variables of the environment. A Provider's HTTPClient takes precedence.
	HTTPClient *http.Client

	// RefreshInterval is the time after which a key set is fetched again, give or take a tenth. A Cache-Control max-age of
	// the server, less Age, replaces it, within 1 minute and 1 hour. 0 means 15 minutes; the least is 1 second.
	RefreshInterval time.Duration

	// MaxStale is how long a key is used after an answer last listed it. 0 means 24 hours; the most is 31 days.
	MaxStale time.Duration

	// UnknownKeyInterval is the time after which unknown key IDs may cause another fetch of a key set, beyond a burst of 5.
	// It grows to 10 seconds while the fetches find nothing. 0 means 2 seconds; the least is 100 ms.
	UnknownKeyInterval time.Duration

	// UnknownKeyWait is how long Lookup waits for keys that are not in memory. 0 means 3 seconds, or UnknownKeyInterval plus
	// 1 second if that is longer. The least is UnknownKeyInterval plus 1 second. A negative value means that Lookup never
	// waits: the fetch goes on without it.
	UnknownKeyWait time.Duration

	// InsecureHTTPHosts lists hosts, without port, whose keys may be fetched over plain http. Loopback hosts always may.
	// Anyone on the network path to such a host can make the cache accept any key.
	InsecureHTTPHosts []string

	// InsecureKnownKeys lists RFC 7638 thumbprints of keys that are used although their private half is public, as that of an
	// emulator.
	InsecureKnownKeys []string

	// Snapshots keeps a copy of each key set, so that a process that starts while no key server answers can verify tokens. A
	// snapshot is read once, if the set has no usable keys and the first request fails or is slow. Its keys age from when
	// they were fetched. Nil means none.
	Snapshots store.Trusted

	// MaxKeySetBytes bounds a key set after decompression. 0 means 256 KiB; the most is 16 MiB.
	MaxKeySetBytes int
	// MaxKeys bounds the keys that are used of a key set. The others are named in Status. 0 means 1,000; the most is 10,000.
	MaxKeys int
	// MaxRSABits is the longest RSA modulus that is used. 0 means 4,096; the most is 8,192, at several times the cost of a
	// check.
	MaxRSABits int
	// MaxRequests bounds the requests under way. Half of them are for key sets that have never been usable. 0 means 256.
	MaxRequests int

	// Logger receives one line for each change of state: a URL that fails and recovers, keys that change, expire and can be
	// used again, snapshots that are used or cannot be saved. Nil is silent.
	Logger *slog.Logger

	// OnFetch is called after each request for a key set. It is called from the goroutine that fetches, under no lock. It must
	// not block: while 16 calls have not returned, others are left out. A panic is recovered and logged.
	OnFetch func(Fetch)

	random func() float64 // for tests that must repeat
}

// Fetch describes one attempt to fetch a key set from one URL.
type Fetch struct {
	// Provider and Region are those that the URL belongs to: of several regions, the one that lists it furthest in front.
	Provider, Region string
	URL              string        // the configured URL, or the issuer that it is discovered from
	Duration         time.Duration // from the begin of the request, when it had a connection, to its end
	OnDemand         bool          // a token waited for it; otherwise it was a refresh
	// Outage reports whether the failure shows that the region is unavailable: DNS, TLS or the connection failed, there was
	// no answer in time, or the status was 5xx without Retry-After, and a refresh was due. No other failure does, so tokens
	// alone cannot cause one. If tokens with unknown keys have caused requests within a minute, a status counts only if the host
	// has given no good answer within a minute: a host that answers some requests may reject the others as too many.
	Outage bool
	// Failure says why there is no good answer; "" after one. It is dns, tls, timeout, network, status and a number, html,
	// too_large, malformed, no_usable_key, discovery, panic, or not_enabled (403 or 404 of an optional URL that has never
	// answered).
	Failure string
}

// withDefaults returns c with defaults filled in and slices copied, and every problem with it.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf("jwks: "+format, args...)) }
	span := func(name string, v, least, most time.Duration) {
		if v != 0 && (v < least || v > most) {
			add("%s is %v: use 0 for the default, or %v to %v", name, v, least, most)
		}
	}
	count := func(name string, v, least, most int) {
		if v != 0 && (v < least || v > most) {
			add("%s is %d: use 0 for the default, or %d to %d", name, v, least, most)
		}
	}
	span("RefreshInterval", c.RefreshInterval, minRefresh, maxMaxStale)
	span("MaxStale", c.MaxStale, minRefresh, maxMaxStale)
	span("UnknownKeyInterval", c.UnknownKeyInterval, minInterval, time.Hour)
	count("MaxKeySetBytes", c.MaxKeySetBytes, 1, maxBody)
	count("MaxKeys", c.MaxKeys, 1, maxKeys)
	count("MaxRSABits", c.MaxRSABits, jose.MinRSABits, jose.MostRSABits)
	count("MaxRequests", c.MaxRequests, 2, maxRequests)
	c.RefreshInterval = cmp.Or(c.RefreshInterval, defaultRefresh)
	c.MaxStale = cmp.Or(c.MaxStale, defaultMaxStale)
	c.UnknownKeyInterval = cmp.Or(c.UnknownKeyInterval, defaultInterval)
	c.UnknownKeyWait = cmp.Or(c.UnknownKeyWait, max(defaultWait, c.UnknownKeyInterval+answerTime))
	c.MaxKeySetBytes = cmp.Or(c.MaxKeySetBytes, defaultBody)
	c.MaxKeys = cmp.Or(c.MaxKeys, jose.MaxKeys)
	c.MaxRSABits = cmp.Or(c.MaxRSABits, jose.MaxRSABits)
	c.MaxRequests = cmp.Or(c.MaxRequests, defaultRequests)
	if c.MaxStale < c.RefreshInterval {
		add("MaxStale %v is shorter than RefreshInterval %v", c.MaxStale, c.RefreshInterval)
	}
	if c.UnknownKeyWait > 0 && c.UnknownKeyWait < c.UnknownKeyInterval+answerTime {
		add("UnknownKeyWait %v is shorter than UnknownKeyInterval + 1 s: a flood would cause false answers", c.UnknownKeyWait)
	}
	for _, h := range c.InsecureHTTPHosts {
		if h == "" || strings.ContainsAny(h, ":/@*[] ") && !outbound.Loopback(h) {
			add("InsecureHTTPHosts: %q is not a host name", h)
		}
	}
	for _, k := range c.InsecureKnownKeys {
		if b, err := jose.AppendBase64(nil, k); err != nil || len(b) != len(jose.Thumbprint{}) {
			add("InsecureKnownKeys: %q is not an RFC 7638 thumbprint", k)
		}
	}
	for _, problem := range trust.Check("Snapshots", c.Snapshots) {
		add("%w", problem)
	}
	if c.HTTPClient != nil && nils.Typed(c.HTTPClient.Transport) {
		add("HTTPClient has a Transport that is nil")
	}
	if nils.Logger(c.Logger) {
		add("Logger has no handler: make it with slog.New")
	}
	c.InsecureHTTPHosts = slices.Clone(c.InsecureHTTPHosts)
	c.InsecureKnownKeys = slices.Clone(c.InsecureKnownKeys)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}

func (c *Config) limits() keystate.Limits {
	return keystate.Limits{MaxStale: c.MaxStale, MaxKeys: c.MaxKeys}
}

func (c *Config) keyLimits() jose.Limits {
	return jose.Limits{MaxKeys: c.MaxKeys, MaxRSABits: c.MaxRSABits, Allowed: c.InsecureKnownKeys}
}

// mayFetch reports whether keys may be fetched from u: over https, or http from loopback and the listed hosts.
func (c *Config) mayFetch(u *url.URL) bool { return outbound.Allowed(u, c.InsecureHTTPHosts) }

// checkProviders returns everything that keeps the providers from being served together.
func (c *Config) checkProviders(ps []issuer.Provider) error {
	var errs []error
	ids, owners := map[string]bool{}, map[string]string{}
	for _, p := range ps {
		if err := issuercheck.Validate(p); err != nil {
			errs = append(errs, err)
		}
		if ids[p.ID] {
			errs = append(errs, fmt.Errorf("provider %q is listed twice", p.ID))
		}
		ids[p.ID] = true
		if p.HTTPClient != nil && nils.Typed(p.HTTPClient.Transport) {
			errs = append(errs, fmt.Errorf("provider %q: HTTPClient has a Transport that is nil", p.ID))
		}
		for _, r := range p.Regions {
			for _, iss := range r.Issuers {
				if owner, taken := owners[iss]; taken && owner != p.ID {
					errs = append(errs, fmt.Errorf("issuer %q is listed by the providers %q and %q", iss, owner, p.ID))
				}
				owners[iss] = p.ID
			}
			what, urls := fetched(r)
			for _, s := range urls {
				if u, err := url.Parse(s); err == nil && u.Hostname() != "" && !c.mayFetch(u) {
					const text = "provider %q: region %q: %s %q: https is required; InsecureHTTPHosts lists exceptions"
					errs = append(errs, fmt.Errorf(text, p.ID, r.Name, what, s))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// fetched returns the URLs that are fetched for r, and what they are: its JWKS URLs, or else where its metadata is.
func fetched(r issuer.Region) (what string, urls []string) {
	switch {
	case len(r.JWKSURLs) > 0:
		return "JWKS URL", r.JWKSURLs
	case r.DiscoveryURL != "":
		return "discovery URL", []string{r.DiscoveryURL}
	default:
		return "issuer", r.Issuers
	}
}
