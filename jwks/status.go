package jwks

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// Status is the state of one JWKS URL of one region. It is a plain copy.
type Status struct {
	Provider string `json:"provider"`
	Region   string `json:"region"`
	URL      string `json:"url"` // the configured URL, or the issuer that it is discovered from
	// State is "empty" (no good answer yet), "fresh", "stale" (a refresh is overdue; the keys are used), "snapshot" (the keys are
	// those of a snapshot; the URL has not answered this process yet), "expired" (older than MaxStale; the keys are not used), or
	// "not_enabled" (an optional URL that has never answered says 403 or 404).
	State string `json:"state"`
	// LastSuccess is when the content of the newest good answer was made, of this process or the one that wrote the snapshot.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// KeyIDs are those that the URL lists and that are in use. A key without kid is "thumbprint:" and its thumbprint.
	KeyIDs []string `json:"key_ids,omitempty"`
	// Skipped are the keys of the last answer that are not used, each as "kid: reason", with its place as "#3" if it has no kid.
	// They are named even if no key of the answer is usable. At most 100 are.
	Skipped []string `json:"skipped,omitempty"`
	// MissingKeyIDs are those that other URLs of the region have listed for more than a minute, and this one did not in its last
	// answer.
	MissingKeyIDs []string `json:"missing_key_ids,omitempty"`
	Failures      int      `json:"failures,omitempty"` // in a row
	Failure       string   `json:"failure,omitempty"`  // of the last request, see Fetch; "" after a good answer
}

const maxSkipped = 100

// Ready returns nil if every provider has usable keys for at least one region, or else one joined error that names those which
// have none. With IDs, only these must be ready; an ID that is not configured is not. It answers from memory: call Preload first,
// or Run.
func (c *Cache) Ready(providerIDs ...string) error {
	if !c.made() {
		return errNotMade
	}
	t := c.table.Load()
	usable, now := map[string]bool{}, c.clock()
	for _, r := range t.regions {
		usable[r.provider] = usable[r.provider] ||
			slices.ContainsFunc(r.sets, func(s *set) bool { return s.usable(now, c.config.limits()) })
	}
	if len(providerIDs) == 0 {
		providerIDs = slices.Sorted(maps.Keys(usable))
	}
	var errs []error
	for _, id := range providerIDs {
		if !usable[id] {
			errs = append(errs, fmt.Errorf("provider %q: %w", id, errUnavailable))
		}
	}
	return errors.Join(errs...)
}

// Status returns one entry for each JWKS URL of each region, in the order of the configuration. A region whose URLs are
// discovered has one for each of its issuers.
func (c *Cache) Status() []Status {
	if !c.made() {
		return nil
	}
	t := c.table.Load()
	now := c.clock()
	var all []Status
	for _, r := range t.regions {
		for _, s := range r.sets {
			own := s.own(c.config.limits())
			inUse := own.Candidates(now)
			s.mu.Lock()
			for _, sl := range s.slots {
				st := sl.status(inUse, now, s.due.Load(), c)
				st.Provider, st.Region = r.provider, r.name
				all = append(all, st)
			}
			s.mu.Unlock()
		}
	}
	return all
}

// status describes a URL. The caller holds the set's mutex.
func (sl *slot) status(inUse []keystate.Candidate, now, due clock.Time, c *Cache) Status {
	u := sl.current()
	said := sl.said()
	st := Status{URL: sl.name(), State: label.Empty, MissingKeyIDs: slices.Clone(said.missing)}
	if u.Failure != nil {
		st.Failures = u.Failure.Count
	}
	if said.failure != nil {
		st.Failure = said.failure.String()
		if sl.refused(now) {
			st.State, st.Failure = label.NotEnabled, label.NotEnabled
		}
	}
	for i, k := range said.skipped {
		if i == maxSkipped {
			break
		}
		st.Skipped = append(st.Skipped, name(k))
	}
	if !u.Known {
		return st
	}
	st.LastSuccess = time.Unix(0, u.Good.Wall)
	switch {
	case !u.Usable(now, c.config.limits()):
		st.State = label.Expired
	case u.Answer.Started == 0:
		st.State = label.Snapshot
	case u.Failure != nil || now.Reached(due) && now.Since(due) > time.Minute:
		st.State = label.Stale
	default:
		st.State = label.Fresh
	}
	for i := range inUse {
		if u.Listing(inUse[i].Key) != nil {
			st.KeyIDs = append(st.KeyIDs, keyName(inUse[i].Key))
		}
	}
	return st
}

// keyName names a key by its kid, or by its thumbprint.
func keyName(k *jose.Key) string {
	if k.ID == "" {
		return "thumbprint:" + k.Thumbprint.String()
	}
	return k.ID
}

// name describes a skipped key by its kid, or by its place.
func name(k jose.Skipped) string {
	if k.KeyID == "" {
		return "#" + strconv.Itoa(k.Index) + ": " + string(k.Why)
	}
	return k.KeyID + ": " + string(k.Why)
}

// names describes skipped keys for the log, a few of them.
func names(skipped []jose.Skipped) []string {
	var all []string
	for i, k := range skipped {
		if i == 2*maxNamed {
			break
		}
		all = append(all, strconv.QuoteToASCII(name(k)))
	}
	return all
}

// missing notes which kids a URL that has answered misses, and another one has listed for a while. What the others miss stays as
// it is, except for keys that are not in use any more: a URL that need not be asked is compared once a day only.
func (s *set) missing(answered *slot, l keystate.Limits, now clock.Time) {
	if len(s.slots) < 2 {
		return
	}
	own := s.own(l)
	all := own.Candidates(now)
	for _, sl := range s.slots {
		r := sl.said()
		r.missing = slices.DeleteFunc(r.missing, func(kid string) bool {
			return !slices.ContainsFunc(all, func(c keystate.Candidate) bool { return keyName(c.Key) == kid })
		})
		sl.say(r)
	}
	st := answered.current()
	if st.Answer.Started == 0 || st.Failure != nil {
		return
	}
	r := answered.said()
	r.missing = nil
	for i := range all {
		if k := st.Listing(all[i].Key); (k == nil || !k.Current) && st.Answer.Made().Since(all[i].First) > time.Minute {
			r.missing = append(r.missing, keyName(all[i].Key))
		}
	}
	answered.say(r)
}
