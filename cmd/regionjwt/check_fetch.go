package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/regionjwt/regionjwt/internal/outbound"
)

// What a verifier allows itself: jwks has these bounds, too.
const (
	maxDocument  = 256 << 10       // octets; one more shows that a document is longer
	verifierWait = 5 * time.Second // for all mirrors of a set
	mirrorWait   = 2 * time.Second // for one mirror, while another is untried
	atOnce       = 32              // requests of a drill
)

// client is an HTTP client that dials as the flags say. Like that of a verifier, it follows no metadata to this machine or its
// link, unless the flags name the host.
func (f *drillFlags) client() (*http.Client, error) {
	addresses, named := map[string]string{}, slices.Clone(f.plainHosts)
	for _, value := range f.resolve {
		where, address, ok := strings.Cut(value, "=")
		host, port, err := net.SplitHostPort(where)
		if !ok || err != nil || host == "" || port == "" {
			return nil, fail(exitUsage, "-resolve is HOST:PORT=ADDR, such as idp.example:443=192.0.2.7")
		}
		if addr, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil {
			address = net.JoinHostPort(addr.String(), port)
		} else if _, err := netip.ParseAddrPort(address); err != nil {
			return nil, fail(exitUsage, "-resolve is HOST:PORT=ADDR, and ADDR an IP address, with or without a port")
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
			if addresses[dialled(r.URL)] != "" {
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
		TLSHandshakeTimeout:    f.timeout,
		MaxResponseHeaderBytes: 64 << 10,
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return outbound.Careful(&http.Client{Transport: transport, CheckRedirect: refuse}, named), nil
}

// roots are the certificates that are trusted; nil means those of the system.
func (f *drillFlags) roots() (*x509.CertPool, error) {
	if f.ca == "" {
		return nil, nil //nolint:nilnil // those of the system
	}
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fail(exitUsage, "-ca: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fail(exitUsage, "-ca: the file holds no certificate in PEM")
	}
	return pool, nil
}

// dialled is the host and port of a URL.
func dialled(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
	}
	if port == "" {
		port = "443"
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// record is what a URL has answered, or why it has not.
type record struct {
	url         string // as a request has it
	err         error  // of the exchange; nil where there is a whole answer
	status      int
	contentType string
	body        []byte
	took        time.Duration
	certificate *certificate // nil where none was seen
}

// certificate is what a server has shown.
type certificate struct {
	Expires time.Time `json:"expires"`
	Days    int       `json:"days_left"`
	Flaw    string    `json:"flaw,omitempty"` // expired, not_yet_valid, unknown_authority, wrong_host, invalid
}

// fetch gets one document.
func fetch(ctx context.Context, client *http.Client, rawURL string, limit time.Duration) *record {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r := &record{url: rawURL}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		r.err = err
		return r
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	began := time.Now()
	resp, err := client.Do(req)
	if err == nil {
		r.take(resp)
		_ = resp.Body.Close()
	} else {
		r.certificate = flawed(err, began)
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		r.err = err
	}
	r.took = time.Since(began)
	return r
}

// take reads an answer, as much of it as a verifier would look at.
func (r *record) take(resp *http.Response) {
	r.status, r.contentType = resp.StatusCode, resp.Header.Get("Content-Type")
	if resp.TLS != nil {
		r.certificate = shown(resp.TLS)
	}
	if resp.StatusCode != http.StatusOK {
		return
	}
	if resp.ContentLength > maxDocument {
		r.body = make([]byte, maxDocument+1) // nobody would read it
		return
	}
	r.body, r.err = io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
}

// shown is the certificate chain of a connection: it ends with the first certificate to end, in the chain that lasts longest.
func shown(state *tls.ConnectionState) *certificate {
	var best time.Time
	for _, chain := range state.VerifiedChains {
		end := chain[0].NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if end.After(best) {
			best = end
		}
	}
	if best.IsZero() {
		return nil
	}
	return newCertificate(best, "", time.Now())
}

func newCertificate(end time.Time, flaw string, now time.Time) *certificate {
	return &certificate{Expires: end.UTC(), Days: int(end.Sub(now) / (24 * time.Hour)), Flaw: flaw}
}

// flawed is the certificate that a connection was given up for, or nil.
func flawed(err error, now time.Time) *certificate {
	var (
		invalid   x509.CertificateInvalidError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		verify    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return newCertificate(invalid.Cert.NotAfter, "not_yet_valid", now)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return newCertificate(invalid.Cert.NotAfter, "expired", now)
	case errors.As(err, &invalid) && invalid.Cert != nil:
		return newCertificate(invalid.Cert.NotAfter, "invalid", now)
	case errors.As(err, &authority) && authority.Cert != nil:
		return newCertificate(authority.Cert.NotAfter, "unknown_authority", now)
	case errors.As(err, &hostname) && hostname.Certificate != nil:
		return newCertificate(hostname.Certificate.NotAfter, "wrong_host", now)
	case errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0:
		return newCertificate(verify.UnverifiedCertificates[0].NotAfter, "invalid", now)
	}
	return nil
}

// records are what all URLs have answered.
type records struct {
	mu    sync.Mutex
	byURL map[string]*record
	slots chan struct{}
}

// add notes an answer under the name that a request for it has.
func (rs *records) add(r *record) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.byURL[requestURL(r.url)] = r
}

// of returns what a URL has answered, or nil.
func (rs *records) of(rawURL string) *record {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.byURL[requestURL(rawURL)]
}

// requestURL is a URL as the http package has it in a request: the colon of an empty port is gone.
func requestURL(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL
	}
	if u.Port() == "" {
		u.Host = strings.TrimSuffix(u.Host, ":")
	}
	return u.String()
}

// replay gives a verifier the answers that were recorded, and none of the hosts that are lost.
type replay struct {
	records *records
	lost    atomic.Pointer[map[string]bool] // by host and port
}

func (rs *records) replay(lost map[string]bool) *replay {
	p := &replay{records: rs}
	p.lost.Store(&lost)
	return p
}

// RoundTrip implements http.RoundTripper.
func (p *replay) RoundTrip(req *http.Request) (*http.Response, error) {
	r := p.records.of(req.URL.String())
	switch {
	case r == nil || (*p.lost.Load())[dialled(req.URL)]:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case r.err != nil:
		return nil, r.err
	case r.took > verifierWait:
		return nil, os.ErrDeadlineExceeded
	}
	header := http.Header{}
	if r.contentType != "" {
		header.Set("Content-Type", r.contentType)
	}
	return &http.Response{
		Status: http.StatusText(r.status), StatusCode: r.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(r.body)), ContentLength: int64(len(r.body)), Request: req,
	}, nil
}
