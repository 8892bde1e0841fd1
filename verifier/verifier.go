// Package verifier decides whether a token is valid.
//
// [New] takes one [Policy] for each provider: for whom its tokens must be issued, which algorithms and types they may have.
// [Verifier.Verify] then accepts a compact JWS (RFC 7515) with JWT claims (RFC 7519), or says precisely why not: as an [*Error]
// with one [Reason] and one category: [ErrInvalid], [ErrForbidden], or [ErrUnavailable] and [ErrRateLimited] if it cannot tell.
//
// The checks come in this order, the cheap and local ones first:
//
//  1. the size;
//  2. three segments, each canonical base64url;
//  3. the header: strict JSON, a known alg; no crit, b64, enc or cty, and no zip but NONE; jwk, jku and x5* are never read;
//  4. the payload: strict JSON, registered claims of the right types;
//  5. iss is one that a configured provider lists;
//  6. the claims that the provider's Policy names have the right types, and alg and typ are in its lists;
//  7. exp, nbf and iat, with Leeway;
//  8. the AudiencePolicy: kind of token, audience, client;
//  9. the keys for iss and kid, which may have to be fetched, and the signature;
//  10. RequiredClaims;
//  11. MaxAge;
//  12. MaxLifetime;
//  13. the actor, if there is an act claim (RFC 8693);
//  14. RegionPolicy;
//  15. revocation;
//  16. Policy.Check.
//
// So a token may be rejected before its signature is checked, but is never accepted. Only a token that could be valid causes a
// fetch, waits, or gets "cannot tell". The iss of a payload that is not verified does one thing: it selects a configured
// provider.
//
// A token that passed is cached (Config.CacheSize), so that its signature need not be checked again. The checks of
// time, region policy and Policy.Check are repeated each time, and revocation when its rules have changed. The key must still
// be one that the key source would return.
package verifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// Default and limit of Config, beside those of package limit.
const (
	defaultCacheSize = 8192
	maxCacheSize     = 1 << 24
)

// Config configures a Verifier. The zero value of every field is the default.
type Config struct {
	// Revocation tells which tokens are revoked. Nil means that none are.
	Revocation Revocation

	// Leeway is by how much clocks may differ when exp, nbf, iat and MaxAge are checked. 0 means 30 seconds, negative none; at
	// most 5 minutes.
	Leeway time.Duration

	// MaxTokenBytes is the length of the longest token that is looked at. 0 means 16 KiB; at most 1 MiB.
	MaxTokenBytes int

	// CacheSize is the number of verified tokens whose signature need not be checked again. They take 2 KiB each on average at
	// most, or fewer are kept: 16 MiB with the default. 0 means 8,192, negative none; at most 16,777,216. Update empties the
	// cache.
	CacheSize int

	// OnDecision is called at the end of each Verify, with its context, from its goroutine, under no lock. It must not block and
	// must be safe for concurrent use. A panic changes no decision; the first one is written to standard error. Nil is fine.
	OnDecision func(context.Context, Decision)

	now func() time.Time // nil means time.Now; tests set it
}

// Verifier verifies tokens. It is safe for concurrent use, and starts no goroutine except one that Changed may need.
type Verifier struct {
	state  atomic.Pointer[state]
	keys   jwks.Source
	config Config

	updating sync.Mutex // held while the policies are replaced

	mu     sync.Mutex // guards the fields below
	change *change
	forget runtime.Cleanup // of change
}

// state is an immutable configuration in use.
type state struct {
	keys        jwks.Source
	cache       *cache // nil if nothing is cached
	issuers     map[string]*issuerEntry
	onDecision  func(context.Context, Decision)
	revocations *revocations // nil without
	leeway      time.Duration
	maxBytes    int
	now         func() time.Time
	alb         bool // the tokens are those of load balancers
}

// New returns a Verifier for policies, of which no two may list the same iss, or every problem with its arguments as one joined
// error. keys is a *jwks.Cache or what jwks.NewStatic returns. New does no I/O. A Verifier needs no Close.
func New(policies []Policy, keys jwks.Source, c Config) (*Verifier, error) {
	s, err := compile(policies, keys, c)
	if err != nil {
		return nil, err
	}
	v := &Verifier{keys: keys, config: c}
	v.state.Store(s)
	return v, nil
}

// Update replaces the policies, atomically, and keeps everything else: keys, rules, callbacks, clock and limits. If there is a
// problem with the policies it changes nothing, and returns every problem as one joined error.
func (v *Verifier) Update(policies []Policy) error {
	if v.current() == nil {
		return errNotMade
	}
	v.updating.Lock()
	defer v.updating.Unlock()
	s, err := compile(policies, v.keys, v.config)
	if err != nil {
		return err
	}
	v.state.Store(s)
	v.policiesChanged()
	return nil
}

