package revocation

import (
	"context"
	"log/slog"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/store"
)

// Status is the state of a List.
type Status struct {
	Rules   int                 `json:"rules"`   // in effect now
	Replica store.ReplicaStatus `json:"replica"` // Origin "none" means that the rules are not known
}

// Status returns the state of the list. It does no I/O.
func (l *List) Status() Status {
	if l.current() == nil {
		return Status{Replica: store.ReplicaStatus{Origin: label.None}}
	}
	l.mu.Lock()
	p := l.problems
	s := l.state.Load()
	l.mu.Unlock()
	return Status{Rules: s.rules.count(l.now()), Replica: store.ReplicaStatus{
		Origin: s.origin, Epoch: s.rules.epoch, Confirmed: s.confirmed, StoreProblem: p.store, LocalProblem: p.local,
	}}
}

// count returns how many rules are in effect.
func (s *ruleSet) count(now time.Time) (n int) {
	for _, w := range s.rules {
		if !w.rule.ended(now) {
			n++
		}
	}
	return n
}

// problems are those of the store and the local copy, by their labels, and the failures behind them.
type problems struct {
	store, local               string
	storeFailure, localFailure error
}

// report changes the problems, and calls OnChange if Status has changed. If another goroutine is calling it, that one does so.
func (l *List) report(change func(*problems)) {
	if change != nil {
		l.mu.Lock()
		change(&l.problems)
		l.mu.Unlock()
	}
	l.notifier.Notify(l.Status, l.changed)
}

// changed logs a change of Status, and calls OnChange.
func (l *List) changed(last, now Status) {
	same := last
	same.Replica.Confirmed = now.Replica.Confirmed
	if same == now {
		return
	}
	l.mu.Lock()
	p := l.problems
	l.mu.Unlock()
	r := now.Replica
	level := slog.LevelInfo
	if r.StoreProblem != "" || r.LocalProblem != "" {
		level = slog.LevelWarn
	}
	l.config.Logger.Log(context.Background(), level, "revocation rules",
		"rules", now.Rules, "epoch", r.Epoch, "origin", r.Origin,
		"store_problem", r.StoreProblem, "store_failure", p.storeFailure,
		"local_problem", r.LocalProblem, "local_failure", p.localFailure)
	if l.config.OnChange == nil {
		return
	}
	if err := guard.Apart("OnChange", func() { l.config.OnChange(last, now) }); err != nil {
		l.config.Logger.Error("a panic was recovered", "failure", err)
	}
}
