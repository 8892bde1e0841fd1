// Package verifier decides whether a token is valid.
//
// [New] takes one [Trust] for each authority: for whom its tokens must be minted, which algorithms and types they may
// have. [Verifier.Verify] then accepts a compact JWS (RFC 7515) with JWT claims (RFC 7519) or says precisely why not, as
// an [*Error] with one [Reason] and one category: [ErrInvalid], [ErrForbidden], or [ErrUnavailable] where it cannot tell.
//
// The checks come in this order, the cheap and local ones first:
//
//  1. the size;
//  2. three parts, each canonical base64url;
//  3. the header: strict JSON, a known alg, none of crit, b64, enc, zip and cty; jwk, jku and x5* are never looked at;
//  4. the payload: strict JSON, registered claims of the right types;
//  5. iss is one that a trusted authority lists;
//  6. alg and typ are in that Trust's lists;
//  7. exp, nbf and iat, with Leeway;
//  8. the Binding: kind of token, audience, client;
//  9. the keys for iss and kid, which may have to be fetched;
//  10. the signature;
//  11. RequiredClaims and MaxAge;
//  12. the region policy;
//  13. revocation;
//  14. Trust.Check.
//
// So a token may be refused before its signature is checked, but is never accepted, and only a token that could be valid
// makes anyone fetch, wait, or be told that it cannot be verified now. The iss of a payload that is not verified does one
// thing: it looks up a configured authority.
//
// A token that passed is remembered (Config.CacheSize), so that its signature need not be checked again. Step 7 and the steps
// from 11 on are made each time, but for RequiredClaims, which cannot change, and revocation, which is asked again when its
// Version has changed; and the key must still be one that the Source would return.
package verifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/jwks"
)

// Defaults and bounds of Config.
const (
	DefaultLeeway        = 30 * time.Second
	MaxLeeway            = 5 * time.Minute
	DefaultMaxTokenBytes = 16 << 10
	DefaultCacheSize     = 8192
	maxMaxTokenBytes     = 1 << 20
	maxCacheSize         = 1 << 24
)

// Config configures a Verifier. Keys and Trust are required.
type Config struct {
	// Keys answers with which keys a token may be verified: a *jwks.Cache or a *jwks.Static.
	Keys jwks.Source

	// Trust holds one entry for each authority. No two may list the same iss.
	Trust []Trust

	// Revoked knows break-glass rules. Nil means that there are none.
	Revoked Revoker

	// Leeway is how far clocks may differ when exp, nbf, iat and MaxAge are judged. 0 means 30 seconds, negative none; at
	// most 5 minutes.
	Leeway time.Duration

	// MaxTokenBytes is the length of the longest token that is looked at. 0 means 16 KiB; at most 1 MiB.
	MaxTokenBytes int

	// CacheSize is how many verified tokens are remembered, so that their signature need not be checked again; all else is. They
	// take 2 KiB each on average at most, or fewer are kept; 16 MiB with the default. 0 means 8,192, negative none; at most
	// 16,777,216. Update forgets them.
	CacheSize int

	// Now tells the time by which tokens are judged. Nil means time.Now.
	Now func() time.Time

	// Hooks are told of decisions, and of regions that do not do what they should.
	Hooks Hooks
}

// Revoker knows which tokens were revoked. It must be safe for concurrent use. If it panics, the rules are not known.
type Revoker interface {
	// Revoked returns the rule that t matches, or "". An error says that the rules are not known.
	Revoked(t *Token) (rule string, err error)
	// Version changes whenever the rules do.
	Version() uint64
}

// Verifier verifies tokens. It is safe for concurrent use, and starts no goroutine.
type Verifier struct {
	state  atomic.Pointer[state]
	drifts drifts
	config Config // without Trust; never changes

	updating sync.Mutex // held while Trust is replaced

	mu      sync.Mutex // guards changed
	changed chan struct{}
}

// state is an immutable configuration in use.
type state struct {
	keys    jwks.Source
	doubter jwks.Doubter // nil where keys is none
	holder  jwks.Holder  // nil where keys is none
	peeker  jwks.Peeker  // nil where keys is none
	cache   *cache       // nil where nothing is remembered
	issuers map[string]*trusted
	hooks   Hooks
	drifts  *drifts // the Verifier's
	revoked Revoker
	leeway  time.Duration
	max     int
	now     func() time.Time
}

// New returns a Verifier, or everything that is wrong with c as one joined error. It does no I/O. A Verifier that is not used any
// more needs no Close.
func New(c Config) (*Verifier, error) {
	v := &Verifier{changed: make(chan struct{}), config: c}
	v.config.Trust = nil
	s, err := c.compile()
	if err != nil {
		return nil, err
	}
	s.drifts = &v.drifts
	v.state.Store(s)
	v.listen(c.Keys, c.Revoked)
	return v, nil
}

