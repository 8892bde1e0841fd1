package rules

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
)

// ruleID is what IDs of rules look like.
var ruleID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{15}$`)

func unrevokeCommand() cli.Command {
	return cli.Command{
		Name: "unrevoke", Arguments: "ID...", Short: "take rules back",
		Long: `
Removes the rules with these IDs, as 'regionjwt revoke' and 'regionjwt rules' show them. If one of them is not there, it
changes nothing. Tokens that were rejected because of them are accepted again, as long as they are valid otherwise.
` + storage.Help,
		Prepare: func(c *cli.Call) cli.Action {
			var s Flags
			s.Define(c)
			return func(ctx context.Context, ids []string) error {
				if len(ids) == 0 {
					return cli.Fail(cli.ExitUsage, "which rules? Give the IDs that 'regionjwt rules' shows")
				}
				for _, id := range ids {
					if !ruleID.MatchString(id) {
						return cli.Fail(cli.ExitUsage, "%q is not the ID of a rule: see 'regionjwt rules'", cli.Clip(id))
					}
				}
				return unrevoke(ctx, c, &s, ids)
			}
		},
	}
}

func unrevoke(ctx context.Context, c *cli.Call, s *Flags, ids []string) error {
	l, err := s.Open(c, true, false)
	if err != nil {
		return err
	}
	defer l.CloseAll()
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := l.loadToWrite(ctx, c, false); err != nil {
		return err
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if missing := missing(l.Rules(), ids); len(missing) > 0 {
		return cli.Fail(cli.ExitNo, "there is no rule %s in %s; nothing was changed", strings.Join(missing, ", "), l.Where)
	}
	for i, id := range ids {
		if err := l.remove(ctx, id); err != nil {
			return cli.Fail(cli.ExitNotShared, "%w (rules removed before: %d)", err, i)
		}
	}
	w, rules, err := l.readBack(ctx)
	if err != nil {
		return cli.Fail(cli.ExitNotShared, "the change was written, but could not be read back (%w): see 'regionjwt rules'", err)
	}
	if len(missing(rules, ids)) != len(ids) {
		return cli.Fail(cli.ExitNotShared, "a rule is still in the store: somebody else changed it; try again")
	}
	if c.JSON {
		return c.WriteJSON(struct {
			Removed []string `json:"removed"`
			written
		}{ids, w})
	}
	for _, id := range ids {
		c.Printf("%s\n", id)
	}
	c.Notef("removed; %s\n", w.text())
	return nil
}

// missing returns the IDs that are not among the rules.
func missing(rules []Rule, ids []string) (missing []string) {
	for _, id := range ids {
		if !slices.ContainsFunc(rules, func(r Rule) bool { return r.ID() == id }) {
			missing = append(missing, id)
		}
	}
	return missing
}
