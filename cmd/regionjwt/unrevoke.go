package main

import (
	"context"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/revocation"
)

func unrevokeCommand() command {
	return command{
		name: "unrevoke", arguments: "ID...", short: "take rules back",
		long: `
Removes the rules of these IDs, as 'regionjwt revoke' and 'regionjwt rules' show them. Where one of them is not there, it
changes nothing. Tokens that were refused because of them are accepted again, as long as they are valid otherwise.
` + storeHelp,
		prepare: func(c *call) action {
			var s storeFlags
			s.define(c)
			return func(ctx context.Context, ids []string) error {
				if len(ids) == 0 {
					return fail(exitUsage, "which rules? Give the IDs that 'regionjwt rules' shows")
				}
				for _, id := range ids {
					if !ruleID.MatchString(id) {
						return fail(exitUsage, "%q is not the ID of a rule: see 'regionjwt rules'", clip(id))
					}
				}
				return c.unrevoke(ctx, &s, ids)
			}
		},
	}
}

func (c *call) unrevoke(ctx context.Context, s *storeFlags, ids []string) error {
	o, err := s.open(c, true)
	if err != nil {
		return err
	}
	defer o.closeAll()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := o.loadToWrite(ctx, c, false); err != nil {
		return err
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if missing := lacking(o.list.Rules(), ids); len(missing) > 0 {
		return fail(exitNo, "there is no rule %s in %s; nothing was changed", strings.Join(missing, ", "), o.where)
	}
	for i, id := range ids {
		if err := o.list.Remove(ctx, id); err != nil {
			return fail(exitNotShared, "%w (rules removed before: %d)", notShared(err), i)
		}
	}
	w, rules, err := o.readBack(ctx)
	if err != nil {
		return fail(exitNotShared, "the change was written, but could not be read back (%w): look at 'regionjwt rules'", err)
	}
	if len(lacking(rules, ids)) != len(ids) {
		return fail(exitNotShared, "a rule is still in the store: somebody else changed it; try again")
	}
	if c.json {
		return c.writeJSON(struct {
			Removed []string `json:"removed"`
			written
		}{ids, w})
	}
	for _, id := range ids {
		c.printf("%s\n", id)
	}
	c.notef("removed; %s\n", w.text())
	return nil
}

// lacking returns the IDs that are not among the rules.
func lacking(rules []revocation.Entry, ids []string) (missing []string) {
	for _, id := range ids {
		if !slices.ContainsFunc(rules, func(e revocation.Entry) bool { return e.ID == id }) {
			missing = append(missing, id)
		}
	}
	return missing
}
