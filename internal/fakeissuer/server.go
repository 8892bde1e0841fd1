// Package fakeissuer is a fake identity provider: it serves the key sets, the metadata and the tokens of an issuer.Provider, with
// new keys, and its regions can be broken. Package issuertest is its public part; the tests of this repository use more of it.
//
// The fake is in memory: Client reaches it without sockets, also in a testing/synctest bubble. After Serve it also listens on
// loopback addresses.
package fakeissuer

import (
	"crypto"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/issuercheck"
	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
)

// TB is the part of testing.TB that a Server needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Defaults of keys and tokens.
const (
	Algorithm = "RS256"
	ClientID  = "test-client"             // client_id, and aud of ID tokens
	Audience  = "https://api.example.com" // aud of access tokens; those of a user pool have none
	Subject   = "0f5b2a6e-0000-4000-8000-00000000c0de"
	Scope     = "openid orders/read"
)

// Config configures a Server. The zero Config is a Cognito user pool with one replica.
type Config struct {
	// Provider is what the Server serves. If it is nil, Layout and the fields up to ID describe a provider.
	Provider  *issuer.Provider
	Layout    Layout
	Mode      issuer.CognitoMode // Cognito only
	Regions   []string           // the primary first; empty: us-east-1 and us-west-2
	Discovery bool               // IssuerPerRegion only: the provider lists no JWKS URLs
	ID        string             // of the provider; empty: a user pool ID, or "test-provider"

	Algorithm string // empty: RS256; ES256, EdDSA, ...
	ClientID  string // empty: the constant
	Audience  string // empty: the constant

	Addresses map[string]string        // where Serve listens, by region; empty: any port of 127.0.0.1
	Keys      map[string]crypto.Signer // that regions sign with until Rotate, by region; nil: new ones
	Now       func() time.Time         // for tokens and proofs; nil: time.Now
}

// Server serves one provider with all its regions. It is safe for concurrent use.
type Server struct {
	tb      TB
	config  Config
	cognito bool

	mu       sync.Mutex
	provider issuer.Provider
	regions  []*region
	site     *site
	servers  []*http.Server

	listeners []net.Listener // of servers, which may not know them yet
}

// region is one deployment. The mutex of the Server guards it.
type region struct {
	name     string
	iss      string // of the tokens that it issues
	base     string // of its listener: "http://127.0.0.1:1234"
	ring     *ring  // shared by regions that publish the same keys
	fault    fault
	restored chan struct{} // closed by Restore
	lagging  []byte        // the key set that Lag has frozen

	brokenPaths map[string]bool // by BreakURL
	requests    int
}

// ring holds the keys that are published together; the last one signs.
type ring struct{ signers []*josetest.Signer }

// New returns a Server with new keys; RSA keys take a moment to generate. A nil tb is for programs: mistakes in the use of the
// Server then panic, and Close must be called.
func New(tb TB, c Config) *Server {
	s := &Server{tb: tb, config: c.withDefaults()}
	if tb != nil {
		tb.Helper()
		tb.Cleanup(s.Close)
	}
	s.provider = s.config.describe(nil)
	if err := issuercheck.Validate(s.provider); err != nil {
		s.Fatalf("%v", err)
		return s
	}
	s.cognito = slices.ContainsFunc(s.provider.Regions, func(r issuer.Region) bool { return isCognito(r.Issuers[0]) })
	for i, r := range s.provider.Regions {
		made := &region{name: r.Name, iss: r.Issuers[0], ring: s.sharedRing(i), restored: make(chan struct{})}
		if made.ring == nil {
			made.ring = &ring{}
			s.firstKey(made)
		}
		s.regions = append(s.regions, made)
	}
	s.site = s.newSite()
	return s
}

// sharedRing returns the keys that region i shares with one before it: all regions of a user pool publish the same keys, and so
// do regions that list the same JWKS URL.
func (s *Server) sharedRing(i int) *ring {
	for k, r := range s.provider.Regions[:i] {
		shares := func(u string) bool { return slices.Contains(r.JWKSURLs, u) }
		if s.cognito || slices.ContainsFunc(s.provider.Regions[i].JWKSURLs, shares) {
			return s.regions[k].ring
		}
	}
	return nil
}

func isCognito(u string) bool {
	return strings.HasPrefix(u, "https://cognito-idp.") || strings.HasPrefix(u, "https://issuer-cognito-idp.")
}

// Close closes the listeners of Serve and releases hanging requests. It may be called more than once; New registers it with tb.
func (s *Server) Close() {
	s.mu.Lock()
	servers, listeners := s.servers, s.listeners
	s.servers, s.listeners = nil, nil
	for _, r := range s.regions {
		r.restore()
	}
	s.mu.Unlock()
	for _, l := range servers {
		_ = l.Close()
	}
	for _, l := range listeners {
		_ = l.Close()
	}
}

