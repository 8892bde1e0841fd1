package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
	"github.com/regionjwt/regionjwt/bench/internal/silence"
)

// idp is an issuer on a loopback listener, whose answers can be spoiled.
type idp struct {
	base   string
	listen *silence.Listener
	server *http.Server
	closed chan struct{}

	mu      sync.Mutex // guards what follows
	keys    []key      // published; the last one signs
	next    int        // of the ring
	fault   http.HandlerFunc
	fetches int
}

// newIDP starts an issuer whose first key is the one of that number.
func newIDP(first int) (*idp, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &idp{
		base: "http://" + l.Addr().String() + "/", listen: &silence.Listener{Listener: l}, closed: make(chan struct{}),
		next: first,
	}
	if err := p.rotate(); err != nil {
		_ = l.Close()
		return nil, err
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(p.listen) }()
	return p, nil
}

func (p *idp) close() {
	close(p.closed)
	_ = p.server.Close()
}

// endpoint tells a library where the issuer is.
func (p *idp) endpoint() peers.Endpoint { return peers.Endpoint{Iss: p.base, JWKS: p.base + "keys"} }

// rotate publishes another key, which signs from now on.
func (p *idp) rotate() error {
	keys, err := ring()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, key{id: randomText(), private: keys[p.next%ringSize]})
	p.next++
	return nil
}

// replace publishes another key under the kid of the one that signs, in its place.
func (p *idp) replace() error {
	keys, err := ring()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[len(p.keys)-1].private = keys[p.next%ringSize]
	p.next++
	return nil
}

// freeze makes the connections that are open fall silent.
func (p *idp) freeze() { p.listen.Silence() }

// document returns the key set.
func (p *idp) document() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.set()
}

// set returns the key set. The caller holds the mutex.
func (p *idp) set() []byte {
	jwks := make([]map[string]any, 0, len(p.keys))
	for _, k := range p.keys {
		jwks = append(jwks, k.jwk())
	}
	return marshal(map[string]any{"keys": jwks})
}

// spoil has f answer in the place of the issuer; nil restores it. Requests that hang already go on hanging.
func (p *idp) spoil(f http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// count tells how often the keys were asked for.
func (p *idp) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

// signer is the key that signs now.
func (p *idp) signer() key {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1]
}

// token issues a good token.
func (p *idp) token() string { return p.signer().sign(nil, marshal(claims(p.base))) }

// ServeHTTP answers with the keys or the discovery document, or as the fault has it.
func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	fault := p.fault
	document := p.set()
	if r.URL.Path == "/keys" {
		p.fetches++
	}
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case fault != nil:
		fault(w, r)
	case r.URL.Path == "/keys":
		_, _ = w.Write(document)
	case r.URL.Path == "/.well-known/openid-configuration":
		_, _ = w.Write(marshal(map[string]any{"issuer": p.base, "jwks_uri": p.base + "keys"}))
	default:
		http.NotFound(w, r)
	}
}

// status answers with a status.
func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// body answers 200 with a body.
func body(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
}

// hang never answers.
func (p *idp) hang(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-p.closed:
	case <-r.Context().Done():
	}
}
