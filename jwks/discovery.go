package jwks

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

const (
	rediscoverAfter = 24 * time.Hour // a discovery document is read again
	rediscoverRetry = time.Hour      // after it could not be read
	rediscoverLeast = time.Minute    // between two reads for unknown keys; so long a document is believed to be current
	maxJWKSURI      = 2048
)

// discovery is what is known of a URL that is discovered. The set's mutex guards what changes.
type discovery struct {
	issuer string
	url    string     // of the document; "" means the well-known ones of the issuer
	found  string     // jwks_uri; "" until the document was read
	read   clock.Time // when it was last read
	tried  clock.Time // when it was last asked for
	due    clock.Time // when it is read again, whatever happens
}

// address is what the URL's host is known by before it is discovered.
func (sl *slot) address() string {
	switch {
	case sl.url != "":
		return sl.url
	case sl.discovery.found != "":
		return sl.discovery.found
	case sl.discovery.url != "":
		return sl.discovery.url
	}
	return sl.discovery.issuer
}

// fetch gets the key set of the request's URL.
func (q *request) fetch(ctx context.Context) answer {
	d := q.attempt.slot.discovery
	if d == nil {
		return q.fetchSet(ctx, q.attempt.slot.url)
	}
	now := q.beganAt
	q.set.mu.Lock()
	found, due, current := d.found, now.Reached(d.due), now.Since(d.read) < rediscoverLeast
	mayRead := now.Since(d.tried) >= rediscoverLeast
	q.set.mu.Unlock()
	if found == "" {
		found, failed := q.discover(ctx, d)
		if failed != nil {
			return answer{failed: failed}
		}
		return q.fetchSet(outbound.WithIssuer(ctx, d.issuer), found)
	}
	keysCtx, cancel := context.WithTimeout(ctx, requestTime) // a dead URL must leave time to find another
	a := q.fetchSet(outbound.WithIssuer(keysCtx, d.issuer), found)
	cancel()
	if a.failed != nil && a.failed.label == label.Canceled { // another request has answered
		return a
	}
	missing := a.failed == nil && !current && q.misses(&a)
	reused := a.failed == nil && !current && mayRead && q.isRecheck() // the material of a kid may be new, and elsewhere
	if a.failed == nil && !due && !missing && !reused {
		a.partial = a.partial || !current
		return a
	}
	if missing && !mayRead && !due {
		a.partial = true
		return a
	}
	if a.failed == nil {
		q.note(a) // the document may take its time
	}
	moved, failed := q.discover(ctx, d)
	if failed != nil || moved == found {
		a.partial = a.partial || failed != nil && (missing || due || a.failed != nil)
		return a
	}
	if other := q.fetchSet(outbound.WithIssuer(ctx, d.issuer), moved); other.failed == nil {
		return other
	}
	a.partial = true
	return a
}

// note notes a good answer before the request has ended. What it does not list proves nothing yet.
func (q *request) note(got answer) {
	c, s, sl := q.cache, q.set, q.attempt.slot
	s.mu.Lock()
	e, decided := q.event(&got)
	if decided = decided && e.Kind == keystate.Good; decided {
		e.Kind = keystate.Added
		back := s.note(sl, &got, q.beganAt)
		before, next := s.apply(sl, e, c.config.limits())
		back.changed = !next.ListsSame(&before.State)
		q.early = &back
	}
	s.mu.Unlock()
	if decided {
		s.publish()
	}
}

// isRecheck reports whether a wrong signature has caused the round.
func (q *request) isRecheck() bool {
	q.set.mu.Lock()
	defer q.set.mu.Unlock()
	return q.round.recheck
}

// misses reports whether the round looks for a key that the answer does not list.
func (q *request) misses(a *answer) bool {
	q.set.mu.Lock()
	defer q.set.mu.Unlock()
	for w := range q.round.wanted {
		found := false
		for _, k := range a.keys {
			found = found || w.Matches(k)
		}
		if !found {
			return true
		}
	}
	return false
}

// errNoMetadata says that an issuer has no discovery document.
var errNoMetadata = errors.New("the server has no metadata of the issuer")

// discover reads the discovery document, and notes what it says.
func (q *request) discover(ctx context.Context, d *discovery) (string, *failure) {
	found, failed := q.readDocument(ctx, d)
	now := q.cache.clock()
	q.set.mu.Lock()
	defer q.set.mu.Unlock()
	if failed != nil && failed.label == label.Canceled {
		return "", failed
	}
	d.tried = now
	if failed != nil {
		d.due = now.Add(rediscoverRetry)
		return "", failed
	}
	d.found, d.read, d.due = found, now, now.Add(rediscoverAfter)
	return found, nil
}

// readDocument reads the metadata of the issuer and returns its jwks_uri: OpenID Connect Discovery, section 4, or else RFC 8414,
// section 3. The document must name exactly the issuer.
func (q *request) readDocument(ctx context.Context, d *discovery) (string, *failure) {
	if d.url != "" {
		return q.readFrom(ctx, d, d.url)
	}
	found, failed := q.readFrom(ctx, d, strings.TrimSuffix(d.issuer, "/")+"/.well-known/openid-configuration")
	if failed == nil || !failed.refused() {
		return found, failed
	}
	u, err := url.Parse(d.issuer)
	if err != nil {
		return "", failed
	}
	path := "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.EscapedPath(), "/")
	found, again := q.readFrom(ctx, d, u.Scheme+"://"+u.Host+path)
	if again != nil && again.refused() {
		return "", &failure{label: label.Discovery, cause: errNoMetadata} // the key URL was not asked
	}
	return found, again
}

func (q *request) readFrom(ctx context.Context, d *discovery, rawURL string) (string, *failure) {
	doc, failed := q.get(ctx, rawURL, "")
	if failed != nil {
		return "", failed
	}
	members, err := strictjson.Parse(nil, strictjson.WithoutMark(doc.body))
	if err != nil {
		return "", doc.malformed()
	}
	uri := strings.Clone(strictjson.Find(members, "jwks_uri").Text())
	if !strictjson.Find(members, "issuer").Is(d.issuer) {
		return "", fail(label.Discovery)
	}
	u, err := url.Parse(uri)
	hosts := q.cache.config.InsecureHTTPHosts
	if err != nil || len(uri) > maxJWKSURI || !q.cache.config.mayFetch(u) || !outbound.Discovered(u, d.issuer, hosts) {
		return "", fail(label.Discovery)
	}
	if u.Scheme != "https" && outbound.Loopback(u.Hostname()) && !strings.HasPrefix(d.issuer, "http:") {
		return "", fail(label.Discovery) // plain http to this machine proves nothing about an issuer elsewhere
	}
	return uri, nil
}
