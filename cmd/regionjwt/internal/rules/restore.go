package rules

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/label"
)

// restoreFlags say which rules are written back, beside what the local copy and other stores know.
type restoreFlags struct {
	from cli.List
	dry  bool
}

func (f *restoreFlags) define(c *cli.Call) {
	c.List(&f.from, "from", "`file` with the rules.json of a service's status page, or the output of "+
		"'regionjwt rules --json', whose rules are added")
	c.Bool(&f.dry, "dry-run", "list the rules of --from that are not in the stores, and change nothing")
}

// read reads the rules of operators in the files that are not over, and no rules of security events, which their receivers keep.
// A rule whose ID is not that of what was read is of a newer version: the part that was read may match more tokens than the rule
// does.
func (f *restoreFlags) read(ctx context.Context, c *cli.Call, now time.Time) (rules []Rule, err error) {
	for _, file := range f.from {
		var d struct {
			Rules *[]listed `json:"rules"`
		}
		if err := readJSON("--from", file, &d); err != nil {
			return nil, err
		}
		if d.Rules == nil {
			return nil, cli.Fail(cli.ExitUsage, "--from: %s has no rules: give the rules.json of a status page", cli.Quoted(file))
		}
		for _, one := range *d.Rules {
			if one.Rule.ID() != one.ID {
				return nil, cli.Fail(cli.ExitUsage, "--from: %s has the rule %s, which this version of the tool cannot read; "+
					"nothing was changed", cli.Quoted(file), cli.Quoted(one.ID))
			}
			if one.Signals != "" || !one.Rule.ExpiresAt.IsZero() && !now.Before(one.Rule.ExpiresAt) {
				continue
			}
			switch _, err := check(ctx, one.Rule); {
			case errors.Is(err, document.ErrNoMatch): // other writers may add such a rule
				c.Notef("note: the rule %s is left out: %v\n", one.ID, err)
				continue
			case err != nil:
				return nil, cli.Fail(cli.ExitUsage, "--from: %s: the rule %s: %w", cli.Quoted(file), cli.Quoted(one.ID), err)
			}
			rules = append(rules, one.Rule)
		}
	}
	return rules, nil
}

// restore writes back what stores miss.
func (f *restoreFlags) restore(ctx context.Context, c *cli.Call, s *Flags, sv *services) error {
	given, err := f.read(ctx, c, time.Now())
	if err != nil {
		return err
	}
	if len(f.from) == 0 && f.dry {
		return cli.Fail(cli.ExitUsage, "--dry-run is for the rules of --from: 'regionjwt status' says what the stores miss")
	}
	l, err := s.Open(c, !f.dry, f.dry)
	if err != nil {
		return err
	}
	defer l.CloseAll()
	if len(f.from) > 0 {
		if err := l.addMissing(ctx, c, given, sv, f.dry); err != nil || f.dry {
			return err
		}
	}
	within, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if len(f.from) == 0 {
		if _, err := l.Load(within); err == nil {
			c.Notef("nothing is missing\n")
		}
	}
	l.writeBack(within)
	return l.say(within, c)
}

// addMissing adds the rules that are not there.
func (l *List) addMissing(ctx context.Context, c *cli.Call, given []Rule, sv *services, dry bool) error {
	if err := l.loadToWrite(ctx, c, false); err != nil {
		return err
	}
	there := l.Rules()
	n := 0
	for _, r := range given {
		id := r.ID()
		if slices.ContainsFunc(there, func(t Rule) bool { return t.ID() == id }) {
			continue
		}
		there = append(there, r)
		n++
		version, err := check(ctx, r)
		if err != nil {
			return cli.Fail(cli.ExitUsage, "%w", err)
		}
		if dry {
			c.Printf("%s  %s\n", id, describe(r))
			sv.note(c, r, version)
			continue
		}
		c.Notef("added %s: %s\n", id, describe(r))
		sv.note(c, r, version)
		if _, err := l.add(ctx, r); err != nil {
			return err
		}
	}
	if n == 0 {
		c.Notef("no rule is missing\n")
	}
	return nil
}

// writeBack writes to the stores until none that can be written misses something, or ctx ends.
func (l *List) writeBack(ctx context.Context) {
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.list.Run(running) // it writes what is missing
	}()
	for ctx.Err() == nil && l.isMissing() {
		storage.Pause(ctx, restorePause)
	}
	stop()
	<-done
}

// say reads the stores and says what is there.
func (l *List) say(ctx context.Context, c *cli.Call) error {
	w, _, err := l.readBack(ctx)
	if err != nil {
		return cli.Fail(cli.ExitNotShared, "it could not be read back: %w", err)
	}
	if l.isMissing() {
		return cli.Fail(cli.ExitNotShared, "not everything was written: %s", w.text())
	}
	if c.JSON {
		return c.WriteJSON(w)
	}
	c.Printf("%s\n", w.text())
	return nil
}

// isMissing reports whether a store that could be written misses something.
func (l *List) isMissing() bool {
	for _, one := range l.State().Stores {
		if one.Problem == label.Lost || one.Problem == label.RolledBack {
			return true
		}
	}
	return false
}
