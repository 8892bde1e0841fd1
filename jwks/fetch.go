package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// Class names what was wrong with an answer, or why there was none.
type Class string

// The classes of failed fetches.
const (
	ClassDNS       Class = "dns"           // the host's name did not resolve
	ClassTLS       Class = "tls"           // no trusted connection
	ClassTimeout   Class = "timeout"       // no whole answer in time
	ClassCanceled  Class = "canceled"      // the cache was closed
	ClassNetwork   Class = "network"       // refused, reset, or any other failure of the connection
	ClassStatus    Class = "status"        // a status other than 200, redirects included
	ClassHTML      Class = "html"          // text/html instead of JSON
	ClassTooLarge  Class = "too_large"     // over 256 KiB after decompression, or over 100 keys
	ClassMalformed Class = "malformed"     // not a strict JSON key set
	ClassNoKeys    Class = "no_usable_key" // a key set without a usable key
	ClassDiscovery Class = "discovery"     // the discovery document names another issuer or no allowed jwks_uri
)

// FetchError says why a fetch gave no good answer. It holds nothing that the server sent but the status.
type FetchError struct {
	Class      Class
	Status     int           // for ClassStatus
	RetryAfter time.Duration // what the server asked for, at most a minute; 0 where it did not
}

// Error returns the class, with the status where there is one.
func (e *FetchError) Error() string {
	if e.Class == ClassStatus {
		return fmt.Sprintf("status %d", e.Status)
	}
	return string(e.Class)
}

func fail(c Class) *FetchError { return &FetchError{Class: c} }

// answer is a good answer of one URL.
type answer struct {
	url     string
	keys    []*jose.Key
	skipped []jose.Skipped
	etag    string
	maxAge  time.Duration // of Cache-Control; 0 where there is none
}

// document is what a server sent with status 200, or that what had the etag is unchanged.
type document struct {
	header    http.Header
	body      []byte
	unchanged bool
}

// get fetches one document. With an etag, the document may be unchanged.
func (c *Cache) get(ctx context.Context, rawURL, etag string) (document, *FetchError) {
	var none document
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return none, fail(ClassNetwork)
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := c.config.Client.Do(req)
	if err != nil {
		return none, classify(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNotModified && etag != "" {
		return document{header: resp.Header, unchanged: true}, nil
	}
	if resp.StatusCode != http.StatusOK {
		return none, &FetchError{Class: ClassStatus, Status: resp.StatusCode, RetryAfter: c.retryAfter(resp.Header)}
	}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t == "text/html" {
		return none, fail(ClassHTML)
	}
	if resp.ContentLength > maxBody {
		return none, fail(ClassTooLarge)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return none, classify(ctx, err)
	}
	if len(body) > maxBody {
		return none, fail(ClassTooLarge)
	}
	return document{header: resp.Header, body: body}, nil
}

// fetchSet fetches a key set. last is what the URL answered before, if it did.
func (c *Cache) fetchSet(ctx context.Context, rawURL string, last *answer) (*answer, *FetchError) {
	etag := ""
	if last != nil && last.url == rawURL {
		etag = last.etag
	}
	doc, failed := c.get(ctx, rawURL, etag)
	if failed != nil {
		return nil, failed
	}
	if doc.unchanged {
		again := *last
		again.maxAge = maxAge(doc.header)
		return &again, nil
	}
	keys, skipped, err := jose.ParseSet(doc.body, c.config.InsecurePublishedKeys)
	switch {
	case errors.Is(err, jose.ErrTooManyKeys):
		return nil, fail(ClassTooLarge)
	case err != nil:
		return nil, fail(ClassMalformed)
	case len(keys) == 0:
		return nil, fail(ClassNoKeys)
	}
	tag := doc.header.Get("ETag")
	if len(tag) > 256 {
		tag = ""
	}
	return &answer{url: rawURL, keys: keys, skipped: skipped, etag: tag, maxAge: maxAge(doc.header)}, nil
}

func classify(ctx context.Context, err error) *FetchError {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		timeout   interface{ Timeout() bool }
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fail(ClassCanceled)
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return fail(ClassTimeout)
	case errors.As(err, &dns):
		return fail(ClassDNS)
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify),
		errors.As(err, &record), errors.As(err, &alert):
		return fail(ClassTLS)
	}
	return fail(ClassNetwork)
}

// maxAge reads the max-age of Cache-Control: RFC 9111, section 5.2.2.1. What it cannot read counts as absent.
func maxAge(h http.Header) time.Duration {
	for part := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
		if err != nil {
			return 0
		}
		return max(time.Duration(seconds)*time.Second, time.Second)
	}
	return 0
}

// retryAfter reads Retry-After, as seconds or as a date: RFC 9110, section 10.2.3.
func (c *Cache) retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(time.Unix(0, c.clock().wall)), 0), maxRetryAfter)
	}
	return 0
}
