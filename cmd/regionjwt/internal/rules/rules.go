package rules

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
)

func rulesCommand() cli.Command {
	return cli.Command{
		Name: "rules", Arguments: "[alive | restore]",
		Short: "list the rules that are in effect, prove that they are current, write them back",
		Long: `
Lists the rules of the stores, the oldest first. If there is a problem with a store, it lists what the others and the local copy
have, says so, and fails.

  regionjwt rules alive     for a timer: proves to services with a MaxSilence that the documents in the stores are the current
                            ones. --sign-key is a key of its own, which services list for the heartbeat only
                            (store.PublicKey.Documents: the name of the document and /alive). It needs --local-copy, and refuses
                            if a store misses something that was known before
  regionjwt rules restore   writes back what the stores miss, and the local copy or another store knows. Give the directory of a
                            service's local copy with --local-copy if only services know it; or give --from the rules.json of
                            its status page, and look at what --dry-run lists: a rule that somebody removed comes back as well
` + storage.Help,
		Prepare: func(c *cli.Call) cli.Action {
			var s Flags
			var back restoreFlags
			var sv services
			s.Define(c)
			back.define(c)
			sv.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := sv.read(); err != nil {
					return err
				}
				restores := len(arguments) == 1 && arguments[0] == "restore"
				if !restores && (len(back.from) > 0 || back.dry) {
					return cli.Fail(cli.ExitUsage, "--from and --dry-run are for 'regionjwt rules restore'")
				}
				switch {
				case len(arguments) == 0:
					return s.ask(ctx, c, listRules)
				case len(arguments) == 1 && arguments[0] == "alive":
					return alive(ctx, c, &s)
				case restores:
					return back.restore(ctx, c, &s, &sv)
				}
				return cli.Fail(cli.ExitUsage, "say rules, rules alive, or rules restore")
			}
		},
	}
}

func statusCommand() cli.Command {
	return cli.Command{
		Name: "status", Short: "say how the store is",
		Long: `
Says whether the store answers, whether its document is authentic, how many rules are in effect, their epoch (it grows with
every change, and is the same in the log lines of services that have caught up), and what the problem is, if there is one.
Without --local-copy it cannot tell a store that has lost its rules from a new one.
` + storage.Help,
		Prepare: func(c *cli.Call) cli.Action {
			var sv services
			sv.define(c)
			return withStore(c, &sv, status)
		},
	}
}

// withStore is an action that asks the store, and nothing else.
func withStore(
	c *cli.Call, sv *services, f func(c *cli.Call, l *List, sv *services, problem string, err error) error,
) cli.Action {
	var s Flags
	s.Define(c)
	return func(ctx context.Context, arguments []string) error {
		if err := c.None(arguments); err != nil {
			return err
		}
		if err := sv.read(); err != nil {
			return err
		}
		return s.ask(ctx, c, func(c *cli.Call, l *List, problem string, err error) error { return f(c, l, sv, problem, err) })
	}
}

// ask asks the stores, and lets f say what they have.
func (f *Flags) ask(ctx context.Context, c *cli.Call, say func(c *cli.Call, l *List, problem string, err error) error) error {
	l, err := f.Open(c, false, false)
	if err != nil {
		return err
	}
	defer l.CloseAll()
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	problem, err := l.Load(ctx)
	return say(c, l, problem, err)
}

// listed is a rule of the list, in JSON.
type listed struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Rule    Rule      `json:"rule"`
	Signals string    `json:"signals,omitempty"` // of a status page: the document of security events that has the rule
}

