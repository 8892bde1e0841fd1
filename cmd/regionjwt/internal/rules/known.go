package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
	"github.com/regionjwt/regionjwt/store"
)

// maxNamed is how many providers an error names.
const maxNamed = 10

// knownFlags say which providers there are.
type knownFlags struct {
	providers cli.List
	new       bool
	services  services
}

func (k *knownFlags) define(c *cli.Call) {
	c.List(&k.providers, "known-provider",
		"`ID` of a provider that services have: a rule for another one is rejected (those of the rules and pins in the store)")
	k.services.define(c)
	c.Bool(&k.new, "new-provider", "the provider of the rule is not known yet, and this is no mistake")
}

// check rejects a provider that is none of those that are known: a rule for it matches no token. Without a store it looks at the
// flags only.
func (k *knownFlags) check(ctx context.Context, c *cli.Call, l *List, r Rule) error {
	if r.Provider == everyProvider || k.new {
		return nil
	}
	known := slices.Concat(k.providers, k.services.providers())
	if slices.Contains(known, r.Provider) {
		return nil
	}
	if len(known) == 0 && l != nil {
		known = l.providers()
		if slices.Contains(known, r.Provider) || l.hasPin(ctx, r.Provider) {
			return nil
		}
	}
	if len(known) == 0 {
		if l != nil {
			c.Notef("note: no rule and no pin in %s names the provider %s: check its ID, "+
				"a rule for a provider that services do not have matches no token\n", l.Where, cli.Quoted(r.Provider))
		}
		return nil
	}
	slices.Sort(known)
	more := ""
	if n := len(known) - maxNamed; n > 0 {
		known, more = known[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	for i, id := range known {
		known[i] = cli.Quoted(id)
	}
	return cli.Fail(cli.ExitUsage, "no provider %s is known, only %s%s; nothing was changed: correct --provider, "+
		"or give --new-provider if its ID is right", cli.Quoted(r.Provider), strings.Join(known, ", "), more)
}

// providers lists the providers that rules name.
func (l *List) providers() (ids []string) {
	for _, r := range l.Rules() {
		if r.Provider != everyProvider && !slices.Contains(ids, r.Provider) {
			ids = append(ids, r.Provider)
		}
	}
	return ids
}

// hasPin reports whether the store has pins for a provider, whatever they say.
func (l *List) hasPin(ctx context.Context, id string) bool {
	return slices.ContainsFunc(l.Places, func(p *storage.Place) bool {
		_, _, err := p.Store.Load(ctx, PinName(id), "")
		return err == nil || errors.Is(err, store.ErrNotAuthentic)
	})
}

// PinName is the name of the document that holds the pins of a provider, unless services configure another one.
func PinName(providerID string) string { return "regionjwt/failover/" + providerID }
