// Package revocation rejects tokens that are otherwise valid: a [Rule] matches tokens by key, subject, client, region or issue
// time. A [List] of rules is a verifier.Revocation. A rule is in effect in this process from the next Verify on, also for cached
// tokens and open streams, and reaches a fleet through a store.Store that every process follows.
//
// A List only adds to what it knows: it merges every document that it receives with its own rules, and takes the later change of
// each rule. So a store that is unavailable, emptied or rolled back removes no rule; only Remove does, or the end of the rule.
// Rules that a store has lost return with the next Add of a process that knows them. A process that starts without a local copy
// must rely on the store, which can withhold rules; see store.ReplicaConfig.MinEpoch.
//
// A List keeps 4,096 removals, without a limit of time. Beyond that it forgets the oldest, and a document of an earlier epoch
// then adds no rule that could have been one of them. A process that did not receive a removal before it was forgotten keeps
// the rule, and reports that the store is rolled back.
package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/event"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

const defaultName = "regionjwt/revocation"

// ErrNoRule says that there is no rule with that ID.
var ErrNoRule = errors.New("revocation: no such rule")

// errUnknown says that neither the store nor a local copy has answered since the start.
var errUnknown = errors.New("revocation: the rules are not known yet")

// Config configures a List. The zero Config is a List of this process alone.
type Config struct {
	// Replica says where the rules are shared. The default name of the document is "regionjwt/revocation".
	Replica store.ReplicaConfig

	// AllowUnknownRules accepts tokens while the rules are not known, if no known rule matches. Otherwise such tokens are
	// rejected with the reason rules_unavailable (503). It needs a Replica.
	AllowUnknownRules bool

	// Logger gets a line for each change of Status. Nil logs nothing.
	Logger *slog.Logger

	// OnChange is called after each change of Status, except of Replica.Confirmed, and of Rules because a rule has ended. It is
	// called from one goroutine at a time, under no lock; old is the Status of the last call. A slow function delays the caller
	// of Add or Run, and receives several changes as one. A panic is recovered and logged.
	OnChange func(old, new Status)
}

// List is a replicated list of rules. It is safe for concurrent use.
type List struct {
	config   Config
	now      func() time.Time // time.Now, except in tests
	state    atomic.Pointer[state]
	saving   chan struct{} // holds a token while the local copy is written
	wake     chan struct{} // wakes Run to write the local copy
	verdicts seen.Set[verdict]
	changes  signal.Signal

	mu       sync.Mutex // guards what follows, and changes of state
	revision uint64     // grows whenever another rule set is published
	problems problems
	notifier event.Notifier[Status]
	running  int // calls of Run
	local    localCopy
}

// state is an immutable snapshot of what is known.
type state struct {
	known     bool // the store or the local copy has answered
	rules     *ruleSet
	index     *index
	version   uint64    // grows whenever other tokens may match
	confirmed time.Time // when the store last answered without a problem
	origin    string
}

