package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/revocation"
)

// ruleFlags are the fields of a rule.
type ruleFlags struct {
	rule                revocation.Rule
	issuedBefore, until string
}

func (r *ruleFlags) define(c *call) {
	c.text(&r.rule.Provider, "authority", "",
		"`ID` of the authority whose tokens it is about: the user pool ID, or the Provider.ID of the services")
	c.flags.BoolVar(&r.rule.AllProviders, "all-authorities", false, "it is about the tokens of every authority")
	c.text(&r.rule.Region, "region", "", "`name` of a region that may have minted the token")
	c.text(&r.rule.Issuer, "issuer", "", "`iss` of the token, octet for octet")
	c.text(&r.rule.KeyID, "kid", "", "`kid` of the key that signed it")
	c.text(&r.rule.Thumbprint, "thumbprint", "",
		"RFC 7638 `thumbprint` of that key, whatever its kid: see 'regionjwt help inspect'")
	c.text(&r.rule.ClientID, "client", "",
		"`client ID` that the token names: in client_id, azp, another claim that services read, or the aud of an ID token")
	c.text(&r.rule.Subject, "subject", "", "`sub` of the user")
	c.text(&r.rule.TokenID, "token-id", "", "`jti` of one token; needs -until")
	c.text(&r.rule.OriginTokenID, "origin", "", "`origin_jti` of Cognito: all tokens of one sign-in")
	c.text(&r.issuedBefore, "issued-before", "", "it was issued before this `time`: RFC 3339, or now")
	c.text(&r.until, "until", "",
		"when the rule ends by itself: a `time` by RFC 3339, or a duration such as 90m, 24h, 30d (never)")
	c.text(&r.rule.Reason, "reason", "", "`text` for people: a ticket, an incident")
}

// read makes the rule, or says what is wrong in the words of the flags.
func (r *ruleFlags) read(now time.Time) (revocation.Rule, error) {
	var errs []error
	var err error
	if r.rule.IssuedBefore, err = moment("issued-before", r.issuedBefore, now); err != nil {
		errs = append(errs, err)
	}
	if r.rule.Until, err = end("until", r.until, now); err != nil {
		errs = append(errs, err)
	}
	if (r.rule.Provider == "") == !r.rule.AllProviders {
		errs = append(errs, errors.New("say whose tokens: either -authority ID or -all-authorities"))
	}
	if r.rule.TokenID != "" && r.until == "" {
		errs = append(errs, errors.New("-token-id needs -until: when the token expires"))
	}
	rest := r.rule
	rest.Provider, rest.AllProviders, rest.Until, rest.Reason = "", false, time.Time{}, ""
	if rest == (revocation.Rule{}) && r.issuedBefore == "" {
		errs = append(errs, errors.New("say which tokens, besides the authority; for all that are out, -issued-before now"))
	}
	if len(errs) == 0 {
		errs = append(errs, r.rule.Validate())
	}
	if err := errors.Join(errs...); err != nil {
		return r.rule, fail(exitUsage, "%w", err)
	}
	return r.rule, nil
}

func revokeCommand() command {
	return command{
		name: "revoke", short: "refuse tokens, from now on, everywhere",
		long: `
Adds a rule: services refuse tokens for which everything that is given holds. Its ID goes to standard output, for
'regionjwt unrevoke'. To add a rule again changes nothing but its reason.

  regionjwt revoke -authority us-east-1_AbCdEf123 -kid 9bK2... -reason "INC-7: key leaked"
  regionjwt revoke -authority us-east-1_AbCdEf123 -subject 0f5b2a6e-... -issued-before now -until 24h
  regionjwt revoke -authority us-east-1_AbCdEf123 -issued-before now -dry-run
` + storeHelp,
		prepare: func(c *call) action {
			var r ruleFlags
			var s storeFlags
			var dry bool
			r.define(c)
			s.define(c)
			c.flags.BoolVar(&dry, "dry-run", false, "say what the rule is, and change nothing")
			c.flags.BoolVar(&s.overwrite, "overwrite", false,
				"replace a document that is not authentic or malformed; what only it held is lost")
			return func(ctx context.Context, arguments []string) error {
				if err := c.none(arguments); err != nil {
					return err
				}
				rule, err := r.read(time.Now())
				if err != nil {
					return err
				}
				if dry {
					return c.dryRun(rule)
				}
				return c.revoke(ctx, &s, rule)
			}
		},
	}
}

