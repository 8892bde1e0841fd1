package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/provider"
	"github.com/regionjwt/regionjwt/internal/limit"
)

// What a verifier allows itself: jwks has these bounds, too.
const (
	maxDocument  = limit.KeySetBytes // bytes; one more shows that a document is longer
	verifierWait = 5 * time.Second   // for all URLs of a set
	urlWait      = 2 * time.Second   // for one URL, while another is untried
	atOnce       = 32                // requests of a drill
)

// record is what a URL has answered, or why it has not.
type record struct {
	url         string // as a request has it
	err         error  // of the exchange; nil if there is a whole answer
	status      int
	contentType string
	body        []byte
	took        time.Duration
	certificate *certificate  // nil if none was seen
	date        time.Time     // of the server, by its Date header; zero if there is none
	ahead       time.Duration // how far the server's clock was ahead of this one, if there is a date
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
		r.compareClocks(resp, began, time.Now())
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
		r.body = make([]byte, maxDocument+1) // it is not read
		return
	}
	r.body, r.err = io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
}

// compareClocks compares the Date of an answer, which has whole seconds, with the time at which it was made: between the request
// and the first byte of the answer.
func (r *record) compareClocks(resp *http.Response, sent, got time.Time) {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	r.date = date
	switch {
	case date.Add(time.Second).Before(sent):
		r.ahead = date.Add(time.Second).Sub(sent)
	case date.After(got):
		r.ahead = date.Sub(got)
	}
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
		unknownCA x509.UnknownAuthorityError
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
	case errors.As(err, &unknownCA) && unknownCA.Cert != nil:
		return newCertificate(unknownCA.Cert.NotAfter, "unknown_authority", now)
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
	case r == nil || (*p.lost.Load())[provider.HostPort(req.URL)]:
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
