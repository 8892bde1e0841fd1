// Package statuspage shows operators and machines the state of a Validator: a page for people, JSON, and health endpoints for
// load balancers and DNS health checks. All answers come from memory: no request causes another one, and the page has no script
// and loads nothing from elsewhere.
//
//	/                            the page; JSON if Accept prefers application/json
//	/status.json                 a regionjwt.Status
//	/rules.json                  the revocation rules, as "regionjwt rules restore" reads them
//	/health                      200 if tokens can be verified here: regionjwt.Status.Ready
//	/health/{region}             200 if the region is healthy for every provider that has it
//	/health/{provider}/{region}  200 if the region is healthy for that provider
//	/active/{region}             200 if the region is active for every provider that has it and fails over
//	/active/{provider}/{region}  200 if the region is active for that provider
//
// The handler can be mounted at the root of a listener, or elsewhere with http.StripPrefix, best at a path that ends in a slash.
// A slash in a name is percent-encoded in paths. Methods other than GET and HEAD are answered with 405, unknown names with 404.
//
// # The page and the JSON
//
// An answer has up to 200 providers, those with problems first. With "?provider=ID" it has that provider, or the status is 404.
// With "?after=ID" it has the providers with a greater ID, in the order of their IDs; "?after=" starts. If there are more, a Link
// header with rel="next" (RFC 8288) has the address of the next answer. With "?reload=30" the page reloads every 30 seconds.
//
// In the JSON, URLs have no query, key IDs are cut after 64 characters, and lists of keys after 100 entries. The page also shows
// the last 50 changes of the active region, of health, pins, stores and rules since Handler was called.
//
// # Health checks
//
// The health endpoints answer 200 or 503 with one line of plain text: "status: healthy" or "status: unhealthy", and under /active
// "status: active" or "status: inactive". A health check that searches for text must search for the whole line, because
// "unhealthy" contains "healthy".
//
// The health of a region comes from the reports to the failover controller of the provider. If there is none, or it has too few
// reports, a region is unhealthy while each of its JWKS URLs has failed three times in a row. This says less than a probe does,
// and later: key sets are fetched every 15 minutes by default, only one of several URLs may be fetched, and without
// Validator.Run only tokens cause fetches. failover.Config.ProbeInterval checks every few seconds. A region is healthy as long as
// nothing is known about it.
//
// All of this is the view of one process. Its own network may be the part that fails, and tokens of an unavailable region still
// verify with keys in memory. One instance must not move a domain: point a DNS health check at an address that balances over the
// fleet, or combine the checks of several instances, and let it fail only after several answers. Route 53 sends a request every
// 10 or 30 s from many places, accepts 2xx and 3xx, and has no TLS above 1.2.
//
// # Who may see it
//
// The handler does not authenticate requests. It shows the names of providers and regions, JWKS URLs without queries, key IDs,
// and the notes of operators about pins. It shows nothing from tokens. Only /rules.json has more than the number of the
// revocation rules: subjects, clients, sessions, tokens and notes that rules name. Serve the handler on an internal listener, or
// behind httpauth, and /rules.json to operators only.
package statuspage

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/revocation"
)

const (
	maxProviders = 200 // in one answer
	maxEvents    = 50  // that are kept

	maxKeyIDs = 10  // of a JWKS URL on the page
	maxListed = 100 // keys of a JWKS URL in the JSON
	maxName   = 64  // characters of a key ID
	maxReload = 24 * 60 * 60

	failingAfter = 3 // failures in a row

	snapshotMaxAge  = time.Second
	defaultTitle    = "Regions"
	plainText       = "text/plain; charset=utf-8"
	applicationJSON = "application/json"
)

