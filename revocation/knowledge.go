package revocation

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// knowledge is what is known of the rules: a last word on each, that it counts or that it was removed. Two of them are merged by
// taking the later word on each rule, so that an old document, put back, undoes nothing, and an empty one removes nothing. It is
// immutable once shared.
type knowledge struct {
	epoch   uint64 // grows with each change that is written
	rules   map[string]word
	removed map[string]time.Time // by ID: when it was said

	// forgotten is when the newest of those words on removed rules was said that no longer fitted in. A document of an earlier
	// epoch may list a rule of that time because it was removed since, and so brings none; one of the same epoch or a later one
	// is believed in whole, whatever its rules are dated.
	forgotten time.Time
}

// word is the last word on a rule that was not removed.
type word struct {
	Rule Rule      `json:"rule"`
	At   time.Time `json:"at"`

	size int // octets of its JSON, with a comma
}

// grain is that of the times of words.
const grain = time.Microsecond

func newWord(r Rule, at time.Time) word {
	w := word{Rule: r, At: at}
	text, _ := json.Marshal(w) // cannot fail: see Rule.ID
	w.size = len(text) + 1
	return w
}

// room is how much there is for rules, and for words on removed ones, which are kept small and apart, so that a rule can always
// be removed.
type room struct{ rules, octets, document int }

const (
	maxRemoved    = 4 << 10 // removed rules that are remembered
	removedOctets = 40      // of JSON, for each of them
	reserved      = maxRemoved*removedOctets + 256
)

var (
	inDocument = room{MaxRules, MaxDocument - reserved, MaxDocument}

	// inList is the room of a List, and of its local copy, which holds all of it: rules that found no room in the document count
	// as well, and a store that is emptied and filled again and again shall not take all memory.
	inList = room{2 * MaxRules, 2 * (MaxDocument - reserved), 2 * MaxDocument}
)

// takes reports whether w, which is the word on the rule of that ID, fits in beside the other rules of k that have not ended.
func (r room) takes(k *knowledge, id string, w word, now time.Time) bool {
	rules, octets := 1, w.size
	for other, w := range k.rules {
		if other != id && !w.Rule.ended(now) {
			rules++
			octets += w.size
		}
	}
	return rules <= r.rules && octets <= r.octets
}

// settled is for how long a clock has to have said that a rule has ended, until the rule is forgotten.
const settled = 24 * time.Hour

// horizon returns a time before which rules may be forgotten that have ended. A clock that jumps ahead and comes back has made no
// rule end: so something else was said a day after the end, and that a day ago.
func (k *knowledge) horizon(now time.Time) time.Time {
	var newest time.Time
	note := func(at time.Time) {
		if at.After(newest) && !at.After(now.Add(-settled)) {
			newest = at
		}
	}
	for _, w := range k.rules {
		note(w.At)
	}
	for _, at := range k.removed {
		note(at)
	}
	return newest.Add(-settled)
}

// lastAt returns when the last word on a rule was said, or the zero time.
func (k *knowledge) lastAt(id string) time.Time {
	if w, ok := k.rules[id]; ok {
		return w.At
	}
	return k.removed[id]
}

// merge returns what k and other know together, which is k where other brings nothing, and whether other words count now.
func (k *knowledge) merge(other *knowledge, now time.Time) (merged *knowledge, more bool) {
	merged = &knowledge{
		epoch: max(k.epoch, other.epoch), rules: maps.Clone(k.rules), removed: maps.Clone(k.removed), forgotten: k.forgotten,
	}
	if other.forgotten.After(k.forgotten) {
		merged.forgotten = other.forgotten
	}
	horizon := k.horizon(now)
	news := func(id string, at time.Time) bool {
		known := k.lastAt(id)
		return at.After(known) && (!known.IsZero() || other.epoch >= k.epoch || at.After(k.forgotten))
	}
	for id, w := range other.rules {
		old, was := k.removed[id] // of two words of one moment, the one that revokes counts
		if (news(id, w.At) || was && w.At.Equal(old)) && !w.Rule.ended(horizon) {
			merged.rules[id] = w
			delete(merged.removed, id)
			more = true
		}
	}
	for id, at := range other.removed {
		if news(id, at) {
			_, counted := merged.rules[id]
			merged.removed[id] = at
			delete(merged.rules, id)
			more = more || counted
		}
	}
	merged.forget(other, horizon, now)
	if !more && merged.epoch == k.epoch && merged.forgotten.Equal(k.forgotten) &&
		len(merged.rules) == len(k.rules) && maps.EqualFunc(merged.removed, k.removed, time.Time.Equal) {
		return k, false
	}
	return merged, more
}

