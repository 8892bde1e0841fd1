// Package revocation breaks the glass: a [Rule] kills tokens at the verifiers, at once, while they still have good signatures.
// A [List] of rules is a verifier.Revocation. It counts from the next Verify on in this process, tokens that the verifier
// remembers and open streams included, and reaches a fleet through a store.Store that all follow.
//
// Knowledge only grows: each document that arrives is merged with what is known, rule by rule, the later word on each
// counting. So a store that is down, wiped, rolled back or put back to an old document removes nothing; only Remove does, or
// a rule's own end. What a store has lost comes back with the next Add of anyone who knows it. A process that starts, and has no
// local copy, knows no better than the store: it can be shown an old document, or none, but for what Config.RequireDocument and
// Config.MinEpoch say.
//
// That a rule was removed is remembered for 4,096 rules, however long ago. Beyond that the oldest are forgotten, and a document
// of an earlier epoch brings no rule that it could have been. A process that has not heard of a removal before it is forgotten
// goes on refusing, and says that the store is behind.
package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// Defaults of Config.
const (
	DefaultName = "regionjwt/revocation"
	DefaultPoll = 500 * time.Millisecond
)

// The errors of a List.
var (
	// ErrUnknown: the rules are not known yet, because the store has not answered since the start.
	ErrUnknown = errors.New("revocation: the rules are not known yet")
	// ErrFull: the rules are more than 10,000, or the document would be longer than 1 MiB. Where it comes with ErrNotShared the
	// rule counts in this process; otherwise it counts nowhere.
	ErrFull = errors.New("revocation: the document is full")
	// ErrNotShared: the change counts in this process, but could not be written to the store.
	ErrNotShared = errors.New("revocation: the change counts here, but is not shared")
	// ErrUnreadable comes with ErrNotShared: what is in the store is not authentic, malformed, or of a newer version, and was not
	// replaced. See Config.AllowOverwrite.
	ErrUnreadable = errors.New("revocation: the store has a document that cannot be read")
	// ErrNotCopied: the change counts in this process, but stands neither in the store nor in the local copy: a restart forgets
	// it.
	ErrNotCopied = errors.New("revocation: the change is not in the local copy")
	// ErrNoRule: there is no rule of that ID.
	ErrNoRule = errors.New("revocation: no such rule")
)

// Config configures a List. The zero Config is a List of this process alone.
type Config struct {
	// Store is where a fleet shares its rules. Nil means that there is nothing to share. It has to be store.Trusted: who can
	// write rules can lock everybody out.
	Store store.Store
	// InsecurePlainStore has the List believe a Store that is not store.Trusted.
	InsecurePlainStore bool

	// AllowOverwrite has Add and Remove replace a document in Store that is not authentic or malformed: what only it held is
	// lost. Otherwise they leave it alone, and fail with ErrUnreadable. One of a newer version is never replaced.
	AllowOverwrite bool

	// RequireDocument says that Store has a document since long. Rules are then not known as long as Store has none, for it was
	// wiped or is not the right one, and no local copy knows better. Otherwise a Store without a document has no rules.
	RequireDocument bool
	// MinEpoch is an epoch that the rules have reached, as Status tells it. A document or a local copy of a lower one was put
	// back: its rules count, but rules are not known by it. 0 means that any is believed.
	MinEpoch uint64

	// Name is that of the document. "" means DefaultName.
	Name string

	// LocalCopy keeps the rules for a start while Store does not answer: a store.Dir, or one that is sealed. Several processes
	// may share one. Nil means that rules are unknown until Store has answered.
	LocalCopy store.Trusted

	// AllowUnknownRules accepts tokens while the rules are not known. Otherwise they are refused with rules_unavailable.
	AllowUnknownRules bool

	// Poll is how often Run asks the store, besides its hints. 0 means 500 ms.
	Poll time.Duration

	// OnEvent is called at every change of the rules, and for every problem with Store or LocalCopy, once when it
	// begins and once when it ends. It is called in order, by one goroutine at a time, under no lock; it must not block. A
	// panic of it is recovered and logged. Nil is fine.
	OnEvent func(Event)
	// Logger gets a line for each event. Nil is silent.
	Logger *slog.Logger

	// Now tells the time. Nil means time.Now. If it panics, the time is that of time.Now; the first panic is reported to standard
	// error.
	Now func() time.Time
}

// Entry is a rule of a List.
type Entry struct {
	ID    string
	Rule  Rule
	Added time.Time
}

// List is a list of rules. It is safe for concurrent use.
type List struct {
	config Config
	state  atomic.Pointer[state]
	copier chan struct{} // holds a token while somebody writes the local copy
	wake   chan struct{} // tells Run that the local copy is behind
	judged seen.Set[judged]

	mu      sync.Mutex // guards what follows, and changes of state
	learned uint64     // grows whenever other knowledge is published
	changes signal.Signal

	health  health
	events  []queued // that OnEvent has not been told of
	telling bool     // whether somebody tells it
	running int      // calls of Run
	copied  copied
}

// state is an immutable picture of what is known.
type state struct {
	known     bool // the store, or its local copy, has answered
	knowledge *knowledge
	index     *index
	version   uint64
	confirmed time.Time // when the store last answered
	source    string
}

