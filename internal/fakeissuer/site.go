package fakeissuer

import (
	"net/url"
	"strings"

	"github.com/regionjwt/regionjwt/issuer"
)

// site is what the Server answers, by URL.
type site struct {
	documents map[string]document
	order     []string // of the URLs in documents
	hosts     map[string]*region
}

// document is what one URL returns. If metadata is not nil, that is it; else it is the key set or the token endpoint of region.
type document struct {
	region   *region
	tokens   bool
	metadata map[string]any
}

func (t *site) add(u string, d document) {
	if _, taken := t.documents[u]; taken || u == "" {
		return
	}
	t.documents[u] = d
	t.order = append(t.order, u)
	if h := hostOf(u); t.hosts[h] == nil {
		t.hosts[h] = d.region
	}
}

// hostOf returns scheme and host of a URL.
func hostOf(u string) string {
	parsed, err := url.Parse(u)
	if err != nil {
		return ""
	}
	return parsed.Scheme + "://" + parsed.Host
}

// newSite lays out the documents of the provider. A URL that several regions list belongs to the one that lists it first in its
// list, then to the one that is first in the provider. The caller holds mu, or nobody knows the Server yet.
func (s *Server) newSite() *site {
	t := &site{documents: map[string]document{}, hosts: map[string]*region{}}
	s.eachValue(func(r issuer.Region) []string { return r.JWKSURLs }, func(u string, own *region, _ issuer.Region) {
		t.add(u, document{region: own})
		if base, ok := strings.CutSuffix(u, keysPath); ok {
			own := t.documents[u].region
			t.add(base+metaPath, document{region: own, metadata: map[string]any{"issuer": own.iss, "jwks_uri": u}})
		}
	})
	s.eachValue(func(r issuer.Region) []string { return r.Issuers }, func(iss string, own *region, r issuer.Region) {
		base := strings.TrimSuffix(iss, "/")
		metadata, keys := base+metaPath, base+keysPath
		switch {
		case r.DiscoveryURL != "":
			metadata, keys = r.DiscoveryURL, r.DiscoveryURL+"/jwks.json"
		case !strings.HasPrefix(iss, "https://") && !strings.HasPrefix(iss, "http://"):
			return // a name
		}
		if s.cognito {
			iss = own.iss // the pool is in one mode
		}
		if len(r.JWKSURLs) > 0 {
			keys = r.JWKSURLs[0]
		}
		t.add(metadata, document{region: own, metadata: map[string]any{"issuer": iss, "jwks_uri": keys}})
		t.add(keys, document{region: own})
	})
	for i, r := range s.provider.Regions {
		t.add(r.TokenURL, document{region: s.regions[i], tokens: true})
	}
	for i, own := range s.regions {
		for _, iss := range s.provider.Regions[i].Issuers {
			h := hostOf(iss)
			if name, ok := strings.CutPrefix(h, "https://cognito-idp."); ok && t.hosts[h] == own {
				t.hosts["https://issuer-cognito-idp."+name] = own
			}
		}
	}
	return t
}

// eachValue calls f with the first value of every region's list, then the second of every region, and so on.
func (s *Server) eachValue(list func(issuer.Region) []string, f func(value string, own *region, r issuer.Region)) {
	for k, more := 0, true; more; k++ {
		more = false
		for i, r := range s.provider.Regions {
			if values := list(r); k < len(values) {
				f(values[k], s.regions[i], r)
				more = true
			}
		}
	}
}

// at returns the document at a URL and the region that answers there; nil is an unknown host.
func (s *Server) at(u *url.URL) (document, *region) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base := u.Scheme + "://" + u.Host
	if d, ok := s.site.documents[base+u.EscapedPath()]; ok {
		return d, d.region
	}
	return document{}, s.site.hosts[base]
}

// Provider returns the provider that the Server serves. After Serve, its URLs are those of the listeners.
func (s *Server) Provider() issuer.Provider {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.provider
	p.Regions = make([]issuer.Region, len(s.provider.Regions))
	for i, r := range s.provider.Regions {
		if s.regions[i].base != "" && !s.config.moves() {
			r = s.served(r)
		}
		p.Regions[i] = r
	}
	return p
}

// served returns r with the URLs of the listeners. The caller holds mu.
func (s *Server) served(r issuer.Region) issuer.Region {
	local := func(urls []string) (changed []string) {
		for _, u := range urls {
			changed = append(changed, s.local(u))
		}
		return changed
	}
	if len(r.JWKSURLs) == 0 {
		metadata := r.DiscoveryURL
		if metadata == "" {
			metadata = strings.TrimSuffix(r.Issuers[0], "/") + metaPath
		}
		uri, _ := s.site.documents[metadata].metadata["jwks_uri"].(string)
		r.DiscoveryURL, r.JWKSURLs = "", []string{uri}
	}
	r.JWKSURLs, r.OptionalJWKSURLs = local(r.JWKSURLs), local(r.OptionalJWKSURLs)
	if r.TokenURL != "" {
		r.TokenURL = s.local(r.TokenURL)
	}
	return r
}

// local returns the URL at which a listener answers for u: the same path, or one that starts with the host of u if a region has
// the same path on several hosts. The caller holds mu.
func (s *Server) local(u string) string {
	own := s.site.documents[u].region
	parsed, err := url.Parse(u)
	if own == nil || err != nil {
		return u
	}
	for _, other := range s.site.order {
		if d := s.site.documents[other]; d.region != own {
			continue
		}
		if p, err := url.Parse(other); err == nil && p.EscapedPath() == parsed.EscapedPath() {
			if other == u {
				return own.base + parsed.EscapedPath()
			}
			break
		}
	}
	return own.base + "/" + parsed.Host + parsed.EscapedPath()
}
