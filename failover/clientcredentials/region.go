package clientcredentials

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/backoff"
	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/issuer"
)

// region is what is known of one token endpoint: that of a region, or of several regions with one token URL. The mutex of the
// TokenSource guards all but the first five fields.
type region struct {
	name  string   // of its regions, joined by commas
	names []string // of its regions
	url   string

	previous *atomic.Bool // Credentials.PreviousSecret worked last; shared with its copies
	origin   *region      // of which this one is a copy, for one exchange

	busy     bool // a request is in progress
	failures int  // in a row
	failedAt clock.Time
	rest     time.Duration // from failedAt on, while a token serves
	retry    time.Duration // from failedAt on, in any case
	outage   *tokenError   // the last one; nil after an answer

	rejection  *tokenError // the last one; nil after a token
	rejectedAt clock.Time
}

// sole is the name of the region; "" if there are several, as it is not known which of them answers.
func (r *region) sole() string {
	if len(r.names) > 1 {
		return ""
	}
	return r.name
}

// regions returns the token endpoints of a provider, in the order of its regions. Regions with the same token URL share one,
// so that it is never asked twice at once for one token.
func regions(p issuer.Provider) (endpoints []*region) {
	at := map[string]*region{}
	for _, r := range p.Regions {
		if r.TokenURL == "" {
			continue
		}
		key := endpoint(r.TokenURL)
		if shared := at[key]; shared != nil {
			shared.names = append(shared.names, r.Name)
			shared.name += "," + r.Name
			continue
		}
		at[key] = &region{name: r.Name, names: []string{r.Name}, url: r.TokenURL, previous: new(atomic.Bool)}
		endpoints = append(endpoints, at[key])
	}
	return endpoints
}

// endpoint returns a token URL in a form in which equal URLs are alike: RFC 3986, sections 6.2.2.1 and 6.2.3.
func endpoint(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.Scheme = strings.ToLower(u.Scheme)
	port := u.Port()
	u.Host = strings.ToLower(u.Hostname())
	if strings.Contains(u.Host, ":") {
		u.Host = "[" + u.Host + "]"
	}
	if port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		u.Host += ":" + port
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}

// wait is how long it takes until r may be asked.
func (r *region) wait(now clock.Time, urgent bool) time.Duration {
	if r.failures == 0 {
		return 0
	}
	if urgent {
		return left(now, r.failedAt, max(r.retry, min(urgentEvery, r.rest)))
	}
	return left(now, r.failedAt, r.rest)
}

// rejects is a rejection by r that is remembered; nil if there is none.
func (r *region) rejects(now clock.Time) *tokenError {
	if r.rejection != nil && now.Since(r.rejectedAt) < rejectedFor {
		return r.rejection
	}
	return nil
}

// failed notes an outage, and reports whether it is the first one.
func (r *region) failed(e *tokenError, now clock.Time) (first bool) {
	r.failures++
	rest := backoff.After(r.failures, coolDown, maxCoolDown)
	r.outage, r.failedAt, r.retry = e, now, e.retryAfter
	r.rest = max(backoff.Spread(rest, rand.Float64()), r.retry) //nolint:gosec // it is no secret
	return r.failures == 1
}

// answered notes that r has answered, with a rejection or a token, and reports whether it had not before, and whether the
// rejection is the first one.
func (r *region) answered(rejection *tokenError, now clock.Time) (recovered, first bool) {
	recovered, first = r.failures > 0, rejection != nil && r.rejection == nil
	r.failures, r.outage = 0, nil
	r.rejection, r.rejectedAt = rejection, now
	return recovered, first
}

// left returns what is left at now of d, which began at t.
func left(now, t clock.Time, d time.Duration) time.Duration { return max(0, d-now.Since(t)) }
