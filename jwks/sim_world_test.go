package jwks_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/issuer"
)

// simKey is a key by its name and its material.
type simKey struct {
	kid      string
	material int
}

// simDoc is what a region publishes, and since when in true time.
type simDoc struct {
	keys  []simKey
	since map[simKey]time.Duration
}

func (d simDoc) clone() simDoc {
	c := simDoc{keys: slices.Clone(d.keys), since: map[simKey]time.Duration{}}
	for _, k := range d.keys {
		c.since[k] = d.since[k]
	}
	return c
}

// simAnswer is a good answer that a client got. Its times are those at which its content was made.
type simAnswer struct {
	lived time.Duration
	wall  int64
	came  time.Duration // when it was delivered, by the process's life
	keys  []simKey
	epoch int  // of the URL
	aside bool // of a place from which the key set has moved: the client may look further
}

type simFault int

const (
	simHealthy simFault = iota
	simDead             // the connection has died: requests hang until there is another one
	simFlapping
	simForeign // the document of another region: DNS that points elsewhere
	simContent // the faults before this one are of the content, or heal on a new connection
	simRefusing
	simHanging
	simSlow
	simErroring // 500
	simLimiting // 429
	simMissing  // 404
	simGarbage
	simEmpty
	simHalf // the first half of the document
	simFaults
)

// simURL is one JWKS URL, or one issuer whose URL is discovered. The world's mutex guards it.
type simURL struct {
	url        string // or the prefix of the places, if it is discovered
	document   string // of discovery, or ""
	region     *simRegion
	optional   bool
	ttl        time.Duration // of the CDN in front; 0 means none
	honors     bool          // the CDN honors no-cache
	etag       int           // 0 none, 1 right, 2 the same for every document
	retryAfter int           // seconds, with 429; 0 means none
	maxAge     int           // seconds; 0 means none

	fault   simFault
	only    int           // of a discovered URL, what the fault is of: 0 all, 1 the keys, 2 the document
	lagging *simDoc       // nil, or the document that it is stuck at
	thin    simDoc        // what a flapping URL serves now and then
	dead    int           // the generation of the connections that have died
	changed time.Duration // true time since when nothing has changed
	calm    time.Duration // the same, without the time for which the process was frozen
	place   int           // of the key set
	moved   time.Duration // true time
	copied  time.Duration // true time at which the copy of the CDN was made
	copy    []simKey

	answers []simAnswer
	asked   []time.Duration // when requests came, without the time for which the process was frozen
	count   uint64          // of requests
	whole   []simKey        // of the last answer that was not 304
	epoch   int             // counts the processes, and the times it was configured
	good    bool            // it has answered well in this epoch
	ever    bool            // it has answered well in this epoch, or one that may have left a snapshot
}

// simRegion signs with the last key of its document, or with the next one before that is published.
type simRegion struct {
	name     string
	provider int
	iss      string
	doc      simDoc
	next     *simKey
	former   []simKey
	urls     []*simURL
	config   issuer.Region
}

// simWorld is the truth.
type simWorld struct {
	mu         sync.Mutex
	seed       uint64
	rand       *rand.Rand // of the one goroutine that tells the story
	chance     *rand.Rand // of what is asked and checked, which depends on answers: the story does not
	base       time.Time
	began      time.Duration // of the process
	frozen     time.Duration // true time that passed while the process stood still
	ahead      time.Duration // of the wall clock, beside what was frozen
	jwks       []map[string]any
	providers  int
	off        []bool // providers that are not configured
	cut        []bool // providers without their last region
	regions    []*simRegion
	urls       []*simURL
	byURL      map[string]*simURL
	issued     int
	generation int // of connections
	flooding   int // 0 no, 1 with new kids, 2 with the same ones again and again
	flooded    time.Duration
	suspect    string // the iss that was looked at last
}

// truth is the true time since the world began; the clocks of the process are read.
func (w *simWorld) truth() time.Duration { return time.Since(w.base) + w.frozen }

func (w *simWorld) lived() time.Duration { return time.Since(w.base) }

func (w *simWorld) wall() int64 { return time.Now().Add(w.frozen + w.ahead).UnixNano() }

