package clientcredentials

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/regionjwt/regionjwt/internal/outbound"
)

// maxDrain is how much of a 401 is read, so that its connection can be used again.
const maxDrain = 16 << 10

// TransportConfig configures a round tripper that presents tokens. Origins are required.
type TransportConfig struct {
	// Base sends the requests. Nil means http.DefaultTransport.
	Base http.RoundTripper

	// Origins lists to whom tokens are presented: "https://api.example.com", with a port where it is not the scheme's. Requests
	// to others, which a redirect may lead to, go out as they are, without a token.
	Origins []string

	// InsecureHTTPHosts lists hosts, without port, to whom tokens are presented over plain http, too. Loopback hosts need not be
	// listed. Whoever is on the path to such a host can use the tokens.
	InsecureHTTPHosts []string
}

// Transport returns a round tripper that presents the source's token to the origins of c (RFC 6750, section 2.1), in the place
// of any Authorization of the request. It reports everything that is wrong with c at once.
//
// After status 401 it presents another token, once, where Reject has it that there is one, and where the request has no body or
// one with GetBody. Where no token can be had, the request is not sent, and the error is that of Token.
func (s *Source) Transport(c TransportConfig) (http.RoundTripper, error) {
	if !s.made() {
		return nil, errNotMade
	}
	t := &transport{source: s, base: c.Base, origins: map[string]bool{}}
	if t.base == nil {
		t.base = http.DefaultTransport
	}
	var errs []error
	if len(c.Origins) == 0 {
		errs = append(errs, errors.New("clientcredentials: no Origins"))
	}
	for _, o := range c.Origins {
		u, err := url.Parse(o)
		switch {
		case err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || strings.ContainsAny(o, "?#"):
			errs = append(errs, fmt.Errorf("clientcredentials: Origins: %q is not an origin", o))
		case outbound.Allowed(u, c.InsecureHTTPHosts):
			t.origins[origin(u)] = true
		default:
			errs = append(errs, fmt.Errorf("clientcredentials: Origins: %q: https is required", o))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

// origin is the scheme, host and port of u: RFC 6454, section 4.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

type transport struct {
	source  *Source
	base    http.RoundTripper
	origins map[string]bool
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || !t.origins[origin(req.URL)] {
		return t.base.RoundTrip(req)
	}
	token, err := t.source.Token(req.Context())
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.base.RoundTrip(present(req, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	replaceable := t.source.Reject(token)
	if !replaceable || req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return resp, nil
	}
	another, err := t.source.Token(req.Context())
	if err != nil || another == token {
		return resp, nil // what the server said tells the caller more
	}
	again := present(req, another)
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return resp, nil
		}
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	_ = resp.Body.Close()
	return t.base.RoundTrip(again)
}

// present returns a copy of req with the token.
func present(req *http.Request, token *Token) *http.Request {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token.Value())
	return req
}

// CloseIdleConnections has http.Client.CloseIdleConnections reach the base.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
