package jwks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
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

// simDoc is what a URL publishes, and since when in true time.
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

// simAnswer is a good answer that a client got, by the clocks of its process.
type simAnswer struct {
	mono, wall int64
	keys       []simKey
}

type simFault int

const (
	healthy simFault = iota
	refusing
	hanging
	slow
	erroring // 500
	limiting // 429 with Retry-After
	missing  // 404
	garbage
	emptySet
	partial // the first half of the document
	foreign // the document of another region: DNS that points elsewhere
	faults_
)

// simURL is one mirror. The world's mutex guards it.
type simURL struct {
	url         string
	region      *simRegion
	lagging     *simDoc // nil, or the document that it is stuck at
	fault       simFault
	mended      time.Duration // true time since when it is healthy
	mendedLived time.Duration // the same, without the time for which the process was frozen
	answers     []simAnswer
	asked       []time.Duration // when requests came, in true time
	good        bool            // it has answered well at least once
}

// simRegion signs with the last key of its document.
type simRegion struct {
	name string
	doc  simDoc
	urls []*simURL
}

// simWorld is the truth.
type simWorld struct {
	mu      sync.Mutex
	rand    *rand.Rand // of the one goroutine that tells the story
	delays  *rand.Rand // of the servers, under the mutex
	base    time.Time
	frozen  time.Duration // true time that passed while the process stood still
	ahead   time.Duration // of the wall clock, beside what was frozen
	jwks    []map[string]any
	regions []*simRegion
	byURL   map[string]*simURL
	config  []issuer.Authority
	serves  map[string][]*simRegion // by iss: the regions that list it
	minted  int
}

// truth is the true time since the world began; the clocks of the process are read.
func (w *simWorld) truth() time.Duration { return time.Since(w.base) + w.frozen }

func (w *simWorld) read() (mono, wall int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.readLocked()
}

func (w *simWorld) readLocked() (mono, wall int64) {
	return int64(time.Since(w.base)), time.Now().Add(w.frozen + w.ahead).UnixNano()
}

func newSimWorld(r *rand.Rand, material []map[string]any) *simWorld {
	w := &simWorld{rand: r, delays: rand.New(rand.NewPCG(r.Uint64(), r.Uint64())), base: time.Now(), jwks: material, byURL: map[string]*simURL{}, serves: map[string][]*simRegion{}}
	for a := range 1 + r.IntN(3) {
		authority := issuer.Authority{ID: fmt.Sprintf("a%d", a)}
		oneIssuer := r.IntN(2) == 0
		for g := range 1 + r.IntN(3) {
			region := &simRegion{name: fmt.Sprintf("a%d/r%d", a, g)}
			iss := fmt.Sprintf("https://idp.example/a%d/r%d", a, g)
			if oneIssuer {
				iss = fmt.Sprintf("https://idp.example/a%d", a)
			}
			out := issuer.Region{Name: fmt.Sprintf("r%d", g), Issuers: []string{iss}}
			for m := range 1 + r.IntN(2) {
				u := &simURL{url: fmt.Sprintf("https://keys.example/a%d/r%d/m%d", a, g, m), region: region}
				region.urls = append(region.urls, u)
				w.byURL[u.url] = u
				out.JWKS = append(out.JWKS, u.url)
			}
			w.regions = append(w.regions, region)
			w.serves[iss] = append(w.serves[iss], region)
			authority.Regions = append(authority.Regions, out)
			w.rotate(region)
		}
		w.config = append(w.config, authority)
	}
	return w
}

// rotate gives a region a new key, now and then under a kid that another region uses, too.
func (w *simWorld) rotate(r *simRegion) {
	w.minted++
	k := simKey{kid: fmt.Sprintf("k%d", w.minted), material: w.minted % len(w.jwks)}
	if w.rand.IntN(8) == 0 {
		k.kid = fmt.Sprintf("shared-%d", w.rand.IntN(3))
	}
	d := simDoc{since: map[simKey]time.Duration{}}
	for _, old := range r.doc.keys { // a kid names one key of a document
		if old.kid != k.kid {
			d.keys = append(d.keys, old)
			d.since[old] = r.doc.since[old]
		}
	}
	d.keys = append(d.keys, k)
	d.since[k] = w.truth()
	r.doc = d
}

// published is what u serves when nothing is wrong with it but its place.
func (w *simWorld) published(u *simURL) simDoc {
	if u.fault == foreign {
		return w.regions[(slices.Index(w.regions, u.region)+1)%len(w.regions)].doc
	}
	if u.lagging != nil {
		return *u.lagging
	}
	return u.region.doc
}

