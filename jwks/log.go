package jwks

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// logger writes one line for each change of state. It names regions and configured or discovered URLs, never what a server
// sent.
type logger struct{ *slog.Logger }

// regionsOf are the regions that a set belongs to, which are looked for only where a line is written.
type regionsOf struct {
	table *table
	set   *set
}

const maxNamed = 4 // of the regions that share a set

// LogValue names them as authority/region.
func (of regionsOf) LogValue() slog.Value {
	var names []string
	for _, r := range of.table.regions {
		if len(names) < maxNamed && slices.Contains(r.sets, of.set) {
			names = append(names, r.authority+"/"+r.region)
		}
	}
	return slog.AnyValue(names)
}

// panicked says that code of others, which err names, has panicked or ended its goroutine. Any other err is not logged.
func (l logger) panicked(err error) {
	var p *guard.Panic
	if errors.As(err, &p) {
		l.Error("a panic was recovered", "why", p)
	}
}

// tell calls a hook, which may panic.
func (l logger) tell(hook string, f func()) { l.panicked(guard.Apart("the hook "+hook, f)) }

func (l logger) attemptFailed(t *table, s *set, o outcome, first bool) {
	if first && o.failed.Class != ClassCanceled {
		l.Warn("key set does not answer", "source", o.ep.name(), "regions", regionsOf{t, s}, "why", o.failed.Error())
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

// expired says that the keys of s have just become too old.
func (l logger) expired(t *table, s *set, age time.Duration) {
	if age > 0 {
		l.Error("keys are too old to be used", "regions", regionsOf{t, s}, "age", age.Round(time.Second))
	}
}

// cameBack says that a mirror answers again, and whether its answer ends an outage of the whole set.
func (l logger) cameBack(t *table, s *set, o outcome, back recovery) {
	if back.mirror {
		l.Info("key set answers again", "source", o.ep.name(), "regions", regionsOf{t, s}, "failures", back.failures)
	}
	if back.keys {
		l.Info("keys can be used again", "source", o.ep.name(), "regions", regionsOf{t, s})
	}
}

func (l logger) answered(t *table, s *set, o outcome, changed bool) {
	if changed {
		l.Info("keys changed", "source", o.ep.name(), "regions", regionsOf{t, s},
			"keys", len(o.answer.keys), "skipped", len(o.answer.skipped))
	}
}
