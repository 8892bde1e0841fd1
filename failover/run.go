package failover

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/followed"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/store"
)

const (
	probeTimeout = 2 * time.Second
	probeSource  = "probe"
	copyEvery    = 5 * time.Second // until the local copy is tried again
)

// Run reads the local copy, then follows the store, probes the regions and moves when a hold ends, until ctx ends; it returns the
// cause. Without it a Controller moves by evidence alone, and knows of the fleet's orders what Load brings.
func (c *Controller) Run(ctx context.Context) error {
	if !c.made() {
		return errNotMade
	}
	_ = c.guarded("LocalCopy", func() { c.readCopy(ctx) })
	var parts sync.WaitGroup
	defer parts.Wait()
	if c.config.Store != nil {
		parts.Go(func() { c.followStore(ctx) })
	}
	if c.config.LocalCopy != nil {
		parts.Go(func() { c.keepCopy(ctx) })
	}
	if c.config.Probe != nil {
		for _, r := range c.config.Provider.Regions {
			parts.Go(func() { c.probe(ctx, r) })
		}
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		c.mu.Lock()
		next := c.decide(now)
		c.tell()
		if next.IsZero() {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(max(time.Until(next), time.Millisecond))
		}
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
	}
	return context.Cause(ctx)
}

// guarded calls code of others, in a goroutine of its own that it may end. It logs a panic, and returns it.
func (c *Controller) guarded(what string, f func()) error { return c.noted(guard.Apart(what, f)) }

// noted logs a panic, and returns it.
func (c *Controller) noted(err error) error {
	if err != nil {
		c.config.Logger.Error("failover: a callback panicked", "error", err)
	}
	return err
}

// followStore follows the store until ctx ends. If the store panics, it does not answer.
func (c *Controller) followStore(ctx context.Context) {
	pause := time.NewTimer(c.config.Poll)
	defer pause.Stop()
	for ctx.Err() == nil {
		err := c.guarded("Store", func() {
			followed.Follow(ctx, c.config.Store, c.config.Name, c.config.Poll, c.answered, c.follow)
		})
		if err == nil {
			return
		}
		c.follow(store.Document{}, err)
		pause.Reset(c.config.Poll)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}

// probe probes a region until ctx ends.
func (c *Controller) probe(ctx context.Context, r issuer.Region) {
	timer := time.NewTimer(c.config.ProbeEvery)
	defer timer.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		within, cancel := context.WithTimeout(ctx, probeTimeout)
		var err error
		if panicked := c.guarded("Probe", func() { err = c.config.Probe(within, r) }); panicked != nil {
			err = ErrNoEvidence // it is not the region that has failed
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		c.Observe(Evidence{Region: r.Name, Source: probeSource, Began: began, Err: err})
		every := float64(c.config.ProbeEvery)
		timer.Reset(time.Duration(every * (0.9 + 0.2*c.spread())))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// keepCopy writes the local copy when it is not what is known.
func (c *Controller) keepCopy(ctx context.Context) {
	ticks := time.NewTicker(copyEvery)
	defer ticks.Stop()
	for {
		_ = c.guarded("LocalCopy", func() { c.copyLocally(ctx) })
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// HTTPProbe returns a probe for Config.Probe that asks for the first JWKS URL of a region, or else for the discovery document of
// its first issuer. Status 200 is a good answer. No answer is a failure, and so is status 5xx without Retry-After. Any other
// answer is ErrNoEvidence, such as status 429, any 4xx, a redirect (which is not followed), and 503 with Retry-After. A nil
// client means one of its own; another is copied.
func HTTPProbe(client *http.Client) func(context.Context, issuer.Region) error {
	own := outbound.Client(client, nil)
	return func(ctx context.Context, r issuer.Region) error {
		where := probeURL(r)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
		if err != nil || where == "" {
			return fmt.Errorf("%w: region %q has no URL", ErrNoEvidence, r.Name)
		}
		resp, err := own.Do(req)
		if err != nil {
			if f := outbound.Classify(ctx, err); f != outbound.Canceled {
				return probeError(f)
			}
			return ctx.Err()
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
		switch {
		case resp.StatusCode == http.StatusOK:
			return nil
		case resp.StatusCode >= http.StatusInternalServerError && outbound.RetryAfter(resp.Header, time.Now(), time.Hour) == 0:
			return probeError(fmt.Sprintf("status %d", resp.StatusCode))
		}
		return fmt.Errorf("%w: status %d", ErrNoEvidence, resp.StatusCode)
	}
}

// probeError is a failure of a region, by its class.
type probeError string

// Error returns the class.
func (e probeError) Error() string { return "failover: probe: " + string(e) }

// Class returns the label of the failure.
func (e probeError) Class() string { return string(e) }

func probeURL(r issuer.Region) string {
	switch {
	case len(r.JWKSURLs) > 0:
		return r.JWKSURLs[0]
	case len(r.Issuers) > 0:
		return strings.TrimSuffix(r.Issuers[0], "/") + "/.well-known/openid-configuration"
	}
	return ""
}
