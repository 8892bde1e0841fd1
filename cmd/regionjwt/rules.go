package main

import (
	"context"
	"time"

	"github.com/regionjwt/regionjwt/revocation"
)

func rulesCommand() command {
	return command{
		name: "rules", short: "list the rules that are in force",
		long: `
Lists the rules of the store, the oldest first. Where there is trouble with the store, it lists what the copy knows, says
so, and fails.
` + storeHelp,
		prepare: func(c *call) action { return c.withStore((*call).rules) },
	}
}

func statusCommand() command {
	return command{
		name: "status", short: "say how the store is",
		long: `
Says whether the store answers, whether what it says may be believed, how many rules are in force, their epoch (it grows with
every change, and is the same in the log lines of services that have caught up), and what is wrong, if anything is. Without
-copy it cannot tell a store that was wiped from one that is new.
` + storeHelp,
		prepare: func(c *call) action { return c.withStore((*call).status) },
	}
}

// withStore is an action that asks the store, and nothing else.
func (c *call) withStore(f func(c *call, o *opened, trouble revocation.Trouble, err error) error) action {
	var s storeFlags
	s.define(c)
	return func(ctx context.Context, arguments []string) error {
		if err := c.none(arguments); err != nil {
			return err
		}
		o, err := s.open(c, false)
		if err != nil {
			return err
		}
		defer o.closeAll()
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		trouble, err := o.load(ctx)
		return f(c, o, trouble, err)
	}
}

// listed is a rule, as machines are told of it.
type listed struct {
	ID    string          `json:"id"`
	Added time.Time       `json:"added"`
	Rule  revocation.Rule `json:"rule"`
}

func (c *call) rules(o *opened, trouble revocation.Trouble, err error) error {
	entries := o.list.Rules()
	if c.json {
		out := struct {
			Rules   []listed           `json:"rules"`
			Source  string             `json:"source"`
			Trouble revocation.Trouble `json:"trouble,omitempty"`
			Detail  string             `json:"detail,omitempty"`
		}{Rules: []listed{}, Source: o.list.Status().Source, Trouble: trouble, Detail: detail(err)}
		for _, e := range entries {
			out.Rules = append(out.Rules, listed{e.ID, e.Added.UTC(), e.Rule})
		}
		if errOut := c.writeJSON(out); errOut != nil || err == nil {
			return errOut
		}
		return told(exitStore)
	}
	now := time.Now()
	for _, e := range entries {
		c.printf("%s  %s\n", e.ID, describe(e.Rule))
		c.printf("%16s  added %s", "", ago(e.Added, now))
		if e.Rule.Reason != "" {
			c.printf("; reason: %s", e.Rule.Reason)
		}
		c.printf("\n")
	}
	if len(entries) == 0 && err == nil {
		c.notef("no rules are in force in %s\n", o.where)
	}
	return err
}

// health is the answer of status.
type health struct {
	Store   string             `json:"store"`
	Trust   string             `json:"trust"`
	Known   bool               `json:"known"`
	Source  string             `json:"source"`
	Rules   int                `json:"rules"`
	Epoch   uint64             `json:"epoch"`
	Age     float64            `json:"age_seconds"` // since the store answered
	Changed *time.Time         `json:"last_added,omitempty"`
	Trouble revocation.Trouble `json:"trouble"`
	Detail  string             `json:"detail,omitempty"`
}

func (c *call) status(o *opened, trouble revocation.Trouble, err error) error {
	st := o.list.Status()
	h := health{
		Store: o.where, Trust: o.trust, Known: st.Known, Source: st.Source, Rules: st.Rules, Epoch: st.Epoch,
		Age: st.Age.Seconds(), Trouble: trouble, Detail: detail(err),
	}
	for _, e := range o.list.Rules() {
		if added := e.Added.UTC(); h.Changed == nil || added.After(*h.Changed) {
			h.Changed = &added
		}
	}
	if c.json {
		if errOut := c.writeJSON(h); errOut != nil || err == nil {
			return errOut
		}
		return told(exitStore)
	}
	c.printf("store    %s (%s)\n", h.Store, h.Trust)
	c.printf("rules    %d, from: %s\n", h.Rules, h.Source)
	c.printf("epoch    %d\n", h.Epoch)
	if st.Source == "store" {
		c.printf("age      %s since the store answered\n", st.Age.Round(time.Millisecond).String())
	}
	if h.Changed != nil {
		c.printf("changed  last rule added %s, %s\n", stamp(*h.Changed), ago(*h.Changed, time.Now()))
	}
	switch {
	case err != nil:
		c.printf("trouble  %s\n", string(trouble))
	case h.Epoch == 0:
		c.printf("trouble  none, but the store is empty: no rule was ever written here, or it was wiped\n")
	default:
		c.printf("trouble  none\n")
	}
	return err
}

func detail(err error) string {
	if err == nil {
		return ""
	}
	return safeText(err.Error())
}
