package clientcredentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/issuer"
)

// Defaults of Config.
const (
	DefaultHedge        = 150 * time.Millisecond
	DefaultTimeout      = 5 * time.Second
	DefaultCoolDown     = 5 * time.Second
	DefaultLifetime     = time.Minute
	DefaultEarlyRefresh = 0.8
)

// Bounds that are not configured.
const (
	maxBody      = 64 << 10         // octets of an answer after decompression
	idleFor      = 15 * time.Second // a connection is kept: a stale one would look like an outage
	maxLife      = 24 * time.Hour   // a token is used no longer, whatever its expires_in
	maxMargin    = 10 * time.Second // before a token expires, from which on callers wait for the next
	betterWait   = time.Second      // for another token, while the one at hand lives
	maxCoolDown  = time.Minute
	maxRetry     = time.Minute      // of Retry-After
	probeEvery   = time.Second      // a region is asked while no token serves
	verdictFor   = 10 * time.Second // a refusal is remembered
	rejectEvery  = 10 * time.Second // a token is replaced because a resource server refuses it
	assertionFor = time.Minute      // a client assertion is valid
	earlySpread  = 0.05             // of a token's life, over which early refreshes spread
	minEarly     = 0.1
	maxEarly     = 0.95
)

// Config configures a Source. Authority and one of Credentials and CredentialsFunc are required; the zero value of every other
// field is the default.
type Config struct {
	// Authority mints the tokens. Its regions with a TokenURL are asked, in order; one is required. A TokenURL is https, or
	// http on a loopback host. Regions with the same TokenURL are asked as one.
	Authority issuer.Authority

	// Credentials holds what the client proves itself with, by the name of a region; those under "" are for regions that
	// are not listed. Regions with the same TokenURL must have the same.
	Credentials map[string]Credentials

	// CredentialsFunc is asked before each request instead, so that a secret may be rotated or fetched from elsewhere. It must
	// be safe for concurrent use and heed ctx, which ends after Timeout and holds no value of a caller's. If it fails or panics,
	// the next region is asked. For regions with the same TokenURL it is called with one after the other until it succeeds.
	CredentialsFunc func(ctx context.Context, region string) (Credentials, error)

	// Scopes are asked for (RFC 6749, section 3.3). None means what the client is registered for.
	Scopes []string

	// Resources are where the tokens are to be used: absolute URIs without fragment (RFC 8707, section 2).
	Resources []string

	// Audience is sent as the parameter audience, which some issuers want in the place of Resources.
	Audience string

	// Params holds more parameters for the request. It cannot hold those that the other fields are for.
	Params url.Values

	// Prefer returns the name of the region to ask first: the method Active of a failover.Controller fits. A token of another
	// region serves on while it is replaced in the background. It is called with every call of Token, under no lock: it should
	// read memory. Nil, a panic, or a name that is not a region with a TokenURL, means the authority's order.
	Prefer func() string

	// Report receives the outcome of a request to a region: nil if the region answered with a token or refused the client, or
	// an *Error that is ErrUnavailable if it is down: DNS, TLS, Network, Timeout, or Status 5xx without Retry-After. The method
	// Report of a failover.Controller fits. Failures that are not caused by the region are not reported, such as an error of
	// CredentialsFunc, and neither is an answer that is not an outage of the region, such as status 429, or 503 with
	// Retry-After. Requests to a TokenURL of several regions are not reported: it is not known which of them answers. Report is
	// called under no lock, from several goroutines; it must not block.
	Report func(region string, err error)

	// Client sends the requests. It is copied; redirects are never followed and no cookies kept, whatever it says. Nil means a
	// client of the source's own that honours the proxy variables of the environment.
	Client *http.Client

	// Hedge is how long a region may be silent, while a caller waits, until the next one is asked as well. 0 means 150 ms;
	// negative means that the next one is asked when the first has failed.
	Hedge time.Duration

	// Timeout is how long one request may take. 0 means 5 seconds.
	Timeout time.Duration

	// CoolDown is how long a region rests after a first failure; it doubles with each further one, up to a minute. A
	// Retry-After of up to a minute prolongs it. While no token serves, a region without Retry-After is asked every second.
	// 0 means 5 seconds.
	CoolDown time.Duration

	// EarlyRefresh is the part of its life after which a token is replaced in the background, at most a twentieth of its life
	// earlier. 0 means 0.8; legal is 0.1 to 0.95.
	EarlyRefresh float64

	// Lifetime is for how long a token is used whose answer has no expires_in, which is then up to the issuer's papers (RFC
	// 6749, section 5.1). 0 means 1 minute; at most 24 hours.
	Lifetime time.Duration

	// Logger receives one line for each change of state, and for panics of callbacks. Panics of its handler are recovered. Nil
	// is silent.
	Logger *slog.Logger

	// OnEvent is called for each request that has ended, except by Close. It is called like Report. Panics are logged.
	OnEvent func(Event)

	ownClient bool // Client was nil
}

