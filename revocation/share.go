package revocation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/store"
)

// tries is how often a writer begins again where another one was faster.
const tries = 20

// share writes what is known to the store, together with what stands there. What was said of the rule stands: where the store had
// a later word on it, because another clock is ahead, it is said again.
func (l *List) share(ctx context.Context, id string, r Rule, removed bool) error {
	for range tries {
		theirs, revision, err := l.shared(ctx)
		if err != nil {
			return err
		}
		if theirs == nil {
			theirs = &knowledge{}
		} else {
			l.take(theirs)
		}
		now := l.config.Now()
		l.mu.Lock()
		ours := l.state.Load().knowledge
		if _, counts := ours.rules[id]; counts == removed {
			ours = ours.say(id, r, removed, now)
			l.learn(ours, true, nil)
		}
		l.mu.Unlock()
		fit := ours.fit(theirs, id, now)
		if !fit.rules[id].At.Equal(ours.rules[id].At) {
			return ErrFull
		}
		fit.epoch++
		data, err := fit.encode(inDocument, document{})
		if err != nil {
			return err
		}
		err = l.save(ctx, l.config.Store, data, revision)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			l.remember(data, l.take(fit), nil)
		}
		return err
	}
	return store.ErrConflict
}

// shared returns what stands in the store, and at which revision it may be replaced. It is nil where there is nothing, or nothing
// that can be read.
func (l *List) shared(ctx context.Context) (theirs *knowledge, revision string, err error) {
	doc, err := l.load(ctx, l.config.Store)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, "", nil
	case err == nil:
		if theirs, err = l.read(doc.Data); err == nil {
			return theirs, doc.Revision, nil
		}
	case !errors.Is(err, store.ErrNotAuthentic):
		return nil, "", err
	}
	if !l.config.AllowOverwrite || errors.Is(err, errNewer) || doc.Revision == "" {
		return nil, "", fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return nil, doc.Revision, nil
}

// believed reports whether the rules are known by a document of this epoch, or by there being none.
func (l *List) believed(epoch uint64, exists bool) bool {
	return epoch >= l.config.MinEpoch && (exists || !l.config.RequireDocument)
}

// take merges what the store says, and reports whether the store lacks what is known, or should be.
func (l *List) take(theirs *knowledge) (behind bool) {
	now := l.config.Now()
	l.mu.Lock()
	s := l.state.Load()
	believed := l.believed(theirs.epoch, true)
	behind = !believed || theirs.epoch < s.knowledge.epoch || s.knowledge.lacks(theirs, now)
	changed := l.mergeWith(theirs, now, believed, fromStore)
	l.learn(l.state.Load().knowledge, false, func(s *state) { s.confirmed = now })
	l.mu.Unlock()
	if changed {
		l.tell()
	}
	return behind
}

// mergeWith merges what is known with a document, by which the rules are known where it is believed. The caller holds mu, and
// tells of it where verdicts may differ.
func (l *List) mergeWith(document *knowledge, now time.Time, believed bool, source string) (differs bool) {
	s := l.state.Load()
	merged, more := s.knowledge.merge(document, now)
	first := believed && !s.known
	l.learn(merged, more || first, func(s *state) {
		if first || believed && source == fromStore {
			s.known, s.source = true, source
		}
	})
	return more || first
}