func (w *simWorld) render(keys []simKey) []byte {
	list := make([]map[string]any, 0, len(keys))
	for _, k := range keys {
		m := map[string]any{"kid": k.kid}
		for name, v := range w.jwks[k.material] {
			if name != "kid" {
				m[name] = v
			}
		}
		list = append(list, m)
	}
	doc, _ := json.Marshal(map[string]any{"keys": list})
	return doc
}

// roundTrip serves the URLs with what is wrong with them, and notes the good answers that were delivered.
func (w *simWorld) roundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	u := w.byURL[r.URL.String()]
	u.asked = append(u.asked, w.truth())
	fault, delay := u.fault, time.Duration(w.delays.IntN(40))*time.Millisecond
	doc := w.published(u)
	keys, body := doc.keys, w.render(doc.keys)
	w.mu.Unlock()
	if fault == slow {
		delay += 1200 * time.Millisecond
	}
	if fault == hanging {
		delay = time.Hour
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-timer.C:
	}
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, ContentLength: -1}
	switch fault {
	case refusing:
		return nil, errors.New("connection refused")
	case erroring:
		resp.StatusCode = http.StatusInternalServerError
	case limiting:
		resp.StatusCode = http.StatusTooManyRequests
		resp.Header.Set("Retry-After", "20")
	case missing:
		resp.StatusCode = http.StatusNotFound
	case garbage:
		body = []byte("<html>")
	case emptySet:
		body = []byte(`{"keys":[]}`)
	case partial:
		body = body[:len(body)/2]
	case healthy, slow, foreign, hanging, faults_:
		w.mu.Lock()
		mono, wall := w.readLocked()
		u.answers = append(u.answers, simAnswer{mono, wall, keys})
		u.good = true
		w.mu.Unlock()
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// age is the time since an answer by the clock that ran further.
func (w *simWorld) age(a simAnswer) time.Duration {
	mono, wall := w.readLocked()
	return time.Duration(max(mono-a.mono, wall-a.wall, 0))
}

// forget drops what is too old to count. The caller holds mu.
func (w *simWorld) forget(maxStale time.Duration) {
	for _, u := range w.byURL {
		for len(u.answers) > 0 && w.age(u.answers[0]) > 3*maxStale {
			u.answers = u.answers[1:]
		}
		for len(u.asked) > 0 && w.truth()-u.asked[0] > time.Hour {
			u.asked = u.asked[1:]
		}
	}
}

// event changes one thing of the world. The caller holds no lock.
func (w *simWorld) event() {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.regions[w.rand.IntN(len(w.regions))]
	u := r.urls[w.rand.IntN(len(r.urls))]
	switch w.rand.IntN(10) {
	case 0, 1: // a mirror
		w.spoil(u, simFault(w.rand.IntN(int(faults_))))
	case 2: // a whole region
		f := simFault(w.rand.IntN(int(foreign)))
		for _, u := range r.urls {
			w.spoil(u, f)
		}
	case 3, 4, 5: // everything is mended
		for _, u := range w.byURL {
			w.spoil(u, healthy)
			u.lagging = nil
		}
	case 6:
		w.rotate(r)
	case 7: // withdrawal of all but the signing key
		r.doc = r.doc.clone()
		r.doc.keys = r.doc.keys[len(r.doc.keys)-1:]
	case 8:
		d := r.doc.clone()
		u.lagging = &d
		u.noteMended(w)
	case 9:
		if w.rand.IntN(2) == 0 {
			w.frozen += time.Duration(w.rand.IntN(int(8 * time.Hour)))
		} else {
			w.ahead = time.Duration(w.rand.IntN(int(4*time.Hour))) - 2*time.Hour
		}
	}
}

func (w *simWorld) spoil(u *simURL, f simFault) {
	if u.fault != f || u.lagging != nil {
		u.noteMended(w)
	}
	u.fault = f
}

// noteMended notes that something has changed about u.
func (u *simURL) noteMended(w *simWorld) { u.mended, u.mendedLived = w.truth(), time.Since(w.base) }

// allHealthyFor reports for how long the process has lived with nothing wrong with the URLs that serve iss. The time for which
// it was frozen does not count: a request that hung before is still under way after it.
func (w *simWorld) allHealthyFor(iss string) time.Duration {
	now := time.Since(w.base)
	least := now
	for _, r := range w.serves[iss] {
		for _, u := range r.urls {
			if u.fault != healthy || u.lagging != nil {
				return 0
			}
			least = min(least, now-u.mendedLived)
		}
	}
	return least
}

func (w *simWorld) String() string {
	var b strings.Builder
	for _, u := range w.byURL {
		fmt.Fprintf(&b, "%s fault %d lagging %v doc %v\n", u.url, u.fault, u.lagging != nil, w.published(u).keys)
		for _, a := range u.answers[max(0, len(u.answers)-4):] {
			fmt.Fprintf(&b, "    %v ago: %v\n", w.age(a), a.keys)
		}
	}
	return b.String()
}
