package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// ErrNotSaved is the error of a change that a restart may forget.
var ErrNotSaved = errors.New("the change is not in the local copy")

// Timeouts of the local copy.
const (
	localTimeout = 2 * time.Second // in the background, for Load, and if there is no store
	addTimeout   = time.Second     // for Change
)

// local is what the local copy holds, as far as is known. The mutex of the Replica guards it.
type local[T any] struct {
	running  int // calls of Run
	saved    bool
	revision uint64 // Replica.revision when it was written or read
	epoch    uint64
	known    bool // the document was known then
	complete bool // it is not from a process that did not know the document
	digest   seen.Digest
	doc      T
}

// frame is the local copy: a document, and under which fleet and keys it was believed.
type frame struct {
	Version int      `json:"version"`
	Fleet   string   `json:"fleet,omitempty"`
	Keys    []string `json:"keys,omitempty"`
	// Partial says that the document was not known to the process that wrote the copy: there may be more in the stores.
	Partial  bool            `json:"partial,omitempty"`
	Document json.RawMessage `json:"document"`
}

const frameVersion = 1

var errFrame = errors.New("it is not a local copy")

// persist writes a change to the local copy, and returns the error of the change; shared is that of writing it to the stores. For
// a change that is in a store, it does not wait if Run does it later.
func (r *Replica[T]) persist(ctx context.Context, shared error) error {
	if r.config.LocalCopy == nil {
		return shared
	}
	safe := len(r.members) > 0 && shared == nil
	if safe && r.wakeSaver() {
		return nil
	}
	timeout := addTimeout
	if len(r.members) == 0 {
		timeout = localTimeout
	}
	err := r.saveLocal(ctx, timeout, false)
	if err == nil || safe {
		return shared
	}
	r.wakeSaver()
	return errors.Join(shared, fmt.Errorf("%w: %w", ErrNotSaved, err))
}

// wakeSaver wakes Run to write the local copy, and reports whether it is running.
func (r *Replica[T]) wakeSaver() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.local.running == 0 {
		return false
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return true
}

// keepLocal keeps the local copy up to date until ctx ends, and writes it once more. After a failure it tries again with every
// tick.
func (r *Replica[T]) keepLocal(ctx context.Context) {
	_ = r.saveLocal(ctx, localTimeout, true)
	ticks := time.NewTicker(max(r.config.PollInterval, minPause))
	defer ticks.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-ticks.C:
		}
		if ctx.Err() == nil {
			_ = r.saveLocal(ctx, localTimeout, false)
		}
	}
	r.mu.Lock()
	r.local.running-- // from here on Change writes the local copy itself
	r.mu.Unlock()
	_ = r.saveLocal(ctx, localTimeout, false)
}

// saveLocal merges the local copy and what is known, in both, and returns the problem with that. If there is nothing to write, it
// reads the copy only if again is set. One caller does so at a time; the others wait, at most for timeout.
func (r *Replica[T]) saveLocal(ctx context.Context, timeout time.Duration, again bool) error {
	if r.config.LocalCopy == nil || !again && r.isSaved() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case r.saving <- struct{}{}:
	}
	defer func() { <-r.saving }()
	problem, err := r.swapLocal(ctx, again)
	switch {
	case errors.Is(err, store.ErrNotAuthentic):
		problem = label.NotAuthentic
	case errors.Is(err, errFrame), errors.Is(err, ErrNewer):
		problem = label.Malformed
	case err != nil:
		problem = label.Unavailable
	}
	r.locked(func() {
		r.update(func(s *State[T]) { s.Status.LocalProblem, s.LocalFailure = problem, err })
	})
	return err
}

// isSaved reports whether the local copy holds what is known.
func (r *Replica[T]) isSaved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state.Load()
	return r.local.saved && r.local.revision == r.revision && r.local.epoch == s.Document.Epoch() && r.local.known == s.Known
}