// Fatalf fails the test, or panics without one.
func (s *Server) Fatalf(format string, args ...any) {
	if s.tb == nil {
		panic(fmt.Sprintf("issuertest: "+format, args...))
	}
	s.tb.Helper()
	s.tb.Fatalf("issuertest: "+format, args...)
}

// region returns the region of that name. The caller holds mu.
func (s *Server) region(name string) *region {
	names := make([]string, len(s.regions))
	for i, r := range s.regions {
		if names[i] = r.name; r.name == name {
			return r
		}
	}
	s.Fatalf("there is no region %q: the provider has %q", name, names)
	return nil
}

// Cognito reports whether the provider is a Cognito user pool. Its tokens have the claims of one.
func (s *Server) Cognito() bool { return s.cognito }

// Rotate adds a new key with which the region, and those that share its keys, sign from now on. The old keys stay published.
func (s *Server) Rotate(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotate(s.region(name))
}

// firstKey gives a region the key that it begins with.
func (s *Server) firstKey(r *region) {
	key := s.config.Keys[r.name]
	if key == nil {
		s.rotate(r)
		return
	}
	signer, err := josetest.SignerOf(key, s.config.Algorithm)
	if err != nil {
		s.Fatalf("Keys[%q]: %v", r.name, err)
		return
	}
	r.ring.signers = append(r.ring.signers, signer)
}

// now is the time of the Server.
func (s *Server) now() time.Time {
	if s.config.Now != nil {
		return s.config.Now()
	}
	return time.Now()
}

func (s *Server) rotate(r *region) {
	signer, err := josetest.NewSigner(s.config.Algorithm)
	if err != nil {
		s.Fatalf("%v", err)
		return
	}
	r.ring.signers = append(r.ring.signers, signer)
}

// Withdraw makes the region, and those that share its keys, publish only the key that it signs with.
func (s *Server) Withdraw(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(name).ring
	r.signers = r.signers[len(r.signers)-1:]
}

// KeySet returns the key set that the region publishes.
func (s *Server) KeySet(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keySet(s.region(name))
}

// keySet returns the key set that r publishes. The caller holds mu.
func (s *Server) keySet(r *region) []byte {
	if r.lagging != nil {
		return r.lagging
	}
	doc, err := josetest.Set(r.ring.signers...)
	if err != nil {
		s.Fatalf("%v", err)
	}
	return doc
}

// fault is what a region does instead of answering as it should.
type fault struct {
	broken, hanging bool
	delay           time.Duration
	handler         http.Handler
}

// Break makes the region refuse or reset connections, until Restore.
func (s *Server) Break(name string) { s.setFault(name, fault{broken: true}) }

// BreakURL makes one URL of the provider refuse connections, until Restore of the region that serves it.
func (s *Server) BreakURL(u string) {
	parsed, err := url.Parse(u)
	if err != nil {
		s.Fatalf("%q is no URL", u)
		return
	}
	d, r := s.at(parsed)
	if d.region == nil && r == nil {
		s.Fatalf("there is nothing at %q", u)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.brokenPaths == nil {
		r.brokenPaths = map[string]bool{}
	}
	r.brokenPaths[parsed.EscapedPath()] = true
}

// Hang makes the region accept requests and never answer, until Restore, which releases them.
func (s *Server) Hang(name string) { s.setFault(name, fault{hanging: true}) }

// Slow delays the region's responses, until Restore.
func (s *Server) Slow(name string, by time.Duration) { s.setFault(name, fault{delay: by}) }

// Handle makes h answer the requests to the region, until Restore.
func (s *Server) Handle(name string, h http.Handler) { s.setFault(name, fault{handler: h}) }

// Status makes the region answer with a status, and headers such as Retry-After, until Restore.
func (s *Server) Status(name string, code int, header http.Header) {
	s.Handle(name, fixed(code, header.Clone(), nil))
}

// Corrupt makes the region answer 200 with body instead of its documents, until Restore.
func (s *Server) Corrupt(name string, body []byte) {
	s.Handle(name, fixed(http.StatusOK, nil, slices.Clone(body)))
}

func fixed(code int, header http.Header, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(code)
		_, _ = w.Write(body)
	})
}

// Lag makes the region publish the keys that it has now, until Restore, even after Rotate and Withdraw.
func (s *Server) Lag(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(name)
	r.lagging = s.keySet(r)
}

// Restore ends every fault of the region.
func (s *Server) Restore(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.region(name).restore()
}

func (r *region) restore() {
	close(r.restored)
	r.restored = make(chan struct{})
	r.fault, r.lagging, r.brokenPaths = fault{}, nil, nil
}

func (s *Server) setFault(name string, f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.region(name).fault = f
}

// Fetches returns the number of requests to the region so far, answered or not.
func (s *Server) Fetches(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.region(name).requests
}