// Event is the end of one request for a token.
type Event struct {
	Region string // several with one TokenURL are joined by commas
	Took   time.Duration
	Err    error // nil for a token, otherwise an *Error
}

// withDefaults returns c with defaults filled in and what it refers to copied, and everything that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("clientcredentials: "+format, args...))
	}
	if c.Timeout < 0 || c.CoolDown < 0 || c.Lifetime < 0 || c.Lifetime > maxLife {
		add("Timeout, CoolDown and Lifetime cannot be negative, Lifetime not above %v", maxLife)
	}
	c.Hedge, c.Timeout = cmp.Or(c.Hedge, DefaultHedge), cmp.Or(c.Timeout, DefaultTimeout)
	c.CoolDown, c.Lifetime = min(cmp.Or(c.CoolDown, DefaultCoolDown), maxCoolDown), cmp.Or(c.Lifetime, DefaultLifetime)
	c.EarlyRefresh = cmp.Or(c.EarlyRefresh, DefaultEarlyRefresh)
	if !(c.EarlyRefresh >= minEarly && c.EarlyRefresh <= maxEarly) {
		add("EarlyRefresh %v is not within %v and %v", c.EarlyRefresh, minEarly, maxEarly)
	}
	if err := c.Authority.Validate(); err != nil {
		add("%w", err)
	}
	c.Authority.Regions = slices.Clone(c.Authority.Regions)
	errs = append(errs, c.checkCredentials()...)
	errs = append(errs, c.checkForm()...)
	c.Scopes, c.Resources = slices.Clone(c.Scopes), slices.Clone(c.Resources)
	switch {
	case c.Logger == nil:
		c.Logger = slog.New(slog.DiscardHandler)
	case nils.Logger(c.Logger):
		add("Logger has no handler: make it with slog.New")
	}
	c.Logger = slog.New(guard.Handler(c.Logger.Handler()))
	c.ownClient = c.Client == nil
	c.Client = outbound.Client(c.Client, outbound.Transport(DefaultTimeout, idleFor))
	return c, errors.Join(errs...)
}

// checkCredentials reports what is wrong with the credentials, and replaces the map by one with an entry for each region.
func (c *Config) checkCredentials() (errs []error) {
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("clientcredentials: "+format, args...))
	}
	if (c.Credentials != nil) == (c.CredentialsFunc != nil) {
		add("one of Credentials and CredentialsFunc is required")
	}
	known, each, under := map[string]bool{"": true}, map[string]Credentials{}, map[string]string{}
	for _, r := range c.Authority.Regions {
		if r.TokenURL == "" {
			continue
		}
		known[r.Name] = true
		if c.Credentials == nil {
			continue
		}
		under[r.Name] = r.Name
		cred, ok := c.Credentials[r.Name]
		if !ok {
			under[r.Name] = ""
			cred, ok = c.Credentials[""]
		}
		if !ok {
			add("region %q has no Credentials", r.Name)
		} else if err := cred.check(); err != nil {
			add("Credentials of region %q: %w", r.Name, err)
		}
		each[r.Name] = cred
	}
	if len(known) == 1 {
		add("no region has a TokenURL")
	}
	for _, shared := range regions(c.Authority) {
		for _, name := range shared.names[1:] {
			first := shared.names[0]
			if under[name] != under[first] && !reflect.DeepEqual(each[name], each[first]) {
				add("regions %q and %q have one TokenURL and different Credentials", first, name)
			}
		}
	}
	for name := range c.Credentials {
		if !known[name] {
			add("Credentials name %q, which is no region with a TokenURL", name)
		}
	}
	c.Credentials = each
	return errs
}

// reserved lists the parameters that Params cannot hold.
var reserved = []string{
	"grant_type", "scope", "resource", "audience", "client_id", "client_secret", "client_assertion", "client_assertion_type",
}

func (c *Config) checkForm() (errs []error) {
	for _, s := range c.Scopes {
		if !isScope(s) {
			errs = append(errs, fmt.Errorf("clientcredentials: Scopes: %q is not a scope", s))
		}
	}
	for _, r := range c.Resources {
		if u, err := url.Parse(r); err != nil || !u.IsAbs() || strings.Contains(r, "#") {
			errs = append(errs, fmt.Errorf("clientcredentials: Resources: %q is not an absolute URI without fragment", r))
		}
	}
	for _, name := range reserved {
		if c.Params.Has(name) {
			errs = append(errs, fmt.Errorf("clientcredentials: Params cannot hold %q", name))
		}
	}
	return errs
}

// isScope reports whether s is one scope-token: RFC 6749, section 3.3.
func isScope(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7F || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return s != ""
}
