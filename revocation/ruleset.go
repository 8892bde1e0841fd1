package revocation

import (
	"cmp"
	"slices"
	"time"
)

// tag identifies one Add of a rule: 128 random bits. A removal names the tags that its writer has seen, so an Add that it has not
// seen survives.
type tag [16]byte

// entry is one Add of a rule. It is immutable.
type entry struct {
	tag     tag
	text    string // its JSON in a document, kept as it was written
	created time.Time
	ends    time.Time
	id      string // of the rule; "" if this version cannot read the rule
	rule    Rule   // with Created and ExpiresAt
}

// ended reports whether the rule has ended by itself.
func (e *entry) ended(now time.Time) bool { return !now.Before(e.ends) }

// ruleSet is what is known of the rules: every Add, and every tag that was removed. A merge is the union of both, without the
// Adds whose tags were removed; no time and no epoch takes part in it. It is immutable.
type ruleSet struct {
	epoch   uint64
	entries *table[tag, *entry]
	removed *table[tag, time.Time] // until when the removal is remembered
	byID    *table[string, []*entry]
	index   index

	bytes      int       // of the texts
	unreadable int       // rules that this version cannot read
	firstEnd   time.Time // of the entries and removals; zero if there are none
}

var noRules = &ruleSet{
	entries: &table[tag, *entry]{}, removed: &table[tag, time.Time]{}, byID: &table[string, []*entry]{},
	index: index{rules: &table[fields, []*entry]{}},
}

// Room for rules. That for removals is reserved, so that a rule can be removed when there is no room for another one.
const (
	maxRules     = 10_000
	maxBytes     = 7 << 18 // of rules
	maxRemoved   = 7_000   // removals that are remembered
	removedBytes = 37      // of JSON, for each of them
)

const settled = 24 * time.Hour // for which a removal is remembered after its rule would have ended

// Epoch implements replica.Document.
func (s *ruleSet) Epoch() uint64 { return s.epoch }

// WithEpoch implements replica.Document.
func (s *ruleSet) WithEpoch(epoch uint64) *ruleSet {
	next := *s
	next.epoch = epoch
	return &next
}

// changing is a ruleSet that is being changed.
type changing struct {
	next    ruleSet
	entries edit[tag, *entry]
	removed edit[tag, time.Time]
	byID    edit[string, []*entry]
	rules   edit[fields, []*entry]
	changed bool
}

func (s *ruleSet) edit() *changing {
	c := &changing{
		next: *s, entries: s.entries.edit(), removed: s.removed.edit(), byID: s.byID.edit(), rules: s.index.rules.edit(),
	}
	c.next.index.masks = slices.Clone(s.index.masks)
	return c
}

func (c *changing) done() *ruleSet {
	c.next.entries, c.next.removed, c.next.byID = c.entries.done(), c.removed.done(), c.byID.done()
	c.next.index.rules = c.rules.done()
	return &c.next
}

// put adds an entry, or replaces that with the same tag.
func (c *changing) put(e *entry) {
	c.take(e.tag)
	c.changed = true
	c.entries.set(e.tag, e)
	c.next.bytes += len(e.text) + 1
	c.noteEnd(e.ends)
	if e.id == "" {
		c.next.unreadable++
		return
	}
	same, _ := c.byID.get(e.id)
	c.byID.set(e.id, append(slices.Clip(same), e))
	f := e.rule.fields()
	rules, _ := c.rules.get(f)
	rules = append(slices.Clip(rules), e)
	slices.SortFunc(rules, sortTimes)
	c.rules.set(f, rules)
	c.count(f.mask(), 1)
}

// take removes the entry with a tag, if there is one.
func (c *changing) take(t tag) {
	e, found := c.entries.get(t)
	if !found {
		return
	}
	c.changed = true
	c.entries.remove(t)
	c.next.bytes -= len(e.text) + 1
	if e.id == "" {
		c.next.unreadable--
		return
	}
	f := e.rule.fields()
	without(&c.byID, e.id, e)
	without(&c.rules, f, e)
	c.count(f.mask(), -1)
}

// without removes an entry from a list of a table.
func without[K comparable](t *edit[K, []*entry], key K, e *entry) {
	list, _ := t.get(key)
	list = slices.DeleteFunc(slices.Clone(list), func(other *entry) bool { return other == e })
	if len(list) == 0 {
		t.remove(key)
		return
	}
	t.set(key, list)
}

// count counts the rules with a mask.
func (c *changing) count(m mask, n int) {
	masks := &c.next.index.masks
	i := slices.IndexFunc(*masks, func(x maskCount) bool { return x.mask == m })
	if i < 0 {
		*masks = append(*masks, maskCount{m, n})
		slices.SortFunc(*masks, func(a, b maskCount) int { return cmp.Compare(a.mask, b.mask) })
		return
	}
	if (*masks)[i].count += n; (*masks)[i].count == 0 {
		*masks = slices.Delete(*masks, i, i+1)
	}
}

// forbid remembers that a tag was removed.
func (c *changing) forbid(t tag, until time.Time) {
	c.changed = true
	c.removed.set(t, until)
	c.noteEnd(until)
}

func (c *changing) noteEnd(at time.Time) {
	if c.next.firstEnd.IsZero() || at.Before(c.next.firstEnd) {
		c.next.firstEnd = at
	}
}

