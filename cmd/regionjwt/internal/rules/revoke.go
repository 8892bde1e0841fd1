package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
)

// ruleFlags are the fields of a rule.
type ruleFlags struct {
	rule                  Rule
	all                   bool
	issuedBefore, expires string
	version               int // of the rule, set by read
}

func (r *ruleFlags) define(c *cli.Call) {
	c.Text(&r.rule.Provider, "provider",
		"`ID` of the provider whose tokens it is about: the user pool ID, or the Provider.ID of the services")
	c.Bool(&r.all, "all-providers", "it is about the tokens of every provider")
	c.Text(&r.rule.Region, "region", "`name` of a region that may have issued the token")
	c.Text(&r.rule.KeyID, "kid", "`kid` of the key that signed it")
	c.Text(&r.rule.Thumbprint, "thumbprint",
		"RFC 7638 `thumbprint` of that key, whatever its kid: see 'regionjwt help inspect'")
	c.Text(&r.rule.ClientID, "client",
		"`client ID` that the token names: in client_id, azp, another claim that services read, or the aud of an ID token")
	c.Text(&r.rule.Subject, "subject", "`sub` of the user")
	c.Text(&r.rule.TokenID, "token-id", "`jti` of one token")
	c.Text(&r.rule.OriginTokenID, "origin", "`origin_jti` of Cognito: all tokens of one sign-in")
	c.Text(&r.rule.SessionID, "session", "`sid` of OpenID Connect: all tokens of one session")
	c.Text(&r.rule.Actor, "actor", "`sub` of one who acts for the user: any actor in act (RFC 8693)")
	c.Text(&r.rule.ActorIssuer, "actor-issuer", "`iss` of that actor (any of the provider)")
	c.Text(&r.issuedBefore, "issued-before", "it was issued before this `time`: RFC 3339, or now")
	c.Text(&r.expires, "expires",
		"when the rule ends by itself: a `time` by RFC 3339, or a duration such as 90m, 24h (30d)")
	c.Text(&r.rule.Note, "note", "`text` for people: a ticket, an incident")
}

// matching lists the flags that say which tokens a rule is about.
var matching = []string{
	"provider", "all-providers", "region", "kid", "thumbprint", "client", "subject", "token-id", "origin", "session", "actor",
	"actor-issuer", "issued-before",
}

// read makes the rule, or says what the problem is in the words of the flags.
func (r *ruleFlags) read(ctx context.Context, now time.Time) (Rule, error) {
	var errs []error
	var err error
	if r.rule.IssuedBefore, err = cli.Moment("issued-before", r.issuedBefore, now); err != nil {
		errs = append(errs, err)
	}
	if r.rule.ExpiresAt, err = cli.End("expires", r.expires, now); err != nil {
		errs = append(errs, err)
	}
	if (r.rule.Provider == "") == !r.all || r.rule.Provider == everyProvider {
		errs = append(errs, errors.New("say whose tokens: either --provider ID or --all-providers"))
	}
	rest := r.rule
	rest.Provider, rest.ExpiresAt, rest.Note = "", time.Time{}, ""
	if rest == (Rule{}) && r.issuedBefore == "" {
		errs = append(errs, errors.New("say which tokens, besides the provider; for all that were issued, --issued-before now"))
	}
	if len(errs) == 0 {
		if r.all {
			r.rule.Provider = everyProvider
		}
		var err error
		r.version, err = check(ctx, r.rule)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return r.rule, cli.Fail(cli.ExitUsage, "%w", err)
	}
	return r.rule, nil
}

func revokeCommand() cli.Command {
	return cli.Command{
		Name: "revoke", Short: "reject tokens, from now on, everywhere",
		Long: `
Adds a rule: services reject tokens for which everything that is given is true. Its ID goes to standard output, for
'regionjwt unrevoke'. To add a rule again changes nothing but its note.

A rule for a provider that services do not have matches no token. So an unknown provider is an error (exit code 2, nothing was
changed). Known are those of --known-provider. Without that flag, known are those that a rule or a pin in the store names.
For the first rule or pin of another provider, add --new-provider. If the store names no provider at all, revoke only says so.

  regionjwt revoke --provider us-east-1_AbCdEf123 --kid 9bK2... --note "INC-7: key leaked"
  regionjwt revoke --provider us-east-1_AbCdEf123 --subject 0f5b2a6e-... --issued-before now --expires 24h
  regionjwt revoke --provider us-east-1_AbCdEf123 --issued-before now --dry-run
` + storage.Help,
		Prepare: func(c *cli.Call) cli.Action {
			var r revocationCall
			r.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				rule, err := r.read(ctx, time.Now())
				if err != nil {
					return err
				}
				if err := r.known.services.read(); err != nil {
					return err
				}
				r.noteEnvironment(c)
				noteTime(c, rule.IssuedBefore, time.Now())
				noteSpaces(c, rule)
				r.known.services.note(c, rule, r.version)
				if r.dry {
					return r.dryRun(ctx, c, rule)
				}
				return r.revoke(ctx, c, rule)
			}
		},
	}
}

// revocationCall is a call of revoke.
type revocationCall struct {
	ruleFlags
	known knownFlags
	store Flags
	dry   bool
}

func (r *revocationCall) define(c *cli.Call) {
	r.ruleFlags.define(c)
	r.known.define(c)
	r.store.Define(c)
	c.Bool(&r.dry, "dry-run", "say what the rule is, and change nothing")
	c.Bool(&r.store.Overwrite, "overwrite",
		"replace a document that is not authentic or malformed, unless it is of a newer version; what only it held is lost")
}

