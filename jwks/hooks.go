package jwks

import (
	"net/http"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/issuer"
)

// Hooks are told of what a Cache does. Each may be nil. They are called under no lock, from goroutines of the cache. A fetch
// waits for its hooks, so they must not block. A panic of a hook, and a runtime.Goexit, is recovered and logged. What concerns
// one key set comes in order.
type Hooks struct {
	Fetched func(Fetched)     // after each attempt to fetch a key set from one URL
	Changed func(KeysChanged) // after the keys of a set have changed
	Drifted func(Drift)       // when mirrors begin to disagree, agree again, or one begins to answer that was not enabled
}

// Use is a region whose keys a URL publishes.
type Use struct {
	Authority, Region string
	Mirror            int  // the place of the URL among the region's JWKS URLs; 0 is the preferred one, or a discovered one
	Home              bool // no other region of the authority lists the URL further in front
}

// Fetched is an attempt to fetch a key set from one URL.
type Fetched struct {
	Uses     []Use         // at least one; shared, not to be modified
	Source   string        // the configured URL, or the iss that it is discovered from
	Began    time.Time     // when it had a connection to the host
	Took     time.Duration // until the answer was read, or given up
	Demanded bool          // somebody waits for it; otherwise it is a refresh
	Keys     int           // that the answer lists and that may be used
	Err      *FetchError   // nil after a good answer
}

// Evidence returns the region of an authority of which the attempt says whether it answers: that whose own the URL is, by
// Use.Home. A good answer is evidence. So is a failure of DNS, TLS or the connection, a timeout, and status 5xx without
// Retry-After, unless somebody waited for the fetch: a flood of tokens with made-up key IDs must not make a region look down.
// Any other answer is not: 403 and 404 (a URL that is not enabled returns them), 429, 5xx with Retry-After, or 200 without a
// usable key set.
func (f *Fetched) Evidence(authority string) (region string, ok bool) {
	if f.Err != nil && (f.Demanded || !f.Err.outage()) {
		return "", false
	}
	i := slices.IndexFunc(f.Uses, func(u Use) bool { return u.Authority == authority && u.Home })
	if i < 0 {
		return "", false
	}
	return f.Uses[i].Region, true
}

// outage reports whether e shows that the server is down, rather than that it answers something else than a key set.
func (e *FetchError) outage() bool {
	switch e.Class {
	case ClassDNS, ClassTLS, ClassTimeout, ClassNetwork:
		return true
	case ClassStatus:
		return e.Status >= http.StatusInternalServerError && e.RetryAfter == 0
	default:
		return false
	}
}

// KeysChanged says that the keys of a set changed.
type KeysChanged struct {
	Uses           []Use // shared, not to be modified
	Source         string
	Added, Removed int
	Keys           int // after the change
}

// DriftKind says what has drifted.
type DriftKind string

// The kinds of drift.
const (
	// MirrorLacks: a mirror has answered without a key that another mirror of the same set has listed for more than a minute.
	MirrorLacks DriftKind = "mirror_lacks_keys"
	// MirrorEnabled: a mirror that has said 403 or 404 answers well: a Cognito pool was switched to UPDATED issuers, for example.
	MirrorEnabled DriftKind = "mirror_enabled"
)

// Drift says that what should be alike is not, or that a mirror has begun to answer.
type Drift struct {
	Kind   DriftKind
	Uses   []Use // shared, not to be modified
	Source string
	Keys   int  // that the mirror lacks
	Ended  bool // it lacks none any more
}

// use is a Use of which the mirror is not known yet.
type use struct {
	authority, region string
	urls              []string
	home              []bool // of each of urls
}

// homes says of each JWKS URL of a region whether it is its own: no other region of a lists it further in front.
func homes(a issuer.Authority, r issuer.Region) []bool {
	home := make([]bool, 0, len(r.JWKS))
	for i, u := range r.JWKS {
		home = append(home, !slices.ContainsFunc(a.Regions, func(other issuer.Region) bool {
			j := slices.Index(other.JWKS, u)
			return other.Name != r.Name && j >= 0 && j < i
		}))
	}
	return home
}