// added is the answer of revoke.
type added struct {
	ID     string          `json:"id"`
	Rule   revocation.Rule `json:"rule"`
	DryRun bool            `json:"dry_run,omitempty"`
	*written
}

func (c *call) dryRun(r revocation.Rule) error {
	if c.json {
		return c.writeJSON(added{ID: r.ID(), Rule: r, DryRun: true})
	}
	c.printf("%s\n", r.ID())
	c.notef("nothing was changed; without -dry-run this would refuse %s\n", describe(r))
	return nil
}

func (c *call) revoke(ctx context.Context, s *storeFlags, r revocation.Rule) error {
	o, err := s.open(c, true)
	if err != nil {
		return err
	}
	defer o.closeAll()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := o.loadToWrite(ctx, c, s.overwrite); err != nil {
		return err
	}
	first := o.list.Status().Epoch == 0
	id, err := o.list.Add(ctx, r)
	if err != nil {
		return notShared(err)
	}
	w, rules, err := o.readBack(ctx)
	if err != nil {
		return fail(exitNotShared, "the rule %s was written, but could not be read back (%w): look at 'regionjwt rules'", id, err)
	}
	if !slices.ContainsFunc(rules, func(e revocation.Entry) bool { return e.ID == id }) {
		return fail(exitNotShared, "the rule %s was written, but is not in the store: somebody else changed it; try again", id)
	}
	if c.json {
		return c.writeJSON(added{ID: id, Rule: r, written: &w})
	}
	c.printf("%s\n", id)
	c.notef("refused from now on: %s\n%s\n", describe(r), w.text())
	if r.Until.IsZero() {
		c.notef("it never ends by itself; to undo it: regionjwt unrevoke %s\n", id)
	}
	if first {
		c.notef("note: there was no rule in this store before; " +
			"if there should have been, this is not the store of the services\n")
	}
	return nil
}

func (w written) text() string {
	text := fmt.Sprintf("read back from %s (%s): epoch %d, rules: %d", w.Store, w.Trust, w.Epoch, w.Rules)
	if w.Copy == "failed" {
		text += "; the copy could not be written: check the directory of -copy"
	}
	return text
}

// notShared turns the error of a change into a failure.
func notShared(err error) error {
	if errors.Is(err, revocation.ErrFull) {
		return fail(exitNotShared,
			"the store is full, so the rule is in force nowhere: unrevoke rules that are over, see 'regionjwt rules' (%w)", err)
	}
	if errors.Is(err, revocation.ErrUnreadable) {
		return fail(exitNotShared,
			"what is in the store cannot be read, and stays; if nobody else wrote it, 'revoke -overwrite' replaces it (%w)", err)
	}
	if errors.Is(err, revocation.ErrNotShared) {
		return fail(exitNotShared, "the change may not have been written: look at 'regionjwt rules', and try again (%w)", err)
	}
	return fail(exitUsage, "%w", err)
}

// describe says in words which tokens a rule is about.
func describe(r revocation.Rule) string {
	parts := []string{"authority " + r.Provider}
	if r.AllProviders {
		parts[0] = "any authority"
	}
	for _, field := range []struct{ name, value string }{
		{"region", r.Region},
		{"iss", r.Issuer},
		{"kid", r.KeyID},
		{"key thumbprint", r.Thumbprint},
		{"client", r.ClientID},
		{"sub", r.Subject},
		{"jti", r.TokenID},
		{"origin_jti", r.OriginTokenID},
	} {
		if field.value != "" {
			parts = append(parts, field.name+" "+quoted(field.value))
		}
	}
	if !r.IssuedBefore.IsZero() {
		parts = append(parts, "issued before "+stamp(r.IssuedBefore))
	}
	text := "tokens of " + strings.Join(parts, ", ")
	if !r.Until.IsZero() {
		text += "; until " + stamp(r.Until)
	}
	return text
}
