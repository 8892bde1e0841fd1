package revocation

import (
	"cmp"
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

// match returns the ID of a rule that matches t, or "". applies says which rules are applied; nil means all.
func (x *index) match(t *verifier.Token, now time.Time, applies func(*entry) bool) string {
	v := values{t: t, now: now, applies: applies}
	for i := range x.masks {
		if id := x.matchMask(x.masks[i].mask, &v); id != "" {
			return id
		}
	}
	return ""
}

// matchMask returns the ID of a rule with that mask that matches, or "". A token has several clients, regions and actors.
func (x *index) matchMask(m mask, v *values) string {
	f, complete := v.fields(m)
	if !complete {
		return ""
	}
	for _, region := range v.regions(m) {
		for _, client := range v.clients(m) {
			for _, a := range v.actors(m) {
				f.region, f.clientID, f.actor, f.actorIssuer = region, client, a.subject, a.issuer
				if rules, found := x.rules.get(f); found {
					if id := v.matchTimes(rules); id != "" {
						return id
					}
				}
			}
		}
	}
	return ""
}

// matchTimes returns the ID of the first of some rules whose times match, or "". All their other fields match.
func (v *values) matchTimes(rules []*entry) string {
	issued := v.t.IssuedAt()
	for _, e := range rules { // those for tokens of all times come first, then the latest IssuedBefore
		before := e.rule.IssuedBefore
		if !before.IsZero() && !issued.IsZero() && !issued.Before(before) {
			return ""
		}
		if !e.ended(v.now) && (v.applies == nil || v.applies(e)) {
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

// values are what a token has that rules match. Where a mask has no bit for a field, its only value is "", as in such a rule.
type values struct {
	t         *verifier.Token
	now       time.Time
	applies   func(*entry) bool
	inRegions []string
	ofClients []string
}

var (
	noValue = []string{""}
	noActor = []actor{{}}
)

// fields returns the fields of which a token has one value, and whether it has all that a mask asks for.
func (v *values) fields(m mask) (f fields, complete bool) {
	t := v.t
	if f.provider = t.Provider(); m&forAllProviders != 0 {
		f.provider = allProviders
	}
	missing := false
	set := func(into *string, value string) {
		*into = value
		missing = missing || value == ""
	}
	if m&hasKeyID != 0 {
		set(&f.keyID, t.Key().ID())
	}
	if m&hasThumbprint != 0 {
		set(&f.thumbprint, t.Key().Thumbprint())
	}
	if m&hasSubject != 0 {
		set(&f.subject, t.Subject())
	}
	if m&hasTokenID != 0 {
		set(&f.tokenID, t.ID())
	}
	if m&hasOriginTokenID != 0 {
		set(&f.originTokenID, text(t, "origin_jti"))
	}
	if m&hasSessionID != 0 {
		set(&f.sessionID, text(t, "sid"))
	}
	return f, !missing
}

// text returns a claim that is a text, or "".
func text(t *verifier.Token, name string) string {
	s, _ := t.Claim(name).(string)
	return s
}

func (v *values) regions(m mask) []string {
	if m&hasRegion == 0 {
		return noValue
	}
	if v.inRegions == nil {
		v.inRegions = v.t.Regions()
	}
	return v.inRegions
}

func (v *values) clients(m mask) []string {
	if m&hasClientID == 0 {
		return noValue
	}
	if v.ofClients == nil {
		for id := range clients.Of(v.t) {
			if id != "" {
				v.ofClients = append(v.ofClients, id)
			}
		}
	}
	return v.ofClients
}

// actor is one of those who act for the subject of a token.
type actor struct{ issuer, subject string }

// actors returns every actor of a token (RFC 8693 section 4.1).
func (v *values) actors(m mask) (all []actor) {
	if m&hasActor == 0 {
		return noActor
	}
	for of := v.t.Actor(); of != nil; of = of.Previous {
		a := actor{issuer: of.Issuer, subject: of.Subject}
		if m&hasActorIssuer == 0 { // the rule is about actors of the token's own provider
			if of.Provider == "" {
				continue
			}
			a.issuer = ""
		}
		all = append(all, a)
	}
	return all
}
