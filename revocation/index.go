package revocation

import (
	"iter"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/verifier"
)

// index finds the rules that may match a token: the work grows with the kinds of rules that there are, and
// with those that agree in the field they are found by, not with the number of all.
type index struct {
	kinds []kind
	rules map[key][]indexed
}

type indexed struct {
	id   string
	rule Rule
}

func newIndex(k *knowledge) *index {
	x := &index{rules: map[key][]indexed{}}
	for id, w := range k.rules {
		at := w.Rule.key()
		x.rules[at] = append(x.rules[at], indexed{id, w.Rule})
		if !slices.Contains(x.kinds, at.kind) {
			x.kinds = append(x.kinds, at.kind)
		}
	}
	slices.Sort(x.kinds)
	return x
}

// match returns the ID of a rule that matches t, or "".
func (x *index) match(t *verifier.Token, now time.Time) string {
	for _, k := range x.kinds {
		for value := range valuesOf(k, t) {
			if id := x.matchOne(k, value, t, now); id != "" {
				return id
			}
		}
	}
	return ""
}

// valuesOf yields what a token has for a kind of rules: it may have several clients, and several regions.
func valuesOf(k kind, t *verifier.Token) iter.Seq[string] {
	switch k {
	case byClientID:
		return t.ClientIDs()
	case byRegion:
		return slices.Values(t.Regions())
	default:
		return func(yield func(string) bool) { yield(valueOf(k, t)) }
	}
}

func (x *index) matchOne(k kind, value string, t *verifier.Token, now time.Time) string {
	for _, authority := range [...]string{t.Provider(), ""} {
		rules := x.rules[key{k, authority, value}]
		for i := range rules {
			if rules[i].rule.matches(t, now) {
				return rules[i].id
			}
		}
	}
	return ""
}