// New returns a List, or everything that is wrong with c. It does no I/O.
func New(c Config) (*List, error) {
	var errs []error
	if _, ok := c.Store.(store.Trusted); c.Store != nil && !ok && !c.InsecurePlainStore {
		errs = append(errs, errors.New("revocation: Store is not store.Trusted: sign it with store.Signed"))
	}
	if (c.RequireDocument || c.MinEpoch > 0) && c.Store == nil && c.LocalCopy == nil {
		errs = append(errs, errors.New("revocation: RequireDocument and MinEpoch need a Store"))
	}
	if nils.Typed(c.Store) {
		errs = append(errs, errors.New("revocation: Store is a nil pointer"))
	}
	if nils.Typed(c.LocalCopy) {
		errs = append(errs, errors.New("revocation: LocalCopy is a nil pointer"))
	}
	if nils.Logger(c.Logger) {
		errs = append(errs, errors.New("revocation: Logger has no handler: make it with slog.New"))
	}
	if c.Poll < 0 {
		errs = append(errs, errors.New("revocation: Poll is negative"))
	}
	if c.Poll == 0 {
		c.Poll = DefaultPoll
	}
	if c.Name == "" {
		c.Name = DefaultName
	}
	c.Now = guardedNow(c.Now)
	c.Logger = guard.Logger(c.Logger)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l := &List{config: c, copier: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	none := &knowledge{rules: map[string]word{}, removed: map[string]time.Time{}}
	l.state.Store(&state{knowledge: none, index: newIndex(none), known: c.Store == nil && c.LocalCopy == nil, source: fromNone})
	return l, nil
}

// errNotMade says that New has not made the List: it knows no rules.
var errNotMade = fmt.Errorf("%w: the List was not made by New", ErrUnknown)

// current is what is known; nil where New has not made l.
func (l *List) current() *state {
	if l == nil {
		return nil
	}
	return l.state.Load()
}

// Revoked implements verifier.Revocation. The rule is its ID. The error is ErrUnknown.
func (l *List) Revoked(t *verifier.Token) (rule string, err error) {
	s := l.current()
	if s == nil {
		return "", errNotMade
	}
	if id := s.index.match(t, l.config.Now()); id != "" {
		return id, nil
	}
	if !s.known && !l.config.AllowUnknownRules {
		return "", ErrUnknown
	}
	return "", nil
}

// Version implements verifier.Revocation.
func (l *List) Version() uint64 {
	if s := l.current(); s != nil {
		return s.version
	}
	return 0
}

// Changed implements verifier.Revocation. The channel is closed at the next change of the rules.
func (l *List) Changed() <-chan struct{} {
	if l.current() == nil {
		return nil // nothing will ever change
	}
	return l.changes.Changed()
}

// Rules lists the rules that count now, the oldest first.
func (l *List) Rules() []Entry {
	s := l.current()
	if s == nil {
		return nil
	}
	k := s.knowledge
	now := l.config.Now()
	var entries []Entry
	for _, id := range k.byTime() {
		if w := k.rules[id]; !w.Rule.ended(now) {
			entries = append(entries, Entry{ID: id, Rule: w.Rule, Added: w.At})
		}
	}
	return entries
}

// Add adds a rule and returns its ID. The rule counts here at once. To add a rule again renews it: its Reason and when it was
// added.
//
// Where it could not be written to the Store the error wraps ErrNotShared; it is then written with the next change that can be.
// If there is no room for it in the document, the error wraps ErrFull as well. Without a Store, or when there are twice as many
// rules here as a document holds, it wraps ErrFull alone, and the rule does not count.
//
// A change that is not in the Store is written to the LocalCopy before Add returns, for which it waits a second at most, or two
// without a Store; where that fails the error wraps ErrNotCopied, and Run tries again. Whether a change that is in the Store
// could be copied is told by Status and OnEvent: Run does it in the background, and Add itself, in that second, where there is
// no Run.
func (l *List) Add(ctx context.Context, r Rule) (id string, err error) {
	if l.current() == nil {
		return "", errNotMade
	}
	if err := r.Validate(); err != nil {
		return "", err
	}
	if r.ended(l.config.Now()) {
		return "", errors.New("revocation: the rule has ended already")
	}
	r = r.canonical()
	return r.ID(), l.say(ctx, r.ID(), r, false)
}

// Remove removes a rule. The error is ErrNoRule where there is none of that ID, and otherwise that of Add; it is never ErrFull.
func (l *List) Remove(ctx context.Context, id string) error {
	if l.current() == nil {
		return errNotMade
	}
	w, ok := l.current().knowledge.rules[id]
	if !ok {
		return ErrNoRule
	}
	return l.say(ctx, id, w.Rule, true)
}

// say has a word on a rule count here, then shares it.
func (l *List) say(ctx context.Context, id string, r Rule, removed bool) error {
	now := l.config.Now()
	most := inList
	if l.config.Store == nil {
		most = inDocument
	}
	l.mu.Lock()
	known := l.state.Load().knowledge
	if !removed && !most.takes(known, id, newWord(r, now), now) {
		l.mu.Unlock()
		return ErrFull
	}
	l.learn(known.say(id, r, removed, now), true, nil)
	l.mu.Unlock()
	l.tell()
	var err error
	if l.config.Store != nil {
		if err = l.share(ctx, id, r, removed); err != nil {
			err = fmt.Errorf("%w: %w", ErrNotShared, err)
		}
	}
	l.report(true, nil)
	return l.keep(ctx, err)
}

// learn publishes what is known now, under a new version where verdicts may differ. The caller holds mu.
func (l *List) learn(k *knowledge, differs bool, change func(*state)) {
	s := *l.state.Load()
	if differs {
		s.index = newIndex(k)
		s.version++
	}
	if s.knowledge != k {
		l.learned++
	}
	s.knowledge = k
	if change != nil {
		change(&s)
	}
	l.state.Store(&s)
}

// tell tells of a change, under no lock.
func (l *List) tell() { l.changes.Send() }
