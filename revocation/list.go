// Package revocation rejects tokens that are otherwise valid: a [Rule] matches tokens by key, subject, client, region or issue
// time. A [List] of rules is a verifier.Revocation. A rule is in effect in this process from the next Verify on, also for cached
// tokens and open streams, and reaches a fleet through a store.Store that every process follows.
//
// A List only adds to what it knows: it merges every document that a store has with its own rules. Each Add has a tag of its own,
// and a removal names the tags that it removes. So an Add that the remover had not seen survives, no clock decides, and a store
// that is unavailable, emptied or rolled back removes no rule; only Remove does, or the end of the rule. Rules that a store has
// lost are written back by a process that knows them and can write. A process that starts without a local copy must rely on the
// stores, which can withhold rules; see MinEpoch and MaxSilence of store.ReplicaConfig.
//
// A rule that a newer version has written, and that this version cannot read, is kept as it is, reported, and not applied.
package revocation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/event"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

const defaultName = replica.RulesName

// ErrNoRule says that there is no rule with that ID.
var ErrNoRule = errors.New("revocation: no such rule")

// errUnknown says that neither the store nor a local copy has answered since the start.
var errUnknown = errors.New("revocation: the rules are not known yet")

// Config configures a List. The zero Config is a List of this process alone.
type Config struct {
	// Replica says where the rules are shared. The default name of the document is "regionjwt/revocation".
	Replica store.ReplicaConfig

	// Signals are documents of rules that receivers of security events write: see package sharedsignals. A token is rejected if a
	// rule of any document matches it.
	Signals []Signals

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
	newest   int              // version of rules that is understood
	replica  *replica.Replica[*ruleSet]
	signals  []*signalList
	changes  signal.Signal
	notifier event.Notifier[Status]
}

// New returns a List. Its error reports every problem with c. It does no I/O.
func New(c Config) (*List, error) {
	var errs []error
	for _, problem := range replica.Check(c.Replica) {
		errs = append(errs, fmt.Errorf("revocation: %w", problem))
	}
	errs = append(errs, c.checkSignals()...)
	alone := len(c.Replica.Stores) == 0 && c.Replica.LocalCopy == nil && len(c.Signals) == 0
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
	c.Signals = slices.Clone(c.Signals)
	l := &List{config: c, now: time.Now, newest: newestRule}
	l.replica = replica.New(replica.Config[*ruleSet]{
		ReplicaConfig: c.Replica, Empty: noRules, Encode: (*ruleSet).encode,
		Decode:  func(data []byte) (*ruleSet, error) { return decode(data, l.newest) },
		Changed: l.changed, Now: func() time.Time { return l.now() }, Logger: c.Logger,
	})
	l.followSignals()
	l.notifier.Start(l.Status())
	return l, nil
}

// changed is called after each change of what is known.
func (l *List) changed(old, now *replica.State[*ruleSet]) {
	if old.Known != now.Known || old.Document != now.Document {
		l.changes.Send()
	}
	l.notifier.Notify(l.Status, l.report)
}

// errNotMade is the error of a List that is nil or zero: it knows no rules.
var errNotMade = fmt.Errorf("%w: make the List with revocation.New", errUnknown)

// current returns what is known, or nil if New has not made l.
func (l *List) current() *replica.State[*ruleSet] {
	if l == nil || l.replica == nil {
		return nil
	}
	return l.replica.State()
}

