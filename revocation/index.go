package revocation

import (
	"iter"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clients"
	"github.com/regionjwt/regionjwt/verifier"
)

// index finds the rules that may match a token. The cost depends on the number of kinds, and of rules with the same value of the
// field by which they are found, not on the number of all rules.
type index struct {
	kinds []kind
	rules map[key][]indexed
}

type indexed struct {
	id   string
	rule Rule
}

func newIndex(s *ruleSet) *index {
	x := &index{rules: map[key][]indexed{}}
	for id, w := range s.rules {
		at := w.rule.key()
		x.rules[at] = append(x.rules[at], indexed{id, w.rule})
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

// valuesOf yields the values of a token for a kind of rules: it may have several clients and several regions.
func valuesOf(k kind, t *verifier.Token) iter.Seq[string] {
	switch k {
	case byClientID:
		return clients.Of(t)
	case byRegion:
		return slices.Values(t.Regions())
	default:
		return func(yield func(string) bool) { yield(valueOf(k, t)) }
	}
}

func (x *index) matchOne(k kind, value string, t *verifier.Token, now time.Time) string {
	for _, provider := range [...]string{t.Provider(), allProviders} {
		rules := x.rules[key{k, provider, value}]
		for i := range rules {
			if rules[i].rule.matches(t, now) {
				return rules[i].id
			}
		}
	}
	return ""
}
