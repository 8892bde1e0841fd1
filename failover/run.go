package failover

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

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
	c.readCopy(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	if c.config.Store != nil {
		parts.Go(func() { store.Follow(ctx, c.config.Store, c.config.Name, c.config.Poll, c.follow) })
	}
	if c.config.LocalCopy != nil {
		parts.Go(func() { c.keepCopy(ctx) })
	}
	if c.config.Probe != nil {
		for _, r := range c.config.Authority.Regions {
			parts.Go(func() { c.probe(ctx, r) })
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.wake:
		case <-timer.C:
		}
		now := time.Now()
		c.mu.Lock()
		next := c.decide(now)
		c.tell()
		if next.IsZero() {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// probe probes a region until ctx ends.
func (c *Controller) probe(ctx context.Context, r issuer.Region) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		within, cancel := context.WithTimeout(ctx, probeTimeout)
		err := c.config.Probe(within, r)
		cancel()
		if ctx.Err() != nil {
			return
		}
		c.Observe(Evidence{Region: r.Name, Source: probeSource, Began: began, Err: err})
		every := float64(c.config.ProbeEvery)
		timer.Reset(time.Duration(every * (0.9 + 0.2*c.spread())))
	}
}

// keepCopy writes the local copy when it is not what is known.
func (c *Controller) keepCopy(ctx context.Context) {
	ticks := time.NewTicker(copyEvery)
	defer ticks.Stop()
	for {
		c.copyLocally(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// HTTPProbe returns a probe for Config.Probe that asks for the first JWKS URL of a region, or else for the discovery document of
// its first issuer, and is content with status 200. Redirects are not followed. A nil client means one of its own; another is
// copied.
func HTTPProbe(client *http.Client) func(context.Context, issuer.Region) error {
	own := outbound.Client(client, nil)
	return func(ctx context.Context, r issuer.Region) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, probeURL(r), nil)
		if err != nil {
			return err
		}
		resp, err := own.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("failover: status %d", resp.StatusCode)
		}
		return nil
	}
}

func probeURL(r issuer.Region) string {
	switch {
	case len(r.JWKS) > 0:
		return r.JWKS[0]
	case len(r.Issuers) > 0:
		return strings.TrimSuffix(r.Issuers[0], "/") + "/.well-known/openid-configuration"
	}
	return ""
}