// uses lists the regions that a mirror of s serves.
func (c *Cache) uses(s *set, ep *endpoint) []Use {
	of := c.table.Load().uses[s]
	uses := make([]Use, 0, len(of))
	for _, u := range of {
		i := slices.Index(u.urls, ep.url)
		uses = append(uses, Use{u.authority, u.region, max(0, i), i < 0 || u.home[i]})
	}
	return uses
}

// hooked reports whether anybody is told of anything.
func (h *Hooks) hooked() bool { return h.Fetched != nil || h.Changed != nil || h.Drifted != nil }

// tellOf tells the hooks what became of an attempt.
func (c *Cache) tellOf(s *set, o outcome, demanded bool, ch change, drifts []Drift) {
	h := &c.config.Hooks
	if !h.hooked() {
		return
	}
	uses := c.uses(s, o.ep)
	if len(uses) == 0 { // an Update has just removed it
		return
	}
	if h.Fetched != nil && !o.began.IsZero() {
		f := Fetched{Uses: uses, Source: o.ep.name(), Began: o.began, Took: o.took, Demanded: demanded, Err: o.failed}
		if o.answer != nil {
			f.Keys = len(o.answer.keys)
		}
		c.log.tell("Fetched", func() { h.Fetched(f) })
	}
	if h.Changed != nil && ch.added+ch.removed > 0 {
		changed := KeysChanged{Uses: uses, Source: o.ep.name(), Added: ch.added, Removed: ch.removed, Keys: ch.keys}
		c.log.tell("Changed", func() { h.Changed(changed) })
	}
	for _, d := range drifts {
		d.Uses = uses
		if h.Drifted != nil {
			c.log.tell("Drifted", func() { h.Drifted(d) })
		}
	}
}

// inspect notes an answer of a mirror that need not have been asked: it is compared, but adds no keys, so that which region a key
// belongs to does not depend on when mirrors are inspected. It reports whether the mirror has keys that s does not have, and
// has to be asked again to tell. The caller holds mu.
func (s *set) inspect(ep *endpoint, a *answer, now instant) (again bool) {
	ep.known, ep.lastErr, ep.failures = true, nil, 0
	var extras []extra
	listed := map[recordID]bool{}
	for _, k := range a.keys {
		id := recordID{k.ID, k.Thumbprint, k.Algorithm}
		listed[id] = true
		if s.record(id) != nil {
			continue
		}
		x := extra{id: id, first: now, last: now}
		for _, was := range ep.difference().extra {
			if was.id == id {
				x.first = was.first
			}
		}
		again = again || x.last.since(x.first) <= withdrawAfter
		extras = append(extras, x)
	}
	d := difference{lacks: ep.difference().lacks, extra: extras}
	for _, r := range s.records {
		if !listed[r.id()] && now.since(r.first) > withdrawAfter {
			d.missing++
		}
	}
	ep.keep(d)
	return again
}

// compare notes what each mirror lacks that another one lists, and returns what is new about that. The caller holds mu.
func (s *set) compare() (drifts []Drift) {
	for _, ep := range s.endpoints {
		d := ep.difference()
		was := d.lacks
		d.lacks = d.missing
		if ep.last != nil {
			d.lacks = s.lacking(ep)
		}
		for _, other := range s.endpoints {
			for _, x := range other.difference().extra {
				confirmed := x.last.since(x.first) > withdrawAfter && ep.lastGood.since(x.first) > withdrawAfter
				if other != ep && ep.last != nil && confirmed && s.record(x.id) == nil {
					d.lacks++
				}
			}
		}
		if (d.lacks > 0) != (was > 0) {
			drifts = append(drifts, Drift{Kind: MirrorLacks, Source: ep.name(), Keys: d.lacks, Ended: d.lacks == 0})
		}
		ep.keep(d)
	}
	return drifts
}

// lacking counts the keys that other mirrors have listed for a while, and the last answer of ep did not. The caller holds mu.
func (s *set) lacking(ep *endpoint) (lacks int) {
	for _, r := range s.records {
		if r.listing(ep) < 0 && len(r.by) > 0 && ep.lastGood.since(r.first) > withdrawAfter {
			lacks++
		}
	}
	return lacks
}
