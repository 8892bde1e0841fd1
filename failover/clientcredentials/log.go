package clientcredentials

import (
	"log/slog"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// guarded calls code of others, in a goroutine of its own that it may end. It logs a panic, and returns it.
func (s *Source) guarded(what string, f func()) error { return s.noted(guard.Apart(what, f)) }

// noted logs a panic, and returns it; of a callback that panics each time, once a second.
func (s *Source) noted(err error) error {
	if err != nil && s.loud(s.clock()) {
		s.log.Error("clientcredentials: a callback panicked", "error", err)
	}
	return err
}

// loud reports whether a panic may be logged at now.
func (s *Source) loud(now instant) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panicked && now.since(s.panickedAt) < probeEvery {
		return false
	}
	s.panicked, s.panickedAt = true, now
	return true
}

// logger writes one line for each change of state. It names configured values and closed lists only.
type logger struct{ *slog.Logger }

func (l logger) failed(e *Error) {
	l.Warn("token endpoint does not answer", "region", e.Region, "why", string(e.Reason), "status", e.Status)
}

func (l logger) refused(e *Error) {
	l.Error("issuer refuses the client", "region", e.Region, "code", e.Code, "status", e.Status)
}

func (l logger) recovered(region string) { l.Info("token endpoint answers again", "region", region) }

func (l logger) moved(from, to string) {
	l.Info("tokens come from another region", "from", from, "to", to)
}
