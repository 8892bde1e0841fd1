// Package jwks answers with which keys a token may be verified. It fetches the key sets that the regions of a provider publish,
// keeps them through outages, and knows which region listed which key.
//
// [Cache] is the [Source] for live issuers. [NewStatic] returns a Source of fixed keys. A Cache does no I/O when it is made and
// starts no goroutine: key sets are fetched when a token first needs them, and refreshed on use or, ahead of need, by
// [Cache.Run].
//
// A key that is in memory is returned from memory, whatever the network does. For a key that is not, the Cache asks every region
// that could have it, within strict bounds on requests and waiting. The answer says whether it is complete: only a complete
// answer can make a token bad. An incomplete one means "cannot tell".
package jwks

import (
	"context"
	"crypto"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/keymaker"
	"github.com/regionjwt/regionjwt/internal/label"
)

// Source looks up keys. It is safe for concurrent use. A decorator embeds a Source and passes the Query and the Result on. If
// it drops a field of the Result, the answer becomes "cannot tell", never a rejection or an acceptance.
//
// Lookup has no error result on purpose: the Result is the one place that says what is known.
type Source interface {
	// Lookup returns the keys that may verify a token. It answers from memory if the key is there. Otherwise it may wait, but
	// never longer than ctx.
	Lookup(ctx context.Context, q Query) Result

	// Changed returns a channel that is closed at the next change of any key: one is added, withdrawn, or may be used by other
	// regions. Take the channel first, then look up.
	Changed() <-chan struct{}
}

// Query asks for the keys that may verify one token.
type Query struct {
	Issuer    string    // iss, compared byte for byte
	KeyID     string    // kid; "" asks for every key that fits Algorithm, with or without a kid
	Algorithm string    // alg; "" asks for any. EdDSA and Ed25519 are one (RFC 9864)
	IssuedAt  time.Time // iat; for key sets that a CDN may have cached before it. Zero means now
	Tried     []string  // thumbprints of keys that did not verify the signature; they are left out of the answer
	CacheOnly bool      // answer from memory: never fetch, wait or change anything

	// AllowMissingKeyID asks for the keys without kid, too, if no key has the KeyID: see verifier.Policy. A key that is listed
	// under several names is in the answer under each of them.
	AllowMissingKeyID bool
}

// Result is the answer to a Query. The zero Result means "cannot tell".
//
//	Keys   one verifies   Complete               the token is
//	none   -              true                   bad: there is no such key (401)
//	none   -              true, ErrKeyNotAllowed bad: the key is published, and not allowed (401)
//	some   no             true                   bad: its signature is wrong (401)
//	any    no             false                  not judged: the keys are unavailable (503)
//	any    no             false, Limited         not judged: too many unknown keys were asked for (429)
//	some   yes            any                    good
type Result struct {
	Keys       []*Key        // the candidates, in the order in which to try them. They must not be modified
	Complete   bool          // no other key can verify the token
	Limited    bool          // not complete because of the rate of unknown keys
	RetryAfter time.Duration // when asking again may help, if the Result is not complete; at least 1 second
	Err        error         // explains; decides nothing but ErrUnknownIssuer and ErrKeyNotAllowed, which come with Complete
}

// The errors of a Result that say something about the token.
var (
	// ErrUnknownIssuer means that no provider lists the issuer.
	ErrUnknownIssuer = errors.New("issuer is not configured")
	// ErrKeyNotAllowed means that the key is published and must not be used: its size, its exponent, or a private half that is
	// public.
	ErrKeyNotAllowed = errors.New("the key is published but not allowed")
)

// errUnavailable is what Ready and Preload report about a provider or region without usable keys.
var errUnavailable = errors.New("keys of the issuer are not available")

// Key is a public key that may verify tokens of one issuer. It is safe for concurrent use. It stays the same pointer while it is
// usable and none of what its methods say changes, but Age and Origin.
type Key struct {
	key     *jose.Key
	regions []string
	issuer  *issuerEntry // nil for a key that was not fetched
	last    clock.Stamp  // when a region last listed it
	gone    atomic.Bool  // it has been withdrawn or replaced
	fetched atomic.Bool  // a region has listed it to this process

	life keymaker.Life // of a key that another source has fetched; nil otherwise
}

var _ = keymaker.Provide(func(k *jose.Key, l keymaker.Life) any { return &Key{key: k, life: l} })

// jwk returns what the key was made of; of a zero Key, nothing.
func (k *Key) jwk() *jose.Key {
	if k == nil || k.key == nil {
		return &jose.Key{}
	}
	return k.key
}

// ID returns the kid, or "" if the JWK has none.
func (k *Key) ID() string { return k.jwk().ID }

// Algorithm returns the alg of the JWK, or "" if it names none and any algorithm for this type of key is allowed. It returns
// Ed25519 for EdDSA, which is another name of it.
func (k *Key) Algorithm() string { return k.jwk().Algorithm }

// Thumbprint returns the SHA-256 thumbprint (RFC 7638), base64url-encoded.
func (k *Key) Thumbprint() string {
	if k == nil || k.key == nil {
		return ""
	}
	return k.key.Thumbprint.String()
}

// Public returns the key: an *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or, with Go 1.27, *mldsa.PublicKey. It must not
// be modified.
func (k *Key) Public() crypto.PublicKey { return k.jwk().Public }

// Regions returns the names of the regions that may have signed with this key: they list the issuer, and they list the key or
// have not answered since it first appeared. Nil means all regions that list the issuer. The slice must not be modified.
func (k *Key) Regions() []string {
	if k == nil {
		return nil
	}
	return slices.Clip(k.regions)
}

// Age returns the time since a region last listed the key, and 0 for a key that was not fetched.
func (k *Key) Age() time.Duration {
	switch {
	case k != nil && k.life != nil:
		return k.life.Age()
	case k == nil || k.issuer == nil:
		return 0
	}
	return k.issuer.cache.clock().Since(k.last.Load())
}

// Origin says where the key was learned: "fetched" from a region by this process, "snapshot" if it was written by another process
// or an earlier one and no region has listed it since, or "static".
func (k *Key) Origin() string {
	switch {
	case k != nil && k.life != nil:
		return label.Fetched
	case k == nil || k.issuer == nil:
		return "static"
	case k.fetched.Load():
		return label.Fetched
	}
	return label.Snapshot
}

// Valid reports whether the key may still be used: it has not been withdrawn, has not reached MaxStale, and Lookup would return
// this very pointer. It answers from memory. Like Lookup, it starts a refresh that is due.
func (k *Key) Valid() bool {
	if k == nil || k.key == nil {
		return false
	}
	if k.issuer == nil {
		return k.life == nil || k.life.Valid()
	}
	c := k.issuer.cache
	now := c.clock()
	c.refreshDue(k.issuer, now)
	return k.valid(now)
}

func (k *Key) valid(now clock.Time) bool {
	return !k.gone.Load() && (k.issuer == nil || now.Since(k.last.Load()) <= k.issuer.cache.config.MaxStale)
}
