package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/internal/outbound"
)

// Reach says how a provider is reached.
type Reach struct {
	CA         string
	Resolve    cli.List
	PlainHosts cli.List
}

// Define defines the flags.
func (f *Reach) Define(c *cli.Call) {
	c.File(&f.CA, "ca", "`file` of certificates in PEM that are trusted besides those of the system")
	c.List(&f.Resolve, "resolve",
		"`HOST:PORT=ADDR` dials another address for a host, without a proxy: to try a region before DNS is moved")
	c.List(&f.PlainHosts, "insecure-http-host",
		"`host` whose keys the services fetch over plain http: everyone on the path can make them trust any key")
}

// Client returns an HTTP client that dials as the flags say. Like that of a verifier, it follows no metadata to this machine or
// its link, unless the flags name the host.
func (f *Reach) Client(timeout time.Duration) (*http.Client, error) {
	addresses, named := map[string]string{}, slices.Clone(f.PlainHosts)
	for _, value := range f.Resolve {
		where, address, ok := strings.Cut(value, "=")
		host, port, err := net.SplitHostPort(where)
		if !ok || err != nil || host == "" || port == "" {
			return nil, cli.Fail(cli.ExitUsage, "--resolve is HOST:PORT=ADDR, such as idp.example:443=192.0.2.7")
		}
		if addr, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil {
			address = net.JoinHostPort(addr.String(), port)
		} else if _, err := netip.ParseAddrPort(address); err != nil {
			return nil, cli.Fail(cli.ExitUsage, "--resolve is HOST:PORT=ADDR, and ADDR an IP address, with or without a port")
		}
		addresses[strings.ToLower(net.JoinHostPort(host, port))] = address
		named = append(named, host, strings.ToLower(host))
	}
	roots, err := f.roots()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			if addresses[HostPort(r.URL)] != "" {
				return nil, nil //nolint:nilnil // no proxy
			}
			return http.ProxyFromEnvironment(r)
		},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if other := addresses[strings.ToLower(address)]; other != "" {
				address = other
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: limit.HeaderBytes,
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return outbound.Careful(&http.Client{Transport: transport, CheckRedirect: noRedirect}, named), nil
}

// roots are the certificates that are trusted; nil means those of the system.
func (f *Reach) roots() (*x509.CertPool, error) {
	if f.CA == "" {
		return nil, nil //nolint:nilnil // those of the system
	}
	text, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage, "--ca: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, cli.Fail(cli.ExitUsage, "--ca: the file holds no certificate in PEM")
	}
	return pool, nil
}

// HostPort is the host and port that a request for a URL dials.
func HostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
	}
	if port == "" {
		port = "443"
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}