// Merge implements replica.Document.
func (s *ruleSet) Merge(other *ruleSet, now time.Time) (merged *ruleSet, grew bool) {
	c := s.edit()
	for t, until := range other.removed.all() {
		if known, found := c.removed.get(t); !found || until.After(known) {
			c.forbid(t, until)
			c.take(t)
		}
	}
	for t, e := range other.entries.all() {
		if _, removed := c.removed.get(t); removed {
			continue
		}
		if known, found := c.entries.get(t); !found || e.text > known.text { // one writer wrote one text; any rule will do
			c.put(e)
		}
	}
	grew = c.changed
	c.next.epoch = max(s.epoch, other.epoch)
	c.forget(now)
	if !c.changed && c.next.epoch == s.epoch {
		return s, false
	}
	return c.done(), grew
}

// forget drops rules and removals that ended so long ago that no clock can be wrong by that: a rule was added a day after the
// end, and a day ago.
func (c *changing) forget(now time.Time) {
	if c.next.firstEnd.IsZero() || now.Sub(c.next.firstEnd) < settled {
		return
	}
	var newest time.Time
	for _, e := range c.entries.all() {
		if e.created.After(newest) && !e.created.After(now.Add(-settled)) {
			newest = e.created
		}
	}
	horizon := newest.Add(-settled)
	if !c.next.firstEnd.Before(horizon) {
		return
	}
	c.next.firstEnd = time.Time{}
	var old []tag
	for t, e := range c.entries.all() {
		if e.ends.Before(horizon) {
			old = append(old, t)
		} else {
			c.noteEnd(e.ends)
		}
	}
	for _, t := range old {
		c.take(t)
	}
	old = old[:0]
	for t, until := range c.removed.all() {
		if until.Before(horizon) {
			old = append(old, t)
		} else {
			c.noteEnd(until)
		}
	}
	for _, t := range old {
		c.changed = true
		c.removed.remove(t)
	}
}

// IsIn implements replica.Document: rules that have ended, and removals of them, are of no use any more.
func (s *ruleSet) IsIn(other *ruleSet, now time.Time) bool {
	for t, e := range s.entries.all() {
		if their, found := other.entries.get(t); !e.ended(now) && (!found || their.text != e.text) {
			return false
		}
	}
	for t, until := range s.removed.all() {
		if _, found := other.removed.get(t); !found && now.Before(until.Add(-settled)) {
			return false
		}
	}
	return true
}

// count returns how many rules are in effect.
func (s *ruleSet) count(now time.Time) int {
	if s.firstEnd.IsZero() || now.Before(s.firstEnd) {
		return s.byID.n
	}
	n := 0
	for _, same := range s.byID.all() {
		if slices.ContainsFunc(same, func(e *entry) bool { return !e.ended(now) }) {
			n++
		}
	}
	return n
}

// inEffect returns the rules that have not ended, the oldest first. Of several Adds of a rule, it is the one that was added last.
func (s *ruleSet) inEffect(now time.Time) []Rule {
	var latest []*entry
	for _, same := range s.byID.all() {
		var last *entry
		for _, e := range same {
			if !e.ended(now) && (last == nil || e.created.After(last.created)) {
				last = e
			}
		}
		if last != nil {
			latest = append(latest, last)
		}
	}
	slices.SortFunc(latest, oldestFirst)
	rules := make([]Rule, 0, len(latest))
	for _, e := range latest {
		rules = append(rules, e.rule)
	}
	return rules
}

func oldestFirst(a, b *entry) int {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id), slices.Compare(a.tag[:], b.tag[:]))
}

// fits reports whether there is room for another rule beside those that have not ended.
func (s *ruleSet) fits(size int, replaces []*entry, now time.Time) bool {
	rules, bytes := s.entries.n+1-len(replaces), s.bytes+size
	if rules <= maxRules && bytes <= maxBytes {
		return true
	}
	rules, bytes = 1, size
	for _, e := range s.entries.all() {
		if !e.ended(now) && !slices.Contains(replaces, e) {
			rules++
			bytes += len(e.text) + 1
		}
	}
	return rules <= maxRules && bytes <= maxBytes
}

// add returns s with one more rule, which replaces those with the same ID.
func (s *ruleSet) add(e *entry, now time.Time) (*ruleSet, error) {
	same, _ := s.byID.get(e.id)
	if !s.fits(len(e.text)+1, same, now) {
		return nil, errFull
	}
	c := s.edit()
	c.forget(now)
	for _, old := range same {
		if c.removed.n < maxRemoved { // otherwise both stay
			c.forbid(old.tag, old.ends.Add(settled))
			c.take(old.tag)
		}
	}
	c.put(e)
	return c.done(), nil
}

// remove returns s without the rule with that ID, and with the removal of entries of other documents.
func (s *ruleSet) remove(id string, others []*entry, now time.Time) (*ruleSet, error) {
	same, _ := s.byID.get(id)
	same = append(slices.Clip(same), others...)
	if len(same) == 0 {
		return nil, ErrNoRule
	}
	c := s.edit()
	c.forget(now)
	if c.removed.n+len(same) > maxRemoved {
		return nil, errNoRoom
	}
	for _, e := range same {
		c.forbid(e.tag, e.ends.Add(settled))
		c.take(e.tag)
	}
	return c.done(), nil
}
