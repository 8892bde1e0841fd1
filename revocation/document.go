package revocation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// formatVersion is raised when a field is added: a rule of which a reader leaves a field out would revoke more than it says.
const formatVersion = 1

// keepRemoved is how long it is remembered that a rule without end was removed.
const keepRemoved = 90 * 24 * time.Hour

// knowledge is what is known of the rules. Two of them are merged by taking the later word on each rule, so that an old
// document, put back, undoes nothing, and an empty one removes nothing. It is immutable once shared.
type knowledge struct {
	epoch uint64 // grows with each change that is written
	words map[string]word
}

// word is the last word on a rule.
type word struct {
	Rule    Rule      `json:"rule"`
	At      time.Time `json:"at"`
	Removed bool      `json:"removed,omitempty"`

	size int // octets of its JSON, with a comma
}

func newWord(r Rule, at time.Time, removed bool) word {
	w := word{Rule: r, At: at, Removed: removed}
	text, _ := json.Marshal(w) // cannot fail: see Rule.ID
	w.size = len(text) + 1
	return w
}

// outlived reports whether a word needs not be kept.
func (w *word) outlived(now time.Time) bool {
	if w.Rule.ended(now) {
		return true
	}
	return w.Removed && now.Sub(w.At) > keepRemoved
}

// later reports whether w counts against old. Of two words of one moment, the one that revokes counts.
func (w *word) later(old word) bool {
	if w.At.Equal(old.At) {
		return old.Removed && !w.Removed
	}
	return w.At.After(old.At)
}

// merge returns what k and other know together, and whether that is more than k.
func (k *knowledge) merge(other *knowledge, now time.Time) (merged *knowledge, more bool) {
	merged = &knowledge{epoch: max(k.epoch, other.epoch), words: maps.Clone(k.words)}
	for id, w := range other.words {
		if old, known := merged.words[id]; !w.outlived(now) && (!known || w.later(old)) {
			merged.words[id] = w
			more = true
		}
	}
	maps.DeleteFunc(merged.words, func(_ string, w word) bool { return w.outlived(now) })
	merged.bound(other)
	return merged, more
}

// bound drops the oldest words that stand in no document any more, where there are twice as many as fit into one: a store
// that is wiped and filled again and again shall not take all memory.
func (k *knowledge) bound(document *knowledge) {
	excess := len(k.words) - 2*MaxRules
	if excess <= 0 {
		return
	}
	ids := slices.Collect(maps.Keys(k.words))
	ids = slices.DeleteFunc(ids, func(id string) bool { _, stands := document.words[id]; return stands })
	slices.SortFunc(ids, func(a, b string) int { return k.words[a].At.Compare(k.words[b].At) })
	for _, id := range ids[:min(excess, len(ids))] {
		delete(k.words, id)
	}
}

// lacks reports whether other has no word, or an older one, on a rule that k knows.
func (k *knowledge) lacks(other *knowledge, now time.Time) bool {
	for id, w := range k.words {
		theirs, ok := other.words[id]
		if !w.outlived(now) && (!ok || w.later(theirs)) {
			return true
		}
	}
	return false
}

// lastWord makes a word on r that counts against the one that is known, whatever the clocks say.
func (k *knowledge) lastWord(r Rule, removed bool, now time.Time) word {
	at := now.UTC().Round(0)
	if old, ok := k.words[r.ID()]; ok && !at.After(old.At) {
		at = old.At.Add(time.Nanosecond)
	}
	return newWord(r, at, removed)
}

// with returns k and one word more.
func (k *knowledge) with(w word, now time.Time) *knowledge {
	merged, _ := k.merge(&knowledge{epoch: k.epoch, words: map[string]word{w.Rule.ID(): w}}, now)
	return merged
}

// fits reports whether k fits into a document.
func (k *knowledge) fits() bool {
	size := len(`{"version":1,"epoch":18446744073709551615,"words":[]}`)
	for _, w := range k.words {
		size += w.size
	}
	return len(k.words) <= MaxRules && size <= MaxDocument
}

// document is what stands in a store.
type document struct {
	Version int    `json:"version"`
	Epoch   uint64 `json:"epoch"`
	Words   []word `json:"words"`
}

var (
	errDocument = errors.New("revocation: the document is not one of rules")
	errNewer    = errors.New("revocation: the document is of a newer version")
)

// encode writes k, or says that it is too much: ErrFull.
func (k *knowledge) encode() ([]byte, error) {
	d := document{Version: formatVersion, Epoch: k.epoch, Words: slices.Collect(maps.Values(k.words))}
	slices.SortFunc(d.Words, func(a, b word) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.Rule.ID()), []byte(b.Rule.ID()))
	})
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if len(d.Words) > MaxRules || len(data) > MaxDocument {
		return nil, ErrFull
	}
	return data, nil
}

// decode reads a document strictly: a rule that is not understood in full would revoke something else.
func decode(data []byte) (*knowledge, error) {
	if len(data) > MaxDocument {
		return nil, ErrFull
	}
	members, err := strictjson.Parse(nil, string(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDocument, err)
	}
	if v, err := strconv.Atoi(strictjson.Find(members, "version").Raw()); err == nil && v > formatVersion {
		return nil, errNewer
	}
	var d, exact document
	reader := json.NewDecoder(bytes.NewReader(data)) //nolint:forbidigo // it folds the case of names, so both have to agree
	reader.DisallowUnknownFields()
	if reader.Decode(&d) != nil || strictjson.Unmarshal(string(data), &exact) != nil || !reflect.DeepEqual(d, exact) ||
		d.Version != formatVersion || len(d.Words) > MaxRules {
		return nil, errDocument
	}
	k := &knowledge{epoch: d.Epoch, words: make(map[string]word, len(d.Words))}
	for _, w := range d.Words {
		if w.Rule.Validate() != nil || w.At.IsZero() {
			return nil, errDocument
		}
		r := w.Rule.canonical()
		k.words[r.ID()] = newWord(r, w.At, w.Removed)
	}
	return k, nil
}
