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

	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/store"
)

// formatVersion grows when a field is added: a reader that ignores a field of a rule would revoke more than it says.
const formatVersion = 1

// document is the document in a store, and in a local copy. Removed and Forgotten are in microseconds of Unix time.
type document struct {
	Version   int              `json:"version"`
	Epoch     uint64           `json:"epoch"`
	Rules     []Rule           `json:"rules"`
	Removed   map[string]int64 `json:"removed,omitempty"`
	Forgotten int64            `json:"forgotten,omitempty"`
	// Partial is set in the local copy of a List that did not know the rules of its store when it wrote its own.
	Partial bool `json:"partial,omitempty"`
	// Fleet and Keys are the scope of the store when a local copy was written; a document in a store has none.
	Fleet string   `json:"fleet,omitempty"`
	Keys  []string `json:"keys,omitempty"`
}

var (
	errDocument = errors.New("the document is not one of rules")
	errNewer    = fmt.Errorf("rules: %w", replica.ErrNewer)
	errFar      = fmt.Errorf("the epoch is too high to be genuine: %w", store.ErrNotAuthentic)
	errFull     = errors.New("there is no room for the rule: at most 10,000 rules or 1 MiB; remove rules that are over")
)

// maxAhead is how much higher than the known epoch that of a document may be. Each writer adds one.
const maxAhead = 1 << 32

// isFar reports whether no writer can have reached an epoch, from what is known.
func (l *List) isFar(epoch uint64) bool {
	known := max(l.state.Load().rules.epoch, l.config.Replica.MinEpoch)
	return epoch > known && epoch-known > maxAhead
}

// read decodes a document of the store. One with a scope is a local copy that someone put there.
func (l *List) read(data []byte) (*ruleSet, error) {
	s, copied, err := decode(data, inDocument)
	switch {
	case err != nil:
		return nil, err
	case copied.Fleet != "" || len(copied.Keys) > 0:
		return nil, fmt.Errorf("%w: it is a local copy", errDocument)
	case l.isFar(s.epoch):
		return nil, errFar
	}
	return s, nil
}

// encode returns the document of s, or errFull. For a local copy, copied has its other fields.
func (s *ruleSet) encode(r room, copied document) ([]byte, error) {
	d := document{
		Version: formatVersion, Epoch: s.epoch, Rules: s.byTime(),
		Partial: copied.Partial, Fleet: copied.Fleet, Keys: copied.Keys,
	}
	if len(s.removed) > 0 {
		d.Removed = make(map[string]int64, len(s.removed))
		for id, at := range s.removed {
			d.Removed[id] = at.UnixMicro()
		}
	}
	if !s.forgotten.IsZero() {
		d.Forgotten = s.forgotten.UnixMicro()
	}
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	if len(d.Rules) > r.rules || len(data) > r.document {
		return nil, errFull
	}
	return data, nil
}

// byTime returns the rules, the oldest first.
func (s *ruleSet) byTime() []Rule {
	ids := make([]string, 0, len(s.rules))
	for id := range s.rules {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(s.rules[a].rule.Created.Compare(s.rules[b].rule.Created), cmp.Compare(a, b))
	})
	rules := make([]Rule, 0, len(ids))
	for _, id := range ids {
		rules = append(rules, s.rules[id].rule)
	}
	return rules
}

// decode reads a document strictly: a rule that is not understood completely would revoke something else. copied has the other
// fields of a local copy.
func decode(data []byte, r room) (s *ruleSet, copied document, err error) {
	if len(data) > r.document {
		return nil, document{}, fmt.Errorf("%w: it is longer than %d bytes", errDocument, r.document)
	}
	members, err := strictjson.Parse(nil, string(data))
	if err != nil {
		return nil, document{}, fmt.Errorf("%w: %w", errDocument, err)
	}
	if v, err := strconv.Atoi(strictjson.Find(members, "version").Raw()); err == nil && v > formatVersion {
		return nil, document{}, errNewer
	}
	var d, exact document
	reader := json.NewDecoder(bytes.NewReader(data)) //nolint:forbidigo // it folds the case of names, so both must agree
	reader.DisallowUnknownFields()
	if reader.Decode(&d) != nil || strictjson.Unmarshal(string(data), &exact) != nil || !reflect.DeepEqual(d, exact) ||
		d.Version != formatVersion || len(d.Rules) > r.rules || len(d.Removed) > maxRemoved {
		return nil, document{}, errDocument
	}
	s = &ruleSet{
		epoch: d.Epoch, rules: make(map[string]stored, len(d.Rules)), removed: make(map[string]time.Time, len(d.Removed)),
	}
	for _, rule := range d.Rules {
		if rule.validate() != nil || !isSane(rule.Created) {
			return nil, document{}, errDocument
		}
		rule = rule.canonical()
		s.rules[rule.ID()] = newStored(rule, rule.Created)
	}
	for id, at := range d.Removed {
		s.removed[id] = time.UnixMicro(at).UTC()
		if _, has := s.rules[id]; has || !isID(id) || !isSane(s.removed[id]) {
			return nil, document{}, errDocument
		}
	}
	if d.Forgotten != 0 {
		if s.forgotten = time.UnixMicro(d.Forgotten).UTC(); !isSane(s.forgotten) {
			return nil, document{}, errDocument
		}
	}
	return s, document{Partial: d.Partial, Fleet: d.Fleet, Keys: d.Keys}, nil
}

// isSane reports whether a document can hold a time, and one microsecond later as well.
func isSane(t time.Time) bool { return t.UTC().Year() >= minYear && t.UTC().Year() <= maxYear }

// isID reports whether a text can be the ID of a rule.
func isID(text string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return len(text) == idLength && strings.Trim(text, alphabet) == ""
}