// noteEnvironment says which parts of a rule the environment has set: one that was forgotten there makes the rule another one.
func (r *revocationCall) noteEnvironment(c *cli.Call) {
	var variables []string
	for _, name := range matching {
		if c.FromEnvironment(name) {
			variables = append(variables, cli.Variable(name))
		}
	}
	if len(variables) > 0 {
		c.Notef("note: the environment adds to the rule: %s\n", strings.Join(variables, ", "))
	}
}

// How far from now a time is that was probably not meant.
const (
	soon = time.Minute // a provider's clock may be ahead
	past = 30 * 24 * time.Hour
)

// noteTime says what an --issued-before means that is far from now.
func noteTime(c *cli.Call, before, now time.Time) {
	switch {
	case before.After(now.Add(soon)):
		c.Notef("note: --issued-before is in the future: tokens that are issued until %s are rejected as well, "+
			"also those of a new sign-in\n", cli.Stamp(before))
	case !before.IsZero() && before.Before(now.Add(-past)):
		c.Notef("note: --issued-before is more than 30 days ago: a token that is so old has usually ended, " +
			"so that the rule matches none\n")
	}
}

// noteSpaces says which texts of a rule hold a space at an end, as one that was copied may: only a token with that space matches.
func noteSpaces(c *cli.Call, r Rule) {
	for _, f := range []struct{ flag, text string }{
		{"kid", r.KeyID},
		{"client", r.ClientID},
		{"subject", r.Subject},
		{"token-id", r.TokenID},
		{"origin", r.OriginTokenID},
		{"session", r.SessionID},
		{"actor", r.Actor},
		{"actor-issuer", r.ActorIssuer},
	} {
		if strings.TrimSpace(f.text) != f.text {
			c.Notef("note: --%s begins or ends with a space, and matches only with it\n", f.flag)
		}
	}
}

// added is the answer of revoke.
type added struct {
	ID     string `json:"id"`
	Rule   Rule   `json:"rule"`
	DryRun bool   `json:"dry_run,omitempty"`
	*written
}

func (r *revocationCall) dryRun(ctx context.Context, c *cli.Call, rule Rule) error {
	if err := r.known.check(ctx, c, nil, rule); err != nil {
		return err
	}
	if c.JSON {
		return c.WriteJSON(added{ID: rule.ID(), Rule: rule, DryRun: true})
	}
	c.Printf("%s\n", rule.ID())
	c.Notef("nothing was changed; without --dry-run this would reject %s\n", describe(rule))
	return nil
}

func (r *revocationCall) revoke(ctx context.Context, c *cli.Call, rule Rule) error {
	l, err := r.store.Open(c, true, false)
	if err != nil {
		return err
	}
	defer l.CloseAll()
	ctx, cancel := context.WithTimeout(ctx, r.store.Timeout)
	defer cancel()
	if err := l.loadToWrite(ctx, c, r.store.Overwrite); err != nil {
		return err
	}
	if err := r.known.check(ctx, c, l, rule); err != nil {
		return err
	}
	first := l.State().Epoch == 0
	id, err := l.add(ctx, rule)
	if err != nil {
		return err
	}
	w, rules, err := l.readBack(ctx)
	if err != nil {
		return cli.Fail(cli.ExitNotShared,
			"the rule %s was written, but could not be read back (%w): see 'regionjwt rules'", id, err)
	}
	if !slices.ContainsFunc(rules, func(r Rule) bool { return r.ID() == id }) {
		return cli.Fail(cli.ExitNotShared,
			"the rule %s was written, but is not in the store: somebody else changed it; try again", id)
	}
	if c.JSON {
		return c.WriteJSON(added{ID: id, Rule: rule, written: &w})
	}
	c.Printf("%s\n", id)
	c.Notef("rejected from now on: %s\n%s\n", describe(rule), w.text())
	if rule.ExpiresAt.IsZero() {
		c.Notef("it ends by itself in 30 days; to undo it: regionjwt unrevoke %s\n", id)
	}
	if first {
		c.Notef("note: there was no rule in this store before; " +
			"if there should have been, this is not the store of the services\n")
	}
	return nil
}

func (w written) text() string {
	parts := []string{fmt.Sprintf("read back from %s (%s): epoch %d, rules: %d", w.Store, w.Trust, w.Epoch, w.Rules)}
	for _, one := range w.NotIn {
		parts = append(parts, fmt.Sprintf("NOT in %s (%s): repeat it when that is well again", one.Where, one.Problem))
	}
	if w.LocalCopy == "failed" {
		parts = append(parts, "the local copy could not be written: check the directory of --local-copy")
	}
	return strings.Join(parts, "; ")
}

// describe says in words which tokens a rule is about.
func describe(r Rule) string {
	parts := []string{"provider " + cli.Quoted(r.Provider)}
	if r.Provider == everyProvider {
		parts[0] = "any provider"
	}
	for _, field := range []struct{ name, value string }{
		{"region", r.Region},
		{"kid", r.KeyID},
		{"key thumbprint", r.Thumbprint},
		{"client", r.ClientID},
		{"sub", r.Subject},
		{"jti", r.TokenID},
		{"origin_jti", r.OriginTokenID},
		{"sid", r.SessionID},
		{"actor", r.Actor},
		{"actor issuer", r.ActorIssuer},
	} {
		if field.value != "" {
			parts = append(parts, field.name+" "+cli.Quoted(field.value))
		}
	}
	if !r.IssuedBefore.IsZero() {
		parts = append(parts, "issued before "+cli.Stamp(r.IssuedBefore))
	}
	text := "tokens of " + strings.Join(parts, ", ")
	if !r.ExpiresAt.IsZero() {
		text += "; until " + cli.Stamp(r.ExpiresAt)
	}
	return text
}
