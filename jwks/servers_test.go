package jwks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// servers is a network of key servers by URL. It is safe for concurrent use.
type servers struct {
	mu   sync.Mutex
	urls map[string]*server
}

// server is what one URL answers.
type server struct {
	url      string
	net      *servers
	kids     []string // that it lists
	keys     map[string]map[string]any
	delay    time.Duration
	header   http.Header
	status   int  // 0 means 200
	hangs    bool // accepts a request and does not answer
	refuses  bool
	asked    []time.Time
	answer   func(*http.Request) *http.Response // nil means the fields above
	lastSeen http.Header
}

func newServers() *servers { return &servers{urls: map[string]*server{}} }

// at returns the server of a URL.
func (n *servers) at(url string) *server {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.urls[url]
	if s == nil {
		s = &server{url: url, net: n, header: http.Header{}, keys: map[string]map[string]any{}}
		n.urls[url] = s
	}
	return s
}

// set changes a server under the lock of the network.
func (s *server) set(f func(*server)) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	f(s)
}

// list makes the server list keys with these names.
func (s *server) list(kids ...string) {
	s.set(func(s *server) { s.kids = kids })
}

// requests returns how often the server was asked.
func (s *server) requests() int {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	return len(s.asked)
}

// times returns when the server was asked.
func (s *server) times() []time.Time {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	return slices.Clone(s.asked)
}

// last returns the header of the last request.
func (s *server) last() http.Header {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	return s.lastSeen.Clone()
}

// Client returns an HTTP client that reaches the network.
func (n *servers) Client() *http.Client { return &http.Client{Transport: n} }

// RoundTrip implements http.RoundTripper.
func (n *servers) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	s := n.urls[r.URL.String()]
	if s == nil {
		n.mu.Unlock()
		return response(r, http.StatusNotFound, nil, nil), nil
	}
	s.asked = append(s.asked, time.Now())
	s.lastSeen = r.Header.Clone()
	delay, hangs, refuses, answer, status := s.delay, s.hangs, s.refuses, s.answer, s.status
	body, header := document(s.kids, s.keys), s.header.Clone()
	n.mu.Unlock()
	if hangs {
		delay = 24 * time.Hour
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-timer.C:
		}
	}
	switch {
	case refuses:
		return nil, errors.New("connection refused")
	case answer != nil:
		return answer(r), nil
	case status != 0 && status != http.StatusOK:
		return response(r, status, header, nil), nil
	}
	return response(r, http.StatusOK, header, body), nil
}

func response(r *http.Request, status int, header http.Header, body []byte) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{
		StatusCode: status, Header: header, Request: r, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(body)),
	}
}

// document is a key set with keys of these names. own overrides the material of a name.
func document(kids []string, own map[string]map[string]any) []byte {
	list := []map[string]any{}
	for _, kid := range kids {
		jwk := own[kid]
		if jwk == nil {
			jwk = map[string]any{}
			maps.Copy(jwk, material(kid))
			jwk["kid"] = kid
		}
		list = append(list, jwk)
	}
	doc, _ := json.Marshal(map[string]any{"keys": list})
	return doc
}

var (
	materialMu sync.Mutex
	materials  = map[string]map[string]any{}
)

// material returns the members of an ES256 key, the same for the same name.
func material(name string) map[string]any {
	materialMu.Lock()
	defer materialMu.Unlock()
	if m := materials[name]; m != nil {
		return m
	}
	s, err := josetest.NewSigner("ES256")
	if err != nil {
		panic(err)
	}
	m, err := s.JWK()
	if err != nil {
		panic(err)
	}
	materials[name] = m
	return m
}

// pool is a provider with one issuer whose regions have these JWKS URLs.
func pool(id string, regions ...[]string) issuer.Provider {
	p := issuer.Provider{ID: id}
	for i, urls := range regions {
		p.Regions = append(p.Regions, issuer.Region{
			Name: string(rune('a' + i)), Issuers: []string{"https://idp.example/" + id}, JWKSURLs: urls,
		})
	}
	return p
}

// newCache returns a cache of providers that fetches from the network.
func newCache(t testing.TB, n *servers, c jwks.Config, ps ...issuer.Provider) *jwks.Cache {
	t.Helper()
	c.HTTPClient = n.Client()
	cache, err := jwks.New(ps, c)
	require.NoError(t, err)
	return cache
}

// outcome names what a Result makes of a token whose key has that name: 200, 401, 429 or 503.
func outcome(r jwks.Result, kid string) int {
	switch {
	case slices.ContainsFunc(r.Keys, func(k *jwks.Key) bool { return k.ID() == kid }):
		return 200
	case r.Complete:
		return 401
	case r.Limited:
		return 429
	}
	return 503
}

// ask asks a cache for a key of a provider.
func ask(ctx context.Context, c jwks.Source, id, kid string) int {
	return outcome(c.Lookup(ctx, jwks.Query{Issuer: "https://idp.example/" + id, KeyID: kid, Algorithm: "ES256"}), kid)
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}

// providers is a list of providers.
func providers(ps ...issuer.Provider) []issuer.Provider { return ps }
