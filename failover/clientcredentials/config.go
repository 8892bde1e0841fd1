package clientcredentials

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/issuer"
)

// Bounds that are not configured.
const (
	defaultHedge    = 150 * time.Millisecond
	requestTimeout  = 5 * time.Second
	coolDown        = 5 * time.Second // of a region after a first failure
	maxCoolDown     = time.Minute
	defaultLifetime = time.Minute // of a token whose answer has no expires_in: RFC 6749, section 5.1
	refreshAfter    = 0.8         // of a token's life

	maxBody      = 64 << 10         // bytes of an answer after decompression
	idleFor      = 15 * time.Second // a connection is kept: a stale one would look like an outage
	maxLifetime  = 24 * time.Hour   // a token is used no longer, whatever its expires_in
	maxMargin    = 10 * time.Second // before a token expires, from which on callers wait for the next
	betterWait   = time.Second      // for another token, while the one in memory lives
	maxRetry     = time.Minute      // of Retry-After
	urgentEvery  = time.Second      // a region is asked while there is no usable token
	rejectedFor  = 10 * time.Second // a rejection by a provider is remembered
	replaceEvery = 10 * time.Second // a token is replaced because a resource server rejected it
	assertionFor = time.Minute      // a client assertion is valid
	earlySpread  = 0.05             // of a token's life, over which early refreshes spread
)

// Config configures a TokenSource. One of Credentials and CredentialsFunc is required; the zero value of every other field is the
// default.
type Config struct {
	// Credentials authenticate the client in all regions.
	Credentials Credentials

	// CredentialsFunc is called before each request instead, for credentials that differ by region, are rotated, or are kept
	// elsewhere. It must be safe for concurrent use and heed ctx, which ends after 5 seconds and has no value of a caller's. If
	// it fails or panics, the next region is asked. For regions with the same TokenURL it is called with one after the other
	// until it succeeds.
	CredentialsFunc func(ctx context.Context, region string) (Credentials, error)

	// DPoPKey binds the tokens to a key (RFC 9449): a P-256, P-384 or P-521 key, an Ed25519 key, or an RSA key of 2048 bits or
	// more, like Credentials.Key. Each request for a token has a proof, and so has each request that Transport sends; nonces of
	// servers are used. An answer whose token is not bound is malformed. Nil means bearer tokens. Processes may share a key, or
	// make one each.
	DPoPKey crypto.Signer

	// Scopes are requested (RFC 6749, section 3.3). None means what the client is registered for.
	Scopes []string

	// Params are more parameters of the request, such as resource (RFC 8707) or audience. They cannot be those that the other
	// fields are for.
	Params url.Values

	// Failover decides which region is asked first: its active one. A token of another region stays in use while it is replaced
	// in the background. The Controller receives the outcomes of requests, as the reporter "token". An answer that is no outage
	// of the region, such as status 429 or 503 with Retry-After, is not reported, nor is a failure that the region has not
	// caused, such as an error of CredentialsFunc, nor a request to a TokenURL of several regions, as it is not known which of
	// them answers. Nil means the order of the provider. It must be a Controller for the same provider.
	Failover *failover.Controller

	// Hedge is how long a region may take to answer, while a caller waits, until the next one is asked as well. 0 means 150 ms;
	// negative means that the next one is asked only after the first has failed.
	Hedge time.Duration

	// InsecureHTTPHosts lists hosts, without port, to which credentials and tokens are sent over plain http, too. Loopback hosts
	// need not be listed. Everyone on the network path to such a host can use them.
	InsecureHTTPHosts []string

	// Logger gets one line for each change of state, and for panics of callbacks. Panics of its handler are recovered. Nil is
	// silent.
	Logger *slog.Logger

	// OnRequest is called after each request to a token endpoint, with the duration and the failure: "" for a token; dns, tls,
	// network, timeout, too_large or malformed; "status" and the code of HTTP ("status 503"); "rejected" and the error code
	// of OAuth ("rejected invalid_client", or "rejected other"); no_credentials (CredentialsFunc failed, or the key did not
	// sign); or panicked (the HTTP client panicked). The names of regions with one TokenURL are joined by commas. It is called
	// without a lock, from several goroutines, and must not block. Panics are logged.
	OnRequest func(region, failure string, duration time.Duration)
}