// Update replaces Config.Trust, atomically, and keeps everything else: keys, rules, hooks, clock and bounds. Wrong trust changes
// nothing, and everything that is wrong with it is returned as one joined error.
func (v *Verifier) Update(trust []Trust) error {
	if v.current() == nil {
		return errNotMade
	}
	v.updating.Lock()
	defer v.updating.Unlock()
	c := v.config
	c.Trust = trust
	s, err := c.compile()
	if err != nil {
		return err
	}
	s.drifts = &v.drifts
	v.state.Store(s)
	v.drifts.keep(trust)
	v.announce()
	return nil
}

func (c Config) compile() (*state, error) {
	var errs []error
	if nils.Is(c.Keys) {
		errs = append(errs, errors.New("verifier: Keys is not set, or nil"))
	}
	if nils.Typed(c.Revoked) {
		errs = append(errs, errors.New("verifier: Revoked is set, and nil"))
	}
	if len(c.Trust) == 0 {
		errs = append(errs, errors.New("verifier: Trust is empty"))
	}
	if c.Leeway > MaxLeeway {
		errs = append(errs, fmt.Errorf("verifier: Leeway %v is longer than %v", c.Leeway, MaxLeeway))
	}
	if c.MaxTokenBytes < 0 || c.MaxTokenBytes > maxMaxTokenBytes {
		errs = append(errs, fmt.Errorf("verifier: MaxTokenBytes %d is not within 1 and %d", c.MaxTokenBytes, maxMaxTokenBytes))
	}
	s := &state{
		keys: c.Keys, issuers: map[string]*trusted{}, revoked: c.Revoked,
		leeway: c.Leeway, max: c.MaxTokenBytes, now: c.Now, hooks: c.Hooks,
	}
	if c.CacheSize > maxCacheSize {
		errs = append(errs, fmt.Errorf("verifier: CacheSize %d is more than %d", c.CacheSize, maxCacheSize))
	} else if n := cmp.Or(c.CacheSize, DefaultCacheSize); n > 0 {
		s.cache = newCache(n)
	}
	if c.Revoked != nil {
		s.revoked = &guarded{inner: c.Revoked}
	}
	s.doubter, _ = c.Keys.(jwks.Doubter)
	s.holder, _ = c.Keys.(jwks.Holder)
	s.peeker, _ = c.Keys.(jwks.Peeker)
	if s.leeway == 0 {
		s.leeway = DefaultLeeway
	}
	s.leeway = max(s.leeway, 0)
	if s.max == 0 {
		s.max = DefaultMaxTokenBytes
	}
	if s.now == nil {
		s.now = time.Now
	}
	ids := map[string]bool{}
	for _, t := range c.Trust {
		compiled, err := t.compile()
		if err != nil {
			errs = append(errs, err)
		}
		if ids[t.Authority.ID] {
			errs = append(errs, fmt.Errorf("verifier: authority %q is trusted twice", t.Authority.ID))
		}
		ids[t.Authority.ID] = true
		errs = append(errs, s.add(compiled)...)
	}
	return s, errors.Join(errs...)
}

// add enters the issuers of a trust.
func (s *state) add(t *trust) (errs []error) {
	for _, r := range t.Authority.Regions {
		for _, iss := range r.Issuers {
			e := s.issuers[iss]
			switch {
			case e == nil:
				s.issuers[iss] = &trusted{trust: t, regions: []string{r.Name}, region: r.Name}
			case e.trust != t:
				errs = append(errs, fmt.Errorf("verifier: issuer %q is listed by the authorities %q and %q",
					iss, e.authority, t.authority))
			default:
				e.regions = append(e.regions, r.Name)
				e.region = ""
			}
		}
	}
	return errs
}

// current is the configuration in use; nil where New has not made v.
func (v *Verifier) current() *state {
	if v == nil {
		return nil
	}
	return v.state.Load()
}

// Verify checks a token in compact serialization. The error is an *Error. It waits only where the key that the token
// names is not at hand, and never beyond ctx.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Token, error) {
	s := v.current()
	if s == nil {
		return nil, errNotNew()
	}
	var t *Token
	var err *Error
	if s.hooks.Verified == nil {
		t, _, err = s.verify(ctx, raw)
	} else {
		t, err = s.observed(ctx, raw)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Recheck judges a verified token again, for streams and long responses: its time, its key, the region policy and
// revocation. The error is an *Error.
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
	return &Error{Reason: KeysUnavailable, RetryAfter: time.Second, Err: errNotMade}
}
