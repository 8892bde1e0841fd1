// Package replica replicates a document of a fleet: it follows the document in one store or several, merges whatever authentic
// documents say, shares changes, and keeps a local copy.
//
// It knows nothing of what a document says. What is known only grows: by a change of this process, and by [Document.Merge] of a
// document that a store or the local copy has. So no store can take anything away, whatever it answers.
package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// Document is what a document says: an immutable value.
type Document[T any] interface {
	comparable
	// Epoch is the counter of the document; 0 if it says nothing.
	Epoch() uint64
	// WithEpoch returns the document with another epoch.
	WithEpoch(epoch uint64) T
	// Merge returns what the document and other say together, which does not depend on the order of merges. It reports whether
	// other says anything that the document does not say. If nothing changes, it returns the document itself.
	Merge(other T, now time.Time) (merged T, grew bool)
	// IsIn reports whether other says everything that the document says and that is still of use.
	IsIn(other T, now time.Time) bool
}

// Config configures a Replica.
type Config[T Document[T]] struct {
	store.ReplicaConfig // checked by Check, with its defaults

	Empty  T // the document that says nothing
	Encode func(T) ([]byte, error)
	// Decode decodes a document strictly. Its error wraps ErrNewer if a newer version wrote the document.
	Decode func([]byte) (T, error)
	// Changed is called after each change of the state, except of times, under no lock.
	Changed func(old, now *State[T])
	Now     func() time.Time
	Logger  *slog.Logger
}

// State is what a Replica knows. It is immutable.
type State[T any] struct {
	Document T
	// Known says that the document is known: a store or the local copy has answered, or nothing is shared.
	Known  bool
	Status store.ReplicaStatus
	// Failures are the causes of the problems of stores, and LocalFailure is that of the local copy.
	Failures     []error
	LocalFailure error
}

// Replica replicates one document. It is safe for concurrent use.
type Replica[T Document[T]] struct {
	config   Config[T]
	members  []*member
	scope    trust.Scope
	state    atomic.Pointer[State[T]]
	verdicts seen.Set[verdict]
	saving   chan struct{} // holds a token while the local copy is written
	wake     chan struct{} // wakes Run to write the local copy

	mu       sync.Mutex // guards what follows, and changes of state
	revision uint64     // grows whenever more becomes known
	written  written[T]
	docEpoch uint64 // the highest one of a document that was read or written
	ownEpoch uint64 // of the latest change of this process
	accepted bool   // a store has answered what makes the document known
	loaded   bool   // Load has been called
	alive    silence
	local    local[T]
}

// member is one store of a Replica. The mutex of the Replica guards what stands below it.
type member struct {
	endpoint
	index    int
	readOnly bool

	answered bool // it has answered or failed since the start
	verdict  verdict
	has      bool        // it has a document with that verdict,
	digest   seen.Digest // of the last one that it had; zero if it never had one
	empty    bool        // it has no document
	behind   time.Time   // since when it misses something; zero if it does not
	heal     time.Time   // when it is written again
	failed   int         // how often that failed in a row
}

// verdict is what is known of a document, by its digest.
type verdict struct {
	err      error
	epoch    uint64
	complete bool   // it said all that was known
	revision uint64 // Replica.revision at that time
}

const (
	uselessRate = 2 << 20         // bytes a second of documents that bring nothing
	behindGrace = 2 * time.Second // for which one of several stores may miss something without a problem
	maxAhead    = 1 << 32         // by which the epoch of a document may exceed the known one: each writer adds one
)

var errFar = fmt.Errorf("its epoch is too high to be genuine: %w", store.ErrNotAuthentic)

