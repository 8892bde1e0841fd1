// Package revocation breaks the glass: a [Rule] kills tokens at the verifiers, at once, while they still have good signatures.
// A [List] of rules is a verifier.Revoker. It counts from the next Verify on in this process, tokens that the verifier
// remembers and open streams included, and reaches a fleet through a store.Store that all follow.
//
// Knowledge only grows: each document that arrives is merged with what is known, rule by rule, the later word on each
// counting. So a store that is down, wiped, rolled back or put back to an old document removes nothing; only Remove does, or
// a rule's own end. What a store has lost comes back with the next Add of anyone who knows it. A process that starts, and has no
// local copy, knows no better than the store: it can be shown an old document, or none.
package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	// ErrFull: the rules are more than 10,000, or longer than 1 MiB.
	ErrFull = errors.New("revocation: the document is full")
	// ErrNotShared: the change counts in this process, but could not be written to the store.
	ErrNotShared = errors.New("revocation: the change counts here, but is not shared")
	// ErrNoRule: there is no rule of that ID.
	ErrNoRule = errors.New("revocation: no such rule")
)

// Config configures a List. The zero Config is a List of this process alone.
type Config struct {
	// Store is where a fleet shares its rules. Nil means that there is nothing to share. It has to be store.Authentic: who can
	// write rules can lock everybody out.
	Store store.Store
	// InsecurePlainStore has the List believe a Store that is not store.Authentic.
	InsecurePlainStore bool

	// Name is that of the document. "" means DefaultName.
	Name string

	// LocalCopy keeps the rules for a start while Store does not answer: a store.Dir, or one that is sealed. Nil means that rules
	// are unknown until Store has answered.
	LocalCopy store.Authentic

	// AllowUnknownRules accepts tokens while the rules are not known. Otherwise they are refused with rules_unavailable.
	AllowUnknownRules bool

	// Poll is how often Run asks the store, besides its hints. 0 means 500 ms.
	Poll time.Duration

	// OnEvent is told of changes that Run or Load bring, and of everything that is wrong with the store, once when it begins. It
	// must not block. Nil is fine.
	OnEvent func(Event)
	// Logger gets a line for each event. Nil is silent.
	Logger *slog.Logger

	// Now tells the time. Nil means time.Now.
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

	mu       sync.Mutex // guards what follows, and changes of state
	watchers map[int]func()
	next     int
	trouble  Trouble
	copied   *knowledge
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
	if _, ok := c.Store.(store.Authentic); c.Store != nil && !ok && !c.InsecurePlainStore {
		errs = append(errs, errors.New("revocation: Store is not store.Authentic: sign it with store.Signed"))
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
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l := &List{config: c, watchers: map[int]func(){}}
	none := &knowledge{words: map[string]word{}}
	l.state.Store(&state{knowledge: none, index: newIndex(none), known: c.Store == nil && c.LocalCopy == nil, source: "none"})
	return l, nil
}

// Revoked implements verifier.Revoker. The rule is its ID. The error is ErrUnknown.
func (l *List) Revoked(t *verifier.Token) (rule string, err error) {
	s := l.state.Load()
	if s == nil {
		return "", ErrUnknown
	}
	if id := s.index.match(t, l.config.Now()); id != "" {
		return id, nil
	}
	if !s.known && !l.config.AllowUnknownRules {
		return "", ErrUnknown
	}
	return "", nil
}

// Version implements verifier.Revoker.
func (l *List) Version() uint64 {
	if s := l.state.Load(); s != nil {
		return s.version
	}
	return 0
}

// OnChange has f called after each change of the rules, under no lock, until remove is called. A Verifier uses it.
func (l *List) OnChange(f func()) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	id := l.next
	l.watchers[id] = f
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, id)
	}
}