// read reads the clocks of the process, of which the monotonic one begins with it.
func (w *simWorld) read() (mono, wall int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(w.lived()-w.began) + 1, w.wall()
}

// number makes a number of the seed and others. What happens at one time so does not depend on what else happens then.
func (w *simWorld) number(parts ...uint64) uint64 {
	h := w.seed
	for _, p := range parts {
		h += p + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// jitter is the source of jitter of the process.
func (w *simWorld) jitter() float64 {
	return float64(w.number(uint64(time.Since(w.base)))>>11) / (1 << 53)
}

func newSimWorld(seed, n uint64, material []map[string]any) *simWorld {
	w := &simWorld{seed: seed*1_000_003 + n, base: time.Now(), jwks: material, byURL: map[string]*simURL{}}
	w.rand, w.chance = rand.New(rand.NewPCG(seed, n)), rand.New(rand.NewPCG(n, seed))
	w.providers = 1 + w.rand.IntN(3)
	w.off, w.cut = make([]bool, w.providers), make([]bool, w.providers)
	for p := range w.providers {
		kind := w.rand.IntN(3) // one issuer, one for each region, discovered
		for g := range 1 + w.rand.IntN(3) {
			r := &simRegion{name: fmt.Sprintf("r%d", g), provider: p, iss: fmt.Sprintf("https://p%d.example/%d", p, g)}
			if kind == 0 {
				r.iss = fmt.Sprintf("https://p%d.example", p)
			}
			r.config = issuer.Region{Name: r.name, Issuers: []string{r.iss}}
			if kind == 2 {
				w.url(r, &simURL{url: r.iss + "/keys/", document: r.iss + "/.well-known/openid-configuration"})
			} else {
				for m := range 1 + w.rand.IntN(2) {
					u := w.url(r, &simURL{url: fmt.Sprintf("https://p%d.example/%d/m%d", p, g, m), optional: m > 0 && w.rand.IntN(3) == 0})
					r.config.JWKSURLs = append(r.config.JWKSURLs, u.url)
					if u.optional {
						r.config.OptionalJWKSURLs = append(r.config.OptionalJWKSURLs, u.url)
						u.fault = simMissing
					}
				}
			}
			w.regions = append(w.regions, r)
			w.rotate(r)
		}
	}
	return w
}

// url adds a URL with habits of its own.
func (w *simWorld) url(r *simRegion, u *simURL) *simURL {
	u.region, u.etag, u.retryAfter = r, w.rand.IntN(3), []int{0, 20, 120}[w.rand.IntN(3)]
	if w.rand.IntN(4) == 0 {
		u.ttl, u.honors = time.Duration(10+w.rand.IntN(600))*time.Second, w.rand.IntN(2) == 0
	}
	if w.rand.IntN(3) == 0 {
		u.maxAge = 1 << w.rand.IntN(14)
	}
	r.urls, w.urls = append(r.urls, u), append(w.urls, u)
	w.byURL[u.url] = u
	if u.document != "" {
		w.byURL[u.document] = u
	}
	return u
}

// config is what is configured now.
func (w *simWorld) config() (ps []issuer.Provider) {
	for i := range w.providers {
		p := issuer.Provider{ID: fmt.Sprintf("p%d", i)}
		for _, r := range w.regions {
			if r.provider == i && w.configured(r) {
				p.Regions = append(p.Regions, r.config)
			}
		}
		if len(p.Regions) > 0 {
			ps = append(ps, p)
		}
	}
	return ps
}

func (w *simWorld) configured(r *simRegion) bool {
	if w.off[r.provider] {
		return false
	}
	last := r
	count := 0
	for _, o := range w.regions {
		if o.provider == r.provider {
			last = o
			count++
		}
	}
	return !w.cut[r.provider] || r != last || count == 1
}

// issuers lists what is or was configured.
func (w *simWorld) issuers() (all []string) {
	for _, r := range w.regions {
		if !slices.Contains(all, r.iss) {
			all = append(all, r.iss)
		}
	}
	return all
}

// serving lists the URLs of the regions that list iss.
func (w *simWorld) serving(iss string) (all []*simURL) {
	for _, r := range w.regions {
		if r.iss == iss && w.configured(r) {
			all = append(all, r.urls...)
		}
	}
	return all
}

// issue makes the next key of a region, now and then under a kid that another region uses, too, or under one that is in use
// there.
func (w *simWorld) issue(r *simRegion) simKey {
	w.issued++
	k := simKey{kid: fmt.Sprintf("k%d", w.issued), material: w.issued % len(w.jwks)}
	switch w.rand.IntN(8) {
	case 0:
		k.kid = fmt.Sprintf("shared-%d", w.rand.IntN(3))
	case 1:
		if len(r.doc.keys) > 0 {
			k.kid = r.doc.keys[w.rand.IntN(len(r.doc.keys))].kid
		}
	}
	return k
}

// rotate publishes the next key of a region.
func (w *simWorld) rotate(r *simRegion) {
	k := w.issue(r)
	if r.next != nil {
		k = *r.next
		r.next = nil
	}
	w.publish(r, k)
}

// publish adds a key to the document of a region.
func (w *simWorld) publish(r *simRegion, k simKey) {
	d := simDoc{since: map[simKey]time.Duration{}}
	for i, old := range r.doc.keys { // a kid names one key of a document
		if old.kid != k.kid && len(r.doc.keys)-i < 6 {
			d.keys = append(d.keys, old)
			d.since[old] = r.doc.since[old]
		} else if old != k {
			r.former = append(r.former, old)
		}
	}
	d.keys = append(d.keys, k)
	d.since[k] = w.truth()
	r.doc = d
}

// published is what u serves when nothing is wrong with it but its place. While it flaps, it serves that now and then.
func (w *simWorld) published(u *simURL) simDoc {
	if u.fault == simForeign {
		return w.regions[(slices.Index(w.regions, u.region)+1)%len(w.regions)].doc
	}
	if u.lagging != nil {
		return *u.lagging
	}
	return u.region.doc
}

// calmFor reports for how long the process has lived with nothing wrong with the URLs that serve iss but what they list. The
// time for which it was frozen does not count: a request that hung before is still under way after it.
func (w *simWorld) calmFor(iss string) time.Duration {
	now := w.lived()
	least := now - w.began
	for _, u := range w.serving(iss) {
		if u.fault >= simContent && (!u.optional || u.fault != simMissing || u.ever) {
			return 0
		}
		least = min(least, now-u.calm)
	}
	return least
}

// age is the time since an answer was made by the clock that ran further.
func (w *simWorld) age(a simAnswer) time.Duration {
	return max(w.lived()-a.lived, time.Duration(w.wall()-a.wall), 0)
}

// forget drops what is too old to count. The caller holds mu.
func (w *simWorld) forget() {
	for _, u := range w.urls {
		for len(u.answers) > 0 && w.age(u.answers[0]) > 3*24*time.Hour {
			u.answers = u.answers[1:]
		}
		for len(u.asked) > 0 && w.lived()-u.asked[0] > time.Hour {
			u.asked = u.asked[1:]
		}
	}
}

func (w *simWorld) String() string {
	var b strings.Builder
	for _, u := range w.urls {
		if u.region.iss != w.suspect {
			continue
		}
		fmt.Fprintf(&b, "%s fault %d of %d since %v lagging %v optional %v ttl %v %v etag %d place %d configured %v\n",
			u.url, u.fault, u.only, w.truth()-u.changed, u.lagging != nil, u.optional, u.ttl, u.honors, u.etag, u.place, w.configured(u.region))
		fmt.Fprintf(&b, "    doc %v thin %v next %v\n", w.published(u), u.thin.keys, u.region.next)
		for _, a := range u.answers[max(0, len(u.answers)-12):] {
			fmt.Fprintf(&b, "    %v ago (lived %v, came %v ago): epoch %d of %d, aside %v, %v\n",
				w.age(a), w.lived()-a.lived, w.lived()-a.came, a.epoch, u.epoch, a.aside, a.keys)
		}
		for _, at := range u.asked[max(0, len(u.asked)-12):] {
			fmt.Fprintf(&b, "    asked %v ago\n", w.lived()-at)
		}
	}
	return b.String()
}
