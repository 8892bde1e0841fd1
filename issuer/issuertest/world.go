// Package issuertest is a world of issuers to test services against: one authority in two regions or more, with fresh
// keys, whose regions can be broken, slowed, spoiled and mended, and which mints tokens, right and wrong ones.
//
// The world is in memory: its http.Client reaches it without sockets, and it works in a testing/synctest bubble. With
// [World.Serve] it listens on loopback addresses instead, for programs and for other processes.
//
// Its tokens fit verifier.CognitoAccess(ClientID) with the zero Config, and verifier.Audience(Audience) with the other layouts.
// Keys are fetched every 15 minutes: a test that wants to see a fetch fail soon after Break sets a short Refresh.
package issuertest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/issuer"
)

// TB is the part of testing.TB that a World needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// What tokens hold unless Claims says otherwise.
const (
	ClientID = "test-client"             // client_id, and aud of ID tokens
	Audience = "https://api.example.com" // aud of access tokens; Cognito-shaped ones have none
	Subject  = "0f5b2a6e-0000-4000-8000-00000000c0de"
	Scope    = "openid orders/read"
)

// Layout says how the authority is deployed.
type Layout int

// The layouts.
const (
	// Cognito is a user pool and its replicas; all regions publish the same keys.
	Cognito Layout = iota
	// IssuerPerRegion gives each region an iss and keys of its own.
	IssuerPerRegion
	// OneIssuer has all regions mint the same iss, each with keys of its own at a URL of its own.
	OneIssuer
	// OneIssuerMirrored has all regions mint the same iss and publish the same keys.
	OneIssuerMirrored
)

// Config configures a World. The zero Config is a Cognito user pool with one replica.
type Config struct {
	Layout    Layout
	Issuer    issuer.IssuerType // Cognito only: which mode the pool is in; AnyIssuer: hosts of both modes answer
	Regions   []string          // the primary first; empty: us-east-1 and us-west-2
	Algorithm string            // RS256 (the default), ES256, EdDSA, ...
	Discovery bool              // IssuerPerRegion only: the authority lists no JWKS URLs
	ID        string            // of the authority; empty: a user pool ID, or "test-authority"
}

// World is one authority with all its regions. It is safe for concurrent use.
type World struct {
	tb     TB
	config Config

	mu      sync.Mutex
	regions []*region
	servers []*http.Server
}

// region is one deployment. The world's mutex guards it.
type region struct {
	name    string
	base    string // "https://host", or that of a loopback listener
	ring    *ring  // shared where regions publish the same keys
	fault   fault
	mended  chan struct{} // closed by Mend
	lagging []byte        // the document that it is stuck at
	fetches int
}

// ring holds the keys that are published together, the one that signs last.
type ring struct{ signers []*josetest.Signer }

// New makes a world. Its keys are fresh, so it takes a moment with RSA. A nil tb is for programs: faults of the kit itself
// then panic, and Close has to be called.
func New(tb TB, c Config) *World {
	w := &World{tb: tb, config: c}
	if tb != nil {
		tb.Helper()
		tb.Cleanup(w.Close)
	}
	if len(c.Regions) == 0 {
		w.config.Regions = []string{"us-east-1", "us-west-2"}
	}
	if c.Algorithm == "" {
		w.config.Algorithm = "RS256"
	}
	if c.ID == "" {
		w.config.ID = "test-authority"
		if c.Layout == Cognito {
			w.config.ID = w.config.Regions[0] + "_Testing01"
		}
	}
	var shared *ring
	for i, name := range w.config.Regions {
		r := &region{name: name, base: "https://" + name + ".idp.example", ring: shared, mended: make(chan struct{})}
		if c.Layout == Cognito {
			r.base = "https://cognito-idp." + name + ".amazonaws.com"
		}
		if r.ring == nil {
			r.ring = &ring{}
			w.rotate(r)
		}
		if i == 0 && (c.Layout == Cognito || c.Layout == OneIssuerMirrored) {
			shared = r.ring
		}
		w.regions = append(w.regions, r)
	}
	return w
}

// Close ends the listeners of Serve and releases hanging requests. It is idempotent; New registers it with tb.
func (w *World) Close() {
	w.mu.Lock()
	servers := w.servers
	w.servers = nil
	for _, r := range w.regions {
		r.mend()
	}
	w.mu.Unlock()
	for _, s := range servers {
		_ = s.Close()
	}
}

func (w *World) fatalf(format string, args ...any) {
	if w.tb == nil {
		panic(fmt.Sprintf("issuertest: "+format, args...))
	}
	w.tb.Helper()
	w.tb.Fatalf("issuertest: "+format, args...)
}

