package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

const audience = "https://api.example.com"

// endpoint is an issuer and the URL of its keys.
type endpoint struct{ iss, jwks string }

// setup is what a library is configured with.
type setup struct {
	issuers []endpoint
	refresh time.Duration // how often keys are refreshed, where that can be set; 0 is the default of the library
}

// urls lists where the keys are.
func (s setup) urls() []string {
	urls := make([]string, 0, len(s.issuers))
	for _, e := range s.issuers {
		urls = append(urls, e.jwks)
	}
	return urls
}

// lists reports whether iss is one of the issuers.
func (s setup) lists(iss string) bool {
	return slices.ContainsFunc(s.issuers, func(e endpoint) bool { return e.iss == iss })
}

// subject is a library that is configured and verifies tokens.
type subject interface {
	Verify(ctx context.Context, token string) error
	Close()
}

// library is a way to make subjects.
type library struct {
	name    string
	modules []string // whose versions are printed
	note    string   // printed beside the versions
	open    func(ctx context.Context, s setup) (subject, error)

	several   bool             // one subject can serve several issuers
	lazy      bool             // keys are fetched when the first token comes
	refetches bool             // a key that is not in memory is fetched
	outage    func(error) bool // tells outages from bad tokens; nil where the library has no such error
}

// libraries lists what is compared, regionjwt first.
func libraries() []library {
	return []library{
		regionjwtLibrary(), keyfuncLibrary(), goOIDCLibrary(), capLibrary(), zitadelLibrary(), auth0Library(),
		jwx2Library(), jwx3Library(),
	}
}

var (
	errBlocked  = errors.New("the call has not returned")
	errIssuer   = errors.New("wrong issuer")
	errAudience = errors.New("wrong audience")
)

const (
	patience = 2 * time.Second  // of a caller, unless the scenario says otherwise
	opening  = 5 * time.Second  // for a library to be set up
	grace    = 3 * time.Second  // for a call to return after its context has ended
	longest  = 10 * time.Second // to fetch an oversized key set
)

// open sets a library up; one that does not come back is an error.
func open(l library, s setup, limit time.Duration) (subject, error) {
	type result struct {
		subject subject
		err     error
	}
	c := make(chan result, 1)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	go func() {
		defer cancel()
		sub, err := l.open(ctx, s)
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
func verify(s subject, token string, wait time.Duration) error {
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