// forget drops what has ended, and what there is no room for: of rules that do not stand in the document which arrived those
// that are worth the least, of removed ones the oldest.
func (k *knowledge) forget(document *knowledge, horizon, now time.Time) {
	octets := 0
	for id, w := range k.rules {
		if w.Rule.ended(horizon) {
			delete(k.rules, id)
		} else {
			octets += w.size
		}
	}
	rules := len(k.rules)
	if rules > inList.rules || octets > inList.octets {
		for _, id := range k.byWorth(now) {
			if rules <= inList.rules && octets <= inList.octets {
				break
			}
			if _, stands := document.rules[id]; !stands {
				rules--
				octets -= k.rules[id].size
				delete(k.rules, id)
			}
		}
	}
	if excess := len(k.removed) - maxRemoved; excess > 0 {
		ids := slices.SortedFunc(maps.Keys(k.removed), func(a, b string) int {
			return cmp.Or(k.removed[a].Compare(k.removed[b]), cmp.Compare(a, b))
		})
		for _, id := range ids[:excess] {
			if at := k.removed[id]; at.After(k.forgotten) {
				k.forgotten = at
			}
			delete(k.removed, id)
		}
	}
}

// byWorth sorts the rules, those first that are worth the least: those that have ended, the longest ended first, then the
// others, the oldest first.
func (k *knowledge) byWorth(now time.Time) []string {
	return slices.SortedFunc(maps.Keys(k.rules), func(a, b string) int {
		v, w := k.rules[a], k.rules[b]
		switch ended := w.Rule.ended(now); {
		case v.Rule.ended(now) != ended && ended:
			return 1
		case v.Rule.ended(now) != ended:
			return -1
		case ended:
			return cmp.Or(v.Rule.Until.Compare(w.Rule.Until), cmp.Compare(a, b))
		}
		return cmp.Or(v.At.Compare(w.At), cmp.Compare(a, b))
	})
}

// fit returns k with the rules that there is room for in a document which replaces another one. What stood in there, and counts
// still, keeps its place; then comes the rule of that ID, and then those that are worth the most.
func (k *knowledge) fit(document *knowledge, id string, now time.Time) *knowledge {
	fit := *k
	fit.rules = map[string]word{}
	octets := 0
	for id := range k.rules {
		if w, stood := document.rules[id]; stood && !w.Rule.ended(now) {
			fit.rules[id] = w
			octets += w.size
		}
	}
	put := func(id string) {
		w, counts := k.rules[id]
		old, stands := fit.rules[id]
		if !counts || !stands && len(fit.rules) >= inDocument.rules || octets-old.size+w.size > inDocument.octets {
			return
		}
		fit.rules[id] = w
		octets += w.size - old.size
	}
	put(id)
	for _, id := range slices.Backward(k.byWorth(now)) {
		put(id)
	}
	return &fit
}

// lacks reports whether other has no word, or an older one, on a rule that k knows and that has not ended.
func (k *knowledge) lacks(other *knowledge, now time.Time) bool {
	for id, w := range k.rules {
		if !w.Rule.ended(now) && (w.At.After(other.lastAt(id)) || w.At.Equal(other.removed[id])) {
			return true
		}
	}
	for id, at := range k.removed {
		if theirs := other.lastAt(id); at.After(theirs) && (!theirs.IsZero() || at.After(other.forgotten)) {
			return true
		}
	}
	return false
}

// say returns k with one word more, which counts against the one that is known, whatever the clocks say.
func (k *knowledge) say(id string, r Rule, removed bool, now time.Time) *knowledge {
	floor := k.forgotten
	if at := k.lastAt(id); at.After(floor) {
		floor = at
	}
	if removed && len(k.removed) >= maxRemoved { // it shall not be the first one that is forgotten
		oldest := slices.MinFunc(slices.Collect(maps.Values(k.removed)), time.Time.Compare)
		if oldest.After(floor) {
			floor = oldest
		}
	}
	at := now.UTC().Truncate(grain)
	if !at.After(floor) {
		at = floor.Truncate(grain).Add(grain)
	}
	said := &knowledge{epoch: k.epoch, removed: map[string]time.Time{id: at}}
	if !removed {
		said = &knowledge{epoch: k.epoch, rules: map[string]word{id: newWord(r, at)}}
	}
	said, _ = k.merge(said, now)
	return said
}
