// Package rules has the commands that are about revocation rules: revoke, unrevoke, rules and status.
package rules

import (
	"context"
	"errors"
	"slices"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/trust"
)

// Commands returns the commands.
func Commands() []cli.Command {
	return []cli.Command{revokeCommand(), unrevokeCommand(), ignoreCommand(), rulesCommand(), statusCommand()}
}

// Flags say where the rules are, and why they may be trusted.
type Flags struct {
	storage.Flags
	Name, LocalCopy string
	Overwrite       bool
}

// Define defines the flags of a command about rules.
func (f *Flags) Define(c *cli.Call) {
	f.DefineNames(c)
	f.Flags.Define(c, "rules", "lock all users out, or let anyone in")
}

// DefineNames defines the flags that are not those of every store.
func (f *Flags) DefineNames(c *cli.Call) {
	c.Text(&f.Name, "name", "`name` of the document ("+documentName+")")
	c.Dir(&f.LocalCopy, "local-copy", "`directory` of the operators' own copy of the rules: with it "+
		"a store that has lost its rules or was rolled back is noticed, and the next change writes them back")
}

const (
	servicesKeep = "services keep the rules that they know, new ones start without them"
	writeBack    = "repeat a rule with 'regionjwt revoke' to write all of them back"
)

// Remedies says what each problem of the store means, and what to do.
var Remedies = map[string]string{
	label.Unavailable: "the store is unavailable: check --store, the network and the password",
	label.NotAuthentic: "the document is not authentic: not signed or encrypted for this fleet by a configured key: check " +
		"--fleet, --verify-key, --sign-key, --secret-file, and owner and mode of a directory; " + servicesKeep,
	label.Malformed: "what is there is not a document of rules, or is of a newer version: check --name, and whether " +
		"it is signed or encrypted; " + servicesKeep,
	label.Lost:       "the store has no document, and rules are known: it has lost them; " + servicesKeep + "; " + writeBack,
	label.RolledBack: "the store is missing rules that are known: it was rolled back; " + servicesKeep + "; " + writeBack,
}

// Load asks the stores once. The error says what the first problem is, as a failure.
func (l *List) Load(ctx context.Context) (problem string, err error) {
	err = l.list.Load(ctx)
	st := l.State()
	if problem = st.Problem; problem == "" {
		return "", nil
	}
	where := st.Stores[slices.IndexFunc(st.Stores, func(s StoreState) bool { return s.Problem != "" })].Where
	what := where + ": " + Remedies[problem]
	if errors.Is(err, document.ErrTooLarge) {
		what = where + ": what is there is too large to be rules: check --prefix and --name"
	}
	if mode := (*trust.ModeError)(nil); errors.As(err, &mode) {
		return problem, cli.Fail(cli.ExitCannotTell, "%s: the document is not authentic: %w; %s", where, mode, servicesKeep)
	}
	if err != nil {
		return problem, cli.Fail(cli.ExitCannotTell, "%s (%w)", what, err)
	}
	return problem, cli.Fail(cli.ExitCannotTell, "%s", what)
}

// loadToWrite is Load before a change. What a change repairs is only noted, and so is a store that cannot be written while
// another one can.
func (l *List) loadToWrite(ctx context.Context, c *cli.Call, overwrite bool) error {
	var old []*storage.Unreadable
	if overwrite {
		for _, p := range l.Places {
			old = append(old, storage.Remember(ctx, p.Store, l.replica.Name))
		}
	}
	_, err := l.Load(ctx)
	if err == nil {
		return nil
	}
	writable, unreadable := 0, false
	for _, one := range l.State().Stores {
		switch one.Problem {
		case "":
			writable++
		case label.Lost, label.RolledBack:
			writable++
			c.Notef("note: %s is missing rules that are known here; they are written back\n", one.Where)
		case label.Unavailable:
			c.Notef("note: %s is unavailable, and is not written\n", one.Where)
		default:
			unreadable = true
			if !overwrite {
				c.Notef("note: %s has a document that cannot be read (%s), and is not written\n", one.Where, one.Problem)
			}
		}
	}
	switch {
	case overwrite && unreadable:
		if err := l.overwrite(ctx, old, err); err != nil {
			return err
		}
		c.Notef("note: the document in the store is replaced\n")
	case writable > 0:
	case !unreadable:
		return cli.Fail(cli.ExitCannotTell, "%w; nothing was changed", err)
	case errors.Is(err, replica.ErrNewer):
		return cli.Fail(cli.ExitCannotTell, "%w; nothing was changed: no older version replaces it", err)
	default:
		return cli.Fail(cli.ExitCannotTell, "%w; nothing was changed: if the flags are right, find out who wrote it, then "+
			"'regionjwt revoke --overwrite' replaces it", err)
	}
	return nil
}

// written is what is in the store after a change.
type written struct {
	Epoch     uint64 `json:"epoch"`
	Rules     int    `json:"rules"`
	Store     string `json:"store"`
	Trust     string `json:"trust"`
	LocalCopy string `json:"local_copy,omitempty"` // written, failed
	// NotIn are the stores that do not have it: they are unavailable, or have documents that were not replaced.
	NotIn []StoreState `json:"not_in,omitempty"`
}
