package failover

import (
	"context"
	"log/slog"
	"slices"

	"github.com/regionjwt/regionjwt/failover/internal/health"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/replica"
)

// notify logs what has changed since the last call, and calls OnChange. It is called without the lock, and a callback may
// call the Controller.
func (c *Controller) notify() {
	c.notifier.Notify(c.snapshot.Load, func(before, now *snapshot) {
		if !now.differs(before) {
			return
		}
		c.log(before, now)
		if c.config.OnChange != nil {
			_ = c.guarded("OnChange", func() { c.config.OnChange(before.copied(), now.copied()) })
		}
	})
}

// differs reports whether something is worth a call of OnChange.
func (s *snapshot) differs(other *snapshot) bool {
	a, b := &s.status, &other.status
	if a.Active != b.Active || !a.Since.Equal(b.Since) || a.Cause != b.Cause || a.Pinned != b.Pinned || a.Note != b.Note ||
		!a.Expires.Equal(b.Expires) || !slices.Equal(a.Conflicts, b.Conflicts) || !replica.Same(&a.Replica, &b.Replica) {
		return true
	}
	for i := range a.Regions {
		if a.Regions[i].Health != b.Regions[i].Health {
			return true
		}
	}
	return false
}

// log writes a line for each change.
func (c *Controller) log(before, now *snapshot) {
	was, is := &before.status, &now.status
	write := func(level slog.Level, message, region string, attrs ...slog.Attr) {
		attrs = append([]slog.Attr{slog.String("provider", is.Provider), slog.String("region", region)}, attrs...)
		c.config.Logger.LogAttrs(context.Background(), level, message, attrs...)
	}
	levels := map[bool]slog.Level{false: slog.LevelInfo, true: slog.LevelWarn}
	for i := range is.Regions {
		if r := &is.Regions[i]; r.Health != was.Regions[i].Health {
			all := append([]slog.Attr{slog.String("health", r.Health)}, attrs(&now.state.Regions[i].Reason)...)
			write(levels[r.Health == label.Unhealthy], "region health changed", r.Region, all...)
		}
	}
	switch {
	case is.Active != was.Active:
		all := []slog.Attr{slog.String("from", was.Active), slog.String("cause", is.Cause)}
		if is.Cause == health.Failed || is.Cause == health.Recovered {
			all = append(all, attrs(now.state.MoveReason())...)
		}
		all = append(all, slog.Bool("pinned", is.Pinned))
		write(levels[is.Cause == health.Failed], "active region changed", is.Active, all...)
	case is.Pinned && (!was.Pinned || is.Replica.Epoch != was.Replica.Epoch):
		write(slog.LevelInfo, "region pinned", is.Active)
	}
	switch {
	case !was.Pinned || is.Pinned:
	case now.pin == before.pin: // nobody has ended it
		write(slog.LevelInfo, "pin expired", was.Active)
	default:
		write(slog.LevelInfo, "region unpinned", was.Active)
	}
	if len(is.Conflicts) > 0 && !slices.Equal(is.Conflicts, was.Conflicts) {
		write(slog.LevelWarn, "pins in conflict", is.Active, slog.Any("pins", is.Conflicts))
	}
	for _, p := range []struct {
		message, was, is string
		err              error
	}{
		{"store of pins", was.Replica.StoreProblem, is.Replica.StoreProblem, now.failures},
		{"local copy of pins", was.Replica.LocalProblem, is.Replica.LocalProblem, now.localErr},
	} {
		if p.is != p.was {
			attrs := []slog.Attr{slog.String("problem", p.is)}
			if p.is != "" && p.err != nil {
				attrs = append(attrs, slog.Any("error", p.err))
			}
			write(levels[p.is != ""], p.message, is.Active, attrs...)
		}
	}
}

// attrs says which reporter decided, and its last failures if it was by those.
func attrs(r *health.Reason) []slog.Attr {
	all := []slog.Attr{slog.String("reporter", r.Reporter)}
	if r.Failures > 0 {
		all = append(all, slog.String("failure", r.Failure), slog.Int("failures", r.Failures))
	}
	return all
}
