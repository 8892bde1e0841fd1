package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/store"
)

const (
	tries      = 20                     // how often a writer tries again after another one was faster
	othersTime = 2 * time.Second        // for the other stores, after one has accepted a change
	healAfter  = 200 * time.Millisecond // until a store that misses something is written, and up to as much again
	healPause  = time.Second            // after a failure to write it; doubled each time,
	maxHeal    = time.Minute            // up to this
)

// ErrNotReplaced says that the store has a document that cannot be read.
var ErrNotReplaced = errors.New("the document in the store was not replaced")

// written is a document that is in a store, with its encoding.
type written[T any] struct {
	doc      T
	revision uint64 // Replica.revision: it says all that was known then
	data     []byte
}

// Change changes what is known by f, and then writes it to the stores and the local copy. f returns a document that says more
// than the known one; it is called under a lock. An error of f changes nothing, and is returned.
//
// Change returns nil if at least one store has accepted the change; the state tells of the others. If none has, the error wraps
// store.ErrNotShared, and the change is in effect here.
func (r *Replica[T]) Change(ctx context.Context, f func(known T) (T, error)) error {
	var err error
	r.locked(func() {
		known := r.state.Load().Document
		var next T
		if next, err = f(known); err != nil || next == known {
			return
		}
		r.revision++
		r.ownEpoch = max(r.docEpoch, known.Epoch(), r.config.MinEpoch) + 1
		r.update(func(s *State[T]) { s.Document = next.WithEpoch(r.ownEpoch) })
	})
	if err != nil {
		return err
	}
	if err = r.share(ctx); err != nil {
		err = fmt.Errorf("%w: %w", store.ErrNotShared, err)
	}
	return r.persist(ctx, err)
}

// Unwritable returns why this process can write to none of the stores, such as that it has no private key: a change would never
// be shared. It returns nil if it can write to one, and if there are no stores.
func (r *Replica[T]) Unwritable(ctx context.Context) error {
	var errs []error
	for _, m := range r.members {
		if !m.readOnly {
			return nil
		}
		errs = append(errs, m.save(ctx, r.config.Name, nil, ""))
	}
	return errors.Join(errs...)
}

// share writes what is known to every store, and returns nil if one of them has it.
func (r *Replica[T]) share(ctx context.Context) error {
	if len(r.members) == 0 {
		return nil
	}
	if _, err := r.encoded(); err != nil { // once, for all stores
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(r.members))
	for _, m := range r.members {
		go func() {
			err := r.push(ctx, m)
			if err != nil && len(r.members) > 1 {
				err = fmt.Errorf("store %d: %w", m.index, err)
			}
			results <- err
		}()
	}
	var errs []error
	var enough <-chan time.Time
	shared := false
	for range r.members {
		select {
		case err := <-results:
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if shared = true; enough == nil {
				timer := time.NewTimer(othersTime)
				defer timer.Stop()
				enough = timer.C
			}
		case <-enough:
			return nil
		}
	}
	if shared {
		return nil
	}
	return errors.Join(errs...)
}

// push writes what is known to a store, merged with its document.
func (r *Replica[T]) push(ctx context.Context, m *member) (err error) {
	if p := guard.Call("the replica", func() { err = r.tryPush(ctx, m) }); p != nil {
		return p
	}
	return err
}

func (r *Replica[T]) tryPush(ctx context.Context, m *member) error {
	if m.readOnly {
		return m.save(ctx, r.config.Name, nil, "") // its error says why
	}
	var lost error // of a write that may have succeeded, although its answer was an error
	for range tries {
		a := m.load(ctx, r.config.Name, "")
		v, _ := r.receive(m, a, true)
		switch {
		case errors.Is(a.err, store.ErrNotFound):
		case errors.Is(a.err, store.ErrNotAuthentic):
			return fmt.Errorf("%w: %w", ErrNotReplaced, a.err)
		case a.err != nil:
			return cmp.Or(lost, a.err)
		case v.err != nil:
			return fmt.Errorf("%w: %w", ErrNotReplaced, v.err)
		case r.isCurrent(v):
			return nil
		}
		if lost != nil {
			return lost
		}
		w, err := r.encoded()
		if err != nil {
			return err
		}
		switch err := m.save(ctx, r.config.Name, w.data, a.revision); {
		case err == nil:
			r.noteWritten(m, w)
			return nil
		case !errors.Is(err, store.ErrConflict):
			lost = err
		}
	}
	return store.ErrConflict
}

// isCurrent reports whether a document says all that is known.
func (r *Replica[T]) isCurrent(v verdict) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return v.complete && v.revision == r.revision
}

// encoded returns a document that says all that is known. If it is another one than those that were read or written, its epoch is
// higher than theirs.
func (r *Replica[T]) encoded() (w written[T], err error) {
	known := false
	r.locked(func() {
		if w = r.written; w.data != nil && w.revision == r.revision {
			known = true
			return
		}
		doc := r.state.Load().Document
		if epoch := max(doc.Epoch(), r.docEpoch); epoch != r.ownEpoch || epoch == r.docEpoch {
			r.ownEpoch = epoch + 1
			doc = doc.WithEpoch(r.ownEpoch)
			r.update(func(s *State[T]) { s.Document = doc })
		}
		w = written[T]{doc: doc, revision: r.revision}
	})
	if known {
		return w, nil
	}
	if w.data, err = r.config.Encode(w.doc); err != nil {
		return w, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.revision == r.revision {
		r.written = w
	}
	return w, nil
}

// noteWritten notes that a store has a document.
func (r *Replica[T]) noteWritten(m *member, w written[T]) {
	v := verdict{epoch: w.doc.Epoch(), complete: true, revision: w.revision}
	r.verdicts.Put(seen.Of(r.config.Name, w.data), v)
	now := r.config.Now()
	r.noteSigned(now)
	r.locked(func() {
		r.docEpoch = max(r.docEpoch, v.epoch)
		m.answered, m.has, m.empty, m.verdict = true, true, false, v
		accepted := r.accepts(v.epoch)
		r.accepted = r.accepted || accepted
		r.update(func(s *State[T]) {
			if s.Known && accepted {
				s.Status.Origin = label.Store
			}
			s.Status.Stores[m.index].Epoch = v.epoch
			r.assess(s, m, "", nil, true)
		})
	})
}

// healStore writes what is known to a store that misses something, if that is due.
func (r *Replica[T]) healStore(ctx context.Context, m *member) {
	now := time.Now()
	r.mu.Lock()
	due := false
	switch {
	case m.behind.IsZero():
		m.heal, m.failed = time.Time{}, 0
	case m.readOnly:
	case m.heal.IsZero():
		m.heal = now.Add(healAfter + rand.N(healAfter)) //nolint:gosec // it only spreads writes
	default:
		due = !now.Before(m.heal)
	}
	r.mu.Unlock()
	if !due || ctx.Err() != nil {
		return
	}
	err := r.push(ctx, m)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		m.heal, m.failed = time.Time{}, 0
		return
	}
	m.heal = time.Now().Add(min(healPause<<min(m.failed, 10), maxHeal))
	m.failed++
}