// Rules lists the rules that count now, the oldest first.
func (l *List) Rules() []Entry {
	s := l.state.Load()
	now := l.config.Now()
	var entries []Entry
	for id, w := range s.knowledge.words {
		if !w.Removed && !w.outlived(now) {
			entries = append(entries, Entry{ID: id, Rule: w.Rule, Added: w.At})
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if c := a.Added.Compare(b.Added); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return entries
}

// Add adds a rule and returns its ID. The rule counts here at once. Where it could not be written to the Store the error wraps
// ErrNotShared; it is then written with the next change that can be. To add a rule again renews it: its Reason and when it was
// added.
func (l *List) Add(ctx context.Context, r Rule) (id string, err error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	now := l.config.Now()
	if r.ended(now) {
		return "", errors.New("revocation: the rule has ended already")
	}
	r = r.canonical()
	return r.ID(), l.say(ctx, r, false)
}

// Remove removes a rule. The error is ErrNoRule where there is none of that ID, and otherwise that of Add.
func (l *List) Remove(ctx context.Context, id string) error {
	w, ok := l.state.Load().knowledge.words[id]
	if !ok || w.Removed {
		return ErrNoRule
	}
	return l.say(ctx, w.Rule, true)
}

// say has a word on a rule count here, then shares it.
func (l *List) say(ctx context.Context, r Rule, removed bool) error {
	l.mu.Lock()
	known := l.state.Load().knowledge
	now := l.config.Now()
	grown := known.with(known.lastWord(r, removed, now), now)
	if !grown.fits() && !removed {
		l.mu.Unlock()
		return ErrFull
	}
	l.learn(grown, true, nil)
	l.mu.Unlock()
	l.tell()
	defer l.copyLocally(ctx)
	if l.config.Store == nil {
		return nil
	}
	if err := l.share(ctx, r, removed); err != nil {
		return fmt.Errorf("%w: %w", ErrNotShared, err)
	}
	return nil
}

// tries is how often a writer begins again where another one was faster.
const tries = 20

// share writes what is known to the store, together with what stands there. What was said of r stands: where the store had a
// later word on it, because another clock is ahead, it is said again.
func (l *List) share(ctx context.Context, r Rule, removed bool) error {
	for range tries {
		doc, err := l.config.Store.Load(ctx, l.config.Name)
		broken := errors.Is(err, store.ErrNotAuthentic) && doc.Revision != ""
		if err != nil && !errors.Is(err, store.ErrNotFound) && !broken {
			return err
		}
		if err == nil {
			theirs, err := decode(doc.Data)
			if errors.Is(err, errNewer) { // it is not ours to replace
				return err
			}
			if err == nil {
				l.take(theirs)
			}
		}
		l.mu.Lock()
		if known := l.state.Load().knowledge; known.words[r.ID()].Removed != removed {
			now := l.config.Now()
			l.learn(known.with(known.lastWord(r, removed, now), now), true, nil)
		}
		ours := *l.state.Load().knowledge
		l.mu.Unlock()
		ours.epoch++
		data, err := ours.encode()
		if err != nil {
			return err
		}
		_, err = l.config.Store.Save(ctx, l.config.Name, data, doc.Revision)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			l.take(&ours)
		}
		return err
	}
	return store.ErrConflict
}

// take merges what the store says, and reports whether the store lacks something that is known.
func (l *List) take(theirs *knowledge) (behind bool) {
	now := l.config.Now()
	l.mu.Lock()
	s := l.state.Load()
	behind = s.knowledge.lacks(theirs, now) || theirs.epoch < s.knowledge.epoch
	merged, more := s.knowledge.merge(theirs, now)
	changed := more || !s.known
	l.learn(merged, changed, func(s *state) { s.known, s.confirmed, s.source = true, now, "store" })
	l.mu.Unlock()
	if changed {
		l.tell()
	}
	return behind
}

// learn publishes what is known now, under a new version where verdicts may differ. The caller holds mu.
func (l *List) learn(k *knowledge, differs bool, change func(*state)) {
	s := *l.state.Load()
	if differs {
		s.index = newIndex(k)
		s.version++
	}
	s.knowledge = k
	if change != nil {
		change(&s)
	}
	l.state.Store(&s)
}

// tell tells of a change, under no lock.
func (l *List) tell() {
	l.mu.Lock()
	fs := make([]func(), 0, len(l.watchers))
	for _, f := range l.watchers {
		fs = append(fs, f)
	}
	l.mu.Unlock()
	for _, f := range fs {
		f()
	}
}
