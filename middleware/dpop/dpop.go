// Package dpop checks DPoP proofs (RFC 9449). A proof is a JWT that a client signs for each request with the key that its access
// token is bound to, so that a stolen token cannot be used without the key.
//
// Package httpauth uses a Checker if it is set in httpauth.Config.DPoP.
package dpop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/limit"
)

// Defaults and limits of a Config.
const (
	defaultMaxAge = time.Minute
	maxMaxAge     = 10 * time.Minute
)

// defaultAlgorithms are those that a verifier.Policy allows by default, with both names of Ed25519 for those who compare names,
// and ES384, which clients choose for their own keys.
var defaultAlgorithms = []string{jose.ES256, jose.ES384, jose.PS256, jose.RS256, jose.Ed25519, jose.EdDSA}

// Config configures a Checker. The zero value of every field is the default. If several processes serve one URL, set NonceKeys or
// Replay: without Replay, each process accepts a captured proof once while it is not older than MaxAge.
type Config struct {
	// Algorithms lists the accepted signature algorithms, those of verifier.Policy. Empty means ES256, ES384, PS256, RS256,
	// Ed25519 and EdDSA. The last two are names of one algorithm: either accepts both. The list is sent to clients as it is,
	// and some know one of the names only.
	Algorithms []string

	// MaxAge is how long ago a proof may have been issued, by its iat. 0 means 1 minute; at most 10 minutes.
	MaxAge time.Duration

	// Leeway is by how much the clock of a client may be ahead: iat may be so far in the future. 0 means 30 seconds, negative
	// none; at most 5 minutes.
	Leeway time.Duration

	// NonceKeys makes proofs need a nonce of this server (RFC 9449 section 9), so that they cannot be signed long before they
	// are used. Empty means that no nonce is needed.
	//
	// Each key is a secret of at least 32 random bytes that is used for nothing else; at most 4 keys. Nonces are made with the
	// first key, and those of the other keys are accepted, too. To replace a key, first add the new one at the end everywhere,
	// then move it to the front, then remove the old one. Processes that serve the same clients need the same keys.
	//
	// A nonce is given out for 5 minutes and accepted for 5 more.
	NonceKeys [][]byte

	// Replay records that a proof was used, until a time, and reports whether it was recorded before. Processes that share it
	// accept a proof only once. An error, or a panic, means that it is not known: the proof is rejected as proof_unavailable.
	// Replay must be safe for concurrent use, and atomic: of several calls with one id, at most one may return false.
	//
	// An id has 66 characters: 22 that all proofs of one key share, a dot, and 43 of the proof itself, in base64url. They are
	// digests, and contain nothing from a token or proof.
	//
	// Nil means the memory of this process, for 131,072 proofs, about 1,400 per second with the other defaults and 290 bytes
	// each. If it is full, each key gets what it needs up to a fair share, and a key with more gives up its oldest proofs:
	// 10,000 clients that use 10 proofs each within their time are not disturbed by 1,000 keys that use as many as they can.
	// A proof that may be one that was given up, or for which there is no room, is rejected as proof_unavailable.
	Replay func(ctx context.Context, id string, until time.Time) (seen bool, err error)
}

// Checker checks proofs. New makes it; the zero Checker rejects every proof as proof_unavailable. It is safe for concurrent use.
type Checker struct {
	algorithms     []string
	maxAge, leeway time.Duration
	nonces         *nonces // nil if no nonce is needed
	replay         func(ctx context.Context, id string, until time.Time) (bool, error)
	now            func() time.Time
}

// New returns a Checker, or every problem with c as one joined error. It does no I/O and starts no goroutine.
func New(c Config) (*Checker, error) { return newChecker(c, maxProofs, time.Now) }

// newChecker is New with the size of the memory and the clock.
func newChecker(c Config, size int, now func() time.Time) (*Checker, error) {
	algorithms := slices.Clone(c.Algorithms)
	if len(algorithms) == 0 {
		algorithms = slices.Clone(defaultAlgorithms)
	}
	var errs []error
	for i, a := range algorithms {
		if err := jose.Support(a); err != nil {
			errs = append(errs, fmt.Errorf("dpop: Algorithms: %w", err))
		}
		if slices.Contains(algorithms[:i], a) {
			errs = append(errs, fmt.Errorf("dpop: Algorithms: %q is listed twice", a))
		}
	}
	maxAge, err := within("MaxAge", c.MaxAge, defaultMaxAge, maxMaxAge)
	errs = append(errs, err)
	leeway := time.Duration(0)
	if c.Leeway >= 0 {
		leeway, err = within("Leeway", c.Leeway, limit.Leeway, limit.MaxLeeway)
		errs = append(errs, err)
	}
	n, err := newNonces(c.NonceKeys, now)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	replay := c.Replay
	if replay == nil {
		replay = newMemory(size, now).seen
	}
	return &Checker{algorithms: algorithms, maxAge: maxAge, leeway: leeway, nonces: n, replay: replay, now: now}, nil
}

// within returns d, or the default if d is 0, or an error if d is out of range.
func within(name string, d, zero, most time.Duration) (time.Duration, error) {
	if d < 0 || d > most {
		return 0, fmt.Errorf("dpop: %s is negative or more than %v", name, most)
	}
	if d == 0 {
		return zero, nil
	}
	return d, nil
}

// Algorithms returns the accepted algorithms, for the parameter algs of a challenge (RFC 9449 section 7.1). The slice is the
// caller's.
func (c *Checker) Algorithms() []string {
	if c == nil {
		return nil
	}
	return slices.Clone(c.algorithms)
}

// Nonce returns the current value for the DPoP-Nonce header, which may be sent with responses of any status (RFC 9449 section
// 8.2). It is "" if no nonce is needed; then do not send the header.
func (c *Checker) Nonce() string {
	if c == nil || c.nonces == nil {
		return ""
	}
	return c.nonces.current()
}
