package clientcredentials

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/outbound"
)

// maxDrain is how much of a 401 is read, so that its connection can be used again.
const maxDrain = 16 << 10

// Transport returns a RoundTripper that adds a token of s to requests to the given origins ("https://api.example.com", with a
// port if it is not that of the scheme), in place of any Authorization of the request: RFC 6750, section 2.1. Requests to other
// origins, which a redirect may lead to, are sent as they are, without a token. A nil base means http.DefaultTransport. An
// origin is https, or http on a loopback host or one of Config.InsecureHTTPHosts; at least one is required. The error is every
// problem, joined.
//
// With Config.DPoPKey the token is sent with a proof for the request (RFC 9449, section 7), and once more with a nonce if the
// server demands one.
//
// After status 401 the request is sent once more with another token, if Invalidate reports that there is one, and if the
// request has no body or one with GetBody. If no token can be had, the request is not sent, and the error is that of Token.
func (s *TokenSource) Transport(base http.RoundTripper, origins ...string) (http.RoundTripper, error) {
	if !s.made() {
		return nil, errNotMade
	}
	t := &transport{source: s, base: base, origins: map[string]bool{}}
	var errs []error
	switch {
	case base == nil:
		t.base = http.DefaultTransport
	case nils.Typed(base):
		errs = append(errs, errors.New("clientcredentials: the base of the Transport is a nil pointer"))
	}
	if len(origins) == 0 {
		errs = append(errs, errors.New("clientcredentials: the Transport needs an origin"))
	}
	for _, o := range origins {
		u, err := url.Parse(o)
		switch {
		case err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || strings.ContainsAny(o, "?#"):
			errs = append(errs, fmt.Errorf("clientcredentials: %q is not an origin", o))
		case outbound.Allowed(u, s.config.InsecureHTTPHosts):
			t.origins[origin(u)] = true
		default:
			errs = append(errs, fmt.Errorf("clientcredentials: origin %q: https is required", o))
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
	source  *TokenSource
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
	resp, err := t.send(req, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	replaceable := t.source.Invalidate(token)
	if !replaceable || !repeatable(req) {
		return resp, nil
	}
	another, err := t.source.Token(req.Context())
	if err != nil || another == token {
		return resp, nil // the answer of the server tells the caller more
	}
	again, err := repeated(req)
	if err != nil {
		return resp, nil
	}
	discard(resp)
	return t.send(again, another)
}

// send sends a request with a token; with a proof once more, if the server demands a nonce (RFC 9449, section 9).
func (t *transport) send(req *http.Request, token *Token) (*http.Response, error) {
	signed, err := t.withToken(req, token)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.base.RoundTrip(signed)
	if err != nil || t.source.tools.prover == nil {
		return resp, err
	}
	learned := t.source.tools.prover.learn(req.URL, resp.Header)
	if resp.StatusCode != http.StatusUnauthorized || !learned || !repeatable(req) {
		return resp, nil
	}
	again, err := repeated(req)
	if err != nil {
		return resp, nil
	}
	if signed, err = t.withToken(again, token); err != nil {
		return resp, nil
	}
	discard(resp)
	return t.base.RoundTrip(signed)
}

// repeatable reports whether a request can be sent again.
func repeatable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// repeated returns a copy of a request that was sent.
func repeated(req *http.Request) (*http.Request, error) {
	again := req.Clone(req.Context())
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		again.Body = body
	}
	return again, nil
}

// discard reads what is left of a short answer, so that its connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	_ = resp.Body.Close()
}

// withToken returns a copy of req with the token, and with a proof if it is bound to a key.
func (t *transport) withToken(req *http.Request, token *Token) (_ *http.Request, err error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", t.source.tokenType()+" "+token.Value())
	prover := t.source.tools.prover
	if prover == nil {
		return req, nil
	}
	if panicked := t.source.guarded("DPoPKey", func() { err = prover.prove(req, token.Value()) }); panicked != nil {
		err = panicked
	}
	return req, err
}

// CloseIdleConnections makes http.Client.CloseIdleConnections reach the base.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
