package jwks

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// set is a key set: what one list of JWKS URLs publishes. It is fetched as one, whichever providers and issuers it serves.
type set struct {
	slots   []*slot // in the order of preference; never changes
	clients *clientPair
	due     clock.Stamp // when to refresh; the zero Stamp is long past

	mu     sync.Mutex     // guards what follows and what changes in slots; never held over I/O or a callback
	users  []*issuerEntry // nil once an Update has removed the set
	round  *round         // under way, or nil
	pace   *pace          // when rounds may start; nil if nothing keeps them from that
	upkeep *upkeep        // nil if there is none
	active []*attempt     // that have not ended
}

// upkeep is what a set remembers that has several URLs, is kept in a store, or has expired.
type upkeep struct {
	copies   copies
	compared clock.Time // when its URLs were last compared
	stale    bool       // it has been logged that its keys have expired
}

// kept returns the upkeep of the set to be changed. The caller holds the set's mutex.
func (s *set) kept() *upkeep {
	if s.upkeep == nil {
		s.upkeep = &upkeep{}
	}
	return s.upkeep
}

// removed reports whether an Update has removed the set. The caller holds its mutex.
func (s *set) removed() bool { return s.users == nil }

// slot is one URL of a key set: a configured one, or the one that is discovered from an issuer. The set's mutex guards what
// changes.
type slot struct {
	url       string     // "" if it is discovered
	discovery *discovery // nil if it is configured
	state     atomic.Pointer[keystate.URL]
	rate      *rate
	etag      *etag    // of the last whole answer; nil if it has none
	remarks   *remarks // nil if there are none
	optional  bool
	stuck     atomic.Int32 // requests that have not returned in time
}

// etag is what asks a server whether an answer is still the same.
type etag struct {
	tag, url string
	at       clock.Time // when the request of the answer began
}

// remarks is what Status and the log say of a URL beside its state.
type remarks struct {
	failure *failure       // nil after a good answer
	skipped []jose.Skipped // of the last answer
	missing []string       // kids that other URLs of the set have listed for a while, and the last answer did not
}

// said returns the remarks on the URL. The caller holds the set's mutex.
func (sl *slot) said() remarks {
	if sl.remarks == nil {
		return remarks{}
	}
	return *sl.remarks
}

// say sets the remarks on the URL. The caller holds the set's mutex.
func (sl *slot) say(r remarks) {
	sl.remarks = nil
	if r.failure != nil || len(r.skipped) > 0 || len(r.missing) > 0 {
		sl.remarks = &r
	}
}

// name is what logs and Status call the URL.
func (sl *slot) name() string {
	if sl.discovery != nil {
		return sl.discovery.issuer
	}
	return sl.url
}

// id tells the set from all others: by its URLs, or by what they are discovered from, and its client.
func (s *set) id() string {
	if d := s.slots[0].discovery; d != nil {
		return s.clients.id + "discovery " + d.issuer + " " + d.url
	}
	var id strings.Builder
	id.WriteString(s.clients.id + "urls")
	for _, sl := range s.slots {
		id.WriteByte(' ')
		if sl.optional {
			id.WriteString("optional:")
		}
		id.WriteString(sl.url)
	}
	return id.String()
}

// use notes which issuers the set serves.
func (s *set) use(by []*issuerEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = by
}

// remove ends what goes on for a set that Update has removed.
func (c *Cache) remove(s *set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = nil
	if s.round != nil {
		close(s.round.stop)
	}
	for _, a := range s.active {
		a.cancel()
	}
}

// own returns the set as an issuer of its own, for questions about this set alone.
func (s *set) own(l keystate.Limits) keystate.Issuer {
	e := keystate.Issuer{Layout: &keystate.Layout{Limits: l}, Sources: make([]keystate.Source, 0, len(s.slots))}
	for _, sl := range s.slots {
		e.Sources = append(e.Sources, keystate.Source{State: &sl.current().State, Optional: sl.optional})
	}
	return e
}

// usable reports whether a URL of the set is usable.
func (s *set) usable(now clock.Time, l keystate.Limits) bool {
	return slices.ContainsFunc(s.slots, func(sl *slot) bool { return sl.current().Usable(now, l) })
}

// neverUsable reports whether no URL of the set has ever answered, to this process or the one that wrote its snapshot.
func (s *set) neverUsable() bool {
	return !slices.ContainsFunc(s.slots, func(sl *slot) bool { return sl.current().Known })
}

// lastGood returns when the newest good answer of the set was made; zero if there is none.
func (s *set) lastGood() (good clock.Time) {
	for _, sl := range s.slots {
		if st := sl.current(); st.Known && (good.IsZero() || st.Good.After(good)) {
			good = st.Good
		}
	}
	return good
}

// hasExpired returns how old the newest good answer is if the keys of the set have expired since it was last asked; else 0. The
// caller holds the set's mutex.
func (s *set) hasExpired(own *keystate.Issuer, now clock.Time) time.Duration {
	good := s.lastGood()
	if good.IsZero() || own.Usable(now) || s.kept().stale {
		return 0
	}
	s.kept().stale = true
	return now.Since(good)
}

// inFlight returns the numbers of the requests to a URL that are under way. The caller holds the set's mutex.
func (s *set) inFlight(sl *slot) (numbers []uint64) {
	for _, a := range s.active {
		if a.slot == sl {
			numbers = append(numbers, a.inFlight...)
		}
	}
	return numbers
}

// apply notes an event of a URL, and returns the states before and after it. The caller holds the set's mutex.
func (s *set) apply(sl *slot, e keystate.Event, l keystate.Limits) (before, after *keystate.URL) {
	oldest := uint64(0)
	if under := s.inFlight(sl); len(under) > 0 {
		oldest = slices.Min(under)
	}
	before = sl.current()
	next := before.Apply(e, oldest, l)
	sl.state.Store(&next)
	return before, &next
}

// resting returns how much longer the URL may not be asked: its server asks not to be, or it was asked too often. most bounds
// what is heard of the server.
func (sl *slot) resting(now clock.Time, most time.Duration) time.Duration {
	return max(sl.rate.wait(now), sl.unwilling(now, most))
}

// unwilling returns how much longer the server asks that the URL not be asked.
func (sl *slot) unwilling(now clock.Time, most time.Duration) time.Duration {
	f := sl.current().Failure
	if f == nil {
		return 0
	}
	return max(0, min(f.RetryAfter, most)-now.Since(f.At))
}

// refused reports whether the URL is optional and says 403 or 404, as it did within the last hour, and has never answered.
func (sl *slot) refused(now clock.Time) bool {
	st := sl.current()
	return sl.optional && !st.Known && st.Failure != nil && st.Failure.Refused && now.Since(st.Failure.At) < keystate.DisabledFor
}

// settled reports whether a request that began after arrived has had its outcome. The caller holds the set's mutex.
func (sl *slot) settled(arrived uint64) bool {
	st := sl.current()
	answered := st.Answer.Started > arrived && !st.Answer.Unmodified
	return answered || st.Failure != nil && st.Failure.Started > arrived
}

// publish makes the issuers of the set look at it again.
func (s *set) publish() {
	s.mu.Lock()
	users := s.users
	s.mu.Unlock()
	for _, e := range users {
		e.rebuild()
	}
	if len(users) > 0 {
		if c := users[0].cache; s.usable(c.clock(), c.config.limits()) {
			c.outages.Again()
		}
	}
}
