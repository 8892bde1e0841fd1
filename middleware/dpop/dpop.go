// Package dpop judges DPoP proofs: RFC 9449. A proof is a JWT that a client signs anew for each request with the key that its
// access token is bound to, so that a stolen token is of no use without the key.
//
// The package knows nothing of HTTP: an adapter hands it what the request said, and turns its error into an answer.
package dpop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/nils"
)

// Defaults and bounds of a Config.
const (
	defaultMaxAge    = time.Minute
	maxMaxAge        = 10 * time.Minute
	defaultLeeway    = 5 * time.Second
	maxLeeway        = 5 * time.Minute
	defaultMaxProofs = 1 << 17
	minMaxProofs     = 64
	maxMaxProofs     = 1 << 24
)

// defaultAlgorithms are those that a verifier.Policy allows by default.
var defaultAlgorithms = []string{jose.ES256, jose.PS256, jose.RS256, jose.EdDSA}

// Config configures a Checker. Its zero value is usable: proofs of one minute, no nonces, and a memory of this process. Where
// several processes serve one URL, Replay or Nonces decide how far a captured proof goes: without Replay each process
// takes it once, for as long as MaxAge.
type Config struct {
	// Algorithms lists the signature algorithms that proofs may have, of RS256, RS384, RS512, PS256, PS384, PS512, ES256,
	// ES384, ES512 and EdDSA: all of them asymmetric. Empty means ES256, PS256, RS256 and EdDSA.
	Algorithms []string

	// MaxAge is how long ago a proof may have been made, by its iat. 0 means 1 minute; at most 10 minutes.
	MaxAge time.Duration

	// Leeway is how far in the future the iat of a proof may be, as clocks differ. 0 means 5 seconds, negative means none; at
	// most 5 minutes.
	Leeway time.Duration

	// Nonces demands that proofs hold a nonce of this server (RFC 9449, section 9), so that none can be made ahead of time:
	// see NewNonces. nil demands none.
	Nonces Nonces

	// Replay remembers the proofs that were used. nil means a memory of this process, which holds MaxProofs of them.
	Replay Replay

	// MaxProofs is how many proofs the memory of this process holds; each is held until it is too old to be accepted again. 0
	// means 131,072, which is 2,000 a second with the other defaults; from 64 to 16,777,216. One takes some 250 octets. It may
	// not be set with Replay.
	//
	// One key gets a sixth of the room at most, and less the less is free: it takes more than a thousand keys, each with a
	// token of its own, to fill the default. A key for which there is no room is answered ProofUnavailable. To forget early
	// instead would let whoever fills the memory use captured proofs again, and to accept without noting would let anyone.
	MaxProofs int

	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Nonces makes and judges the nonces that a server gives out in the header DPoP-Nonce. It must be safe for concurrent use. If it
// panics, the error of Check is ProofUnavailable.
type Nonces interface {
	// Current returns the nonce to give out: printable ASCII without space, quotation mark and backslash (RFC 9449, section 8.1).
	Current() string
	// Valid reports whether nonce was given out, and lately. It gets what a client claims, of any form.
	Valid(nonce string) bool
}

// Replay remembers which proofs were used. A fleet shares one so that no proof counts twice. It must be safe for concurrent
// use, and decide atomically: of several calls with one id at most one may be told that it was not noted before.
type Replay interface {
	// Seen notes id until it expires and reports whether it was noted before. An error, or a panic, says that it could not be
	// found out: the proof is refused with ProofUnavailable.
	//
	// An id has 66 characters: 22 that all proofs of one key have in common, a dot, and 43 of the proof itself, in base64url.
	// They are digests, and hold nothing that a token or a proof said.
	Seen(ctx context.Context, id string, until time.Time) (bool, error)
}

// Checker judges proofs. It is made by New, and is safe for concurrent use.
type Checker struct {
	algorithms     []string
	maxAge, leeway time.Duration
	nonces         Nonces
	replay         Replay
	now            func() time.Time
}

// New returns a Checker, or everything that is wrong with c.
func New(c Config) (*Checker, error) {
	algorithms := slices.Clone(c.Algorithms)
	if len(algorithms) == 0 {
		algorithms = slices.Clone(defaultAlgorithms)
	}
	var errs []error
	for i, a := range algorithms {
		if !jose.Known(a) {
			errs = append(errs, fmt.Errorf("dpop: algorithm %q is not supported", a))
		}
		if slices.Contains(algorithms[:i], a) {
			errs = append(errs, fmt.Errorf("dpop: algorithm %q is listed twice", a))
		}
	}
	maxAge, err := within("MaxAge", c.MaxAge, defaultMaxAge, maxMaxAge)
	errs = append(errs, err)
	leeway := time.Duration(0)
	if c.Leeway >= 0 {
		leeway, err = within("Leeway", c.Leeway, defaultLeeway, maxLeeway)
		errs = append(errs, err)
	}
	now := c.Now
	if now == nil {
		now = time.Now
	}
	if made, timed := c.Nonces.(*TimedNonces); nils.Typed(c.Nonces) || timed && len(made.keys) == 0 {
		errs = append(errs, errors.New("dpop: Nonces is set, and nil or not made by NewNonces"))
	}
	replay, err := replayOf(c, now)
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return &Checker{algorithms: algorithms, maxAge: maxAge, leeway: leeway, nonces: c.Nonces, replay: replay, now: now}, nil
}

// within returns d, or what 0 means, or an error where d is out of bounds.
func within(name string, d, zero, most time.Duration) (time.Duration, error) {
	if d < 0 || d > most {
		return 0, fmt.Errorf("dpop: %s is negative or more than %v", name, most)
	}
	if d == 0 {
		return zero, nil
	}
	return d, nil
}

func replayOf(c Config, now func() time.Time) (Replay, error) {
	switch {
	case nils.Typed(c.Replay):
		return nil, errors.New("dpop: Replay is set, and nil")
	case c.Replay != nil && c.MaxProofs != 0:
		return nil, errors.New("dpop: MaxProofs is for the memory of this process, and Replay is set")
	case c.Replay != nil:
		return c.Replay, nil
	case c.MaxProofs == 0:
		return newMemory(defaultMaxProofs, now), nil
	case c.MaxProofs < minMaxProofs || c.MaxProofs > maxMaxProofs:
		return nil, fmt.Errorf("dpop: MaxProofs is not from %d to %d", minMaxProofs, maxMaxProofs)
	}
	return newMemory(c.MaxProofs, now), nil
}

// Algorithms returns the algorithms that proofs may have, as for the parameter algs of a challenge (RFC 9449, section 7.1).
func (c *Checker) Algorithms() []string {
	if c == nil {
		return nil
	}
	return slices.Clone(c.algorithms)
}

// Nonce returns what to send in the header DPoP-Nonce, with answers of any status: RFC 9449, section 8.2. It is "" where no
// nonce is demanded; then the header is to be left out.
func (c *Checker) Nonce() string {
	if c == nil || c.nonces == nil {
		return ""
	}
	nonce := ""
	guard.Report(guard.Call("Nonces.Current", func() { nonce = c.nonces.Current() }))
	return nonce
}
