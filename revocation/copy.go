package revocation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/store"
)

// How long the local copy may take.
const (
	copyTimeout = 2 * time.Second // in the background, for Load, and where there is no store
	addTimeout  = time.Second     // for Add and Remove
)

// copied is what the local copy holds, as far as is known.
type copied struct {
	knowledge *knowledge
	known     bool // whether the rules were known when it was written
	all       bool // whether it is more than what a List wrote down that knew no store
	digest    seen.Digest
}

// keep has the local copy learn of a change, and returns the error of the change: shared is that of writing it to the store. What
// is in the store needs no waiting for, as long as somebody runs who does it later.
func (l *List) keep(ctx context.Context, shared error) error {
	if l.config.LocalCopy == nil {
		return shared
	}
	safe := l.config.Store != nil && shared == nil
	if safe && l.wakeCopier() {
		return nil
	}
	most := addTimeout
	if l.config.Store == nil {
		most = copyTimeout
	}
	err := l.copyNow(ctx, most, false)
	if err == nil || safe {
		return shared
	}
	l.wakeCopier()
	return errors.Join(shared, fmt.Errorf("%w: %w", ErrNotCopied, err))
}

// wakeCopier has Run write the local copy, and reports whether it runs.
func (l *List) wakeCopier() bool {
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

// followCopy keeps the local copy up to date until ctx ends, and then once more. What failed is tried again with every tick.
func (l *List) followCopy(ctx context.Context) {
	_ = l.copyNow(ctx, copyTimeout, true)
	ticks := time.NewTicker(l.config.Poll)
	defer ticks.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-ticks.C:
		}
		if ctx.Err() == nil {
			_ = l.copyNow(ctx, copyTimeout, false)
		}
	}
	l.mu.Lock()
	l.running-- // from here on Add does it itself
	l.mu.Unlock()
	_ = l.copyNow(ctx, copyTimeout, false)
}

// copyNow brings the local copy and what is known together, and reports what becomes of it. Where there is nothing to write it
// looks at the copy only if again is set. One does it at a time; the others wait, at most this long.
func (l *List) copyNow(ctx context.Context, most time.Duration, again bool) error {
	if l.config.LocalCopy == nil || !again && l.isCopied() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case l.copier <- struct{}{}:
	}
	defer func() { <-l.copier }()
	before := l.Version()
	err := l.swapCopy(ctx, again)
	l.report(l.Version() != before, func(h *health) {
		h.copyTrouble, h.copyErr = "", err
		switch {
		case errors.Is(err, store.ErrNotAuthentic):
			h.copyTrouble = NotAuthentic
		case errors.Is(err, errNewer):
			h.copyTrouble = Malformed
		case err != nil:
			h.copyTrouble = Unreachable
		}
	})
	return err
}

// isCopied reports whether the copy holds what is known.
func (l *List) isCopied() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state.Load()
	return l.copied.knowledge == s.knowledge && l.copied.known == s.known
}

// swapCopy reads the copy, and replaces it by what it and this List know together, until no other process does so in between.
func (l *List) swapCopy(ctx context.Context, again bool) error {
	for ctx.Err() == nil {
		if !again && l.isCopied() {
			return nil
		}
		doc, err := l.load(ctx, l.config.LocalCopy)
		held, all, err := l.readCopy(doc, err)
		if err != nil {
			return err
		}
		if held != nil {
			l.takeCopy(held, all)
		}
		s := l.state.Load()
		if held == nil && !s.known && len(s.knowledge.rules) == 0 && len(s.knowledge.removed) == 0 {
			return nil // there is nothing to keep
		}
		now := copied{s.knowledge, s.known, s.known || all, seen.Of(l.config.Name, doc.Data)}
		if held == nil || now.all && !all || s.knowledge.exceeds(held) {
			scope, err := l.scope()
			if err != nil {
				return err
			}
			data, err := s.knowledge.encode(inList, document{Partial: !now.all, Fleet: scope.Fleet, Keys: scope.Keys})
			if err != nil {
				return err
			}
			now.digest = seen.Of(l.config.Name, data)
			err = l.save(ctx, l.config.LocalCopy, data, doc.Revision)
			if errors.Is(err, store.ErrConflict) {
				continue
			}
			if err != nil {
				return err
			}
		}
		l.mu.Lock()
		l.copied = now
		l.mu.Unlock()
		return nil // what was said in the meantime wakes somebody else
	}
	return context.Cause(ctx)
}

// readCopy reads what the copy answered: what it holds, and whether that was all that the store knew. It holds nil where there is
// none, or one that is of no use and will be replaced.
func (l *List) readCopy(doc store.Document, err error) (held *knowledge, all bool, _ error) {
	if errors.Is(err, store.ErrNotFound) {
		if l.config.Store == nil && l.believed(0, false) { // it is all there is
			return &knowledge{}, true, nil
		}
		return nil, false, nil
	}
	if err == nil {
		l.mu.Lock()
		last := l.copied
		l.mu.Unlock()
		if last.knowledge != nil && last.digest == seen.Of(l.config.Name, doc.Data) { // it is what this List wrote or read
			return last.knowledge, last.all, nil
		}
		if held, all, err = l.decodeCopy(doc.Data); err == nil {
			return held, all, nil
		}
	}
	replaceable := errors.Is(err, store.ErrNotAuthentic) || errors.Is(err, errDocument)
	if !replaceable || doc.Revision == "" {
		return nil, false, err
	}
	l.config.Logger.Warn("the local copy of the revocation rules is of no use, and will be replaced", "error", err)
	return nil, false, nil
}

// decodeCopy decodes a local copy. One that was made in another fleet, or by keys of which one was given up since, is of no use.
func (l *List) decodeCopy(data []byte) (held *knowledge, all bool, err error) {
	held, copied, err := decode(data, inList)
	if err != nil {
		return nil, false, err
	}
	ours, err := l.scope()
	if err != nil {
		return nil, false, err
	}
	theirs := store.Scope{Fleet: copied.Fleet, Keys: copied.Keys}
	switch {
	case theirs.Fleet != ours.Fleet:
		return nil, false, fmt.Errorf("%w: it was made in the fleet %q, and this is %q", errDocument, theirs.Fleet, ours.Fleet)
	case !ours.Covers(theirs):
		return nil, false, fmt.Errorf("%w: it was made when other keys were believed", errDocument)
	case l.isFar(held.epoch):
		return nil, false, errFar
	}
	return held, !copied.Partial, nil
}

// takeCopy merges what the local copy holds, as long as nothing better is known.
func (l *List) takeCopy(held *knowledge, all bool) {
	now := l.config.Now()
	l.mu.Lock()
	changed := l.mergeWith(held, now, all && l.believed(held.epoch, true), fromCopy)
	l.mu.Unlock()
	if changed {
		l.tell()
	}
}

// exceeds reports whether a copy lacks anything of k.
func (k *knowledge) exceeds(held *knowledge) bool {
	return k.epoch > held.epoch || k.forgotten.After(held.forgotten) || k.lacks(held, time.Time{})
}
