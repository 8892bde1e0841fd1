package revocation

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/revocation/internal/signaldoc"
)

// signalSet is what the document of a receiver of security events says. It has no removals: operators remove its rules in their
// own document. A merge is the union of both, without rules that another one covers; neither depends on the order of merges.
type signalSet struct{ rules *ruleSet }

var noSignals = signalSet{noRules}

// endedGrace is for how long a rule that has ended is kept, as the clocks of receivers differ.
const endedGrace = time.Hour

// Epoch implements replica.Document.
func (s signalSet) Epoch() uint64 { return s.rules.epoch }

// WithEpoch implements replica.Document.
func (s signalSet) WithEpoch(epoch uint64) signalSet { return signalSet{s.rules.WithEpoch(epoch)} }

// Merge implements replica.Document.
func (s signalSet) Merge(other signalSet, now time.Time) (merged signalSet, grew bool) {
	c := s.rules.edit()
	for t, e := range other.rules.entries.all() {
		if known, found := c.entries.get(t); !found || e.text > known.text { // one of two receivers that got the same event
			c.put(e)
		}
	}
	c.tidy(now)
	c.next.epoch = max(s.rules.epoch, other.rules.epoch)
	next := c.done()
	if sameEntries(s.rules, next) {
		if next.epoch == s.rules.epoch {
			return s, false
		}
		return s.WithEpoch(next.epoch), false
	}
	return signalSet{next}, true
}

func sameEntries(a, b *ruleSet) bool {
	if a.entries.n != b.entries.n {
		return false
	}
	for t, e := range a.entries.all() {
		if other, found := b.entries.get(t); !found || other.text != e.text {
			return false
		}
	}
	return true
}

// IsIn implements replica.Document.
func (s signalSet) IsIn(other signalSet, now time.Time) bool { return s.rules.IsIn(other.rules, now) }

func (s signalSet) encode() ([]byte, error) { return s.rules.encode() }

// owner is whom a rule is about.
type owner struct{ provider, subject string }

func ownerOf(r *Rule) owner { return owner{r.Provider, r.Subject} }

// ofSubject reports whether a rule matches all tokens of one subject that were issued before a time.
func ofSubject(r *Rule) bool {
	return r.Subject != "" && r.SessionID == "" && r.TokenID == ""
}

// covers reports whether the rule of other has no effect beside that of e, which is for a whole subject. Of two that are the
// same, the one with the greater text stays.
func (e *entry) covers(other *entry) bool {
	a, b := &e.rule, &other.rule
	if e == other || !ofSubject(a) || ownerOf(a) != ownerOf(b) || b.TokenID != "" ||
		b.IssuedBefore.IsZero() || b.IssuedBefore.After(a.IssuedBefore) || other.ends.After(e.ends) {
		return false
	}
	same := ofSubject(b) && a.IssuedBefore.Equal(b.IssuedBefore) && e.ends.Equal(other.ends)
	return !same || e.text > other.text
}

// tidy drops the rules that another one covers, and those that ended some time ago.
func (c *changing) tidy(now time.Time) {
	subjects := map[owner][]*entry{}
	for _, e := range c.entries.all() {
		if e.id != "" && ofSubject(&e.rule) {
			subjects[ownerOf(&e.rule)] = append(subjects[ownerOf(&e.rule)], e)
		}
	}
	var useless []tag
	for t, e := range c.entries.all() {
		covered := e.id != "" &&
			slices.ContainsFunc(subjects[ownerOf(&e.rule)], func(other *entry) bool { return other.covers(e) })
		if covered || e.ends.Add(endedGrace).Before(now) {
			useless = append(useless, t)
		}
	}
	for _, t := range useless {
		c.take(t)
	}
}

// bounds say which rules of a receiver's document are applied.
type bounds struct {
	providers []string
	lifetime  time.Duration
	now       func() time.Time
}

// admit reports whether a rule is one that the receiver may make: for one of its providers, for one subject, session or token,
// and for a short time.
func (b *bounds) admit(r *Rule, created, ends time.Time) bool {
	f := r.fields()
	f.provider, f.subject, f.sessionID, f.tokenID = "", "", "", ""
	switch {
	case !slices.Contains(b.providers, r.Provider), f != fields{}:
		return false
	case r.Subject == "" && r.SessionID == "" && r.TokenID == "":
		return false
	case ends.Sub(created) > b.lifetime, created.After(b.now().Add(signaldoc.MaxAhead)):
		return false
	case r.IssuedBefore.After(created.Add(signaldoc.MaxAhead)):
		return false
	}
	return !ofSubject(r) || !r.IssuedBefore.IsZero()
}

// decodeSignals reads the document of a receiver. Rules that b does not admit are kept as they are written, and not applied. Nil
// bounds are those of the receiver, which applies none.
func decodeSignals(data []byte, newest int, b *bounds) (signalSet, error) {
	s, err := decode(data, newest)
	if err != nil {
		return noSignals, err
	}
	c := noRules.edit()
	c.next.epoch = s.epoch
	for _, e := range s.entries.all() {
		if e.id != "" && b != nil && !b.admit(&e.rule, e.created, e.ends) {
			e = &entry{tag: e.tag, text: e.text, created: e.created, ends: e.ends}
		}
		c.put(e)
	}
	return signalSet{c.done()}, nil
}

