package jwks

import (
	"log/slog"
	"slices"
	"time"
)

// logger writes one line for each change of state. It names regions, configured or discovered URLs,
// and, quoted, the kids of keys that are not used; nothing else that a server sent.
type logger struct{ *slog.Logger }

// regionsOf are the regions that a set belongs to, which are looked for only if a line is written.
type regionsOf struct {
	table *table
	set   *set
}

const maxNamed = 4 // of the regions that share a set

// LogValue names them as provider/region.
func (of regionsOf) LogValue() slog.Value {
	var names []string
	for _, r := range of.table.regions {
		if len(names) < maxNamed && slices.Contains(r.sets, of.set) {
			names = append(names, r.provider+"/"+r.name)
		}
	}
	return slog.AnyValue(names)
}

// fetched writes what an answer, or a failure, changed.
func (l logger) fetched(t *table, s *set, sl *slot, got *answer, back recovery) {
	url, regions := slog.String("url", sl.name()), slog.Any("regions", regionsOf{t, s})
	switch {
	case got.failed != nil && back.first:
		l.Warn("key fetch failed", url, regions, "failure", got.failed.Error(), "skipped", names(got.skipped))
	case got.failed == nil && back.failures > 0:
		l.Info("key fetch recovered", url, regions, "failures", back.failures)
	}
	if got.failed == nil && back.expired {
		l.Info("keys can be used again", url, regions)
	}
	if back.changed {
		l.Info("keys changed", url, regions, "keys", len(got.keys), "skipped", names(got.skipped))
	}
	l.misses(t, s, sl, back.misses, back.missed)
}

// misses says that a URL does not list keys that others list, or does again.
func (l logger) misses(t *table, s *set, sl *slot, now, before int) {
	switch {
	case now > 0 && before == 0:
		l.Warn("JWKS URL is missing keys", "url", sl.name(), "regions", regionsOf{t, s}, "keys", now)
	case now == 0 && before > 0:
		l.Info("JWKS URL lists all keys again", "url", sl.name(), "regions", regionsOf{t, s})
	}
}

// expired says that the keys of a set have just become too old.
func (l logger) expired(t *table, s *set, age time.Duration) {
	l.Error("keys expired", "regions", regionsOf{t, s}, "age", age.Round(time.Second))
}
