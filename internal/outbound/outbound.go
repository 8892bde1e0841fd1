// Package outbound is what the requests of this module have in common, whatever they ask for: where they may go, which client
// sends them, how much of an answer is read, and what a failure is called. Its functions keep nothing and are safe for
// concurrent use.
package outbound

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/limit"
)

// Allowed reports whether a request may go to u: over https, or over http to a loopback host or one of plain, which lists hosts
// without port. A URL with user information is never allowed, and neither is one without a host.
func Allowed(u *url.URL, plain []string) bool {
	host := u.Hostname()
	if host == "" || u.User != nil {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && (Loopback(host) || slices.Contains(plain, host))
}

// Loopback reports whether host, without a port, names this machine: localhost, or an address in 127.0.0.0/8 or ::1.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// Client returns a copy of c, or a client over own where c is nil, that follows no redirect and keeps no cookies. A nil own is
// http.DefaultTransport.
func Client(c *http.Client, own http.RoundTripper) *http.Client {
	client := &http.Client{Transport: own}
	if c != nil {
		copied := *c
		client = &copied
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	return client
}

// Transport returns a transport for a few requests to a few hosts. It honours the proxy variables of the environment, keeps two
// idle connections to a host, each for as long as idle, gives a TLS handshake as long as handshake, and reads at most 64 KiB of
// headers.
func Transport(handshake, idle time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        idle,
		TLSHandshakeTimeout:    handshake,
		MaxResponseHeaderBytes: limit.HeaderBytes,
	}
}