// New returns a Replica.
func New[T Document[T]](c Config[T]) *Replica[T] {
	r := &Replica[T]{config: c, saving: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	s := &State[T]{Document: c.Empty, Status: store.ReplicaStatus{Origin: label.None}, Failures: make([]error, len(c.Stores))}
	if len(c.Stores) == 0 && c.LocalCopy == nil {
		s.Known, s.Status.Origin = true, label.Process
	}
	for i, one := range c.Stores {
		info := trust.Of(one)
		m := &member{index: i, readOnly: !info.Writes(c.Name)}
		m.name, m.store = fmt.Sprintf("Replica.Stores[%d]", i), one
		r.members = append(r.members, m)
		scope := info.Scope(c.Name)
		r.scope.Fleet = scope.Fleet
		for _, k := range scope.Keys {
			if !slices.Contains(r.scope.Keys, k) {
				r.scope.Keys = append(r.scope.Keys, k)
			}
		}
		s.Status.Stores = append(s.Status.Stores, store.Status{})
	}
	s.Status.Stale = c.MaxSilence > 0
	r.state.Store(s)
	return r
}

// State returns what is known.
func (r *Replica[T]) State() *State[T] { return r.state.Load() }

// locked calls f under mu, and then Changed if that changed the state in more than times.
func (r *Replica[T]) locked(f func()) {
	r.mu.Lock()
	old := r.state.Load()
	f()
	now := r.state.Load()
	r.mu.Unlock()
	if old.Document != now.Document || old.Known != now.Known || !Same(&old.Status, &now.Status) {
		r.config.Changed(old, now)
	}
	if old.Document != now.Document {
		r.wakeSaver()
	}
}

// Same reports whether two states of a replica differ in nothing but when the stores have answered, and with which epoch.
func Same(a, b *store.ReplicaStatus) bool {
	return a.Origin == b.Origin && a.Epoch == b.Epoch && a.Stale == b.Stale && a.LocalProblem == b.LocalProblem &&
		slices.EqualFunc(a.Stores, b.Stores, func(a, b store.Status) bool {
			return a.Problem == b.Problem
		})
}

// update changes the state. The caller has called locked.
func (r *Replica[T]) update(change func(*State[T])) {
	old := r.state.Load()
	next := *old
	next.Status.Stores = slices.Clone(old.Status.Stores)
	next.Failures = slices.Clone(old.Failures)
	change(&next)
	next.Status.Epoch = next.Document.Epoch()
	next.Status.Stale = r.isStale(r.config.Now())
	if !next.Known && r.accepted && !next.Status.Stale && r.allAnswered() {
		next.Known, next.Status.Origin = true, label.Store
	}
	next.Status.StoreProblem = ""
	for _, one := range slices.Backward(next.Status.Stores) {
		if one.Problem != "" {
			next.Status.StoreProblem = one.Problem
		}
		if one.Confirmed.After(next.Status.Confirmed) {
			next.Status.Confirmed = one.Confirmed
		}
	}
	r.state.Store(&next)
}

// allAnswered reports whether every store has answered or failed, so that one that was rolled back is not believed alone.
func (r *Replica[T]) allAnswered() bool {
	return !slices.ContainsFunc(r.members, func(m *member) bool { return !m.answered })
}

// accepts reports whether a document of this epoch makes the document known; that of a store without a document is 0.
func (r *Replica[T]) accepts(epoch uint64) bool { return epoch >= r.config.MinEpoch }

// receive takes in the answer of a store. It returns the verdict on its document, and for how long the store is not asked again.
// patient says that a store which misses something may still be about to be written.
func (r *Replica[T]) receive(m *member, a answer, patient bool) (v verdict, rest time.Duration) {
	problem := ""
	switch {
	case errors.Is(a.err, store.ErrNotFound):
	case errors.Is(a.err, store.ErrNotAuthentic):
		problem = label.NotAuthentic
	case a.err != nil:
		problem = label.Unavailable
	default:
		if v, rest = r.judge(a); v.err != nil {
			a.err = v.err
			if problem = label.Malformed; errors.Is(v.err, store.ErrNotAuthentic) {
				problem = label.NotAuthentic
			}
		}
	}
	r.locked(func() {
		m.answered, m.verdict = true, v
		m.has, m.empty = a.err == nil, errors.Is(a.err, store.ErrNotFound)
		worse := m.empty && m.digest != seen.Digest{} // it is not what it had: nobody is about to write it
		if m.has {
			digest := seen.Of(r.config.Name, a.data)
			worse = m.digest != seen.Digest{} && m.digest != digest
			m.digest = digest
		}
		accepted := (m.has || m.empty) && r.accepts(v.epoch)
		r.accepted = r.accepted || accepted
		r.update(func(s *State[T]) {
			if s.Known && accepted {
				s.Status.Origin = label.Store
			}
			s.Status.Stores[m.index].Epoch = v.epoch
			r.assess(s, m, problem, a.err, patient && (!worse || len(r.members) > 1))
		})
	})
	return v, rest
}

// unchanged notes that a store still has the document with that digest, although it may have failed meanwhile.
func (r *Replica[T]) unchanged(m *member, digest seen.Digest) {
	v, known := r.verdicts.Get(digest)
	if !known || v.err != nil {
		return
	}
	r.locked(func() {
		m.has, m.empty, m.verdict, m.digest = true, false, v, digest
		r.update(func(s *State[T]) { r.assess(s, m, "", nil, true) })
	})
}

// assess finds the problem of a store, from what it has answered last. The caller holds mu.
func (r *Replica[T]) assess(s *State[T], m *member, problem string, err error, patient bool) {
	now := r.config.Now()
	misses := m.has && (!m.verdict.complete || m.verdict.revision != r.revision) || m.empty && s.Document.Epoch() > 0
	switch {
	case !misses:
		m.behind = time.Time{}
	case m.behind.IsZero():
		m.behind = now
	}
	status := &s.Status.Stores[m.index]
	late := !patient || now.Sub(m.behind) >= behindGrace || status.Problem == label.RolledBack || status.Problem == label.Lost
	switch {
	case problem != "":
	case m.has && !r.accepts(m.verdict.epoch), m.has && misses && late:
		problem = label.RolledBack
	case m.empty && misses && late:
		problem = label.Lost
	case m.empty && !r.accepts(0):
		problem = label.Missing
	}
	status.Problem = problem
	if problem == "" { // a store that is empty has not failed
		status.Confirmed, err = now, nil
	}
	s.Failures[m.index] = err
}

// judge merges a document of a store, unless it was merged before, and returns the verdict on it. The time that is spent on
// documents that bring nothing is at most a twentieth of all. That includes the time to receive and verify a known one, which its
// size tells.
func (r *Replica[T]) judge(a answer) (v verdict, rest time.Duration) {
	digest := seen.Of(r.config.Name, a.data)
	v, known := r.verdicts.Get(digest)
	if known {
		rest = time.Duration(len(a.data)) * time.Second / uselessRate
	} else {
		began := time.Now()
		var grew bool
		if v, grew = r.merge(a.data); !grew {
			rest = time.Since(began) * time.Duration(20*len(r.members)-1)
		}
		if !errors.Is(v.err, errFar) { // that one may be near some day
			r.verdicts.Put(digest, v)
		}
	}
	if v.err == nil {
		r.noteSigned(a.signed)
	}
	return v, rest
}

// merge decodes a document and merges it. It reports whether more is known then.
func (r *Replica[T]) merge(data []byte) (v verdict, grew bool) {
	theirs, err := r.decode(data)
	if err != nil {
		return verdict{err: err}, false
	}
	r.locked(func() { v, grew = r.learn(theirs, data) })
	return v, grew
}

// decode decodes a document.
func (r *Replica[T]) decode(data []byte) (doc T, err error) {
	if p := guard.Call("the decoder", func() { doc, err = r.config.Decode(data) }); p != nil {
		err = p
	}
	if err != nil && trust.Sealed(data) {
		return doc, fmt.Errorf("%w: it is signed or encrypted, and this store has no key: give its reader the fleet and the "+
			"keys of its writer, or write it without keys", err)
	}
	if err != nil {
		return doc, err
	}
	known := max(r.State().Document.Epoch(), r.config.MinEpoch)
	if epoch := doc.Epoch(); epoch > known && epoch-known > maxAhead {
		return doc, errFar
	}
	return doc, nil
}

// learn merges a document into what is known. data is its encoding. The caller has called locked.
func (r *Replica[T]) learn(theirs T, data []byte) (v verdict, grew bool) {
	now := r.config.Now()
	known := r.state.Load().Document
	merged, grew := known.Merge(theirs, now)
	if grew {
		r.revision++
	}
	r.docEpoch = max(r.docEpoch, theirs.Epoch())
	v = verdict{epoch: theirs.Epoch(), complete: merged.IsIn(theirs, now), revision: r.revision}
	if v.complete {
		r.written = written[T]{doc: merged, revision: r.revision, data: data}
	}
	if merged != known {
		r.update(func(s *State[T]) { s.Document = merged })
	}
	return v, grew
}

// Run reads the local copy, and follows the stores until ctx ends. It keeps the local copy up to date in a goroutine of its own,
// so that a slow copy delays nothing. It returns the cause of the end.
func (r *Replica[T]) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	if r.config.LocalCopy != nil {
		r.mu.Lock()
		r.local.running++
		r.mu.Unlock()
		parts.Go(func() { r.keepLocal(ctx) })
	}
	for _, m := range r.members {
		parts.Go(func() {
			follow(ctx, &m.endpoint, r.config.Name, r.config.PollInterval,
				func(digest seen.Digest) { r.unchanged(m, digest); r.healStore(ctx, m) },
				func(a answer) time.Duration {
					_, rest := r.receive(m, a, true)
					r.healStore(ctx, m)
					return rest
				})
		})
		if r.config.MaxSilence > 0 {
			parts.Go(func() {
				follow(ctx, &m.endpoint, AliveName(r.config.Name), r.aliveInterval(), func(seen.Digest) { r.recheckSilence() },
					func(a answer) time.Duration { r.receiveAlive(a); return 0 })
			})
		}
	}
	<-ctx.Done()
	return context.Cause(ctx)
}
