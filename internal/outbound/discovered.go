package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrLocal is the error of a request to a discovered URL whose host is this machine or its link, by its spelling or by the
// address that its name resolves to.
var ErrLocal = errors.New("the discovered host is at an address of this machine or its link")

// Discovered reports whether a request may go to u, which is Allowed and which the metadata of the issuer iss names. The host
// has to be ASCII and not Local, unless it is one of plain or that of iss, or the host of iss is Local, too. A client would map
// a host that is not ASCII (UTS 46), so that "１２７.0.0.1" is 127.0.0.1.
func Discovered(u *url.URL, iss string, plain []string) bool {
	return vouched(u, iss, plain) || isElsewhere(u.Hostname())
}

// isElsewhere reports whether host is not known to be this machine or its link.
func isElsewhere(host string) bool { return isASCII(host) && !Local(host) }

// vouched reports whether the configuration says that the host of u may be any host: plain lists it, or it is that of the issuer,
// or the issuer is on this machine or its link.
func vouched(u *url.URL, iss string, plain []string) bool {
	host := u.Hostname()
	of, err := url.Parse(iss)
	return slices.Contains(plain, host) || err == nil && (strings.EqualFold(of.Hostname(), host) || Local(of.Hostname()))
}

type issuerKey struct{}

// WithIssuer marks the requests under ctx as ones to URLs that the metadata of iss names, for a client by Careful.
func WithIssuer(ctx context.Context, iss string) context.Context {
	return context.WithValue(ctx, issuerKey{}, iss)
}

// Careful changes the transport of c so that requests under WithIssuer fail with ErrLocal where Discovered forbids their URL.
// If the transport is an *http.Transport, which is cloned, it also checks the address that such a request is about to connect
// to: before it connects, or, where the transport has a function of its own to dial, before anything is sent. The address is
// not checked if plain lists the host or the issuer is Local or has the same host, if a proxy makes the connection, or if the
// transport is of another type. Connections are not shared with other requests. Careful returns c.
func Careful(c *http.Client, plain []string) *http.Client {
	inner := c.Transport
	if inner == nil {
		inner = http.DefaultTransport
	}
	t := &careful{inner: inner, plain: slices.Clone(plain)}
	if own, ok := inner.(*http.Transport); ok && own != nil {
		t.proxy, t.checked = own.Proxy, checked(own)
	}
	c.Transport = t
	return c
}

type careful struct {
	inner   http.RoundTripper
	plain   []string
	proxy   func(*http.Request) (*url.URL, error) // of inner; may be nil
	checked *http.Transport                       // inner with a check of addresses; nil where there can be none
}

// RoundTrip implements http.RoundTripper.
func (t *careful) RoundTrip(req *http.Request) (*http.Response, error) {
	iss, ok := req.Context().Value(issuerKey{}).(string)
	if !ok || vouched(req.URL, iss, t.plain) {
		return t.inner.RoundTrip(req)
	}
	if !isElsewhere(req.URL.Hostname()) {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, ErrLocal
	}
	if t.checked == nil || t.proxied(req) {
		return t.inner.RoundTrip(req)
	}
	return t.checked.RoundTrip(req)
}

// proxied reports whether a proxy makes the connection, or it is not known whether one would: inner then says why.
func (t *careful) proxied(req *http.Request) bool {
	if t.proxy == nil {
		return false
	}
	by, err := t.proxy(req)
	return err != nil || by != nil
}

// CloseIdleConnections closes those of the transports inside: see http.Client.
func (t *careful) CloseIdleConnections() {
	if closer, ok := t.inner.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
	if t.checked != nil {
		t.checked.CloseIdleConnections()
	}
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// checked returns a copy of t, without a proxy, that connects to no address of this machine or its link.
func checked(t *http.Transport) *http.Transport {
	c := t.Clone()
	c.Proxy = nil
	switch {
	case t.DialContext != nil:
		c.DialContext = checkedAfter(t.DialContext)
	case t.Dial != nil: //nolint:staticcheck // it may be set
		c.DialContext = checkedAfter(withoutContext(t.Dial)) //nolint:staticcheck // as above
	default:
		dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, Control: control}
		c.DialContext = dialer.DialContext
		c.ForceAttemptHTTP2 = true // as it does without a function to dial
	}
	c.Dial = nil //nolint:staticcheck // as above
	if t.DialTLSContext != nil {
		c.DialTLSContext = checkedAfter(t.DialTLSContext)
	} else if t.DialTLS != nil { //nolint:staticcheck // as above
		c.DialTLSContext = checkedAfter(withoutContext(t.DialTLS)) //nolint:staticcheck // as above
	}
	c.DialTLS = nil //nolint:staticcheck // as above
	return c
}

// What http.DefaultTransport has.
const (
	dialTimeout = 30 * time.Second
	keepAlive   = 30 * time.Second
)

func withoutContext(dial func(network, addr string) (net.Conn, error)) dialFunc {
	return func(_ context.Context, network, addr string) (net.Conn, error) { return dial(network, addr) }
}

// control refuses an address before it is connected to. It gets addresses, never names.
func control(_, address string, _ syscall.RawConn) error {
	if to, err := netip.ParseAddrPort(address); err != nil || isLocal(to.Addr()) {
		return ErrLocal
	}
	return nil
}

// checkedAfter refuses a connection that dial has made to an address of this machine or its link.
func checkedAfter(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil || conn == nil {
			return conn, err
		}
		if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok && isLocal(tcp.AddrPort().Addr()) {
			_ = conn.Close()
			return nil, ErrLocal
		}
		return conn, nil
	}
}
