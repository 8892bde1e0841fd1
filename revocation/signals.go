package revocation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/revocation/internal/signaldoc"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// Signals is a document of rules that receivers of security events write: see package sharedsignals. Its writer has less power
// than an operator. A rule of it is applied only if it names one of Providers and a Subject, a SessionID or a TokenID, and ends
// within MaxLifetime of its creation. A rule for a Subject must have an IssuedBefore that was not in the future, so that the user
// can sign in again. It cannot remove a rule. Status.Refused counts the others.
//
// [List.Remove] ends a rule of it, and [List.IgnoreSignals] all of them; both need the key of an operator.
type Signals struct {
	// Replica says where the document is. The default name is "regionjwt/signals". The key of a receiver must be listed with this
	// name alone in store.PublicKey.Documents, so that it cannot write rules of operators or pins.
	Replica store.ReplicaConfig
	// Providers are the IDs of the providers whose tokens the rules may match: at least one.
	Providers []string
	// MaxLifetime is the longest time from the creation of a rule to its end. 0 means 25 hours; at most 31 days. It should be
	// longer than the lifetime of any token.
	MaxLifetime time.Duration
}

// signalList is a document of signals that a List follows.
type signalList struct {
	name    string
	replica *replica.Replica[signalSet]
}

// checkSignals returns every problem with c.Signals.
func (c *Config) checkSignals() (errs []error) {
	names := make([]string, 0, 1+len(c.Signals))
	names = append(names, replica.Default(c.Replica, defaultName).Name)
	for i := range c.Signals {
		one := &c.Signals[i]
		add := func(wrong bool, format string, args ...any) {
			if wrong {
				errs = append(errs, fmt.Errorf("revocation: Signals[%d]."+format, append([]any{i}, args...)...))
			}
		}
		for _, problem := range replica.Check(one.Replica) {
			add(true, "%w", problem)
		}
		add(len(one.Replica.Stores) == 0, "Replica.Stores is empty")
		add(len(one.Providers) == 0, "Providers is empty: its rules would match no token")
		for _, id := range one.Providers {
			add(id == "" || id == allProviders, "Providers names %q: list the IDs of providers", id)
		}
		add(one.MaxLifetime < 0 || one.MaxLifetime > signaldoc.LongLifetime, "MaxLifetime is %v: use 0 for 25 h, at most 31 days",
			one.MaxLifetime)
		name := replica.Default(one.Replica, signaldoc.DefaultName).Name
		add(slices.Contains(names, name), "Replica.Name is %q, as that of another document", name)
		names = append(names, name)
		for j, s := range one.Replica.Stores {
			errs = append(errs, checkReceiverKeys(fmt.Sprintf("revocation: Signals[%d].Replica.Stores[%d]", i, j), name, s)...)
		}
	}
	return errs
}

// checkReceiverKeys reports keys that are listed for the document of a receiver, and for others.
func checkReceiverKeys(field, name string, s store.Trusted) (errs []error) {
	info := trust.Of(s)
	for _, k := range info.Keys {
		others := slices.ContainsFunc(k.Documents, func(d string) bool { return d != name })
		if slices.Contains(k.Documents, name) && others {
			errs = append(errs, fmt.Errorf("%s: key %s is listed for %q and for other documents: give a receiver its own key",
				field, k.Fingerprint, name))
		}
	}
	if info.Signs && len(info.Problems) == 0 &&
		!slices.ContainsFunc(info.Keys, func(k trust.Key) bool { return slices.Contains(k.Documents, name) }) {
		errs = append(errs, fmt.Errorf("%s: no key is listed for the document %q: set Documents of the receiver's PublicKey",
			field, name))
	}
	return errs
}

// followSignals makes the replicas of c.Signals.
func (l *List) followSignals() {
	for _, one := range l.config.Signals {
		b := &bounds{providers: slices.Clone(one.Providers), lifetime: one.MaxLifetime, now: func() time.Time { return l.now() }}
		if b.lifetime == 0 {
			b.lifetime = signaldoc.MaxLifetime
		}
		c := replica.Default(one.Replica, signaldoc.DefaultName)
		l.signals = append(l.signals, &signalList{name: c.Name, replica: replica.New(replica.Config[signalSet]{
			ReplicaConfig: c, Empty: noSignals, Encode: signalSet.encode,
			Decode:  func(data []byte) (signalSet, error) { return decodeSignals(data, l.newest, b) },
			Changed: l.signalsChanged, Now: b.now, Logger: l.config.Logger,
		})})
	}
}

func (l *List) signalsChanged(old, now *replica.State[signalSet]) {
	if old.Known != now.Known || old.Document != now.Document {
		l.changes.Send()
	}
	l.notifier.Notify(l.Status, l.report)
}

