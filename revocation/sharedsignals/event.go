package sharedsignals

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/regionjwt/regionjwt/internal/secevent"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/revocation/internal/signaldoc"
)

// Outcomes of an event, beside the reasons of package verifier for a token that is rejected.
const (
	outcomeApplied    = "applied"              // a rule is in effect because of it
	outcomeRepeated   = "repeated"             // a rule that has its effect was there before
	outcomeNoRule     = "no_rule"              // nothing has to be rejected
	outcomeIgnored    = "ignored"              // Transmitter.Ignore names it
	outcomeUnknown    = "unknown_event"        // the kind of event is not known
	outcomeNotMapped  = "subject_not_mapped"   // no rule can name the subject
	outcomeNotAllowed = "provider_not_allowed" // the transmitter does not speak for the subject's issuer
	outcomeFuture     = "future"               // it says that it will happen
	outcomeEnded      = "ended"                // every token that it is about has expired
	outcomeNoRoom     = "no_room"              // there is no room for another rule; the transmitter must send it again
	outcomeVerified   = "verified"             // a verification event
	outcomeNoted      = "noted"                // the state of the stream
	outcomeNotStored  = "store_unavailable"    // the rule was not written; the transmitter must send it again
	outcomeLookup     = "lookup_failed"        // Lookup has failed; the transmitter must send it again
	outcomeAuth       = "authentication_failed"
	outcomeSilent     = "silent" // no verification event has come for some time
)

const (
	maxEvents   = 8                       // of one token; they are aliases of one event
	maxAhead    = signaldoc.MaxAhead      // by which an event may be in the future
	granularity = time.Second             // of iat: a token of the same second was issued before the event
	clockGrace  = 5 * time.Minute         // the greatest Leeway of a verifier
	milliFrom   = 100_000_000_000         // a time from here on is in milliseconds
	maxMillis   = 253_370_764_800_000 - 1 // the year 9999
)

var errEvent = errors.New("the event is malformed")

// finding is what an event leads to: rules, or why there are none.
type finding struct {
	kind    string
	outcome string // "" if there are rules
	rules   []signaldoc.Rule
	event   strictjson.Value
}

// translation turns tokens of one transmitter into rules.
type translation struct {
	mapping

	transmitter string
	lifetime    time.Duration // of the longest token
}

// translate returns what each event of a token leads to. Its error is errSubject or errEvent for a malformed one, or errLookup.
func (tr *translation) translate(ctx context.Context, t *secevent.Token, now time.Time) (all []finding, err error) {
	n := 0 // of the rules so far
	for m := range t.Events.Members() {
		if len(all) == maxEvents || m.Value.Kind() != strictjson.Object {
			return nil, errEvent
		}
		k, known := kinds[m.Name]
		if !known {
			k.name = kindOther
		}
		f := finding{kind: k.name, event: m.Value}
		switch {
		case !known:
			f.outcome = outcomeUnknown
		case slices.Contains(tr.ignore, k.name):
			f.outcome = outcomeIgnored
		case k.name == kindLogout != t.Logout: // a logout token has no other event, and no other token has this one
			return nil, errEvent
		case k.revokes == nil || !k.revokes(m.Value):
			f.outcome = outcomeNoRule
		default:
			if err := tr.rulesFor(ctx, t, &k, &f, n, now); err != nil {
				return nil, err
			}
			n += len(f.rules)
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil, errEvent
	}
	return all, nil
}

// rulesFor fills in the rules for an event, or why there are none. before is how many rules the token has already.
func (tr *translation) rulesFor(
	ctx context.Context, t *secevent.Token, k *kind, f *finding, before int, now time.Time,
) error {
	at, err := timeOf(t, f.event)
	if err != nil {
		return err
	}
	targets, err := tr.targetsOf(ctx, t, f.event)
	switch {
	case errors.Is(err, errNotMapped):
		f.outcome = outcomeNotMapped
		return nil
	case errors.Is(err, errNotAllowed):
		f.outcome = outcomeNotAllowed
		return nil
	case err != nil:
		return err
	case at.After(now.Add(maxAhead)):
		f.outcome = outcomeFuture
		return nil
	}
	if at.After(now) {
		at = now
	}
	cutoff := at.Add(granularity).Truncate(time.Microsecond)
	ends := cutoff.Add(tr.lifetime + clockGrace)
	if !now.Before(ends) {
		f.outcome = outcomeEnded
		return nil
	}
	for i, one := range targets {
		r := signaldoc.Rule{
			Tag: tagOf(t.Issuer, t.ID, before+i), Provider: one.provider, Subject: one.subject, SessionID: one.session,
			TokenID: one.token, IssuedBefore: cutoff, Ends: ends, Note: k.name + ", transmitter " + tr.transmitter,
			Reserved: k.reserved,
		}
		if one.token != "" {
			r.IssuedBefore = time.Time{} // it names one token, whatever the clocks say
		}
		f.rules = append(f.rules, r)
	}
	return nil
}

// targetsOf returns what the rules for an event name.
func (tr *translation) targetsOf(ctx context.Context, t *secevent.Token, event strictjson.Value) ([]target, error) {
	if t.Logout {
		provider := tr.issuers[t.Issuer]
		if provider == "" {
			return nil, errNotAllowed
		}
		one := target{provider: provider, subject: t.Subject, session: strictjson.Find(t.Members, "sid").Text()}
		return []target{one}, nil
	}
	outer, inner := strictjson.Find(t.Members, "sub_id"), member(event, "subject")
	if outer.Kind() == strictjson.Null {
		outer = strictjson.Value{}
	}
	switch {
	case outer.Kind() == strictjson.Absent && inner.Kind() == strictjson.Absent:
		return nil, errSubject
	case outer.Kind() == strictjson.Absent:
		return tr.targets(ctx, inner)
	case inner.Kind() == strictjson.Absent:
		return tr.targets(ctx, outer)
	}
	a, err := tr.targets(ctx, outer)
	if err != nil {
		return nil, err
	}
	b, err := tr.targets(ctx, inner)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(a, b) { // they must be the same subject
		return nil, errSubject
	}
	return a, nil
}

// timeOf returns when an event happened: event_timestamp, else toe, else iat, never the time of receipt.
func timeOf(t *secevent.Token, event strictjson.Value) (time.Time, error) {
	for _, v := range []strictjson.Value{member(event, "event_timestamp"), strictjson.Find(t.Members, "toe")} {
		if v.Kind() == strictjson.Absent || v.Kind() == strictjson.Null {
			continue
		}
		at, ok := parseTime(v)
		if !ok {
			return time.Time{}, errEvent
		}
		return at, nil
	}
	return t.IssuedAt, nil
}

// parseTime reads a time in seconds or, if it is very large, in milliseconds, as early transmitters write it.
func parseTime(v strictjson.Value) (time.Time, bool) {
	if v.Kind() != strictjson.Number {
		return time.Time{}, false
	}
	f, err := strconv.ParseFloat(v.Raw(), 64)
	switch {
	case err != nil || f < 0 || f > maxMillis:
		return time.Time{}, false
	case f > milliFrom:
		return time.UnixMilli(int64(f)), true
	}
	return time.UnixMilli(int64(f * 1000)), true
}

// tagOf returns the tag of a rule. It depends on nothing but the token, so what an operator removes stays removed for that token.
func tagOf(issuer, id string, n int) (tag [16]byte) {
	h := sha256.New()
	h.Write([]byte("regionjwt SET\x00"))
	for _, text := range []string{issuer, id} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
		h.Write([]byte(text))
	}
	if n > 0 {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(n)))
	}
	copy(tag[:], h.Sum(nil))
	return tag
}
