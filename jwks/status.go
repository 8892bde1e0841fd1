package jwks

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Freshness is the state of a key set.
type Freshness string

// The states of a key set.
const (
	Empty   Freshness = "empty"   // no good answer yet
	Fresh   Freshness = "fresh"   // its refresh is not overdue
	Stale   Freshness = "stale"   // its refresh is overdue; the keys are used
	Expired Freshness = "expired" // older than MaxStale; the keys are not used
)

// Status is the state of one key set of a region. It is a plain copy.
type Status struct {
	Authority, Region string
	Freshness         Freshness
	Age               time.Duration // since the last good answer; 0 for Empty
	KeyIDs            []string      // of the keys in use
	Skipped           []Skipped     // keys of the mirror in use that are not used
	Source            string        // the URL that answered last, or the iss that it is discovered from, or "snapshot"
	Failures          int           // fetches failed in a row
	LastError         *FetchError   // of the last failed attempt since a good answer; nil after one
	NextRefresh       time.Duration // 0 when due
	Mirrors           []Mirror      // in the order of preference
}

// Mirror is one of the URLs that publish a key set.
type Mirror struct {
	Source     string        // the URL, or the iss that it is discovered from
	Answered   bool          // it has given a good answer
	Age        time.Duration // of that
	NotEnabled bool          // it never answered well and says 403 or 404
	Failures   int           // in a row
	LastError  *FetchError   // nil after a good answer
	Lacks      int           // keys that other mirrors have listed for more than a minute, and its last answer did not
}

// Skipped names a key of a published set that is not used, by its place in the set, and why.
type Skipped struct {
	Index int
	Why   string
}

// Ready returns nil when every authority has a region with usable keys, or else one joined error that names those which have
// none. A dark region, or a mirror that is not enabled, does not count against an authority. With IDs, only these have to be
// ready; an ID that is not configured is not. It answers from memory: call Warm first, or Run.
func (c *Cache) Ready(ids ...string) error {
	if !c.made() {
		return errNotMade
	}
	usable, now := map[string]bool{}, c.clock()
	for _, r := range c.table.Load().regions {
		usable[r.authority] = usable[r.authority] || slices.ContainsFunc(r.sets, func(s *set) bool { return s.usable(now) })
	}
	if len(ids) == 0 {
		ids = slices.Sorted(maps.Keys(usable))
	}
	var errs []error
	for _, id := range ids {
		if !usable[id] {
			errs = append(errs, fmt.Errorf("authority %q: %w", id, ErrUnavailable))
		}
	}
	return errors.Join(errs...)
}

// Status reports every key set by authority and region, in the order of the configuration. A region whose URLs are
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
			st := s.status(now)
			st.Authority, st.Region = r.authority, r.region
			all = append(all, st)
		}
	}
	return all
}

func (s *set) status(now instant) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Freshness: Empty, Failures: s.failures, NextRefresh: now.until(s.due.load())}
	if s.lastErr != nil {
		last := *s.lastErr
		st.LastError = &last
	}
	for _, ep := range s.endpoints {
		m := Mirror{
			Source: ep.name(), Answered: ep.last != nil, NotEnabled: ep.notThere(), Failures: ep.failures,
			Lacks: ep.difference().lacks,
		}
		if ep.last != nil {
			m.Age = now.since(ep.lastGood)
		}
		if ep.lastErr != nil {
			last := *ep.lastErr
			m.LastError = &last
		}
		st.Mirrors = append(st.Mirrors, m)
	}
	v := s.view.Load()
	if v == nil {
		return st
	}
	st.Age = now.since(s.good.load())
	switch {
	case !s.usable(now):
		st.Freshness = Expired
	case now.reached(s.freshUntil.load()):
		st.Freshness = Stale
	default:
		st.Freshness = Fresh
	}
	for _, r := range *v {
		st.KeyIDs = append(st.KeyIDs, r.key.ID)
	}
	var latest *endpoint
	for _, ep := range s.endpoints {
		if ep.last != nil && (latest == nil || now.since(ep.lastGood) < now.since(latest.lastGood)) {
			latest = ep
		}
	}
	if s.restored {
		st.Source = "snapshot"
	}
	if latest != nil {
		st.Source = latest.name()
		for _, k := range latest.last.skipped {
			st.Skipped = append(st.Skipped, Skipped{Index: k.Index, Why: string(k.Why)})
		}
	}
	return st
}
