package revocation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// errNotSaved is the error of a change that a restart may forget.
var errNotSaved = errors.New("the change is not in the local copy")

// Timeouts of the local copy.
const (
	localTimeout = 2 * time.Second // in the background, for Load, and if there is no store
	addTimeout   = time.Second     // for Add and Remove
)

// localCopy is what the local copy holds, as far as is known.
type localCopy struct {
	rules    *ruleSet
	known    bool // the rules were known when it was written
	complete bool // it is not from a List that did not know the rules of its store
	digest   seen.Digest
}

// persist writes a change to the local copy, and returns the error of the change; shared is that of writing it to the store.
// For a change that is in the store, it does not wait if Run does it later.
func (l *List) persist(ctx context.Context, shared error) error {
	c := l.config.Replica
	if c.LocalCopy == nil {
		return shared
	}
	safe := c.Store != nil && shared == nil
	if safe && l.wakeSaver() {
		return nil
	}
	timeout := addTimeout
	if c.Store == nil {
		timeout = localTimeout
	}
	err := l.saveLocal(ctx, timeout, false)
	if err == nil || safe {
		return shared
	}
	l.wakeSaver()
	return errors.Join(shared, fmt.Errorf("revocation: %w: %w", errNotSaved, err))
}

// wakeSaver wakes Run to write the local copy, and reports whether it is running.
func (l *List) wakeSaver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == 0 {
		return false
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// keepLocal keeps the local copy up to date until ctx ends, and writes it once more. After a failure it tries again with every
// tick.
func (l *List) keepLocal(ctx context.Context) {
	_ = l.saveLocal(ctx, localTimeout, true)
	ticks := time.NewTicker(l.config.Replica.PollInterval)
	defer ticks.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-ticks.C:
		}
		if ctx.Err() == nil {
			_ = l.saveLocal(ctx, localTimeout, false)
		}
	}
	l.mu.Lock()
	l.running-- // from here on Add writes the local copy itself
	l.mu.Unlock()
	_ = l.saveLocal(ctx, localTimeout, false)
}

// saveLocal merges the local copy and what is known, in both, and reports the problem with that. If there is nothing to write, it
// reads the copy only if again is set. One caller does so at a time; the others wait, at most for timeout.
func (l *List) saveLocal(ctx context.Context, timeout time.Duration, again bool) error {
	if l.config.Replica.LocalCopy == nil || !again && l.isSaved() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case l.saving <- struct{}{}:
	}
	defer func() { <-l.saving }()
	err := l.swapLocal(ctx, again)
	l.report(func(p *problems) {
		p.local, p.localFailure = "", err
		switch {
		case errors.Is(err, store.ErrNotAuthentic):
			p.local = label.NotAuthentic
		case errors.Is(err, errNewer):
			p.local = label.Malformed
		case err != nil:
			p.local = label.Unavailable
		}
	})
	return err
}

// isSaved reports whether the local copy holds what is known.
func (l *List) isSaved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state.Load()
	return l.local.rules == s.rules && l.local.known == s.known
}

// swapLocal reads the local copy, and replaces it by what it and this List know together, until no other process does so
// meanwhile.
func (l *List) swapLocal(ctx context.Context, again bool) error {
	c := l.config.Replica
	for ctx.Err() == nil {
		if !again && l.isSaved() {
			return nil
		}
		data, revision, err := replica.Load(ctx, c.LocalCopy, c.Name, "")
		held, complete, err := l.readLocal(data, revision, err)
		if err != nil {
			return err
		}
		if held != nil {
			l.receiveLocal(held, complete)
		}
		s := l.state.Load()
		if held == nil && !s.known && len(s.rules.rules) == 0 && len(s.rules.removed) == 0 {
			return nil // there is nothing to keep
		}
		now := localCopy{s.rules, s.known, s.known || complete, seen.Of(c.Name, data)}
		if held == nil || now.complete && !complete || s.rules.exceeds(held) {
			scope, err := l.scope()
			if err != nil {
				return err
			}
			out, err := s.rules.encode(inList, document{Partial: !now.complete, Fleet: scope.Fleet, Keys: scope.Keys})
			if err != nil {
				return err
			}
			now.digest = seen.Of(c.Name, out)
			err = replica.Save(ctx, c.LocalCopy, c.Name, out, revision)
			if errors.Is(err, store.ErrConflict) {
				continue
			}
			if err != nil {
				return err
			}
		}
		l.mu.Lock()
		l.local = now
		l.mu.Unlock()
		return nil // a change in the meantime wakes another caller
	}
	return context.Cause(ctx)
}

// readLocal reads the answer of the local copy: what it holds, and whether that was all that the store had. It returns nil if
// there is no copy, or one that is useless and will be replaced.
func (l *List) readLocal(data []byte, revision string, err error) (held *ruleSet, complete bool, _ error) {
	if errors.Is(err, store.ErrNotFound) {
		if l.config.Replica.Store == nil && l.accepts(0) { // it is all there is
			return &ruleSet{}, true, nil
		}
		return nil, false, nil
	}
	if err == nil {
		l.mu.Lock()
		last := l.local
		l.mu.Unlock()
		if last.rules != nil && last.digest == seen.Of(l.config.Replica.Name, data) { // this List wrote or read it
			return last.rules, last.complete, nil
		}
		if held, complete, err = l.decodeLocal(data); err == nil {
			return held, complete, nil
		}
	}
	replaceable := errors.Is(err, store.ErrNotAuthentic) || errors.Is(err, errDocument)
	if !replaceable || revision == "" {
		return nil, false, err
	}
	l.config.Logger.Warn("the local copy of the revocation rules cannot be used, and is replaced", "failure", err)
	return nil, false, nil
}

// decodeLocal decodes a local copy. One of another fleet, or that a key made which is not configured any more, is useless.
func (l *List) decodeLocal(data []byte) (held *ruleSet, complete bool, err error) {
	held, copied, err := decode(data, inList)
	if err != nil {
		return nil, false, err
	}
	ours, err := l.scope()
	if err != nil {
		return nil, false, err
	}
	theirs := trust.Scope{Fleet: copied.Fleet, Keys: copied.Keys}
	switch {
	case theirs.Fleet != ours.Fleet:
		return nil, false, fmt.Errorf("%w: it was made in the fleet %q, and this is %q", errDocument, theirs.Fleet, ours.Fleet)
	case !ours.Covers(theirs):
		return nil, false, fmt.Errorf("%w: it was made with other keys", errDocument)
	case l.isFar(held.epoch):
		return nil, false, errFar
	}
	return held, !copied.Partial, nil
}

// scope returns the scope of the store. A panic of the store is its error.
func (l *List) scope() (scope trust.Scope, err error) {
	err = guard.Apart("the store", func() { scope = trust.Of(l.config.Replica.Store).Scope })
	return scope, err
}

// receiveLocal merges what the local copy holds.
func (l *List) receiveLocal(held *ruleSet, complete bool) {
	now := l.now()
	l.mu.Lock()
	changed := l.merge(held, now, complete && l.accepts(held.epoch), label.LocalCopy)
	l.mu.Unlock()
	if changed {
		l.notify()
	}
}

// exceeds reports whether a copy misses anything of s.
func (s *ruleSet) exceeds(held *ruleSet) bool {
	return s.epoch > held.epoch || s.forgotten.After(held.forgotten) || s.isNewerThan(held, time.Time{})
}
