package check

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// drill is one run of check.
type drill struct {
	provider   issuer.Provider
	plainHosts []string
	client     *http.Client
	timeout    time.Duration
	days       int
	snapshots  bool
	progress   func(format string, args ...any)

	records   records
	documents []*document // one for each iss, in the order of the regions
	sets      []*keySet   // in the order of the regions
}

// document is the discovery document of an iss (OpenID Connect Discovery, section 4).
type document struct {
	Issuer      string       `json:"issuer"`
	URL         string       `json:"url"`
	Regions     []string     `json:"regions"`       // that list the issuer
	Used        bool         `json:"used_for_keys"` // the keys of a region are found by it
	State       string       `json:"state"`         // good, failed, not_enabled
	Error       string       `json:"error,omitempty"`
	Status      int          `json:"status,omitempty"`
	Millis      int64        `json:"milliseconds"`
	Certificate *certificate `json:"certificate,omitempty"`
	Names       string       `json:"names_issuer,omitempty"` // if it is another one
	KeysAt      string       `json:"jwks_uri,omitempty"`     // if a verifier may fetch from there
	Token       bool         `json:"token_endpoint"`

	misnamed bool // it names another issuer, or none
}

// keySet is a URL that publishes keys of a region.
type keySet struct {
	Region      string       `json:"region"`
	URL         string       `json:"url"`
	Issuer      string       `json:"discovered_from,omitempty"`
	State       string       `json:"state"` // good, failed, not_enabled
	Error       string       `json:"error,omitempty"`
	Status      int          `json:"status,omitempty"`
	Millis      int64        `json:"milliseconds"`
	Certificate *certificate `json:"certificate,omitempty"`
	Keys        []listedKey  `json:"keys"`
	Skipped     []skippedKey `json:"skipped,omitempty"`

	took time.Duration
}

// listedKey is a key that a URL lists. The library uses no kid of more than 256 bytes.
type listedKey struct {
	ID         string `json:"kid"`
	Algorithm  string `json:"alg,omitempty"`
	Thumbprint string `json:"thumbprint"`
}

// skippedKey is a key that a URL lists and verifiers do not use.
type skippedKey struct {
	Key string `json:"key"` // its kid, or its place in the set: "#3"
	Why string `json:"why"`
}

// The states of a URL.
const (
	urlGood       = "good"
	urlFailed     = "failed"
	urlNotEnabled = label.NotEnabled
)

// maxShown is how many bytes of a text that a server sent are kept.
const maxShown = 256

func cut(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown]
	}
	return strings.ToValidUTF8(text, "�")
}

// checkConfig reports what the library has against the configuration.
func (d *drill) checkConfig() error {
	_, err := jwks.New([]issuer.Provider{d.provider}, jwks.Config{InsecureHTTPHosts: d.plainHosts})
	return err
}

// fetchAll asks every URL once, all at the same time.
func (d *drill) fetchAll(ctx context.Context) {
	d.records = records{byURL: map[string]*record{}, slots: make(chan struct{}, atOnce)}
	d.plan()
	urls := make([]wanted, 0, len(d.documents)+len(d.sets))
	for _, doc := range d.documents {
		urls = append(urls, wanted{url: doc.URL})
	}
	for _, s := range d.sets {
		urls = append(urls, wanted{url: s.URL})
	}
	d.fetch(ctx, urls)
	var found []wanted
	for _, doc := range d.documents {
		d.readDocument(ctx, doc)
		if doc.Used && doc.State == urlGood {
			found = append(found, wanted{doc.KeysAt, doc.Issuer})
		}
	}
	d.fetch(ctx, found)
	d.addDiscovered()
	for _, s := range d.sets {
		d.readSet(ctx, s)
	}
	d.markNotEnabled()
}

// plan lists the documents and the key sets whose URLs are configured.
func (d *drill) plan() {
	for _, r := range d.provider.Regions {
		for _, iss := range r.Issuers {
			doc := d.document(iss)
			if doc == nil {
				doc = &document{Issuer: iss, URL: strings.TrimSuffix(iss, "/") + "/.well-known/openid-configuration"}
				d.documents = append(d.documents, doc)
			}
			doc.Regions = append(doc.Regions, r.Name)
			doc.Used = doc.Used || len(r.JWKSURLs) == 0
		}
		for _, u := range r.JWKSURLs {
			d.sets = append(d.sets, &keySet{Region: r.Name, URL: u})
		}
	}
}

// document returns that of an iss, or nil.
func (d *drill) document(iss string) *document {
	for _, doc := range d.documents {
		if doc.Issuer == iss {
			return doc
		}
	}
	return nil
}

// addDiscovered adds the key sets that were found by discovery, each at the place of its region.
func (d *drill) addDiscovered() {
	configured := d.sets
	d.sets = nil
	for _, r := range d.provider.Regions {
		for _, s := range configured {
			if s.Region == r.Name {
				d.sets = append(d.sets, s)
			}
		}
		if len(r.JWKSURLs) > 0 {
			continue
		}
		for _, iss := range r.Issuers {
			if doc := d.document(iss); doc.State == urlGood {
				d.sets = append(d.sets, &keySet{Region: r.Name, URL: doc.KeysAt, Issuer: iss})
			}
		}
	}
}

// wanted is a URL to ask, and the issuer whose metadata names it; "" if it is configured.
type wanted struct{ url, issuer string }

