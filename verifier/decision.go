package verifier

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/jwks"
)

// Hooks are told of what a Verifier does. Each may be nil. They are called under no lock, from the goroutine of Verify, so they
// must not block, and must be safe for concurrent use. A panic of a hook changes no decision; the first one is reported to
// standard error.
type Hooks struct {
	// Verified is called at the end of each Verify. The context is that of Verify.
	Verified func(context.Context, Verified)
	// Drifted is called for each token that shows that a region does not do what it should.
	Drifted func(context.Context, Drift)
}

// Verified is a decision on a token.
type Verified struct {
	Token  *Token // nil where it was not accepted
	Err    *Error // nil where it was
	Began  time.Time
	Took   time.Duration // by the monotonic clock, with the wait for a key where there was one
	Cached bool          // judged by what is remembered of the same token; its signature was not checked again
	Rules  uint64        // the Version of the revocation rules when Verify began; 0 without
}

// DriftKind says what is wrong with a region.
type DriftKind string

// The kinds of drift.
const (
	// DriftMissingClaim: a token with a good signature lacks a claim of Policy.RequiredClaims, as where the trigger that adds it
	// was not deployed in the region that minted it. It is refused with MissingClaim.
	DriftMissingClaim DriftKind = "missing_claim"
	// DriftWrongIssuer: a token with a good signature names an iss of the authority that the region whose key it is does not
	// list. It is refused with UnknownKey.
	DriftWrongIssuer DriftKind = "wrong_issuer"
)

// Drift says that a region does not do what it should.
type Drift struct {
	Kind     DriftKind
	Provider string
	Region   string // "" where several may have minted the token
	Claim    string // that is missing, as Policy.RequiredClaims has it
}

// RegionStatus counts the tokens of one region that show drift, since the region was first configured.
type RegionStatus struct {
	Provider, Region string // Region is "" for tokens that several regions may have minted
	MissingClaims    uint64
	LastMissing      string // the claim that was missing last; "" where none was
	WrongIssuers     uint64
	Last             time.Time // when any of them was last seen; zero where none was
}

// drifts counts what a RegionStatus says. There is one only for a region that has shown drift.
type drifts struct {
	mu       sync.Mutex
	byRegion map[place]*RegionStatus
}

type place struct{ authority, region string }

// Status reports what drifted, sorted by authority and region. What has shown no drift is left out, and so is what an Update has
// removed.
func (v *Verifier) Status() []RegionStatus {
	if v == nil {
		return nil
	}
	v.drifts.mu.Lock()
	defer v.drifts.mu.Unlock()
	all := make([]RegionStatus, 0, len(v.drifts.byRegion))
	for _, st := range v.drifts.byRegion {
		all = append(all, *st)
	}
	slices.SortFunc(all, func(a, b RegionStatus) int {
		return cmp.Or(strings.Compare(a.Provider, b.Provider), strings.Compare(a.Region, b.Region))
	})
	return all
}

// count counts d.
func (c *drifts) count(d Drift, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := place{d.Provider, d.Region}
	st := c.byRegion[at]
	if st == nil {
		st = &RegionStatus{Provider: d.Provider, Region: d.Region}
		if c.byRegion == nil {
			c.byRegion = map[place]*RegionStatus{}
		}
		c.byRegion[at] = st
	}
	switch d.Kind {
	case DriftMissingClaim:
		st.MissingClaims++
		st.LastMissing = d.Claim
	case DriftWrongIssuer:
		st.WrongIssuers++
	}
	st.Last = now
}

// keep forgets the regions that no Policy has any more.
func (c *drifts) keep(trust []Policy) {
	there := map[place]bool{}
	for _, t := range trust {
		there[place{authority: t.Provider.ID}] = true // where several regions may have minted the token
		for _, r := range t.Provider.Regions {
			there[place{t.Provider.ID, r.Name}] = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.byRegion, func(at place, _ *RegionStatus) bool { return !there[at] })
}

// drifted counts a token that shows drift, and tells of it.
func (s *state) drifted(ctx context.Context, t *trusted, regions []string, kind DriftKind, claim string) {
	d := Drift{Kind: kind, Provider: t.authority, Claim: claim}
	if len(regions) == 1 {
		d.Region = regions[0]
	}
	s.drifts.count(d, s.now())
	if s.hooks.Drifted != nil {
		s.hooks.tellDrifted(ctx, d)
	}
}

// noteStranger finds out whether a token whose kid no region lists for its iss was signed by another region of the authority. It
// asks the memory of the source only.
func (s *state) noteStranger(ctx context.Context, t *trusted, p *compact) {
	for _, r := range t.Provider.Regions {
		if slices.Contains(t.regions, r.Name) {
			continue // its keys are those that were asked for
		}
		q := jwks.Query{Issuer: r.Issuers[0], KeyID: p.header.kid, Algorithm: p.header.alg, CacheOnly: true}
		for _, k := range s.lookup(ctx, q).Keys {
			if sound(k) && mayVerify(k, p) {
				s.drifted(ctx, t, k.Regions(), DriftWrongIssuer, "")
				return
			}
		}
	}
}

// observed is verify for those who want to be told.
func (s *state) observed(ctx context.Context, raw string) (*Token, *Error) {
	v := Verified{Began: time.Now(), Rules: s.version()}
	v.Token, v.Cached, v.Err = s.verify(ctx, raw)
	v.Took = time.Since(v.Began)
	s.hooks.tellVerified(ctx, v)
	return v.Token, v.Err
}