// check returns every problem with c for the provider p.
func (c *Config) check(p issuer.Provider) (errs []error) {
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("clientcredentials: "+format, args...))
		}
	}
	if err := issuercheck.Validate(p); err != nil {
		add(true, "%w", err)
	}
	given := !c.Credentials.isZero()
	add(given == (c.CredentialsFunc != nil), "one of Credentials and CredentialsFunc is required")
	if given {
		if err := c.Credentials.check(hasCertificate(p.HTTPClient)); err != nil {
			add(true, "Credentials: %w", err)
		}
	}
	if c.DPoPKey != nil {
		if err := checkDPoPKey(c.DPoPKey); err != nil {
			add(true, "DPoPKey: %w", err)
		}
	}
	some := false
	for _, r := range p.Regions {
		if r.TokenURL == "" {
			continue
		}
		some = true
		u, err := url.Parse(r.TokenURL)
		plain := err == nil && !outbound.Allowed(u, c.InsecureHTTPHosts)
		add(plain, "region %q: TokenURL %q: https is required", r.Name, r.TokenURL)
	}
	add(!some, "no region has a TokenURL")
	for _, s := range c.Scopes {
		add(!isScope(s), "Scopes: %q is not a scope", s)
	}
	for _, r := range c.Params["resource"] {
		u, err := url.Parse(r)
		absolute := err == nil && u.IsAbs() && !strings.Contains(r, "#")
		add(!absolute, "Params: resource %q is not an absolute URI without fragment", r)
	}
	for _, name := range reserved {
		add(c.Params.Has(name), "Params cannot have %q", name)
	}
	if c.Failover != nil {
		switch id := c.Failover.Status().Provider; id {
		case "":
			add(true, "Failover is zero: make it with failover.New")
		default:
			add(id != p.ID, "Failover is for provider %q, not %q", id, p.ID)
		}
	}
	add(nils.Logger(c.Logger), "Logger has no handler: make it with slog.New")
	add(p.HTTPClient != nil && nils.Typed(p.HTTPClient.Transport), "Provider.HTTPClient.Transport is a nil pointer")
	return errs
}

// reserved lists the parameters that Params cannot have.
var reserved = []string{"grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type"}

// hasCertificate reports whether an HTTP client may have a client certificate: certainly not if it is nil.
func hasCertificate(c *http.Client) bool {
	if c == nil || c.Transport == nil {
		return false
	}
	t, plain := c.Transport.(*http.Transport)
	if !plain {
		return true // who knows
	}
	return t != nil && t.TLSClientConfig != nil &&
		(len(t.TLSClientConfig.Certificates) > 0 || t.TLSClientConfig.GetClientCertificate != nil)
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

// withDefaults returns c with the defaults, and copies of what it refers to.
func (c Config) withDefaults() Config {
	c.Hedge = cmp.Or(c.Hedge, defaultHedge)
	c.Scopes, c.InsecureHTTPHosts, c.Params = slices.Clone(c.Scopes), slices.Clone(c.InsecureHTTPHosts), maps.Clone(c.Params)
	c.Logger = guard.Logger(c.Logger)
	return c
}

// New returns a TokenSource for the regions of p that have a TokenURL, in their order; one is required. A TokenURL is https, or
// http on a loopback host or one of InsecureHTTPHosts. Regions with the same TokenURL are asked as one. Provider.HTTPClient sends
// the requests: a copy of it that follows no redirects and keeps no cookies. Nil means a client of the TokenSource's own, which
// uses the proxy variables of the environment.
//
// The error is every problem with p and c, joined. New does no I/O and starts no goroutine.
func New(p issuer.Provider, c Config) (*TokenSource, error) {
	if err := errors.Join(c.check(p)...); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	var prover *prover
	if c.DPoPKey != nil {
		var err error
		if prover, err = newProver(c.DPoPKey); err != nil {
			return nil, fmt.Errorf("clientcredentials: DPoPKey: %w", err)
		}
	}
	endpoints := regions(p)
	return &TokenSource{config: c, clock: clock.System(), form: c.form(), regions: endpoints, tools: tools{
		client:      outbound.Client(p.HTTPClient, outbound.Transport(requestTimeout, idleFor)),
		certificate: hasCertificate(p.HTTPClient), log: logger{c.Logger}, prover: prover, watch: newWatch(p, endpoints),
	}}, nil
}
