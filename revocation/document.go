package revocation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/store"
)

// formatVersion is raised when a field is added: a rule of which a reader leaves a field out would revoke more than it says.
const formatVersion = 1

// document is what stands in a store, and in a local copy. Removed and Forgotten are in microseconds of Unix time.
type document struct {
	Version   int              `json:"version"`
	Epoch     uint64           `json:"epoch"`
	Words     []word           `json:"words"`
	Removed   map[string]int64 `json:"removed,omitempty"`
	Forgotten int64            `json:"forgotten,omitempty"`
	// Partial marks the copy of a List that did not know the rules of its store when it wrote down its own.
	Partial bool `json:"partial,omitempty"`
	// Fleet and Keys are the scope under which a copy was believed; a document in a store has none.
	Fleet string   `json:"fleet,omitempty"`
	Keys  []string `json:"keys,omitempty"`
}

var (
	errDocument = errors.New("revocation: the document is not one of rules")
	errNewer    = errors.New("revocation: the document is of a newer version")
	errFar      = fmt.Errorf("revocation: its epoch is too far ahead to be true: %w", store.ErrNotAuthentic)
)

// maxAhead is how far the epoch of a document may be ahead of what is known. Writers count by one.
const maxAhead = 1 << 32

// isFar reports whether no writer can have come to an epoch, from what is known.
func (l *List) isFar(epoch uint64) bool {
	known := max(l.state.Load().knowledge.epoch, l.config.MinEpoch)
	return epoch > known && epoch-known > maxAhead
}

// read decodes a document of the store. One with a scope is a local copy that somebody put there.
func (l *List) read(data []byte) (*knowledge, error) {
	k, copied, err := decode(data, inDocument)
	switch {
	case err != nil:
		return nil, err
	case copied.Fleet != "" || len(copied.Keys) > 0:
		return nil, fmt.Errorf("%w: it is a local copy", errDocument)
	case l.isFar(k.epoch):
		return nil, errFar
	}
	return k, nil
}

// encode writes k, or says that it is too much: ErrFull. The copy says what else the document is, where it is a local copy.
func (k *knowledge) encode(r room, copied document) ([]byte, error) {
	d := document{
		Version: formatVersion, Epoch: k.epoch, Words: []word{}, Partial: copied.Partial, Fleet: copied.Fleet, Keys: copied.Keys,
	}
	for _, id := range k.byTime() {
		d.Words = append(d.Words, k.rules[id])
	}
	if len(k.removed) > 0 {
		d.Removed = make(map[string]int64, len(k.removed))
		for id, at := range k.removed {
			d.Removed[id] = at.UnixMicro()
		}
	}
	if !k.forgotten.IsZero() {
		d.Forgotten = k.forgotten.UnixMicro()
	}
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if len(d.Words) > r.rules || len(data) > r.document {
		return nil, ErrFull
	}
	return data, nil
}

// byTime sorts the rules, the oldest first.
func (k *knowledge) byTime() []string {
	ids := make([]string, 0, len(k.rules))
	for id := range k.rules {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(k.rules[a].At.Compare(k.rules[b].At), cmp.Compare(a, b)) })
	return ids
}

// decode reads a document strictly: a rule that is not understood in full would revoke something else. The copy is what else the
// document says, where it is a local copy.
func decode(data []byte, r room) (k *knowledge, copied document, err error) {
	if len(data) > r.document {
		return nil, document{}, fmt.Errorf("%w: it is longer than %d octets", errDocument, r.document)
	}
	members, err := strictjson.Parse(nil, string(data))
	if err != nil {
		return nil, document{}, fmt.Errorf("%w: %w", errDocument, err)
	}
	if v, err := strconv.Atoi(strictjson.Find(members, "version").Raw()); err == nil && v > formatVersion {
		return nil, document{}, errNewer
	}
	var d, exact document
	reader := json.NewDecoder(bytes.NewReader(data)) //nolint:forbidigo // it folds the case of names, so both have to agree
	reader.DisallowUnknownFields()
	if reader.Decode(&d) != nil || strictjson.Unmarshal(string(data), &exact) != nil || !reflect.DeepEqual(d, exact) ||
		d.Version != formatVersion || len(d.Words) > r.rules || len(d.Removed) > maxRemoved {
		return nil, document{}, errDocument
	}
	k = &knowledge{
		epoch: d.Epoch, rules: make(map[string]word, len(d.Words)), removed: make(map[string]time.Time, len(d.Removed)),
	}
	for _, w := range d.Words {
		if w.Rule.Validate() != nil || !sane(w.At) {
			return nil, document{}, errDocument
		}
		rule := w.Rule.canonical()
		k.rules[rule.ID()] = newWord(rule, w.At.UTC())
	}
	for id, at := range d.Removed {
		k.removed[id] = time.UnixMicro(at).UTC()
		if _, counts := k.rules[id]; counts || !isID(id) || !sane(k.removed[id]) {
			return nil, document{}, errDocument
		}
	}
	if d.Forgotten != 0 {
		if k.forgotten = time.UnixMicro(d.Forgotten).UTC(); !sane(k.forgotten) {
			return nil, document{}, errDocument
		}
	}
	return k, document{Partial: d.Partial, Fleet: d.Fleet, Keys: d.Keys}, nil
}

// sane reports whether a time is one that can be said in a document, and one microsecond later as well.
func sane(t time.Time) bool { return t.UTC().Year() >= minYear && t.UTC().Year() <= maxYear }

// isID reports whether a text can be the ID of a rule.
func isID(text string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return len(text) == idLength && strings.Trim(text, alphabet) == ""
}