// region returns the region of that name. The caller holds mu.
func (w *World) region(name string) *region {
	for _, r := range w.regions {
		if r.name == name {
			return r
		}
	}
	w.fatalf("there is no region %q", name)
	return nil
}

// Provider describes the world to a verifier. After Serve, the URLs are those of the listeners.
func (w *World) Provider() issuer.Provider {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.config.Layout == Cognito {
		a, err := issuer.Cognito(issuer.UserPool{
			ID: w.config.ID, Replicas: w.config.Regions[1:], Issuer: w.config.Issuer,
			BaseURL: func(name string, t issuer.IssuerType) string {
				base := w.region(name).base
				if strings.HasPrefix(base, "https:") {
					return ""
				}
				if t == issuer.Updated {
					return base + updatedPrefix
				}
				return base
			},
		})
		if err != nil {
			w.fatalf("%v", err)
		}
		return a
	}
	a := issuer.Provider{ID: w.config.ID}
	for _, r := range w.regions {
		one := issuer.Region{Name: r.name, Issuers: []string{w.issuerOf(r)}, TokenURL: r.base + "/tenant/token"}
		switch {
		case w.config.Layout == OneIssuerMirrored:
			one.JWKSURLs = w.mirrors(r)
		case w.config.Layout == OneIssuer || !w.config.Discovery:
			one.JWKSURLs = []string{r.base + keysPath}
		}
		a.Regions = append(a.Regions, one)
	}
	return a
}

// mirrors lists the URLs of all regions, that of r first. The caller holds mu.
func (w *World) mirrors(r *region) []string {
	urls := []string{r.base + keysPath}
	for _, other := range w.regions {
		if other != r {
			urls = append(urls, other.base+keysPath)
		}
	}
	return urls
}

// issuerOf returns the iss that r mints. The caller holds mu.
func (w *World) issuerOf(r *region) string {
	switch {
	case w.config.Layout == Cognito && w.config.Issuer == issuer.Updated:
		return "https://issuer-cognito-idp." + w.config.Regions[0] + ".amazonaws.com/" + w.config.ID
	case w.config.Layout == Cognito:
		return "https://cognito-idp." + r.name + ".amazonaws.com/" + w.config.ID
	case w.config.Layout == IssuerPerRegion:
		return r.base + "/tenant"
	}
	return "https://idp.example/tenant"
}

// Rotate gives the region, and those that share its keys, a new key to sign with. The old ones stay published.
func (w *World) Rotate(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rotate(w.region(name))
}

func (w *World) rotate(r *region) {
	s, err := josetest.NewSigner(w.config.Algorithm)
	if err != nil {
		w.fatalf("%v", err)
		return
	}
	r.ring.signers = append(r.ring.signers, s)
}

// Withdraw has the region, and those that share its keys, publish only the key that it signs with.
func (w *World) Withdraw(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.region(name).ring
	r.signers = r.signers[len(r.signers)-1:]
}

// fault is what is wrong with a region.
type fault struct {
	broken, hanging bool
	delay           time.Duration
	status          int
	header          http.Header
	body            []byte
}

// Break has the region refuse or reset connections, until Mend.
func (w *World) Break(name string) { w.spoil(name, fault{broken: true}) }

// Hang has the region accept requests and never answer, until Mend, which releases them.
func (w *World) Hang(name string) { w.spoil(name, fault{hanging: true}) }

// Slow has the region answer late, until Mend.
func (w *World) Slow(name string, by time.Duration) { w.spoil(name, fault{delay: by}) }

// Status has the region answer with a status, and headers such as Retry-After, until Mend.
func (w *World) Status(name string, code int, header http.Header) {
	w.spoil(name, fault{status: code, header: header.Clone()})
}

// Corrupt has the region answer 200 with body in place of its documents, until Mend.
func (w *World) Corrupt(name string, body []byte) {
	w.spoil(name, fault{status: http.StatusOK, body: append([]byte{}, body...)})
}

// Lag has the region go on publishing the keys that it has now, until Mend, whatever is rotated meanwhile.
func (w *World) Lag(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.region(name)
	r.lagging = w.keySet(r)
}

// Mend ends everything that is wrong with the region.
func (w *World) Mend(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.region(name).mend()
}

func (r *region) mend() {
	close(r.mended)
	r.mended = make(chan struct{})
	r.fault, r.lagging = fault{}, nil
}

func (w *World) spoil(name string, f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.region(name)
	r.fault = f
}

// Fetches tells how many requests the region has got so far, answered or not.
func (w *World) Fetches(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.region(name).fetches
}
