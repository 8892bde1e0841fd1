package jwks

import "log/slog"

// logger writes one line for each change of state. It names sets and configured or discovered URLs, never what a server
// sent.
type logger struct{ *slog.Logger }

func (l logger) attemptFailed(s *set, o outcome) {
	if o.failed.Class == ClassCanceled {
		return
	}
	s.mu.Lock()
	first := o.ep.failures == 1
	s.mu.Unlock()
	if first {
		l.Warn("key set does not answer", "source", o.ep.name(), "why", o.failed.Error())
	}
}

func (l logger) drifted(drifts []Drift) {
	for _, d := range drifts {
		switch {
		case d.Kind == MirrorEnabled:
			l.Warn("a mirror that was not enabled answers", "source", d.Source)
		case d.Ended:
			l.Info("a mirror lists all keys again", "source", d.Source)
		default:
			l.Warn("a mirror lacks keys that others list", "source", d.Source, "keys", d.Keys)
		}
	}
}

func (l logger) answered(_ *set, o outcome, changed bool) {
	if changed {
		l.Info("keys changed", "source", o.ep.name(), "keys", len(o.answer.keys), "skipped", len(o.answer.skipped))
	}
}