// fetch asks URLs that were not asked yet.
func (d *drill) fetch(ctx context.Context, urls []wanted) {
	var wg sync.WaitGroup
	var telling sync.Mutex
	asked := map[string]bool{}
	for _, w := range urls {
		u := w.url
		if name := requestURL(u); d.records.of(u) == nil && !asked[name] {
			asked[name] = true
		} else {
			continue
		}
		wg.Go(func() {
			ctx := ctx
			if w.issuer != "" {
				ctx = outbound.WithIssuer(ctx, w.issuer)
			}
			d.records.slots <- struct{}{}
			r := fetch(ctx, d.client, u, d.timeout)
			<-d.records.slots
			d.records.add(r)
			telling.Lock()
			defer telling.Unlock()
			d.progress("%s: %s, %d ms\n", u, r.outcome(), r.took.Milliseconds())
		})
	}
	wg.Wait()
}

// outcome says in a word what became of a request. It repeats nothing that the server said.
func (r *record) outcome() string {
	switch {
	case r.certificate != nil && r.certificate.Flaw != "":
		return "its certificate is not good: " + r.certificate.Flaw
	case r.err != nil:
		return "no answer"
	}
	return "answered " + http.StatusText(r.status)
}

// reader is a verifier's cache which knows one URL.
func (d *drill) reader(iss, rawURL string) (*jwks.Cache, error) {
	one := issuer.Provider{ID: "one", Regions: []issuer.Region{{Name: "one", Issuers: []string{iss}, JWKSURLs: []string{rawURL}}}}
	return jwks.New([]issuer.Provider{one}, jwks.Config{
		HTTPClient: &http.Client{Transport: d.records.replay(nil)}, InsecureHTTPHosts: d.plainHosts,
	})
}

// readSet has the library read what a URL has answered.
func (d *drill) readSet(ctx context.Context, s *keySet) {
	s.State, s.Error, s.Keys = urlFailed, label.Discovery, []listedKey{}
	r := d.records.of(s.URL)
	iss := d.provider.Regions[0].Issuers[0] // it decides nothing
	cache, err := d.reader(iss, s.URL)
	if err != nil || r == nil {
		return
	}
	s.Status, s.Millis, s.Certificate, s.took = r.status, r.took.Milliseconds(), r.certificate, r.took
	_ = cache.Preload(ctx) // what went wrong stands in its Status
	st := cache.Status()[0]
	s.skip(st.Skipped)
	if st.Failure != "" {
		s.Error = label.Class(st.Failure)
		return
	}
	s.State, s.Error = urlGood, ""
	for _, kid := range slices.Compact(slices.Sorted(slices.Values(st.KeyIDs))) {
		for _, k := range cache.Lookup(ctx, jwks.Query{Issuer: iss, KeyID: kid, CacheOnly: true}).Keys {
			s.Keys = append(s.Keys, listedKey{ID: k.ID(), Algorithm: k.Algorithm(), Thumbprint: k.Thumbprint()})
		}
	}
}

// skip notes the keys that are not used, each "kid: reason".
func (s *keySet) skip(all []string) {
	for _, text := range all {
		i := strings.LastIndex(text, ": ")
		s.Skipped = append(s.Skipped, skippedKey{text[:max(i, 0)], text[i+len(": "):]})
	}
}

// readDocument reads a discovery document. How an answer failed is the library's to say, which is asked as if keys were there.
func (d *drill) readDocument(ctx context.Context, doc *document) {
	r := d.records.of(doc.URL)
	doc.State, doc.Error = urlFailed, label.Network
	doc.Status, doc.Millis, doc.Certificate = r.status, r.took.Milliseconds(), r.certificate
	if cache, err := d.reader(doc.Issuer, doc.URL); err == nil {
		_ = cache.Preload(ctx)
		if failure := cache.Status()[0].Failure; failure != "" {
			doc.Error = label.Class(failure)
		}
	}
	if doc.Error != label.Malformed && doc.Error != label.NoKey {
		return
	}
	doc.Error = label.Malformed
	members, err := strictjson.Parse(nil, string(r.body))
	if err != nil {
		return
	}
	doc.State, doc.Error = urlGood, ""
	if named := strictjson.Find(members, "issuer"); !named.Is(doc.Issuer) {
		doc.Names, doc.misnamed = cut(named.Text()), true
		doc.State, doc.Error = urlFailed, label.Discovery
	}
	doc.Token = strictjson.Find(members, "token_endpoint").Text() != ""
	doc.KeysAt = d.allowed(doc.Issuer, strictjson.Find(members, "jwks_uri").Text())
	if doc.KeysAt == "" {
		doc.State, doc.Error = urlFailed, label.Discovery
	}
}

// allowed returns a jwks_uri if a verifier would fetch from it, or "".
func (d *drill) allowed(iss, uri string) string {
	u, err := url.Parse(uri)
	if err != nil || len(uri) > 2048 || !outbound.Discovered(u, iss, d.plainHosts) {
		return ""
	}
	if u.Scheme != "https" && outbound.Loopback(u.Hostname()) && !strings.HasPrefix(iss, "http:") {
		return ""
	}
	if _, err := d.reader(iss, uri); err != nil {
		return ""
	}
	return uri
}

// markNotEnabled tells URLs that say 403 or 404 while a sibling works from those that are down.
func (d *drill) markNotEnabled() {
	absent := func(status int) bool { return status == http.StatusForbidden || status == http.StatusNotFound }
	for _, s := range d.sets {
		if s.Error == label.HTTP && absent(s.Status) && d.works(s.Region) {
			s.State = urlNotEnabled
		}
	}
	for _, doc := range d.documents {
		if doc.Error == label.HTTP && absent(doc.Status) && slices.ContainsFunc(doc.Regions, d.works) {
			doc.State = urlNotEnabled
		}
	}
}

// works reports whether a URL of a region gave usable keys.
func (d *drill) works(region string) bool {
	return slices.ContainsFunc(d.sets, func(s *keySet) bool { return s.Region == region && s.State == urlGood })
}