// swapLocal reads the local copy, and replaces it by what it says and what is known, until no other process does so meanwhile.
// It returns the problem with the copy, if that is no error.
func (r *Replica[T]) swapLocal(ctx context.Context, again bool) (problem string, _ error) {
	e := &endpoint{name: "Replica.LocalCopy", store: r.config.LocalCopy}
	for ctx.Err() == nil {
		if !again && r.isSaved() {
			return "", nil
		}
		a := e.load(ctx, r.config.Name, "")
		held, found, complete, useless, err := r.readLocal(a)
		if err != nil {
			return "", err
		}
		if found {
			r.learnLocal(held, complete)
		}
		r.mu.Lock()
		s, now := r.state.Load(), r.local
		now.saved, now.revision, now.known = true, r.revision, s.Known
		r.mu.Unlock()
		switch {
		case s.Known:
		case !found && s.Document == r.config.Empty && useless == nil && len(r.members) == 0:
			return label.Missing, nil
		case !found && s.Document == r.config.Empty:
			return "", useless // there is nothing to keep
		case found && !r.accepts(held.Epoch()):
			problem = label.RolledBack
		}
		now.doc, now.epoch, now.complete = s.Document, s.Document.Epoch(), s.Known || complete || len(r.members) == 0
		now.digest = seen.Of(r.config.Name, a.data)
		if !found || now.complete && !complete || now.epoch > held.Epoch() || !s.Document.IsIn(held, time.Time{}) {
			if useless != nil {
				r.config.Logger.Warn("the local copy cannot be used, and is replaced", "document", r.config.Name, "failure", useless)
			}
			if now.digest, err = r.writeLocal(ctx, e, now, a.revision); errors.Is(err, store.ErrConflict) {
				continue
			}
			if err != nil {
				return "", err
			}
			if len(r.members) == 0 {
				problem = ""
				r.learnLocal(now.doc, true)
				now.known = r.state.Load().Known
			}
		}
		r.mu.Lock()
		now.running, r.local = r.local.running, now
		r.mu.Unlock()
		return problem, nil // a change in the meantime wakes another caller
	}
	return "", context.Cause(ctx)
}

// writeLocal replaces the local copy.
func (r *Replica[T]) writeLocal(ctx context.Context, e *endpoint, l local[T], revision string) (seen.Digest, error) {
	doc, err := r.config.Encode(l.doc)
	if err != nil {
		return seen.Digest{}, err
	}
	data, err := json.Marshal(frame{
		Version: frameVersion, Fleet: r.scope.Fleet, Keys: r.scope.Keys, Partial: !l.complete, Document: doc,
	})
	if err != nil {
		return seen.Digest{}, err
	}
	return seen.Of(r.config.Name, data), e.save(ctx, r.config.Name, data, revision)
}

// readLocal reads the answer of the local copy: what it holds, and whether that was all that the stores had. It finds nothing if
// there is no copy, or one that is useless, which may be replaced.
func (r *Replica[T]) readLocal(a answer) (held T, found, complete bool, useless, err error) {
	if errors.Is(a.err, store.ErrNotFound) {
		all := len(r.members) == 0 && r.accepts(0) // an empty copy is all there is
		return r.config.Empty, all, all, nil, nil
	}
	if err = a.err; err == nil {
		r.mu.Lock()
		last := r.local
		r.mu.Unlock()
		if last.saved && last.digest == seen.Of(r.config.Name, a.data) { // this process wrote or read it
			return last.doc, true, last.complete, nil, nil
		}
		if held, complete, err = r.decodeLocal(a.data); err == nil {
			return held, true, complete, nil, nil
		}
	}
	replaceable := errors.Is(err, store.ErrNotAuthentic) || errors.Is(err, errFrame)
	if !replaceable || a.revision == "" || errors.Is(err, ErrNewer) {
		return held, false, false, nil, err
	}
	return held, false, false, err, nil
}

// decodeLocal decodes a local copy. One of another fleet, or that was made while a key was configured that is not any more, is
// useless.
func (r *Replica[T]) decodeLocal(data []byte) (held T, complete bool, err error) {
	var f frame
	members, err := strictjson.Parse(nil, string(data))
	if err != nil {
		return held, false, fmt.Errorf("%w: %w", errFrame, err)
	}
	reader := json.NewDecoder(bytes.NewReader(data)) //nolint:forbidigo // the members were parsed strictly
	err = reader.Decode(&f)
	theirs := trust.Scope{Fleet: f.Fleet, Keys: f.Keys}
	switch {
	case f.Version > frameVersion:
		return held, false, fmt.Errorf("local copy: %w", ErrNewer)
	case err != nil || f.Version < frameVersion || strictjson.Find(members, "document").Raw() == "":
		return held, false, errFrame
	case theirs.Fleet != r.scope.Fleet:
		return held, false, fmt.Errorf("%w: it was made in the fleet %q, and this is %q", errFrame, theirs.Fleet, r.scope.Fleet)
	case !r.scope.Covers(theirs):
		return held, false, fmt.Errorf("%w: it was made while other keys were configured", errFrame)
	}
	if held, err = r.decode(f.Document); err != nil {
		err = fmt.Errorf("%w: %w", errFrame, err)
	}
	return held, !f.Partial, err
}

// learnLocal merges what the local copy holds.
func (r *Replica[T]) learnLocal(held T, complete bool) {
	r.locked(func() {
		now := r.config.Now()
		known := r.state.Load()
		merged, grew := known.Document.Merge(held, now)
		if grew {
			r.revision++
		}
		r.update(func(s *State[T]) {
			s.Document = merged
			if complete && r.accepts(held.Epoch()) && !s.Known {
				s.Known, s.Status.Origin = true, label.LocalCopy
			}
		})
	})
}
