package main

import (
	"context"
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

const audience = "https://api.example.com"

// setupOf is what a library is configured with for some issuers.
func setupOf(refresh time.Duration, issuers ...peers.Endpoint) peers.Setup {
	return peers.Setup{Issuers: issuers, Audience: audience, Algorithms: []string{"RS256"}, Refresh: refresh}
}

var errBlocked = errors.New("the call has not returned")

const (
	patience = 2 * time.Second  // of a caller, unless the scenario says otherwise
	opening  = 5 * time.Second  // for a library to be set up
	grace    = 3 * time.Second  // for a call to return after its context has ended
	longest  = 10 * time.Second // to fetch an oversized key set
)

// open sets a library up; one that does not come back is an error.
func open(l peers.Library, s peers.Setup, limit time.Duration) (peers.Subject, error) {
	type result struct {
		subject peers.Subject
		err     error
	}
	c := make(chan result, 1)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	go func() {
		defer cancel()
		sub, err := l.Open(ctx, s)
		c <- result{sub, err}
	}()
	t := time.NewTimer(limit + grace)
	defer t.Stop()
	select {
	case r := <-c:
		return r.subject, r.err
	case <-t.C:
		return nil, errBlocked
	}
}

// verify presents a token under a context that ends after wait. A call that outlives its context by far is errBlocked.
func verify(s peers.Subject, token string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	c := make(chan error, 1)
	go func() {
		defer cancel()
		c <- s.Verify(ctx, token)
	}()
	t := time.NewTimer(wait + grace)
	defer t.Stop()
	select {
	case err := <-c:
		return err
	case <-t.C:
		return errBlocked
	}
}

// until calls f again and again until it returns nil, and returns how long that took.
func until(limit, every time.Duration, f func() error) (time.Duration, bool) {
	began := time.Now()
	for {
		if f() == nil {
			return time.Since(began), true
		}
		if time.Since(began)+every > limit {
			return limit, false
		}
		time.Sleep(every)
	}
}
