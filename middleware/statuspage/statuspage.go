// Package statuspage shows operators and machines how the regions of the authorities stand: a page for people, JSON, and health
// endpoints for load balancers and DNS health checks. All of it is answered from memory: no request causes one to somewhere
// else, and the page needs nothing but itself, no script either.
//
//	/                            the page; JSON where Accept prefers application/json
//	/status.json                 a Document
//	/health                      200 where tokens can be judged here: every authority has usable keys and the rules are known
//	/health/{region}             200 where the region is healthy for every authority that has it
//	/health/{authority}/{region} 200 where the region is healthy for that authority
//	/active/{region}             200 where the region is active for every authority that has it and a Controller
//	/active/{authority}/{region} 200 where the region is active for that authority
//
// A Page is mounted at the root of a listener as it is, and elsewhere by http.StripPrefix, best at a path that ends in a slash.
// Names in paths are percent-encoded where they hold a slash. Only GET and HEAD are answered, else 405; what is not known is
// 404.
//
// # Health checks
//
// The endpoints of health answer 200 or 503 with a first line of plain text: "status: healthy" or "status: unhealthy"; those
// under /active "status: active" or "status: inactive". A health check that looks for text in the answer has to look for the
// whole line, as the one word is part of the other.
//
// The health of a region is that by the evidence of its Controller. Where there is none, or it has too little evidence, a
// region is unhealthy while every one of its key sets has failed to be fetched three times in a row. That says less than a
// probe does, and later: keys are asked for every 15 minutes, unless jwks.Config.Refresh says otherwise; another region may
// have answered in its stead; and without Run nobody asks for keys while no token comes. failover.Config.Probe looks every few
// seconds. A region of which nothing is known is healthy.
//
// All of this is the opinion of one process. Its own network may be what is broken, and tokens of a region that is dark verify
// from memory all the same. So one instance must not move a domain: point a DNS health check at an address that balances over
// the fleet, or combine the checks of several instances, and let it fail only after several answers. Route 53 asks every 10 or
// 30 s from many places, takes 2xx and 3xx for healthy, and speaks no TLS above 1.2.
//
// # Who may see it
//
// A Page does not authenticate anybody. It shows the names of authorities and regions, the URLs of key sets without their
// queries, key IDs, and what operators gave as reasons; never anything of a token, and of rules their number only. Serve it on
// an internal listener, or behind httpauth.
package statuspage

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
)

// Keys says how key sets stand: a *jwks.Cache.
type Keys interface{ Status() []jwks.Status }

// Controller says which region of an authority is active: a *failover.Controller.
type Controller interface{ State() failover.State }

// Rules says how the break-glass rules stand: a *revocation.List.
type Rules interface{ Status() revocation.Status }

// Config configures a Page. Keys or Controllers are required. What is set has to answer from memory and be safe for concurrent
// use; it is asked once a second at most, however many requests come. While a part panics, everything is answered with 503.
type Config struct {
	// Keys says how the key sets stand. Nil means that no keys are shown.
	Keys Keys
	// Controllers lists at most one for each authority.
	Controllers []Controller
	// Rules says how the break-glass rules stand. Nil means that there are none.
	Rules Rules
	// AllowUnknownRules is what it is in revocation.Config: /health then does not mind that the rules are not known.
	AllowUnknownRules bool
	// Events are the last events to show. Nil means none.
	Events *Events

	// Title names the service. "" means "Regions".
	Title string
	// Reload is the time after which the page loads itself again, in whole seconds; JSON does not. 0 means that it does not.
	Reload time.Duration
}

// Bounds of what is shown.
const (
	MaxAuthorities = 200 // authorities in one answer; those in trouble come first
	MaxEvents      = 50  // events that Events keeps

	maxKeyIDs      = 10 // of a key set
	maxSkipped     = 10 // keys of a key set
	maxName        = 64 // characters of a key ID
	failingAfter   = 3  // failures in a row
	maxTitle       = 200
	defaultTitle   = "Regions"
	pictureMaxAge  = time.Second
	minReload      = time.Second
	plainText      = "text/plain; charset=utf-8"
	applicationJSN = "application/json"
)

// Page is an http.Handler. It is safe for concurrent use. What it shows is at most a second old, but for the events. The zero
// Page answers 503.
type Page struct {
	config Config
	latest atomic.Pointer[snapshot]
	flight singleflight.Group // has one request ask, while the others wait for it
}

// New returns a Page, or everything that is wrong with c as one joined error. It asks each Controller for its authority, and
// starts nothing.
func New(c Config) (*Page, error) {
	var errs []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("statuspage: "+format, args...))
		}
	}
	add(c.Keys == nil && len(c.Controllers) == 0, "neither Keys nor Controllers are set")
	add(nils.Typed(c.Keys), "Keys is a nil pointer or function")
	add(nils.Typed(c.Rules), "Rules is a nil pointer or function")
	c.Controllers = slices.Clone(c.Controllers)
	seen := map[string]bool{}
	for i, f := range c.Controllers {
		if nils.Is(f) {
			add(true, "Controllers[%d] is nil", i)
			continue
		}
		var id string
		if p := guard.Call("Controllers["+strconv.Itoa(i)+"]", func() { id = f.State().Provider }); p != nil {
			add(true, "%w", p)
			continue
		}
		if id == "" {
			add(true, "Controllers[%d] has no authority: make it with failover.New", i)
			continue
		}
		add(seen[id], "authority %q has two Controllers", id)
		seen[id] = true
	}
	add(c.Reload < 0 || c.Reload > 0 && c.Reload < minReload, "Reload is less than a second")
	add(len(c.Title) > maxTitle, "Title is longer than %d octets", maxTitle)
	if c.Title == "" {
		c.Title = defaultTitle
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Page{config: c}, nil
}

// snapshot returns how things stand, as seen less than a second ago. The larger of monotonic and wall time counts, so that a
// process that was frozen looks again.
func (p *Page) snapshot() *snapshot {
	now := time.Now()
	if last := p.latest.Load(); last != nil {
		elapsed := now.Round(0).Sub(last.at.Round(0))
		if elapsed >= 0 && max(elapsed, now.Sub(last.at)) < pictureMaxAge {
			return last
		}
	}
	made, _, _ := p.flight.Do("", func() (any, error) {
		now := time.Now()
		made := &snapshot{at: now, broken: true}
		// A goroutine of its own keeps a part that ends its goroutine from ending those of all requests that wait.
		guard.Report(guard.Apart("a part of the status page", func() { made = p.config.look(now) }))
		p.latest.Store(made)
		return made, nil
	})
	return made.(*snapshot)
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	if p == nil || p.config.Keys == nil && len(p.config.Controllers) == 0 { // New has not made it
		answer(w, r, http.StatusServiceUnavailable, plainText, []byte("status: unknown\n"))
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		answer(w, r, http.StatusMethodNotAllowed, plainText, []byte("method not allowed\n"))
		return
	}
	if p.snapshot().broken {
		answer(w, r, http.StatusServiceUnavailable, plainText, []byte("status: unknown\n"))
		return
	}
	path := segments(r.URL)
	switch {
	case len(path) == 1 && path[0] == "":
		h.Set("Vary", "Accept")
		p.serveStatus(w, r, prefersJSON(r.Header.Values("Accept")))
	case len(path) == 1 && path[0] == "status.json":
		p.serveStatus(w, r, true)
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

// prefersJSON reports whether an Accept header gives application/json more weight than text/html, or the same and names it while
// it does not name text/html: RFC 9110, section 12.5.1.
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
		case applicationJSN:
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
