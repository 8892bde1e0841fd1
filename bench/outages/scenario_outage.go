package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

// errNotServed says that the document has not been fetched yet.
var errNotServed = errors.New("not served yet")

// start503 has the service start and get tokens for two seconds while the key server answers 503.
func start503(l peers.Library) string {
	p, err := newIDP(0)
	if err != nil {
		return cannot(err)
	}
	defer p.close()
	p.spoil(status(http.StatusServiceUnavailable))
	var s peers.Subject
	defer func() {
		if s != nil {
			s.Close()
		}
	}()
	token := p.token()
	attempt := func() error {
		if s == nil { // a constructor that fails is tried again
			made, err := open(l, setupOf(0, p.endpoint()), time.Second)
			if err != nil {
				return err
			}
			s = made
		}
		return verify(s, token, 500*time.Millisecond)
	}
	if _, ok := until(2*time.Second, 200*time.Millisecond, attempt); ok {
		return "verified without keys"
	}
	p.spoil(nil)
	return within(until(15*time.Second, 200*time.Millisecond, attempt))
}

// unreachable looks at the error of a token that nobody can verify.
func unreachable(l peers.Library) string {
	p, err := newIDP(0)
	if err != nil {
		return cannot(err)
	}
	token := p.token()
	p.close()
	s, err := open(l, setupOf(0, p.endpoint()), time.Second)
	if err == nil {
		defer s.Close()
		err = verify(s, token, patience)
	}
	var onNetwork *net.OpError
	var onURL *url.Error
	switch {
	case err == nil:
		return "verified without keys"
	case errors.Is(err, errBlocked):
		return verdict(err)
	case l.Outage != nil && l.Outage(err):
		return "an error of its own"
	case errors.As(err, &onNetwork) || errors.As(err, &onURL):
		return "generic, the network's in its chain"
	}
	return "generic error"
}

// hangs lets the refresh come due while the issuer hangs.
func hangs(l peers.Library) string {
	return stage(l, time.Second, func(p *idp, s peers.Subject) string {
		const wait = 300 * time.Millisecond
		token := p.token()
		p.spoil(p.hang)
		time.Sleep(2500 * time.Millisecond)
		began := time.Now()
		for range 5 {
			err := verify(s, token, wait)
			took := time.Since(began)
			switch {
			case errors.Is(err, errBlocked):
				return fmt.Sprintf("**blocked** > %.0f s past it", grace.Seconds())
			case took > 2*wait:
				return fmt.Sprintf("%s, %.1f s past it", verdict(err), (took - wait).Seconds())
			case err != nil:
				return fmt.Sprintf("%s after %.1f s", verdict(err), took.Seconds())
			}
			began = time.Now()
		}
		return okay
	})
}

// heals has the issuer hang for as long as refreshes take to come due, and answer again; connections that hung go on
// hanging.
func heals(l peers.Library) string {
	return stage(l, time.Second, func(p *idp, s peers.Subject) string {
		p.spoil(p.hang)
		for range 3 {
			_ = verify(s, forge(randomText(), p.base), 300*time.Millisecond)
			time.Sleep(500 * time.Millisecond)
		}
		if err := p.rotate(); err != nil {
			return cannot(err)
		}
		p.spoil(nil)
		token := p.token()
		return within(until(12*time.Second, 100*time.Millisecond, func() error { return verify(s, token, time.Second) }))
	})
}

// empty has the key server answer a document without keys, once or for good.
func empty(document string, once bool) func(l peers.Library) string {
	return func(l peers.Library) string {
		return stage(l, time.Second, func(p *idp, s peers.Subject) string { return servesEmpty(p, s, document, once) })
	}
}

// servesEmpty provokes a fetch, by a token with a made-up kid and by waiting for the refresh, and presents good tokens
// when the document without keys has been served.
func servesEmpty(p *idp, s peers.Subject, document string, once bool) string {
	token := p.token()
	var served atomic.Bool
	p.spoil(func(w http.ResponseWriter, r *http.Request) {
		if once {
			p.spoil(nil)
		}
		body([]byte(document))(w, r)
		served.Store(true)
	})
	_ = verify(s, forge(randomText(), p.base), time.Second)
	if _, ok := until(5*time.Second, 20*time.Millisecond, func() error {
		if served.Load() {
			return nil
		}
		_ = verify(s, token, time.Second) // for those who refresh when they are used
		return errNotServed
	}); !ok {
		return "never asked again"
	}
	time.Sleep(100 * time.Millisecond) // for the answer to be read
	before, lost := p.count(), 0
	for range 10 {
		if verify(s, token, time.Second) != nil {
			lost++
		}
		time.Sleep(20 * time.Millisecond)
	}
	cell := "10 of 10 ok"
	if lost > 0 {
		cell = fmt.Sprintf("%d of 10 **refused**", lost)
	}
	if n := p.count() - before; n > 0 {
		cell += fmt.Sprintf(" (fetches: %d)", n)
	}
	return cell
}

// leave has a caller give up while the fetch that a second one waits for is on its way.
func leave(l peers.Library) string {
	slow := func(p *idp) {
		p.spoil(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(700 * time.Millisecond)
			p.spoil(nil)
			p.ServeHTTP(w, r)
		})
	}
	second := func(p *idp, s peers.Subject) string {
		token := p.token()
		go func() { _ = verify(s, token, 300*time.Millisecond) }()
		time.Sleep(150 * time.Millisecond)
		return verdict(verify(s, token, 2*time.Second))
	}
	if l.Refetches {
		return stage(l, 0, func(p *idp, s peers.Subject) string {
			if err := p.rotate(); err != nil {
				return cannot(err)
			}
			slow(p)
			return second(p, s)
		})
	}
	if !l.Lazy {
		return none
	}
	p, err := newIDP(0)
	if err != nil {
		return cannot(err)
	}
	defer p.close()
	slow(p)
	s, err := l.Open(context.Background(), setupOf(0, p.endpoint()))
	if err != nil {
		return cannot(err)
	}
	defer s.Close()
	return second(p, s)
}
