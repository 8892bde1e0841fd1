package revocation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/store"
)

// tries is how often a writer tries again after another one was faster.
const tries = 20

// push writes what is known to the store, merged with its document. If the document has a later change of the rule, because of
// another clock, the change is made again.
func (l *List) push(ctx context.Context, id string, r Rule, removed bool) error {
	for range tries {
		theirs, revision, err := l.pull(ctx)
		if err != nil {
			return err
		}
		if theirs == nil {
			theirs = &ruleSet{}
		} else {
			l.receive(theirs)
		}
		now := l.now()
		l.mu.Lock()
		ours := l.state.Load().rules
		_, has := ours.rules[id]
		again := has == removed
		if again {
			ours = ours.with(id, r, removed, now)
			l.apply(ours, true, nil)
		}
		l.mu.Unlock()
		if again {
			l.notify() // a token may have been judged meanwhile
		}
		fit := ours.fit(theirs, id, now)
		if !fit.rules[id].rule.Created.Equal(ours.rules[id].rule.Created) {
			return errFull
		}
		fit.epoch++
		data, err := fit.encode(inDocument, document{})
		if err != nil {
			return err
		}
		err = replica.Save(ctx, l.config.Replica.Store, l.config.Replica.Name, data, revision)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			l.remember(data, l.receive(fit), nil)
		}
		return err
	}
	return store.ErrConflict
}

// errNotReplaced says that the store has a document that cannot be read.
var errNotReplaced = errors.New("the document in the store was not replaced")

// pull returns the document of the store, and the revision at which it may be replaced. It is nil if there is none.
func (l *List) pull(ctx context.Context) (theirs *ruleSet, revision string, err error) {
	data, revision, err := replica.Load(ctx, l.config.Replica.Store, l.config.Replica.Name, "")
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", nil
	}
	if err == nil {
		theirs, err = l.read(data)
	} else if !errors.Is(err, store.ErrNotAuthentic) {
		return nil, "", err
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errNotReplaced, err)
	}
	return theirs, revision, nil
}

// accepts reports whether a document of this epoch makes the rules known; that of a store without a document is 0.
func (l *List) accepts(epoch uint64) bool { return epoch >= l.config.Replica.MinEpoch }

// receive merges a document of the store, and reports whether the store was rolled back: it misses something that is known, or
// should have a higher epoch.
func (l *List) receive(theirs *ruleSet) (rolledBack bool) {
	now := l.now()
	l.mu.Lock()
	s := l.state.Load()
	accepted := l.accepts(theirs.epoch)
	rolledBack = !accepted || theirs.epoch < s.rules.epoch || s.rules.isNewerThan(theirs, now)
	changed := l.merge(theirs, now, accepted, label.Store)
	if !rolledBack {
		l.apply(l.state.Load().rules, false, func(s *state) { s.confirmed = now })
	}
	l.mu.Unlock()
	if changed {
		l.notify()
	}
	return rolledBack
}

// merge merges what is known with a document, which makes the rules known if it is accepted. The caller holds mu, and notifies if
// other tokens may match.
func (l *List) merge(theirs *ruleSet, now time.Time, accepted bool, origin string) (differs bool) {
	s := l.state.Load()
	merged, more := s.rules.merge(theirs, now)
	first := accepted && !s.known
	l.apply(merged, more || first, func(s *state) {
		if first || accepted && origin == label.Store {
			s.known, s.origin = true, origin
		}
	})
	return more || first
}
