package revocation

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/clients"
	"github.com/regionjwt/regionjwt/verifier"
)

// fields are the fields of a rule that match a token by equality; "" matches every token.
type fields struct {
	provider, region, keyID, thumbprint, clientID, subject, tokenID, originTokenID, sessionID string

	actor, actorIssuer string
}

func (r *Rule) fields() fields {
	return fields{
		r.Provider, r.Region, r.KeyID, r.Thumbprint, r.ClientID, r.Subject, r.TokenID, r.OriginTokenID, r.SessionID,
		r.Actor, r.ActorIssuer,
	}
}

// mask says which fields of a rule are set.
type mask uint16

const (
	hasRegion mask = 1 << iota
	hasKeyID
	hasThumbprint
	hasClientID
	hasSubject
	hasTokenID
	hasOriginTokenID
	hasSessionID
	hasActor
	hasActorIssuer
	forAllProviders
)

func (f *fields) mask() (m mask) {
	for i, text := range []string{
		f.region, f.keyID, f.thumbprint, f.clientID, f.subject, f.tokenID, f.originTokenID, f.sessionID, f.actor, f.actorIssuer,
	} {
		if text != "" {
			m |= 1 << i
		}
	}
	if f.provider == allProviders {
		m |= forAllProviders
	}
	return m
}

// index finds the rules that may match a token. The cost depends on the number of different masks, not on that of rules.
type index struct {
	masks []maskCount // of the rules
	rules *table[fields, []*entry]
}

type maskCount struct {
	mask  mask
	count int
}

// match returns the ID of a rule that matches t, or "".
func (x *index) match(t *verifier.Token, now time.Time) string {
	for _, m := range x.masks {
		for f := range fieldsOf(t, m.mask) {
			if rules, found := x.rules.get(f); found {
				if id := matchTimes(rules, t, now); id != "" {
					return id
				}
			}
		}
	}
	return ""
}

// matchTimes returns the ID of the first of some rules whose times match t, or "". All their other fields match.
func matchTimes(rules []*entry, t *verifier.Token, now time.Time) string {
	issued := t.IssuedAt()
	for _, e := range rules { // those for tokens of all times come first, then the latest IssuedBefore
		before := e.rule.IssuedBefore
		if !before.IsZero() && !issued.IsZero() && !issued.Before(before) {
			return ""
		}
		if !e.ended(now) {
			return e.id
		}
	}
	return ""
}

// sortTimes brings rules with the same fields into the order of matchTimes.
func sortTimes(a, b *entry) int {
	x, y := a.rule.IssuedBefore, b.rule.IssuedBefore
	if x.IsZero() != y.IsZero() {
		if x.IsZero() {
			return -1
		}
		return 1
	}
	return cmp.Or(y.Compare(x), b.ends.Compare(a.ends), cmp.Compare(a.text, b.text))
}

// fieldsOf yields the fields of every rule with that mask that matches t: a token has several clients, regions and actors.
func fieldsOf(t *verifier.Token, m mask) iter.Seq[fields] {
	return func(yield func(fields) bool) {
		f := fields{provider: t.Provider()}
		if m&forAllProviders != 0 {
			f.provider = allProviders
		}
		if !f.fill(t, m) {
			return
		}
		for region := range valuesIf(m&hasRegion != 0, slices.Values(t.Regions())) {
			for client := range valuesIf(m&hasClientID != 0, clients.Of(t)) {
				for a := range actorsIf(m, t) {
					f.region, f.clientID, f.actor, f.actorIssuer = region, client, a.subject, a.issuer
					if !yield(f) {
						return
					}
				}
			}
		}
	}
}

// fill sets the fields of which a token has one value, and reports whether it has all of them.
func (f *fields) fill(t *verifier.Token, m mask) bool {
	claim := func(name string) string {
		s, _ := t.Claim(name).(string)
		return s
	}
	set := func(bit mask, into *string, value func() string) bool {
		if m&bit == 0 {
			return true
		}
		*into = value()
		return *into != ""
	}
	return set(hasKeyID, &f.keyID, t.Key().ID) && set(hasThumbprint, &f.thumbprint, t.Key().Thumbprint) &&
		set(hasSubject, &f.subject, t.Subject) && set(hasTokenID, &f.tokenID, t.ID) &&
		set(hasOriginTokenID, &f.originTokenID, func() string { return claim("origin_jti") }) &&
		set(hasSessionID, &f.sessionID, func() string { return claim("sid") })
}

// valuesIf yields the values that are not empty, or "" once if there is nothing to match.
func valuesIf(matches bool, values iter.Seq[string]) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !matches {
			yield("")
			return
		}
		for v := range values {
			if v != "" && !yield(v) {
				return
			}
		}
	}
}

// actor is one of those who act for the subject of a token.
type actor struct{ issuer, subject string }

// maxActors is how long a chain of actors may be.
const maxActors = 16

// actorsIf yields every actor of a token (RFC 8693 section 4.1), or the zero actor once if there is nothing to match.
func actorsIf(m mask, t *verifier.Token) iter.Seq[actor] {
	return func(yield func(actor) bool) {
		if m&hasActor == 0 {
			yield(actor{})
			return
		}
		act, _ := t.Claim("act").(map[string]any)
		for range maxActors {
			if act == nil {
				return
			}
			a := actor{issuer: t.Issuer()}
			a.subject, _ = act["sub"].(string)
			if iss, ok := act["iss"].(string); ok {
				a.issuer = iss
			}
			named := a.subject != ""
			if m&hasActorIssuer == 0 { // the rule is about actors of the token's own issuer
				named = named && a.issuer == t.Issuer()
				a.issuer = ""
			}
			if named && !yield(a) {
				return
			}
			act, _ = act["act"].(map[string]any)
		}
	}
}
