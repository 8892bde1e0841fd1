package clientcredentials

import (
	"log/slog"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/guard"
)

// guarded calls code of others, in a goroutine of its own that it may end. It logs a panic, and returns it.
func (s *TokenSource) guarded(what string, f func()) error { return s.noted(guard.Apart(what, f)) }

// noted logs a panic, and returns it; if a callback panics each time, once a second.
func (s *TokenSource) noted(err error) error {
	if err != nil && s.loud(s.clock()) {
		s.tools.log.Error("clientcredentials: a callback panicked", "error", err)
	}
	return err
}

// loud reports whether a panic may be logged at now.
func (s *TokenSource) loud(now clock.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panicked && now.Since(s.panickedAt) < urgentEvery {
		return false
	}
	s.panicked, s.panickedAt = true, now
	return true
}

// logger writes one line for each change of state. It names configured values and closed lists only.
type logger struct{ *slog.Logger }

func (l logger) failed(e *tokenError) {
	l.Warn("token request failed", "region", e.region, "failure", e.Failure())
}

func (l logger) rejected(e *tokenError) {
	l.Error("token request rejected", "region", e.region, "failure", e.Failure(), "status", e.status)
}

func (l logger) recovered(region string) { l.Info("token request recovered", "region", region) }

func (l logger) moved(from, to string) {
	l.Info("tokens come from another region", "from", from, "region", to)
}