func compile(policies []Policy, keys jwks.Source, c Config) (*state, error) {
	errs := c.problems()
	if nils.Is(keys) {
		errs = append(errs, errors.New("verifier: the key source is nil: give New a *jwks.Cache, or what jwks.NewStatic returns"))
	}
	if len(policies) == 0 {
		errs = append(errs, errors.New("verifier: there is no Policy"))
	}
	if len(policies) > 1 && slices.ContainsFunc(policies, func(p Policy) bool { return p.alb != nil }) {
		errs = append(errs, errors.New("verifier: the Policy for tokens of load balancers is not the only one"))
	}
	s := &state{
		keys: keys, issuers: map[string]*issuerEntry{}, now: c.now, onDecision: c.OnDecision,
		revocations: newRevocations(c.Revocation),
		leeway:      max(cmp.Or(c.Leeway, limit.Leeway), 0), maxBytes: cmp.Or(c.MaxTokenBytes, limit.TokenBytes),
	}
	if n := cmp.Or(c.CacheSize, defaultCacheSize); n > 0 && n <= maxCacheSize {
		s.cache = newCache(n)
	}
	if s.now == nil {
		s.now = time.Now
	}
	ids := map[string]bool{}
	var before *demands
	for _, p := range policies {
		compiled, err := p.compile(before)
		if err != nil {
			errs = append(errs, err)
		}
		before = compiled.demands
		if ids[p.Provider.ID] {
			errs = append(errs, fmt.Errorf("verifier: provider %q has two policies", p.Provider.ID))
		}
		ids[p.Provider.ID] = true
		if p.alb != nil {
			s.addALB(compiled)
			continue
		}
		errs = append(errs, s.add(compiled, p.Provider.Regions)...)
	}
	return s, errors.Join(errs...)
}

// problems returns every problem with c.
func (c *Config) problems() (errs []error) {
	if nils.Typed(c.Revocation) {
		errs = append(errs, errors.New("verifier: Revocation is a nil pointer in an interface"))
	}
	if c.Leeway > limit.MaxLeeway {
		errs = append(errs, fmt.Errorf("verifier: Leeway %v is longer than %v", c.Leeway, limit.MaxLeeway))
	}
	if c.MaxTokenBytes < 0 || c.MaxTokenBytes > limit.MaxTokenBytes {
		errs = append(errs, fmt.Errorf("verifier: MaxTokenBytes %d is not between 1 and %d",
			c.MaxTokenBytes, limit.MaxTokenBytes))
	}
	if c.CacheSize > maxCacheSize {
		errs = append(errs, fmt.Errorf("verifier: CacheSize %d is more than %d", c.CacheSize, maxCacheSize))
	}
	return errs
}

// add enters the issuers of a policy.
func (s *state) add(p *compiledPolicy, regions []issuer.Region) (errs []error) {
	for i := range regions {
		r := &regions[i]
		for _, iss := range r.Issuers {
			e := s.issuers[iss]
			switch {
			case e == nil:
				s.issuers[iss] = &issuerEntry{compiledPolicy: p, regions: []string{r.Name}, marks: marksOf(iss, r)}
			case e.providerID == p.providerID && e.compiledPolicy != p: // which is reported of the provider
			case e.compiledPolicy != p:
				errs = append(errs, fmt.Errorf("verifier: issuer %q is listed by the providers %q and %q",
					iss, e.providerID, p.providerID))
			default:
				e.regions = append(e.regions, r.Name)
				e.marks = max(e.marks, marksOf(iss, r))
			}
		}
	}
	return errs
}

// current is the configuration in use, or nil if New has not made v.
func (v *Verifier) current() *state {
	if v == nil {
		return nil
	}
	return v.state.Load()
}

// Verify checks a token in compact serialization (RFC 7515 section 7.1). The error is an *Error. It waits only if the key that
// the token names is not in memory, and never beyond ctx.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Token, error) {
	s := v.current()
	if s == nil {
		return nil, errNotNew()
	}
	var t *Token
	var err *Error
	if s.onDecision == nil {
		t, _, err = s.verify(ctx, raw)
	} else {
		t, err = s.observed(ctx, raw)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Recheck checks a verified token again, for streams and long responses: its time, its key, the region policy, revocation and
// Policy.Check, and, if Update has replaced its policy, whatever else that demands. The error is an *Error.
func (v *Verifier) Recheck(ctx context.Context, t *Token) error {
	s := v.current()
	if s == nil {
		return errNotNew()
	}
	if err := s.recheck(ctx, t); err != nil {
		return err
	}
	return nil
}

// errNotMade says that New has not made the Verifier: it knows no keys.
var errNotMade = errors.New("verifier: the Verifier was not made by New")

// errNotNew is the answer about a token of a Verifier that New has not made.
func errNotNew() *Error {
	return &Error{Reason: ReasonKeysUnavailable, RetryAfter: time.Second, Err: errNotMade}
}
