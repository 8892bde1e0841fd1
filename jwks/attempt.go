package jwks

import (
	"context"
	"time"
)

// attempt fetches from one mirror. Its time begins when it has a connection to the host.
func (c *Cache) attempt(ctx context.Context, s *set, f *flight, ep *endpoint, last bool) outcome {
	s.mu.Lock()
	ep.asked = f.turn
	target := ep.url
	if target == "" {
		target = ep.issuer
	}
	s.mu.Unlock()
	release, err := c.slot(ctx, s, f, target)
	if err != nil {
		return outcome{ep: ep, failed: classify(ctx, err)}
	}
	s.mu.Lock()
	now := time.Now()
	if f.deadline.IsZero() {
		f.deadline = now.Add(fetchTime)
	}
	deadline := f.deadline
	if soon := now.Add(attemptTime); !last && soon.Before(deadline) {
		deadline = soon
	}
	if least := now.Add(leastTime); deadline.Before(least) {
		deadline = least // it queued for long
	}
	s.mu.Unlock()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	o, err := bounded(ctx, "the HTTP client", func() outcome {
		defer release() // by a Client that does not return, not before: so there are never more of them than connections
		if ep.issuer != "" {
			return c.attemptDiscovered(ctx, s, f, ep)
		}
		a, failed := c.fetchSet(ctx, target, ep.lastAnswer(s))
		return outcome{ep: ep, answer: a, failed: failed}
	})
	if err != nil {
		c.log.panicked(err)
		o = outcome{ep: ep, failed: classify(ctx, err)}
	}
	o.began, o.took = now, time.Since(now)
	return o
}

func (ep *endpoint) lastAnswer(s *set) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ep.last
}

// slot waits for a connection to the host of rawURL: among the refreshes, as long as nobody waits for the flight.
func (c *Cache) slot(ctx context.Context, s *set, f *flight, rawURL string) (release func(), err error) {
	queue, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	demanded := f.demanded
	if !demanded {
		f.queued = append(f.queued, cancel)
	}
	s.mu.Unlock()
	if !demanded {
		if release, err = c.hosts.acquire(queue, rawURL, forRefresh); err == nil || ctx.Err() != nil {
			return release, err
		}
	}
	return c.hosts.acquire(ctx, rawURL, forDemand)
}
