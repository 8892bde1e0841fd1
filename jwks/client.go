package jwks

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/internal/outbound"
)

const (
	pingAfter = 15 * time.Second // of silence on an HTTP/2 connection
	pingTime  = 5 * time.Second
	idleTime  = 90 * time.Second
)

// client is an HTTP client whose idle connections can be closed.
type client struct{ *http.Client }

func (c *client) closeIdle() { c.CloseIdleConnections() }

// newClientPair copies a client twice. A nil client means the cache's own; an http.Transport is cloned; any other RoundTripper is
// used as it is.
func newClientPair(user *http.Client, id string, plain []string) *clientPair {
	p := &clientPair{id: id}
	for i := range p.clients {
		c := outbound.Client(user, nil)
		if t := ownTransport(c.Transport); t != nil {
			c.Transport = t
		}
		p.clients[i] = &client{outbound.Careful(c, plain)}
	}
	return p
}

// ownTransport returns a copy of a transport, or nil if it is not an http.Transport.
func ownTransport(given http.RoundTripper) *http.Transport {
	var t *http.Transport
	switch of := given.(type) {
	case nil:
		t = outbound.Transport(roundTime, idleTime)
		t.MaxIdleConns = defaultRequests
	case *http.Transport:
		t = of.Clone()
	default:
		return nil
	}
	if t.IdleConnTimeout == 0 { // for ever
		t.IdleConnTimeout = idleTime
	}
	if t.MaxResponseHeaderBytes == 0 { // 10 MB
		t.MaxResponseHeaderBytes = limit.HeaderBytes
	}
	if t.HTTP2 == nil {
		t.HTTP2 = &http.HTTP2Config{}
	}
	if t.HTTP2.SendPingTimeout == 0 {
		t.HTTP2.SendPingTimeout, t.HTTP2.PingTimeout = pingAfter, pingTime
	}
	return t
}

// pick returns the client for the n-th request of an attempt.
func (p *clientPair) pick(n int) *client { return p.clients[n%len(p.clients)] }

func (p *clientPair) closeIdle() {
	for _, c := range p.clients {
		c.closeIdle()
	}
}

// clientPair is two HTTP clients with connections of their own, so that a request whose connection has died can be repeated.
type clientPair struct {
	id      string      // tells the clients of a provider from the cache's own
	gone    atomic.Bool // no provider uses it any more
	clients [2]*client
}
