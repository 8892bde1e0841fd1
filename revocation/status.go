package revocation

import (
	"context"
	"errors"
	"log/slog"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/store"
)

// Status is the state of a List.
type Status struct {
	Rules int `json:"rules"` // in effect now
	// Unreadable is how many rules a newer version has written that this version cannot read. They are not applied.
	Unreadable int `json:"unreadable,omitempty"`
	// Reads is the newest version of rules that this version reads: 1, or 2 with SessionID and Actor.
	Reads   int                 `json:"reads"`
	Replica store.ReplicaStatus `json:"replica"` // Origin "none" means that the rules are not known

	// Signals is the state of each document of Config.Signals. Each has a Name.
	Signals []Status `json:"signals,omitempty"`
	// Name is that of a document of signals; "" for the rules of operators.
	Name string `json:"name,omitempty"`
	// Refused is how many rules of a document of signals are not applied, because its writer may not make them.
	Refused int `json:"refused,omitempty"`
	// Ignored says that operators have a document of signals ignored: see List.IgnoreSignals.
	Ignored bool `json:"ignored,omitempty"`
}

// Status returns the state of the list. It does no I/O.
func (l *List) Status() Status {
	s := l.current()
	if s == nil {
		return Status{Replica: store.ReplicaStatus{Origin: label.None}}
	}
	return l.statusOf(s)
}

func (l *List) statusOf(s *replica.State[*ruleSet]) Status {
	return Status{
		Rules: s.Document.count(l.now()), Unreadable: s.Document.unreadable, Reads: l.newest, Replica: s.Status,
		Signals: l.statusOfSignals(s.Document),
	}
}

// report logs a change of Status, and calls OnChange.
func (l *List) report(last, now Status) {
	current := l.current()
	if last.Rules == now.Rules && last.Unreadable == now.Unreadable && replica.Same(&last.Replica, &now.Replica) &&
		sameSignals(last.Signals, now.Signals) {
		return
	}
	r := now.Replica
	level := slog.LevelInfo
	problems := problemsOfSignals(now.Signals)
	if problems != "" || r.StoreProblem != "" || r.LocalProblem != "" || r.Stale || now.Unreadable > 0 {
		level = slog.LevelWarn
	}
	l.config.Logger.Log(context.Background(), level, "revocation rules",
		"rules", now.Rules, "unreadable", now.Unreadable, "epoch", r.Epoch, "origin", r.Origin, "stale", r.Stale,
		"store_problem", r.StoreProblem, "store_failure", errors.Join(current.Failures...),
		"local_problem", r.LocalProblem, "local_failure", current.LocalFailure, "signals", problems)
	if l.config.OnChange == nil {
		return
	}
	if err := guard.Apart("OnChange", func() { l.config.OnChange(last, now) }); err != nil {
		l.config.Logger.Error("a panic was recovered", "failure", err)
	}
}
