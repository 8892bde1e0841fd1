package jwks

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

const (
	graceTime     = time.Second // that code of others has to return after its context has ended
	maxETag       = 256
	maxAgeHeader  = 366 * 24 * time.Hour
	maxRetryAfter = 15 * time.Minute
	fullAfter     = time.Hour // from a whole answer to the next request without a validator: servers may share an ETag
)

// errStuck says that a Store or an HTTP client does not return when its context ends.
var errStuck = errors.New("it does not return although its context has ended")

// failure says why a request gave no good answer. It holds nothing that the server sent but the status.
type failure struct {
	label      string // of package label, without the status
	status     int
	retryAfter time.Duration // that the server asked for
	cause      error         // of this module, if there is more to say
}

// String returns the label, with the status if there is one.
func (f *failure) String() string {
	if f.label == label.HTTP {
		return label.Status(f.status)
	}
	return f.label
}

// Error returns the label and the cause.
func (f *failure) Error() string {
	if f.cause != nil {
		return f.String() + ": " + f.cause.Error()
	}
	return f.String()
}

// refused reports whether the server says that it has no such key set.
func (f *failure) refused() bool {
	return f.status == http.StatusForbidden || f.status == http.StatusNotFound
}

// limited reports whether the server asked for fewer requests.
func (f *failure) limited() bool {
	return f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable && f.retryAfter > 0
}

// outage reports whether the failure shows that the region is unavailable.
func (f *failure) outage() bool {
	return label.Outage(f.String(), f.retryAfter)
}

func fail(what string) *failure { return &failure{label: what} }

// answer is the outcome of a request.
type answer struct {
	url       string // where it came from
	failed    *failure
	unchanged bool
	partial   bool // what it does not list proves nothing: the URL may have moved, or too many keys cannot be used to name them
	keys      []*jose.Key
	skipped   []jose.Skipped
	etag      string
	age       time.Duration
	maxAge    time.Duration // of Cache-Control, less Age; 0 if there is none
}

// unusable returns the entries that cannot be used, except those that say themselves that they do not verify signatures.
func unusable(skipped []jose.Skipped) []keystate.Unusable {
	var all []keystate.Unusable
	for _, k := range skipped {
		if k.Why.NotForSignatures() {
			continue
		}
		all = append(all, keystate.Unusable{
			KeyID: k.KeyID, KeyType: k.KeyType, Algorithm: k.Algorithm, Thumbprint: k.Thumbprint, Policy: k.Why.Policy(),
		})
	}
	return all
}

// document is what a server sent with status 200, or that what had the ETag is unchanged.
type document struct {
	header    http.Header
	body      []byte
	unchanged bool
	html      bool
}

// get fetches one document. With an ETag, the document may be unchanged.
func (q *request) get(ctx context.Context, rawURL, etag string) (document, *failure) {
	var none document
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return none, fail(label.Network)
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json, */*;q=0.5")
	req.Header.Set("User-Agent", outbound.UserAgent)
	if q.noCache {
		req.Header.Set("Cache-Control", "no-cache")
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := q.client.Do(req)
	if err != nil {
		return none, classify(ctx, err)
	}
	if resp == nil || resp.Body == nil {
		return none, fail(label.Network) // of a RoundTripper that breaks its contract
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNotModified && etag != "" {
		return document{header: resp.Header, unchanged: true}, nil
	}
	if resp.StatusCode != http.StatusOK {
		retry := outbound.RetryAfter(resp.Header, time.Unix(0, q.cache.clock().Wall), maxRetryAfter)
		return none, &failure{label: label.HTTP, status: resp.StatusCode, retryAfter: retry}
	}
	most := q.cache.config.MaxKeySetBytes
	if resp.ContentLength > int64(most) {
		return none, fail(label.TooLarge)
	}
	body, err := outbound.Body(resp.Body, most)
	if err != nil {
		return none, classify(ctx, err)
	}
	t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return document{header: resp.Header, body: body, html: t == "text/html"}, nil
}

// malformed names a document that is not what was asked for.
func (d *document) malformed() *failure {
	if d.html {
		return fail(label.HTML)
	}
	return fail(label.Malformed)
}

// fetchSet fetches a key set from a URL.
func (q *request) fetchSet(ctx context.Context, rawURL string) answer {
	tag := ""
	if !q.plain {
		q.set.mu.Lock()
		if known := q.attempt.slot.etag; known != nil && known.url == rawURL && q.beganAt.Since(known.at) < fullAfter {
			tag = known.tag
		}
		q.set.mu.Unlock()
	}
	doc, failed := q.get(ctx, rawURL, tag)
	if failed != nil {
		return answer{failed: failed}
	}
	a := answer{url: rawURL, unchanged: doc.unchanged, age: age(doc.header)}
	a.maxAge = max(maxAge(doc.header)-a.age, 0)
	if doc.unchanged {
		return a
	}
	var err error
	a.keys, a.skipped, err = jose.ParseSet(doc.body, q.cache.config.keyLimits())
	switch {
	case err != nil:
		a.failed = doc.malformed()
	case len(a.keys) == 0:
		a.failed = fail(label.NoKey)
	}
	a.partial = len(a.skipped) >= jose.MaxSkipped
	if tag := doc.header.Get("ETag"); len(tag) <= maxETag {
		a.etag = tag
	}
	return a
}

// classify names the failure of a request.
func classify(ctx context.Context, err error) *failure {
	if errors.Is(err, outbound.ErrLocal) {
		return &failure{label: label.Discovery, cause: outbound.ErrLocal}
	}
	return fail(outbound.Classify(ctx, err))
}

// maxAge reads the max-age of Cache-Control: RFC 9111, section 5.2.2.1. What cannot be read is as if it were absent.
func maxAge(h http.Header) time.Duration {
	for _, line := range h.Values("Cache-Control") {
		for part := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if strings.EqualFold(name, "max-age") {
				return seconds(strings.Trim(value, `"`))
			}
		}
	}
	return 0
}

// age reads Age: RFC 9111, section 5.1. What cannot be read is 0, and so is what no cache can mean.
func age(h http.Header) time.Duration {
	text, _, _ := strings.Cut(h.Get("Age"), ",")
	if d := seconds(strings.TrimSpace(text)); d <= maxAgeHeader {
		return d
	}
	return 0
}

func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