// Handler returns a handler for the paths above. The title is the name of the service; "" means "Regions". The handler is safe
// for concurrent use. It reads the state of v at most once a second, and observes v for as long as v exists: call Handler once.
// Handler panics if v is nil. For a Validator that New has not made, the handler answers that nothing is healthy.
func Handler(v *regionjwt.Validator, title string) http.Handler {
	if v == nil {
		//nolint:forbidigo // at start: there is no error to return
		panic("statuspage.Handler: the Validator is nil: make it with regionjwt.New")
	}
	p := newPage(v.Status, title)
	if list := v.Revocation(); list != nil {
		p.rules = list.Rules
	}
	v.Observe(p.events.observer())
	return p
}

// page is the handler.
type page struct {
	status func() regionjwt.Status
	rules  func() []revocation.Rule // nil if there are none
	title  string
	events events
	latest atomic.Pointer[snapshot]
	calls  singleflight.Group // one request reads the status, while the others wait for it
}

func newPage(status func() regionjwt.Status, title string) *page {
	if title == "" {
		title = defaultTitle
	}
	return &page{status: status, title: title}
}

// snapshot returns the state of less than a second ago, by both the monotonic clock and the wall clock, so that a process that
// was frozen reads the state again.
func (p *page) snapshot() *snapshot {
	now := time.Now()
	if last := p.latest.Load(); last != nil {
		elapsed := now.Round(0).Sub(last.at.Round(0))
		if elapsed >= 0 && max(elapsed, now.Sub(last.at)) < snapshotMaxAge {
			return last
		}
	}
	made, _, _ := p.calls.Do("", func() (any, error) {
		made := newSnapshot(p.status(), time.Now())
		p.latest.Store(made)
		return made, nil
	})
	return made.(*snapshot)
}

// ServeHTTP implements http.Handler.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		answer(w, r, http.StatusMethodNotAllowed, plainText, []byte("method not allowed\n"))
		return
	}
	path := segments(r.URL)
	switch {
	case len(path) == 1 && path[0] == "":
		h.Set("Vary", "Accept")
		p.serveStatus(w, r, prefersJSON(r.Header.Values("Accept")))
	case len(path) == 1 && path[0] == "status.json":
		p.serveStatus(w, r, true)
	case len(path) == 1 && path[0] == "rules.json" && p.rules != nil:
		p.serveRules(w, r)
	case len(path) <= 3 && path[0] == "health":
		p.serveHealth(w, r, path[1:])
	case len(path) > 1 && len(path) <= 3 && path[0] == "active":
		p.serveActive(w, r, path[1:])
	default:
		answer(w, r, http.StatusNotFound, plainText, []byte("not found\n"))
	}
}

// segments splits a path at its slashes, but not at those that are percent-encoded.
func segments(u *url.URL) []string {
	all := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	for i, s := range all {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return []string{"", ""} // which is no path here
		}
		all[i] = plain
	}
	return all
}

// answer writes an answer; to HEAD, its header.
func answer(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// prefersJSON reports whether an Accept header gives application/json more weight than text/html, or the same weight and names
// application/json more precisely (RFC 9110 section 12.5.1).
func prefersJSON(accept []string) bool {
	type weight struct{ quality, precision float64 }
	var json, html weight
	consider := func(w *weight, precision, quality float64) {
		if precision > w.precision {
			*w = weight{quality, precision}
		}
	}
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, parameters, _ := strings.Cut(strings.ToLower(item), ";")
		quality := 1.0
		for p := range strings.SplitSeq(parameters, ";") {
			if q, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
				quality, _ = strconv.ParseFloat(q, 64)
			}
		}
		switch strings.TrimSpace(name) {
		case applicationJSON:
			consider(&json, 3, quality)
		case "application/*":
			consider(&json, 2, quality)
		case "text/html":
			consider(&html, 3, quality)
		case "text/*":
			consider(&html, 2, quality)
		case "*/*":
			consider(&json, 1, quality)
			consider(&html, 1, quality)
		}
	}
	if json.quality == html.quality {
		return json.quality > 0 && json.precision > html.precision
	}
	return json.quality > html.quality
}
