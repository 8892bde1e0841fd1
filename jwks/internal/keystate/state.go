// Package keystate holds what the JWKS URLs of an issuer have said, and what follows from it: which keys may verify a token, and
// whether the answer is complete.
//
// It consists of values and functions. It has no goroutine, no lock, no clock and no I/O, so a test can enumerate its states. A
// [URL] is the state of one JWKS URL. [URL.Apply] returns its next state. Everything else is derived by functions that take the
// current time.
package keystate

import (
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
)

// Spans that are not configured.
const (
	Window       = 10 * time.Second // for which an answer is recent
	DisabledFor  = time.Hour        // for which 403 or 404 of an optional URL means "not enabled"
	withdrawTime = time.Minute      // from the first answer without a key to the answer that withdraws it
	unsteadyTime = time.Hour        // the same at an unsteady URL
	memory       = 24 * time.Hour   // for which a key that was missing, or came back, is remembered
	downPause    = 2 * time.Hour    // between two failures that do not belong to one outage
	freshAge     = time.Second      // up to which an Age says that the answer is no copy
	published    = 2 * time.Minute  // after which an issuer has published the key of a token
	sameCopy     = 2 * time.Second  // within which two copies are one answer

	withdrawMisses = 10 // answers without a key that withdraw it at an unsteady URL
	absentMisses   = 6  // answers without a key after which its kid is unknown, at a steady URL
)

// Limits are the configured bounds. MaxStale is how long a key is used after it was last listed. MaxKeys is how many keys of an
// answer are used.
type Limits struct {
	MaxStale time.Duration
	MaxKeys  int
}

// over reports whether a span has ended that began at t. The monotonic clock decides, but no span is longer than MaxStale by the
// wall clock.
func (l Limits) over(now, t clock.Time, span time.Duration) bool {
	return now.Lived(t) >= span || now.Since(t) >= max(span, l.MaxStale)
}

// forget is how long a missing key is remembered.
func (l Limits) forget() time.Duration { return max(l.MaxStale, memory) }

// Listing is a key that a URL has listed.
type Listing struct {
	Key     *jose.Key
	First   clock.Time
	Last    clock.Time // when an answer last listed it
	Miss    *Miss      // nil if no answer since Last has missed it
	Current bool       // the last good answer lists it
	Fetched bool       // an answer to this process has listed it
}

// Miss says how often a key was missing from the answers of a URL.
type Miss struct {
	Count int
	Since clock.Time // the first answer without the key
	At    clock.Time // the last one that was counted
	Once  bool       // one answer withdraws the key: it was of an old snapshot
}

// Answer is the last good answer of a URL. Started numbers its request, StartedAt is when that began. Partial means that what it
// does not list proves nothing.
type Answer struct {
	Started        uint64
	StartedAt      clock.Time
	Age            time.Duration
	NoCacheIgnored int32 // times in a row that a request for a fresh copy was answered with an old one
	Partial        bool
	Unmodified     bool // it was 304
}

// Made returns when the content of the answer was made.
func (a *Answer) Made() clock.Time { return a.StartedAt.Add(-a.Age) }

// Whole reports whether the last answer was not 304: servers may share an ETag, so 304 proves nothing about what the URL does not
// list.
func (a *Answer) Whole() bool { return !a.Unmodified }

// Failure is the state of a URL that has failed since its last good answer. Refused means that the last failure was a 403 or 404.
type Failure struct {
	Count      int
	First      clock.Time // the first one since the last good answer
	Since      clock.Time // the first one of this outage
	At         clock.Time
	Started    uint64
	RetryAfter time.Duration
	Refused    bool
}

// State is what one JWKS URL has said, and when. It is an immutable value: its slices and pointers are never modified.
type State struct {
	Known    bool       // it has given a good answer, to this process or to the one that wrote the snapshot
	Good     clock.Time // the newest Made of its good answers
	Answer   Answer
	Failure  *Failure   // nil after a good answer
	Returned clock.Time // when a key last came back that had been missing
	Listed   []Listing
	Unusable []Unusable // entries of the last good answer that cannot be used
}

// Unusable is an entry of a key set that cannot be used. Its members are empty if they cannot be read. Policy means that the
// entry was read, and that this process does not allow the key.
type Unusable struct {
	KeyID, KeyType, Algorithm, Thumbprint string
	Policy                                bool
}

// holds reports whether u can be the key k in a form that cannot be used: nothing that can be read differs.
func (u Unusable) holds(k *jose.Key) bool {
	return u.KeyID == k.ID && (u.KeyType == "" || u.KeyType == k.Type()) &&
		(u.Thumbprint == "" || u.Thumbprint == k.Thumbprint.String())
}

// StandsFor reports whether u can be the key that q asks for.
func (u Unusable) StandsFor(q Question) bool {
	return q.names(u.KeyID) && (u.Algorithm == "" || q.Algorithm == "" || u.Algorithm == q.Algorithm) &&
		(u.KeyType == "" || q.Algorithm == "" || jose.TypeFits(q.Algorithm, u.KeyType))
}

