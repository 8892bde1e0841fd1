package failover

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/backoff"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/issuer"
)

const (
	probeTimeout  = 2 * time.Second
	leastProbe    = 100 * time.Millisecond // between two of a region
	probeReporter = "probe"
	probeIdle     = 15 * time.Second // a connection of the built-in probe is kept
	maxRetryAfter = time.Hour
	maxKeySet     = 1 << 20 // bytes of a key set or discovery document
)

// startParts starts what Run does beside choosing a region. stop waits until all of it has ended, which it does with ctx.
func (c *Controller) startParts(ctx context.Context) (stop func()) {
	var parts sync.WaitGroup
	parts.Go(func() { _ = c.replica.Run(ctx) })
	if c.config.ProbeInterval == 0 {
		return parts.Wait
	}
	own := outbound.Transport(probeTimeout, probeIdle)
	context.AfterFunc(ctx, own.CloseIdleConnections)
	for i := range c.provider.Regions {
		parts.Go(func() { c.probe(ctx, i, own) })
	}
	return parts.Wait
}

// checkOf returns what checks the regions of a provider.
func (c *Controller) checkOf(p *issuer.Provider, own *http.Transport) func(context.Context, issuer.Region) error {
	if c.config.Probe != nil {
		return c.config.Probe
	}
	return prober{outbound.Careful(outbound.Client(p.HTTPClient, own), nil)}.check
}

// probe probes a region until ctx ends, as the provider has it then.
func (c *Controller) probe(ctx context.Context, region int, own *http.Transport) {
	timer := time.NewTimer(c.config.ProbeInterval)
	defer timer.Stop()
	provider := c.current.Load()
	check := c.checkOf(provider, own)
	for ctx.Err() == nil {
		if now := c.current.Load(); now != provider {
			provider, check = now, c.checkOf(now, own)
		}
		r := provider.Regions[region]
		started := time.Now()
		within, cancel := context.WithTimeout(ctx, probeTimeout)
		var err error
		if panicked := c.guarded("Probe", func() { err = check(within, r) }); panicked != nil {
			err = ErrInconclusive // it is not the region that has failed
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		if c.current.Load() == provider { // what was asked of the old URLs says nothing about the new ones
			c.Report(r.Name, probeReporter, started, err)
		}
		timer.Reset(backoff.Spread(c.config.ProbeInterval, c.spread()))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// prober is the built-in probe.
type prober struct{ client *http.Client }

// probeError is a failure of a region, by its label.
type probeError string

// Error returns the label.
func (e probeError) Error() string { return "failover: probe: " + string(e) }

// Failure returns the label.
func (e probeError) Failure() string { return string(e) }

// check requests the key set of a region, one URL after the other until one has a usable key. If none has, the first failure
// decides only if all failed: an answer that proves nothing comes from a server that works. An attempt gets half of the time that
// is left, and the last one all of it.
func (p prober) check(ctx context.Context, r issuer.Region) error {
	attempts := p.attempts(r)
	var failed, inconclusive error
	for i, attempt := range attempts {
		within, cancel := ctx, context.CancelFunc(func() {})
		if end, ok := ctx.Deadline(); ok && i < len(attempts)-1 {
			within, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		}
		err := attempt(within)
		cancel()
		_, isFailure := err.(probeError) //nolint:errorlint // it is what get returns
		switch {
		case err == nil:
			return nil
		case isFailure && failed == nil:
			failed = err
		case !isFailure && inconclusive == nil:
			inconclusive = err
		}
	}
	switch {
	case inconclusive != nil:
		return inconclusive
	case failed != nil:
		return failed
	}
	return fmt.Errorf("%w: region %q has no URL", ErrInconclusive, r.Name)
}

// attempts lists the ways to the key set of a region.
func (p prober) attempts(r issuer.Region) (all []func(context.Context) error) {
	for _, u := range r.JWKSURLs {
		all = append(all, func(ctx context.Context) error { return p.keySet(ctx, u) })
	}
	if len(all) > 0 {
		return all
	}
	for _, iss := range r.Issuers {
		all = append(all, func(ctx context.Context) error { return p.discovered(ctx, iss, r.DiscoveryURL) })
	}
	return all
}

// keySet requests a key set, and demands a usable key.
func (p prober) keySet(ctx context.Context, where string) error {
	body, err := p.get(ctx, where)
	if err != nil {
		return err
	}
	if keys, _, err := jose.ParseSet(body, jose.Limits{}); err != nil || len(keys) == 0 {
		return fmt.Errorf("%w: no usable key", ErrInconclusive)
	}
	return nil
}

// discovered requests the key set that the metadata of an issuer names: OpenID Connect Discovery, section 4, or else RFC 8414,
// section 3.
func (p prober) discovered(ctx context.Context, iss, document string) error {
	wellKnown := document == ""
	if wellKnown {
		document = strings.TrimSuffix(iss, "/") + "/.well-known/openid-configuration"
	}
	body, err := p.get(ctx, document)
	if err != nil {
		u, bad := url.Parse(iss)
		if !wellKnown || bad != nil || !errors.Is(err, ErrInconclusive) {
			return err
		}
		path := "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.EscapedPath(), "/")
		if body, err = p.get(ctx, u.Scheme+"://"+u.Host+path); err != nil {
			return err
		}
	}
	members, err := strictjson.Parse(nil, strictjson.WithoutMark(body))
	where := strictjson.Find(members, "jwks_uri").Text()
	if err != nil || where == "" {
		return fmt.Errorf("%w: no jwks_uri", ErrInconclusive)
	}
	return p.keySet(outbound.WithIssuer(ctx, iss), where)
}

// get requests a document. The error is a probeError, that of ctx, or wraps ErrInconclusive.
func (p prober) get(ctx context.Context, where string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: no URL", ErrInconclusive)
	}
	req.Header.Set("User-Agent", outbound.UserAgent)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, failedRequest(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := outbound.Body(resp.Body, maxKeySet)
	switch {
	case resp.StatusCode == http.StatusOK && err == nil:
		return body, nil
	case resp.StatusCode == http.StatusOK:
		return nil, failedRequest(ctx, err)
	}
	failure := label.Status(resp.StatusCode)
	if label.Outage(failure, outbound.RetryAfter(resp.Header, time.Now(), maxRetryAfter)) {
		return nil, probeError(failure)
	}
	return nil, fmt.Errorf("%w: %s", ErrInconclusive, failure)
}

// failedRequest is the error of a request that has no whole answer.
func failedRequest(ctx context.Context, err error) error {
	switch failure := outbound.Classify(ctx, err); failure {
	case label.Canceled:
		return context.Canceled
	case label.TooLarge:
		return fmt.Errorf("%w: %s", ErrInconclusive, failure)
	default:
		return probeError(failure)
	}
}
