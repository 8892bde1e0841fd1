// Package jwks answers with which keys a token may be verified: it fetches the key sets that the regions of an authority
// publish, keeps them through outages, and remembers which region listed which key.
//
// [Cache] is the [Source] for live issuers, [Static] one with fixed keys. A Cache does no I/O when it is made and starts
// no goroutine: key sets are fetched when a token first needs them, and refreshed on use or, ahead of need, by
// [Cache.Run].
//
// A key that is at hand is answered from memory, whatever the network does. A key that is not makes the Cache ask every
// region that could have it, within strict bounds on fetches and waiting; the answer is then the key, or [ErrUnknownKey]
// where every mirror of every region has said that it has none of that name, or [ErrUnavailable] where that could not be
// found out.
package jwks

import (
	"context"
	"crypto"
	"errors"
	"sync/atomic"
	"time"
)

// Key is a public key that may verify tokens of one issuer. It is immutable, and stays the same pointer for as long as it
// is usable and nothing that it says has changed.
type Key struct {
	ID         string           // kid
	Algorithm  string           // the JWK's alg; "" where it names none and any algorithm of its type will do
	Thumbprint string           // RFC 7638 with SHA-256, base64url
	Public     crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey

	// Regions names the regions that may have minted a token with this key: those that list the issuer, and either list
	// the key or have not answered since it first appeared. Nil means all that list the issuer. It must not be modified.
	Regions []string

	seen  []*sighting // when each of the sets that list it last did
	now   clock
	place *atomic.Pointer[place] // nil for a key that was not fetched
}

// Age is the time since an answer last listed the key; 0 for a key that was not fetched.
func (k *Key) Age() time.Duration {
	if len(k.seen) == 0 {
		return 0
	}
	now := k.now()
	age := now.since(k.seen[0].load())
	for _, s := range k.seen[1:] {
		age = min(age, now.since(s.load()))
	}
	return age
}

// Origin says where a key was learnt from. Its values are a closed list, fit for labels and records.
type Origin string

// The origins.
const (
	OriginFetched  Origin = "fetched"  // a key server has listed it to this process
	OriginSnapshot Origin = "snapshot" // a snapshot of another process, or an earlier one; no key server has listed it since
	OriginFixed    Origin = "fixed"    // it is of a Static, or of a Source that is not of this package
)

// Origin says where k was learnt from. It is OriginSnapshot only until a key server has confirmed the key.
func (k *Key) Origin() Origin {
	if len(k.seen) == 0 {
		return OriginFixed
	}
	for _, s := range k.seen {
		if s.fetched.Load() {
			return OriginFetched
		}
	}
	return OriginSnapshot
}

// Source answers which keys may verify a token that names iss and kid. It is safe for concurrent use.
type Source interface {
	// Keys returns the candidates, at least one, or an error. It answers from memory whenever the key is at hand, and
	// never waits beyond ctx. The slice and the keys must not be modified.
	//
	// The error is ErrUnknownKey only where it is certain that no region listing iss publishes a key of that name;
	// every other error means that the keys could not be had.
	Keys(ctx context.Context, iss, kid string) ([]*Key, error)
}

// Notifier is implemented by sources that can say when their keys change. OnChange has f called after each change, under
// no lock, until remove is called. f must not block.
type Notifier interface {
	OnChange(f func()) (remove func())
}

// Doubter is implemented by sources that may answer with candidates while another region, whose keys are not known yet,
// could publish a different key under the same name. Doubt returns an error for which errors.Is(err, ErrUnavailable)
// holds where that is so: a signature that matches no candidate then proves nothing.
type Doubter interface {
	Doubt(iss, kid string) error
}

// Holder is implemented by sources that can say, from memory and without waiting, whether Keys would return this very key for
// iss now. A Verifier asks before it trusts a token that it remembers.
type Holder interface {
	Holds(iss string, k *Key) bool
}

// Peeker is implemented by sources that can say from memory, without waiting and without a fetch, with which keys of that name
// tokens of iss may be verified now. The slice and the keys must not be modified.
type Peeker interface {
	Peek(iss, kid string) []*Key
}

// The errors of a Source.
var (
	// ErrUnknownIssuer: no authority lists the iss.
	ErrUnknownIssuer = errors.New("issuer is not configured")
	// ErrUnknownKey: every region that lists the iss has said that it has no such key.
	ErrUnknownKey = errors.New("no region of the issuer publishes this key")
	// ErrUnavailable: whether such a key exists could not be found out. The error is then an *UnavailableError.
	ErrUnavailable = errors.New("keys of the issuer are not available")
)

// UnavailableError says that keys could not be had. errors.Is(err, ErrUnavailable) holds for it.
type UnavailableError struct {
	RetryAfter time.Duration // when asking again may help; at least a second
	Err        error         // why, where it is known: a *FetchError, or the error of the caller's context
}

// Error describes the outage without naming anything that came from a token or a server.
func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return ErrUnavailable.Error()
	}
	return ErrUnavailable.Error() + ": " + e.Err.Error()
}

// Is reports whether target is ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }
