package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/store"
)

// laterLoad is how long Load waits for every store, if it is not the first one.
const laterLoad = 250 * time.Millisecond

// Load reads the local copy and the stores once, for processes that do not call Run. The first call waits until every store has
// answered or failed, at most 2 seconds; a later one uses what has answered after 250 ms, or the first answer. The error is nil
// if a store has answered what makes the document known.
func (r *Replica[T]) Load(ctx context.Context) error {
	_ = r.saveLocal(ctx, localTimeout, true)
	if len(r.members) == 0 {
		return nil
	}
	r.mu.Lock()
	first := !r.loaded
	r.loaded = true
	r.mu.Unlock()
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(r.members))
	for _, m := range r.members {
		go func() {
			a := m.load(within, r.config.Name, "")
			if within.Err() != nil && ctx.Err() == nil {
				return // nobody waits for it any more
			}
			err := r.failure(m, a)
			if r.config.MaxSilence > 0 {
				r.receiveAlive(m.load(within, AliveName(r.config.Name), ""))
			}
			results <- err
		}()
	}
	err := r.await(results, first)
	r.settle()
	if !r.wakeSaver() {
		_ = r.saveLocal(ctx, localTimeout, false)
	}
	return err
}

// failure takes in the answer of a store, and returns why it does not make the document known.
func (r *Replica[T]) failure(m *member, a answer) error {
	v, _ := r.receive(m, a, true)
	err := cmp.Or(a.err, v.err)
	switch {
	case errors.Is(a.err, store.ErrNotFound) && r.accepts(0):
		return nil
	case err != nil && len(r.members) > 1:
		return fmt.Errorf("store %d: %w", m.index, err)
	}
	return err
}

// await waits for the results of the stores, and returns nil if one of them is.
func (r *Replica[T]) await(results <-chan error, first bool) error {
	var later <-chan time.Time
	if !first {
		timer := time.NewTimer(laterLoad)
		defer timer.Stop()
		later = timer.C
	}
	var errs []error
	good, over := false, false
	for n := 0; n < len(r.members) && !(over && good); {
		select {
		case err := <-results:
			n++
			good = good || err == nil
			errs = append(errs, err)
		case <-later:
			over, later = true, nil
		}
	}
	if good {
		return nil
	}
	return errors.Join(errs...)
}

// settle finds the problems of all stores, when what they say is merged.
func (r *Replica[T]) settle() {
	r.locked(func() {
		r.update(func(s *State[T]) {
			for _, m := range r.members {
				if m.has || m.empty {
					r.assess(s, m, "", nil, false)
				}
			}
		})
	})
}
