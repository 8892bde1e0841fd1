package revocation

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	limits "github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// A document is JSON:
//
//	{"version":1,"epoch":7,
//	 "rules":[{"tag":"...","v":1,"at":1767322800000000,"end":1769914800000000,"rule":{"provider":"*","sub":"..."}}],
//	 "removed":{"...":1769914800000000}}
//
// Times are in microseconds of Unix time. The version of the document changes only with this frame. That of a rule, v, says which
// members the rule may have. A version that cannot read a rule in full keeps it as it is written, and does not apply it.
const (
	formatVersion = 1
	plainRule     = 1
	newestRule    = 2 // with sid, actor, actor_iss
)

const maxDocument = limits.MaxData - 4<<10 // bytes; the rest is for what a store adds

var (
	errDocument = errors.New("the document is not one of rules")
	errNewer    = fmt.Errorf("rules: %w", replica.ErrNewer)
	errFull     = errors.New("there is no room for the rule: at most 10,000 rules or 1.75 MiB; remove rules that are over")
	errNoRoom   = errors.New("there is no room to remember another removal, so the rule stays in effect: " +
		"at most 7,000 removals of rules that have not ended")
)

// newEntry returns an entry for a valid rule, with a new tag.
func newEntry(r Rule, now time.Time) *entry {
	e := &entry{created: now.UTC().Truncate(grain), ends: r.ExpiresAt.UTC().Truncate(grain)}
	if r.ExpiresAt.IsZero() {
		e.ends = e.created.Add(defaultLifetime)
	}
	_, _ = rand.Read(e.tag[:]) // never fails
	r.Created, r.ExpiresAt, r.Signals = time.Time{}, time.Time{}, ""
	r = r.canonical().cloned()
	version := plainRule
	if r.SessionID != "" || r.Actor != "" {
		version = newestRule
	}
	text, _ := json.Marshal(r) // cannot fail: texts, and times within the years of RFC 3339
	e.text = fmt.Sprintf(`{"tag":%q,"v":%d,"at":%d,"end":%d,"rule":%s}`,
		e.tag, version, e.created.UnixMicro(), e.ends.UnixMicro(), text)
	e.note(r)
	return e
}

// note sets the rule of an entry.
func (e *entry) note(r Rule) {
	e.id = r.ID()
	r.Created, r.ExpiresAt = e.created, e.ends
	e.rule = r
}

// String is the tag in a document.
func (t tag) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

func parseTag(text string) (t tag, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return tag(append(raw, make([]byte, len(t))...)[:len(t)]), err == nil && len(raw) == len(t)
}

// encode returns the document of s, or errFull. It depends on nothing but what s says.
func (s *ruleSet) encode() ([]byte, error) {
	entries := make([]*entry, 0, s.entries.n)
	for _, e := range s.entries.all() {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, oldestFirst)
	var b strings.Builder
	b.Grow(s.bytes + s.removed.n*(removedBytes+8) + 100)
	fmt.Fprintf(&b, `{"version":%d,"epoch":%d,"rules":[`, formatVersion, s.epoch)
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(e.text)
	}
	b.WriteString(`],"removed":{`)
	lines := make([]string, 0, s.removed.n)
	for t, until := range s.removed.all() {
		lines = append(lines, `"`+t.String()+`":`+strconv.FormatInt(until.UnixMicro(), 10))
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ","))
	b.WriteString(`}}`)
	if b.Len() > maxDocument {
		return nil, errFull
	}
	return []byte(b.String()), nil
}

// decode reads a document strictly. Rules of versions beyond newest are kept, and not applied.
func decode(data []byte, newest int) (*ruleSet, error) {
	if len(data) > maxDocument {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errDocument, maxDocument)
	}
	members, err := strictjson.Parse(nil, string(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDocument, err)
	}
	switch version, err := strconv.Atoi(strictjson.Find(members, "version").Raw()); {
	case err != nil || version < formatVersion:
		return nil, errDocument
	case version > formatVersion:
		return nil, errNewer
	}
	c := noRules.edit()
	if c.next.epoch, err = strconv.ParseUint(strictjson.Find(members, "epoch").Raw(), 10, 64); err != nil {
		return nil, errDocument
	}
	rules, removed := strictjson.Find(members, "rules"), strictjson.Find(members, "removed")
	known := 4
	if rules.Kind() != strictjson.Array || removed.Kind() != strictjson.Object || len(members) != known {
		return nil, errDocument
	}
	for m := range removed.Members() {
		t, ok := parseTag(m.Name)
		until, sane := parseTime(m.Value)
		if !ok || !sane {
			return nil, errDocument
		}
		c.forbid(t, until)
	}
	for v := range rules.Elements() {
		e, ok := parseEntry(v, newest)
		_, again := c.entries.get(e.tag)
		_, gone := c.removed.get(e.tag)
		if !ok || again || gone {
			return nil, errDocument
		}
		c.put(e)
	}
	return c.done(), nil
}

// parseTime reads a time of a document.
func parseTime(v strictjson.Value) (at time.Time, ok bool) {
	micros, err := strconv.ParseInt(v.Raw(), 10, 64)
	at = time.UnixMicro(micros).UTC()
	return at, err == nil && at.Year() >= minYear && at.Year() <= maxYear+1
}

// parseEntry reads an entry, which does not hold the document.
func parseEntry(v strictjson.Value, newest int) (*entry, bool) {
	v = v.Clone()
	e := &entry{text: v.Raw()}
	var rule strictjson.Value
	version, seen, fine := 0, 0, v.Kind() == strictjson.Object
	check := func(ok bool) {
		seen++
		fine = fine && ok
	}
	if !fine {
		return e, false
	}
	for m := range v.Members() {
		var ok bool
		switch m.Name {
		case "tag":
			e.tag, ok = parseTag(m.Value.Text())
		case "v":
			var err error
			version, err = strconv.Atoi(m.Value.Raw())
			ok = err == nil && version >= plainRule
		case "at":
			e.created, ok = parseTime(m.Value)
		case "end":
			e.ends, ok = parseTime(m.Value)
		case "rule":
			rule, ok = m.Value, m.Value.Kind() == strictjson.Object
		default:
			ok = false
		}
		check(ok)
	}
	if r, ok := parseRule(rule, version, newest); ok {
		e.note(r)
	}
	const members = 5
	return e, fine && seen == members
}

// parseRule reads a rule, and reports whether this version understands it in full.
func parseRule(v strictjson.Value, version, newest int) (r Rule, ok bool) {
	if v.Kind() != strictjson.Object || version > newest {
		return Rule{}, false
	}
	texts := map[string]*string{
		"provider": &r.Provider, "region": &r.Region, "kid": &r.KeyID, "thumbprint": &r.Thumbprint, "client_id": &r.ClientID,
		"sub": &r.Subject, "jti": &r.TokenID, "origin_jti": &r.OriginTokenID, "note": &r.Note,
	}
	if version >= newestRule {
		texts["sid"], texts["actor"], texts["actor_iss"] = &r.SessionID, &r.Actor, &r.ActorIssuer
	}
	for m := range v.Members() {
		into, known := texts[m.Name]
		switch {
		case m.Value.Kind() != strictjson.String:
			return Rule{}, false
		case known:
			*into = m.Value.Text()
		case m.Name == "issued_before":
			at, err := time.Parse(time.RFC3339Nano, m.Value.Text())
			if err != nil {
				return Rule{}, false
			}
			r.IssuedBefore = at.UTC()
		default:
			return Rule{}, false
		}
	}
	return r, r.validate() == nil
}