// Question names the key that a token asks for. "" as KeyID or Algorithm means any. Unnamed means that the keys without kid are
// asked for, too.
type Question struct {
	KeyID, Algorithm string
	Unnamed          bool
}

// names reports whether a key of that kid is one that q asks for.
func (q Question) names(kid string) bool {
	return q.KeyID == "" || kid == q.KeyID || q.Unnamed && kid == ""
}

// Matches reports whether k can be the key.
func (q Question) Matches(k *jose.Key) bool {
	if !q.names(k.ID) {
		return false
	}
	switch {
	case q.Algorithm == "":
		return true
	case k.Algorithm != "":
		return k.Algorithm == q.Algorithm
	}
	return k.Public == nil || jose.Fits(q.Algorithm, k.Public)
}

// Usable reports whether the last good answer is younger than MaxStale.
func (s *State) Usable(now clock.Time, l Limits) bool {
	return s.Known && now.Since(s.Good) <= l.MaxStale
}

// Unsteady reports whether a key came back within a day: the answers of the URL differ from request to request.
func (s *State) Unsteady(now clock.Time, l Limits) bool {
	return !s.Returned.IsZero() && !l.over(now, s.Returned, memory)
}

// Missing reports whether a key that the URL listed is missing from its last answer.
func (s *State) Missing() bool {
	return slices.ContainsFunc(s.Listed, func(k Listing) bool { return k.Miss != nil })
}

// withdrawn reports whether the URL has withdrawn a key that it listed.
func (s *State) withdrawn(k *Listing, now clock.Time, l Limits) bool {
	switch {
	case k.Miss == nil:
		return false
	case s.Unsteady(now, l):
		return k.Miss.Count >= withdrawMisses && l.over(k.Miss.At, k.Miss.Since, unsteadyTime)
	}
	return k.Miss.Once || k.Miss.At.Lived(k.Miss.Since) >= withdrawTime
}

// lists reports whether the URL lists a key and has not withdrawn it.
func (s *State) lists(k *Listing, now clock.Time, l Limits) bool {
	return now.Since(k.Last) <= l.MaxStale && !s.withdrawn(k, now, l)
}

// find returns the listing of a key, or nil.
func (s *State) find(k *jose.Key) *Listing {
	for i := range s.Listed {
		if s.Listed[i].Key.Same(k) {
			return &s.Listed[i]
		}
	}
	return nil
}

// ListsSame reports whether the last answers of two states list the same keys.
func (s *State) ListsSame(o *State) bool {
	current := func(k Listing) bool { return k.Current }
	same := func(a, b *State) bool {
		for _, k := range a.Listed {
			if other := b.find(k.Key); current(k) && (other == nil || !other.Current) {
				return false
			}
		}
		return true
	}
	return same(s, o) && same(o, s)
}

// Listing returns what the URL has said of a key, or nil. It must not be modified.
func (s *State) Listing(k *jose.Key) *Listing { return s.find(k) }

// Down reports whether the URL has failed for MaxStale, asked again and again. A URL that nobody asked is not down.
func (s *State) Down(l Limits) bool {
	return s.Failure != nil && s.Failure.At.Lived(s.Failure.Since) > l.MaxStale
}

// refused reports whether the URL has never answered well and says 403 or 404, as it did within the last hour.
func (s *State) refused(now clock.Time) bool {
	return !s.Known && s.Failure != nil && s.Failure.Refused && now.Since(s.Failure.At) < DisabledFor
}

// proves reports whether the last answer proves what it does not list, for a token of that iat: it is no copy, or the copy was
// made two minutes after the token was issued.
func (s *State) proves(issuedAt time.Time) bool {
	return s.Failure == nil && s.Answer.Started > 0 && s.Answer.Whole() && !s.Answer.Partial &&
		(s.Answer.Age <= freshAge || s.provesByAge(issuedAt))
}

func (s *State) provesByAge(issuedAt time.Time) bool {
	return !issuedAt.IsZero() && s.Answer.Made().Wall > issuedAt.Add(published).UnixNano()
}

// listsAny reports whether the URL lists a key that q asks for and that was not tried: it has not missed it since it last listed
// it.
func (s *State) listsAny(q Question, tried []string) bool {
	return slices.ContainsFunc(s.Listed, func(k Listing) bool {
		return (k.Miss == nil || k.Current) && q.Matches(k.Key) && !k.Key.Thumbprint.In(tried)
	})
}

// MayList reports whether the URL may list a key that q asks for, although its last answer has no usable one: an entry of that
// name could not be read, or such a key was missing from a few answers only.
func (s *State) MayList(q Question, now clock.Time, l Limits) bool {
	if slices.ContainsFunc(s.Unusable, func(u Unusable) bool { return !u.Policy && u.StandsFor(q) }) {
		return true
	}
	for i := range s.Listed {
		k := &s.Listed[i]
		byName := q.KeyID != "" && k.Key.ID == q.KeyID // whatever its algorithm
		if k.Miss == nil || !byName && !q.Matches(k.Key) {
			continue
		}
		if !l.over(now, k.Last, memory) && (k.Miss.Count < absentMisses || s.Unsteady(now, l)) {
			return true
		}
	}
	return false
}
