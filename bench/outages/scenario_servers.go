package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

// flaps makes the key server leave a published key out of every second answer, as a backend that lags behind does.
func flaps(l peers.Library) string {
	return stage(l, time.Second, func(p *idp, s peers.Subject) string {
		old := p.document()
		if err := p.rotate(); err != nil {
			return cannot(err)
		}
		token := p.token()
		if _, ok := until(12*time.Second, 100*time.Millisecond, func() error { return verify(s, token, time.Second) }); !ok {
			return "> 12 s until the first"
		}
		current, n := p.document(), 0
		var mu sync.Mutex
		p.spoil(func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			n++
			_, _ = w.Write([][]byte{current, old}[n%2])
		})
		lost := 0
		const tokens = 50
		for range tokens {
			_ = verify(s, forge(randomText(), p.base), 100*time.Millisecond) // somebody has the keys fetched
			if verify(s, token, time.Second) != nil {
				lost++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if lost > 0 {
			return fmt.Sprintf("%d of %d **refused**", lost, tokens)
		}
		return fmt.Sprintf("%d of %d ok", tokens, tokens)
	})
}

// copies has a cache in front of the key server answer with the document of before the rotation for three seconds.
func copies(l peers.Library) string {
	return stage(l, 0, func(p *idp, s peers.Subject) string {
		old, began := p.document(), time.Now()
		p.spoil(func(w http.ResponseWriter, r *http.Request) {
			if age := time.Since(began); age < 3*time.Second {
				w.Header().Set("Age", strconv.Itoa(60+int(age.Seconds())))
				_, _ = w.Write(old)
				return
			}
			p.spoil(nil)
			p.ServeHTTP(w, r)
		})
		if err := p.rotate(); err != nil {
			return cannot(err)
		}
		token := p.token()
		return within(until(12*time.Second, 100*time.Millisecond, func() error { return verify(s, token, time.Second) }))
	})
}

// dies has every open connection to the issuer fall silent, as after a change of the network. New ones work.
func dies(l peers.Library) string {
	return stage(l, 0, func(p *idp, s peers.Subject) string {
		p.freeze()
		if err := p.rotate(); err != nil {
			return cannot(err)
		}
		token := p.token()
		return within(until(12*time.Second, 100*time.Millisecond, func() error { return verify(s, token, 5*time.Second) }))
	})
}

// limits has the key server answer 429 with Retry-After: 2 for as long, while tokens of a new key arrive.
func limits(l peers.Library) string {
	return stage(l, 0, func(p *idp, s peers.Subject) string {
		began := time.Now()
		p.spoil(func(w http.ResponseWriter, r *http.Request) {
			if time.Since(began) < 2*time.Second {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			p.spoil(nil)
			p.ServeHTTP(w, r)
		})
		if err := p.rotate(); err != nil {
			return cannot(err)
		}
		before, token := p.count(), p.token()
		took := within(until(12*time.Second, 50*time.Millisecond, func() error { return verify(s, token, time.Second) }))
		return fmt.Sprintf("%s; %d", took, p.count()-before)
	})
}

// reuses has the issuer replace a key under its kid.
func reuses(l peers.Library) string {
	return stage(l, 0, func(p *idp, s peers.Subject) string {
		if err := p.replace(); err != nil {
			return cannot(err)
		}
		token := p.token()
		return within(until(12*time.Second, 100*time.Millisecond, func() error { return verify(s, token, time.Second) }))
	})
}