func listRules(c *cli.Call, l *List, problem string, err error) error {
	rules := l.Rules()
	if c.JSON {
		out := struct {
			Rules   []listed `json:"rules"`
			Origin  string   `json:"origin"`
			Problem string   `json:"problem,omitempty"`
			Detail  string   `json:"detail,omitempty"`
		}{Rules: []listed{}, Origin: l.State().Origin, Problem: problem, Detail: detail(err)}
		for _, r := range rules {
			one := listed{ID: r.ID(), Created: r.Created.UTC()}
			r.Created = time.Time{}
			one.Rule = r
			out.Rules = append(out.Rules, one)
		}
		if errOut := c.WriteJSON(out); errOut != nil || err == nil {
			return errOut
		}
		return cli.Told(cli.ExitCannotTell)
	}
	now := time.Now()
	for _, r := range rules {
		c.Printf("%s  %s\n", r.ID(), describe(r))
		c.Printf("%16s  added %s", "", cli.Ago(r.Created, now))
		if r.Note != "" {
			c.Printf("; note: %s", r.Note)
		}
		c.Printf("\n")
	}
	if len(rules) == 0 && err == nil {
		c.Notef("no rules are in effect in %s\n", l.Where)
	}
	return err
}

// health is the answer of status.
type health struct {
	Store   string     `json:"store"`
	Trust   string     `json:"trust"`
	Known   bool       `json:"known"`
	Origin  string     `json:"origin"`
	Rules   int        `json:"rules"`
	Epoch   uint64     `json:"epoch"`
	Age     float64    `json:"age_seconds"` // since the store answered
	Changed *time.Time `json:"last_added,omitempty"`
	Problem string     `json:"problem"`
	Detail  string     `json:"detail,omitempty"`
	// Unreadable is how many rules a newer version wrote; Stores is the state of each store.
	Unreadable int          `json:"unreadable,omitempty"`
	Stores     []StoreState `json:"stores"`
	// Everything lists the providers of which rules reject every token that was issued before a time; "*" is all of them.
	Everything []string `json:"everything,omitempty"`
}

func status(c *cli.Call, l *List, sv *services, problem string, err error) error {
	st := l.State()
	h := health{
		Store: l.Where, Trust: l.Trust, Known: st.Known, Origin: st.Origin, Rules: st.Rules, Epoch: st.Epoch,
		Age: st.Age.Seconds(), Problem: problem, Detail: detail(err), Unreadable: st.Unreadable, Stores: st.Stores,
	}
	for _, r := range l.Rules() {
		if at := r.Created.UTC(); h.Changed == nil || at.After(*h.Changed) {
			h.Changed = &at
		}
		if matchesAll(r) && !slices.Contains(h.Everything, r.Provider) {
			h.Everything = append(h.Everything, r.Provider)
		}
	}
	sv.noteAll(c, l.Rules())
	if c.JSON {
		if errOut := c.WriteJSON(h); errOut != nil || err == nil {
			return errOut
		}
		return cli.Told(cli.ExitCannotTell)
	}
	c.Printf("store    %s (%s)\n", h.Store, h.Trust)
	c.Printf("rules    %d, from: %s\n", h.Rules, h.Origin)
	c.Printf("epoch    %d\n", h.Epoch)
	if st.Origin == "store" {
		c.Printf("age      %s since the store answered\n", st.Age.Round(time.Millisecond).String())
	}
	if h.Changed != nil {
		c.Printf("changed  last rule added %s, %s\n", cli.Stamp(*h.Changed), cli.Ago(*h.Changed, time.Now()))
	}
	if h.Unreadable > 0 {
		c.Printf("unread   %d rules are of a newer version: services of this version do not apply them\n", h.Unreadable)
	}
	if len(h.Everything) > 0 {
		c.Printf("all      every token up to a time of issue is rejected of providers: %d: %s\n", len(h.Everything),
			strings.Join(quoted(h.Everything), ", "))
	}
	if len(h.Stores) > 1 {
		for _, one := range h.Stores {
			c.Printf("store    %s: epoch %d, problem: %s\n", one.Where, one.Epoch, cmp.Or(one.Problem, "none"))
		}
	}
	switch {
	case err != nil:
		c.Printf("problem  %s\n", problem)
	case h.Epoch == 0:
		c.Printf("problem  none, but the store is empty: no rule was ever written here, or it has lost them\n")
	default:
		c.Printf("problem  none\n")
	}
	return err
}

func detail(err error) string {
	if err == nil {
		return ""
	}
	return cli.SafeText(err.Error())
}