// signalRevoked returns the ID of a rule of signals that matches, or "", and whether all of these rules are known.
func (l *List) signalRevoked(operators *ruleSet, t *verifier.Token, now time.Time) (id string, known bool) {
	known = true
	for _, s := range l.signals {
		state := s.replica.State()
		known = known && state.Known
		if s.ignored(operators, now) {
			continue
		}
		if id := state.Document.rules.index.match(t, now, notRemovedIn(operators)); id != "" {
			return id, true
		}
	}
	return "", known
}

// notRemovedIn reports whether operators have left a rule of signals alone.
func notRemovedIn(operators *ruleSet) func(*entry) bool {
	return func(e *entry) bool {
		_, removed := operators.removed.get(e.tag)
		return !removed
	}
}

// ignoreTag is the tag whose removal means that a document of signals is ignored. No rule has it.
func ignoreTag(name string) tag {
	sum := sha256.Sum256([]byte("regionjwt ignores signals\x00" + name))
	return tag(sum[:len(tag{})])
}

// ignored reports whether operators have the document ignored now.
func (s *signalList) ignored(operators *ruleSet, now time.Time) bool {
	until, found := operators.removed.get(ignoreTag(s.name))
	return found && now.Before(until.Add(-settled))
}

// IgnoreSignals makes every process of the fleet ignore the rules of one document of signals for a time, for example because the
// key of a receiver has leaked: 1 minute to 31 days. name is that of the document; "" means "regionjwt/signals". The time cannot
// be shortened. Rules that exist now have ended after 25 hours; see Signals.MaxLifetime. The errors are those of Add.
func (l *List) IgnoreSignals(ctx context.Context, name string, d time.Duration) error {
	if l.current() == nil {
		return errNotMade
	}
	if name == "" {
		name = signaldoc.DefaultName
	}
	if d < time.Minute || d > signaldoc.LongLifetime {
		return errors.New("revocation: signals can be ignored for 1 minute to 31 days")
	}
	return l.change(ctx, func(s *ruleSet) (*ruleSet, error) {
		until := l.now().Add(d + settled).UTC().Truncate(grain)
		t := ignoreTag(name)
		switch known, found := s.removed.get(t); {
		case found && !until.After(known):
			return s, nil
		case !found && s.removed.n >= maxRemoved:
			return nil, errNoRoom
		}
		c := s.edit()
		c.forbid(t, until)
		return c.done(), nil
	})
}

// signalsOf returns the rules of signals with an ID.
func (l *List) signalsOf(id string) (same []*entry) {
	for _, s := range l.signals {
		found, _ := s.replica.State().Document.rules.byID.get(id)
		same = append(same, found...)
	}
	return same
}

// signalsInEffect returns the rules of signals that are in effect.
func (l *List) signalsInEffect(operators *ruleSet, now time.Time) (rules []Rule) {
	for _, s := range l.signals {
		if s.ignored(operators, now) {
			continue
		}
		c := s.replica.State().Document.rules.edit()
		for t := range operators.removed.all() {
			c.take(t)
		}
		for _, r := range c.done().inEffect(now) {
			r.Signals = s.name
			rules = append(rules, r)
		}
	}
	return rules
}

// statusOfSignals returns the state of each document of signals.
func (l *List) statusOfSignals(operators *ruleSet) (all []Status) {
	now := l.now()
	for _, s := range l.signals {
		state := s.replica.State()
		rules := state.Document.rules
		all = append(all, Status{
			Name: s.name, Rules: rules.count(now), Refused: rules.unreadable, Ignored: s.ignored(operators, now), Reads: l.newest,
			Replica: state.Status,
		})
	}
	return all
}

// sameSignals reports whether two states of the documents of signals differ in nothing but times.
func sameSignals(a, b []Status) bool {
	return slices.EqualFunc(a, b, func(a, b Status) bool {
		return a.Rules == b.Rules && a.Refused == b.Refused && a.Ignored == b.Ignored && replica.Same(&a.Replica, &b.Replica)
	})
}

// problemsOfSignals names the documents of signals with a problem, for the log.
func problemsOfSignals(all []Status) string {
	var names []string
	for i := range all {
		s := &all[i]
		for _, problem := range []struct {
			is   bool
			text string
		}{
			{s.Replica.StoreProblem != "", s.Replica.StoreProblem},
			{s.Replica.Stale, "stale"},
			{s.Refused > 0, fmt.Sprintf("%d rules refused", s.Refused)},
			{s.Ignored, "ignored"},
		} {
			if problem.is {
				names = append(names, s.Name+": "+problem.text)
			}
		}
	}
	return strings.Join(names, ", ")
}