// New returns a List. Its error reports every problem with c. It does no I/O.
func New(c Config) (*List, error) {
	var errs []error
	for _, problem := range replica.Check(c.Replica) {
		errs = append(errs, fmt.Errorf("revocation: %w", problem))
	}
	alone := c.Replica.Store == nil && c.Replica.LocalCopy == nil
	if alone && c.AllowUnknownRules {
		errs = append(errs, errors.New("revocation: AllowUnknownRules without a Replica: the rules are always known"))
	}
	if nils.Logger(c.Logger) {
		errs = append(errs, errors.New("revocation: Logger has no handler: make it with slog.New"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.Replica = replica.Default(c.Replica, defaultName)
	c.Logger = guard.Logger(c.Logger)
	l := &List{config: c, now: time.Now, saving: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	none := &ruleSet{rules: map[string]stored{}, removed: map[string]time.Time{}}
	s := &state{rules: none, index: newIndex(none), origin: label.None}
	if alone {
		s.known, s.origin = true, label.Process
	}
	l.state.Store(s)
	l.notifier.Start(l.Status())
	return l, nil
}

// errNotMade is the error of a List that is nil or zero: it knows no rules.
var errNotMade = fmt.Errorf("%w: make the List with revocation.New", errUnknown)

// current returns what is known, or nil if New has not made l.
func (l *List) current() *state {
	if l == nil {
		return nil
	}
	return l.state.Load()
}

// Revoked implements verifier.Revocation. It returns the ID of a rule that matches t, or "". The error says that the rules are
// not known.
func (l *List) Revoked(t *verifier.Token) (ruleID string, err error) {
	s := l.current()
	if s == nil {
		return "", errNotMade
	}
	if id := s.index.match(t, l.now()); id != "" {
		return id, nil
	}
	if !s.known && !l.config.AllowUnknownRules {
		return "", errUnknown
	}
	return "", nil
}

// Changed implements verifier.Revocation. The channel is closed at the next change of the rules.
func (l *List) Changed() <-chan struct{} {
	if l.current() == nil {
		return nil // nothing will ever change
	}
	return l.changes.Changed()
}

// Rules returns the rules in effect, the oldest first.
func (l *List) Rules() []Rule {
	s := l.current()
	if s == nil {
		return nil
	}
	now := l.now()
	var rules []Rule
	for _, r := range s.rules.byTime() {
		if !r.ended(now) {
			rules = append(rules, r)
		}
	}
	return rules
}

// Add adds a rule and returns its ID. The rule is in effect in this process at once. If there is one with the same ID, Add renews
// its Note and Created. It ignores r.Created.
//
// An error that wraps store.ErrNotShared says that the rule is in effect here, but was not written to the store, for example
// because the store is unavailable, has no room for the rule (10,000 rules, 1 MiB), or has a document that this version cannot
// read and does not replace. The rule is then written with the next change that succeeds. Without a Store, or if this process
// already has twice as many rules as a document, an error says that there is no room, and the rule is not in effect.
//
// A change that is not in the Store is written to the LocalCopy before Add returns; it waits at most 1 s for that, or 2 s without
// a Store. If that fails, the error says so, and Run tries again; until then a restart forgets the rule. A change that is in the
// Store is copied by Run in the background, or by Add if Run is not running; Status reports whether that failed.
func (l *List) Add(ctx context.Context, r Rule) (id string, err error) {
	if l.current() == nil {
		return "", errNotMade
	}
	if err := r.validate(); err != nil {
		return "", err
	}
	if r.ended(l.now()) {
		return "", errors.New("revocation: ExpiresAt is in the past")
	}
	r = r.canonical()
	return r.ID(), l.change(ctx, r.ID(), r, false)
}

// Remove removes a rule. The error is ErrNoRule if there is none with that ID, and otherwise as for Add.
func (l *List) Remove(ctx context.Context, id string) error {
	if l.current() == nil {
		return errNotMade
	}
	w, ok := l.current().rules.rules[id]
	if !ok {
		return ErrNoRule
	}
	return l.change(ctx, id, w.rule, true)
}

// change adds or removes a rule in this process, then in the store.
func (l *List) change(ctx context.Context, id string, r Rule, removed bool) error {
	now := l.now()
	most := inList
	if l.config.Replica.Store == nil {
		most = inDocument
	}
	l.mu.Lock()
	known := l.state.Load().rules
	if !removed && !most.fits(known, id, newStored(r, now), now) {
		l.mu.Unlock()
		return fmt.Errorf("revocation: %w", errFull)
	}
	l.apply(known.with(id, r, removed, now), true, nil)
	l.mu.Unlock()
	l.notify()
	var err error
	if l.config.Replica.Store != nil {
		if err = l.push(ctx, id, r, removed); err != nil {
			err = fmt.Errorf("revocation: %w: %w", store.ErrNotShared, err)
		}
	}
	l.report(nil)
	return l.persist(ctx, err)
}

// apply publishes what is known now, under a new version if other tokens may match. The caller holds mu.
func (l *List) apply(rules *ruleSet, differs bool, change func(*state)) {
	s := *l.state.Load()
	if differs {
		s.index = newIndex(rules)
		s.version++
	}
	if s.rules != rules {
		l.revision++
	}
	s.rules = rules
	if change != nil {
		change(&s)
	}
	l.state.Store(&s)
}

// notify closes the channel of Changed, under no lock.
func (l *List) notify() { l.changes.Send() }