// Revoked implements verifier.Revocation. It returns the ID of a rule that matches t, or "". The error says that the rules are
// not known.
func (l *List) Revoked(t *verifier.Token) (ruleID string, err error) {
	s := l.current()
	if s == nil {
		return "", errNotMade
	}
	now := l.now()
	if id := s.Document.index.match(t, now, nil); id != "" {
		return id, nil
	}
	id, known := l.signalRevoked(s.Document, t, now)
	if id != "" {
		return id, nil
	}
	if (!s.Known || !known) && !l.config.AllowUnknownRules {
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

// Rules returns the rules in effect, the oldest first: those of operators, then those of Config.Signals.
func (l *List) Rules() []Rule {
	s := l.current()
	if s == nil {
		return nil
	}
	return append(s.Document.inEffect(l.now()), l.signalsInEffect(s.Document, l.now())...)
}

// Add adds a rule and returns its ID. The rule is in effect in this process at once. If there is one with the same ID, Add renews
// it: its Note, its end and Created. It ignores r.Created. A rule that no token can match is an error: one for a Thumbprint that
// is none, a KeyID of more than 256 bytes, or a Provider or Region with a space.
//
// It succeeds if one store has accepted the rule; Status tells which stores have not, and Run goes on to write to them. An error
// that wraps store.ErrNotShared says that the rule is in effect here, but that no store has it, for example because they are
// unavailable, or have a document that this version cannot read and does not replace. Run, or the next change, then writes it. If
// there is no room for the rule (10,000 rules, 1.75 MiB), an error says so, and the rule is not in effect.
//
// A change that is in no store is written to the LocalCopy before Add returns; it waits at most 1 s for that, or 2 s if there are
// no stores. If that fails, the error says so, and Run tries again; until then a restart forgets the rule. A change that is in a
// store is copied by Run in the background, or by Add if Run is not running; Status reports whether that failed.
func (l *List) Add(ctx context.Context, r Rule) (id string, err error) {
	if l.current() == nil {
		return "", errNotMade
	}
	if err := cmp.Or(r.validate(), r.checkMatches()); err != nil {
		return "", err
	}
	now := l.now()
	if !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt) {
		return "", errors.New("revocation: ExpiresAt is in the past")
	}
	e := newEntry(r, now)
	return e.id, l.change(ctx, func(s *ruleSet) (*ruleSet, error) { return s.add(e, now) })
}

// Remove removes a rule: every Add of it that this process knows, also in the documents of Config.Signals. A rule that a security
// event has made stays removed for that event. The error is ErrNoRule if there is none with that ID. If
// there is no room to remember the removal until the rule would have ended, the error says so, and the rule stays. All other
// errors are those of Add.
func (l *List) Remove(ctx context.Context, id string) error {
	if l.current() == nil {
		return errNotMade
	}
	return l.change(ctx, func(s *ruleSet) (*ruleSet, error) { return s.remove(id, l.signalsOf(id), l.now()) })
}

// change changes the rules in this process, then in the stores.
func (l *List) change(ctx context.Context, f func(*ruleSet) (*ruleSet, error)) error {
	err := l.replica.Change(ctx, f)
	if err == nil || errors.Is(err, ErrNoRule) {
		return err
	}
	return fmt.Errorf("revocation: %w", err)
}

// Run reads the local copy and follows the stores until ctx ends; it returns the cause. It keeps the local copy up to date, in a
// goroutine that ends before Run returns, so that a slow copy delays nothing. It writes to a store that misses something, if this
// process can. Without Run, a List knows what Add and Load bring.
func (l *List) Run(ctx context.Context) error {
	if l.current() == nil {
		return errNotMade
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	for _, s := range l.signals {
		parts.Go(func() { _ = s.replica.Run(ctx) }) // it ends as the other one does
	}
	return l.replica.Run(ctx)
}

// Load reads the local copy and the stores once, for processes that do not call Run. The first call waits until every store has
// answered or failed, at most 2 seconds; a later one waits 250 ms for all, or for the first. The error says why no store has made
// the rules known: they are unavailable, have documents that are not authentic or cannot be read, or have none although
// Replica.MinEpoch demands one. The rules may then be known from the local copy.
func (l *List) Load(ctx context.Context) error {
	if l.current() == nil {
		return errNotMade
	}
	errs := make([]error, 1+len(l.signals))
	var parts sync.WaitGroup
	parts.Go(func() { errs[0] = l.replica.Load(ctx) })
	for i, s := range l.signals {
		parts.Go(func() {
			if err := s.replica.Load(ctx); err != nil {
				errs[i+1] = fmt.Errorf("signals %q: %w", s.name, err)
			}
		})
	}
	parts.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("revocation: %w", err)
	}
	return nil
}
