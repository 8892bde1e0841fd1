package revocation

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// ruleSet is what is known of the rules: the last change of each, which added or removed it. A merge takes the later change of
// each rule, so that an old document that is restored undoes nothing, and an empty one removes nothing. It is immutable once
// published.
type ruleSet struct {
	epoch   uint64 // grows with each change that is written
	rules   map[string]stored
	removed map[string]time.Time // by ID: when it was removed

	// forgotten is the time of the newest removal that was forgotten because there was no room. A document of an earlier epoch
	// may list a rule of that time although it was removed since, so it adds none. A document of the same or a later epoch is
	// accepted completely, whatever the times of its rules.
	forgotten time.Time
}

// stored is a rule that was not removed.
type stored struct {
	rule Rule // with Created
	size int  // bytes of its JSON, with a comma
}

// grain is the resolution of the times of changes.
const grain = time.Microsecond

func newStored(r Rule, at time.Time) stored {
	r.Created = at
	text, _ := json.Marshal(r) // cannot fail: see Rule.ID
	return stored{r, len(text) + 1}
}

// room is the space for rules. That for removals is reserved, so that a rule can always be removed.
type room struct{ rules, bytes, document int }

const (
	maxRemoved   = 4 << 10 // removals that are kept
	removedBytes = 40      // of JSON, for each of them
	reserved     = maxRemoved*removedBytes + 256
)

var (
	inDocument = room{maxRules, maxDocument - reserved, maxDocument}

	// inList is the room of a List and of its local copy, which also hold rules for which the document has no room. It limits the
	// memory that a store can use up that is emptied and filled again and again.
	inList = room{2 * maxRules, 2 * (maxDocument - reserved), 2 * maxDocument}
)

// fits reports whether there is room for w, the rule with that ID, beside the other rules of s that have not ended.
func (r room) fits(s *ruleSet, id string, w stored, now time.Time) bool {
	rules, bytes := 1, w.size
	for other, w := range s.rules {
		if other != id && !w.rule.ended(now) {
			rules++
			bytes += w.size
		}
	}
	return rules <= r.rules && bytes <= r.bytes
}

// settled is how long ago a rule must have ended, by the clock, until it is forgotten.
const settled = 24 * time.Hour

// horizon returns a time: rules that ended before it may be forgotten. A clock that jumps ahead and back must not end a rule. So
// another change must have happened a day after the end of the rule, and a day ago.
func (s *ruleSet) horizon(now time.Time) time.Time {
	var newest time.Time
	note := func(at time.Time) {
		if at.After(newest) && !at.After(now.Add(-settled)) {
			newest = at
		}
	}
	for _, w := range s.rules {
		note(w.rule.Created)
	}
	for _, at := range s.removed {
		note(at)
	}
	return newest.Add(-settled)
}

// lastAt returns the time of the last change of a rule, or the zero time.
func (s *ruleSet) lastAt(id string) time.Time {
	if w, ok := s.rules[id]; ok {
		return w.rule.Created
	}
	return s.removed[id]
}

// merge returns what s and other know together, and whether that matches other tokens than s. It returns s if other adds nothing.
func (s *ruleSet) merge(other *ruleSet, now time.Time) (merged *ruleSet, more bool) {
	merged = &ruleSet{
		epoch: max(s.epoch, other.epoch), rules: maps.Clone(s.rules), removed: maps.Clone(s.removed), forgotten: s.forgotten,
	}
	if other.forgotten.After(s.forgotten) {
		merged.forgotten = other.forgotten
	}
	horizon := s.horizon(now)
	news := func(id string, at time.Time) bool {
		known := s.lastAt(id)
		return at.After(known) && (!known.IsZero() || other.epoch >= s.epoch || at.After(s.forgotten))
	}
	for id, w := range other.rules {
		old, was := s.removed[id] // of two changes at the same time, the one that revokes wins
		if (news(id, w.rule.Created) || was && w.rule.Created.Equal(old)) && !w.rule.ended(horizon) {
			merged.rules[id] = w
			delete(merged.removed, id)
			more = true
		}
	}
	for id, at := range other.removed {
		if news(id, at) {
			_, had := merged.rules[id]
			merged.removed[id] = at
			delete(merged.rules, id)
			more = more || had
		}
	}
	merged.forget(other, horizon, now)
	if !more && merged.epoch == s.epoch && merged.forgotten.Equal(s.forgotten) &&
		len(merged.rules) == len(s.rules) && maps.EqualFunc(merged.removed, s.removed, time.Time.Equal) {
		return s, false
	}
	return merged, more
}

