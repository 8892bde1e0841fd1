package jwks

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/outbound"
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
	ClassDiscovery Class = "discovery"     // the discovery document names another issuer, or a jwks_uri that is not allowed
)

// FetchError says why a fetch gave no good answer. It holds nothing that the server sent but the status.
type FetchError struct {
	Class      Class
	Status     int           // for ClassStatus
	RetryAfter time.Duration // what the server asked for, at most a minute; 0 where it did not

	detail string // of the class; a constant
}

// Error returns the class, with the status or more detail where there is any.
func (e *FetchError) Error() string {
	if e.Class == ClassStatus {
		return fmt.Sprintf("status %d", e.Status)
	}
	if e.detail != "" {
		return string(e.Class) + ": " + e.detail
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
		retry := outbound.RetryAfter(resp.Header, time.Unix(0, c.clock().wall), maxRetryAfter)
		return none, &FetchError{Class: ClassStatus, Status: resp.StatusCode, RetryAfter: retry}
	}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t == "text/html" {
		return none, fail(ClassHTML)
	}
	if resp.ContentLength > maxBody {
		return none, fail(ClassTooLarge)
	}
	body, err := outbound.Body(resp.Body, maxBody)
	if err != nil {
		return none, classify(ctx, err)
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

// classify names the failure of a request: the classes have the names of the faults.
func classify(ctx context.Context, err error) *FetchError {
	if errors.Is(err, outbound.ErrLocal) {
		return &FetchError{Class: ClassDiscovery, detail: outbound.ErrLocal.Error()}
	}
	return fail(Class(outbound.Classify(ctx, err)))
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