// room says how many rules of a provider there may be. A quarter is reserved.
type room struct{ rules, bytes int }

const leastShare = 500 // rules of one provider, if many share a document

func roomFor(providers int) room {
	n := max(providers, 1)
	share := max(maxRules/n, leastShare)
	return room{rules: share, bytes: maxBytes / maxRules * share}
}

// errSignalRule says that a receiver made a rule that no reader applies.
var errSignalRule = errors.New("revocation: a rule of a receiver is not valid")

// adding adds rules of events to a signalSet.
type adding struct {
	*changing

	now      time.Time
	room     room
	subjects map[owner][]*entry // rules for the sessions of a subject, and for the subject
	used     map[string]room    // by provider
}

func (s signalSet) adding(now time.Time, r room) *adding {
	a := &adding{changing: s.rules.edit(), now: now, room: r, subjects: map[owner][]*entry{}, used: map[string]room{}}
	a.tidy(now)
	for _, e := range a.entries.all() {
		if e.id != "" && !e.ended(now) {
			a.note(e)
		}
	}
	return a
}

func (a *adding) note(e *entry) {
	if e.rule.Subject != "" {
		a.subjects[ownerOf(&e.rule)] = append(a.subjects[ownerOf(&e.rule)], e)
	}
	u := a.used[e.rule.Provider]
	a.used[e.rule.Provider] = room{u.rules + 1, u.bytes + len(e.text) + 1}
}

// add adds one rule.
func (a *adding) add(r signaldoc.Rule) (signaldoc.Result, error) {
	rule := Rule{
		Provider: r.Provider, Subject: r.Subject, SessionID: r.SessionID, TokenID: r.TokenID,
		IssuedBefore: r.IssuedBefore, ExpiresAt: r.Ends, Note: r.Note,
	}
	if err := rule.validate(); err != nil || r.Subject == "" && r.SessionID == "" && r.TokenID == "" {
		return signaldoc.Result{}, fmt.Errorf("%w: %w", errSignalRule, cmp.Or(err, errDocument))
	}
	if known, found := a.entries.get(r.Tag); found {
		return signaldoc.Result{ID: known.id}, nil
	}
	if r.Subject != "" && r.SessionID != "" {
		rule = a.fold(rule)
	}
	e := newTagged(rule, r.Tag, a.now)
	same := a.subjects[ownerOf(&e.rule)]
	if i := slices.IndexFunc(same, func(other *entry) bool { return other.covers(e) }); i >= 0 && r.Subject != "" {
		return signaldoc.Result{ID: same[i].id}, nil
	}
	freed := room{}
	for _, other := range same {
		if r.Subject != "" && e.covers(other) {
			freed = room{freed.rules + 1, freed.bytes + len(other.text) + 1}
		}
	}
	used := a.used[r.Provider]
	used = room{used.rules - freed.rules + 1, used.bytes - freed.bytes + len(e.text) + 1}
	if freed.rules == 0 && !a.fits(used, r.Reserved) { // a later event about the same subject takes the place of the earlier one
		return signaldoc.Result{Err: signaldoc.ErrNoRoom}, nil
	}
	a.replace(e, same, used)
	return signaldoc.Result{ID: e.id, New: true}, nil
}

// fits reports whether a provider may use so much room. A quarter of it is reserved.
func (a *adding) fits(used room, reserved bool) bool {
	share := a.room
	if !reserved {
		share = room{share.rules / 4 * 3, share.bytes / 4 * 3}
	}
	return used.rules <= share.rules && used.bytes <= share.bytes && a.entries.n < maxRules && a.next.bytes < maxBytes
}

// replace puts e in the place of those that it covers.
func (a *adding) replace(e *entry, same []*entry, used room) {
	a.put(e)
	a.used[e.rule.Provider] = used
	if e.rule.Subject == "" {
		return
	}
	kept := []*entry{e}
	for _, other := range same {
		if e.covers(other) {
			a.take(other.tag)
		} else {
			kept = append(kept, other)
		}
	}
	a.subjects[ownerOf(&e.rule)] = kept
}

// fold returns a rule for the subject if it has too many rules for sessions: it covers these and the new one.
func (a *adding) fold(r Rule) Rule {
	sessions := 0
	latest, ends := r.IssuedBefore, r.ExpiresAt
	for _, e := range a.subjects[ownerOf(&r)] {
		if e.rule.SessionID == "" || e.rule.TokenID != "" || e.rule.IssuedBefore.IsZero() {
			continue
		}
		sessions++
		if e.rule.IssuedBefore.After(latest) {
			latest = e.rule.IssuedBefore
		}
		if e.ends.After(ends) {
			ends = e.ends
		}
	}
	if sessions < signaldoc.MaxSessions {
		return r
	}
	r.SessionID, r.IssuedBefore, r.ExpiresAt = "", latest, ends
	return r
}

// newTagged returns an entry for a valid rule that ends, with a given tag.
func newTagged(r Rule, t tag, now time.Time) *entry {
	e := newEntry(r, now)
	random := e.tag.String()
	e.tag = t
	e.text = `{"tag":"` + t.String() + e.text[len(`{"tag":"`)+len(random):]
	return e
}