// forget drops the rules that have ended, and those for which there is no room: of the rules that are not in the document that
// was received the least valuable ones, and of the removals the oldest.
func (s *ruleSet) forget(document *ruleSet, horizon, now time.Time) {
	bytes := 0
	for id, w := range s.rules {
		if w.rule.ended(horizon) {
			delete(s.rules, id)
		} else {
			bytes += w.size
		}
	}
	rules := len(s.rules)
	if rules > inList.rules || bytes > inList.bytes {
		for _, id := range s.byValue(now) {
			if rules <= inList.rules && bytes <= inList.bytes {
				break
			}
			if _, has := document.rules[id]; !has {
				rules--
				bytes -= s.rules[id].size
				delete(s.rules, id)
			}
		}
	}
	if excess := len(s.removed) - maxRemoved; excess > 0 {
		ids := slices.SortedFunc(maps.Keys(s.removed), func(a, b string) int {
			return cmp.Or(s.removed[a].Compare(s.removed[b]), cmp.Compare(a, b))
		})
		for _, id := range ids[:excess] {
			if at := s.removed[id]; at.After(s.forgotten) {
				s.forgotten = at
			}
			delete(s.removed, id)
		}
	}
}

// byValue returns the IDs of the rules, the least valuable first: those that ended the longest ago, then the others, the oldest
// first.
func (s *ruleSet) byValue(now time.Time) []string {
	return slices.SortedFunc(maps.Keys(s.rules), func(a, b string) int {
		v, w := s.rules[a], s.rules[b]
		switch ended := w.rule.ended(now); {
		case v.rule.ended(now) != ended && ended:
			return 1
		case v.rule.ended(now) != ended:
			return -1
		case ended:
			return cmp.Or(v.rule.ExpiresAt.Compare(w.rule.ExpiresAt), cmp.Compare(a, b))
		}
		return cmp.Or(v.rule.Created.Compare(w.rule.Created), cmp.Compare(a, b))
	})
}

// fit returns s with the rules for which there is room in a document that replaces another one: first the rules of that one which
// have not ended, then the rule with that ID, then the most valuable ones.
func (s *ruleSet) fit(document *ruleSet, id string, now time.Time) *ruleSet {
	fit := *s
	fit.rules = map[string]stored{}
	bytes := 0
	for id := range s.rules {
		if w, had := document.rules[id]; had && !w.rule.ended(now) {
			fit.rules[id] = w
			bytes += w.size
		}
	}
	put := func(id string) {
		w, known := s.rules[id]
		old, has := fit.rules[id]
		if !known || !has && len(fit.rules) >= inDocument.rules || bytes-old.size+w.size > inDocument.bytes {
			return
		}
		fit.rules[id] = w
		bytes += w.size - old.size
	}
	put(id)
	for _, id := range slices.Backward(s.byValue(now)) {
		put(id)
	}
	return &fit
}

// isNewerThan reports whether other misses the last change of a rule that s knows and that has not ended.
func (s *ruleSet) isNewerThan(other *ruleSet, now time.Time) bool {
	for id, w := range s.rules {
		if !w.rule.ended(now) && (w.rule.Created.After(other.lastAt(id)) || w.rule.Created.Equal(other.removed[id])) {
			return true
		}
	}
	for id, at := range s.removed {
		if theirs := other.lastAt(id); at.After(theirs) && (!theirs.IsZero() || at.After(other.forgotten)) {
			return true
		}
	}
	return false
}

// with returns s with one more change, which is later than the last one of the rule, whatever the clocks say.
func (s *ruleSet) with(id string, r Rule, removed bool, now time.Time) *ruleSet {
	floor := s.forgotten
	if at := s.lastAt(id); at.After(floor) {
		floor = at
	}
	if removed && len(s.removed) >= maxRemoved { // it must not be the first one that is forgotten
		oldest := slices.MinFunc(slices.Collect(maps.Values(s.removed)), time.Time.Compare)
		if oldest.After(floor) {
			floor = oldest
		}
	}
	at := now.UTC().Truncate(grain)
	if !at.After(floor) {
		at = floor.Truncate(grain).Add(grain)
	}
	changed := &ruleSet{epoch: s.epoch, removed: map[string]time.Time{id: at}}
	if !removed {
		changed = &ruleSet{epoch: s.epoch, rules: map[string]stored{id: newStored(r, at)}}
	}
	changed, _ = s.merge(changed, now)
	return changed
}
