package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

// kids presents tokens with made-up kids.
func kids(l peers.Library) string {
	return stage(l, 0, func(p *idp, s peers.Subject) string {
		before := p.count()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					_ = verify(s, forge(randomText(), p.base), patience)
				}
			})
		}
		wg.Wait()
		return strconv.Itoa(p.count() - before)
	})
}

// signatures presents tokens with the kid of the right key and a signature that nobody made.
func signatures(l peers.Library) string {
	return stage(l, 0, func(p *idp, s peers.Subject) string {
		before := p.count()
		for range 50 {
			if verify(s, forge(p.signer().id, p.base), patience) == nil {
				return "**accepted**"
			}
		}
		return strconv.Itoa(p.count() - before)
	})
}

// rotation has the issuer rotate right after a token with a made-up kid.
func rotation(l peers.Library) string {
	return stage(l, 0, func(p *idp, s peers.Subject) string {
		_ = verify(s, forge(randomText(), p.base), patience)
		if err := p.rotate(); err != nil {
			return cannot(err)
		}
		token := p.token()
		return within(until(12*time.Second, 100*time.Millisecond, func() error { return verify(s, token, time.Second) }))
	})
}

// attack has the issuer rotate while made-up kids come in.
func attack(l peers.Library) string {
	return stage(l, 0, func(p *idp, s peers.Subject) string {
		const callers = 32 // those of the attacker that may wait at the same time
		stop, slots := make(chan struct{}), make(chan struct{}, callers)
		var wg sync.WaitGroup
		wg.Go(func() {
			t := time.NewTicker(20 * time.Millisecond)
			defer t.Stop()
			for {
				select {
				case <-stop:
					return
				case <-t.C:
				}
				select {
				case slots <- struct{}{}:
					wg.Go(func() {
						_ = verify(s, forge(randomText(), p.base), time.Second)
						<-slots
					})
				default:
				}
			}
		})
		before := p.count()
		time.Sleep(2 * time.Second)
		if err := p.rotate(); err != nil {
			return cannot(err)
		}
		token := p.token()
		cell := within(until(12*time.Second, 100*time.Millisecond, func() error { return verify(s, token, time.Second) }))
		n := p.count() - before
		close(stop)
		wg.Wait()
		return fmt.Sprintf("%s; %d", cell, n)
	})
}

// binding presents a token of B that A has signed to a subject that serves both.
func binding(l peers.Library) string {
	if !l.Several {
		return none
	}
	a, err := newIDP(0)
	if err != nil {
		return cannot(err)
	}
	defer a.close()
	b, err := newIDP(2)
	if err != nil {
		return cannot(err)
	}
	defer b.close()
	s, err := open(l, setupOf(0, a.endpoint(), b.endpoint()), opening)
	if err != nil {
		return cannot(err)
	}
	defer s.Close()
	for _, p := range []*idp{a, b} {
		if err := warm(p, s); err != nil {
			return cannot(err)
		}
	}
	if err := verify(s, a.signer().sign(nil, marshal(claims(b.base))), patience); err != nil {
		return verdict(err)
	}
	return "**accepted**"
}

// odd publishes each odd key beside a good one.
func odd(l peers.Library) string {
	kinds := []struct {
		name string
		jwk  func(good key) map[string]any
	}{
		{"kty", func(key) map[string]any { return map[string]any{"kty": "QUANTUM", "kid": "odd", "q": "AQAB"} }},
		{"n", func(key) map[string]any {
			return map[string]any{"kty": "RSA", "kid": "odd", "alg": "RS256", "use": "sig", "n": "", "e": "AQAB"}
		}},
		{"point", func(key) map[string]any {
			return map[string]any{
				"kty": "EC", "kid": "odd", "alg": "ES256", "use": "sig", "crv": "P-256",
				"x": b64([]byte(strings.Repeat("x", 32))), "y": b64([]byte(strings.Repeat("y", 32))),
			}
		}},
		{"x5c", func(good key) map[string]any {
			other := good.jwk()
			other["kid"], other["x5c"] = "odd", []string{"junk"}
			return other
		}},
	}
	works, lost := 0, []string(nil)
	for _, k := range kinds {
		if oddWorks(l, k.jwk) {
			works++
		} else {
			lost = append(lost, k.name)
		}
	}
	if len(lost) == 0 {
		return fmt.Sprintf("%d of %d", works, len(kinds))
	}
	return fmt.Sprintf("%d of %d; **lost**: %s", works, len(kinds), strings.Join(lost, ", "))
}

// oddWorks reports whether the good key of a set works whose other key is odd.
func oddWorks(l peers.Library, odd func(good key) map[string]any) bool {
	p, err := newIDP(0)
	if err != nil {
		return false
	}
	defer p.close()
	good := p.signer()
	p.spoil(body(marshal(map[string]any{"keys": []any{good.jwk(), odd(good)}})))
	s, err := open(l, setupOf(0, p.endpoint()), opening)
	if err != nil {
		return false
	}
	defer s.Close()
	return verify(s, p.token(), patience) == nil
}
