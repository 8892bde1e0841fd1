package main

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// text defines a flag that takes a text; variable is that of the environment which stands in for it, or "".
func (c *call) text(into *string, name, variable, usage string) {
	c.flags.StringVar(into, name, "", usage)
	c.variables[name] = variable
}

// list defines a flag that may be repeated, or take values with commas between them.
func (c *call) list(into *list, name, variable, usage string) {
	c.flags.Var(into, name, usage+"; repeatable")
	c.variables[name] = variable
}

// list is the value of a flag that may be repeated.
type list []string

// String implements flag.Value.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(values string) error {
	for value := range strings.SplitSeq(values, ",") {
		if value = strings.TrimSpace(value); value == "" {
			return errors.New("a value is empty")
		}
		*l = append(*l, value)
	}
	return nil
}

// ruleID is what IDs of rules look like.
var ruleID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{15}$`)

// parse parses flags before, between and behind the other arguments, which it returns, and fills in the environment's.
func (c *call) parse(args []string) (rest []string, err error) {
	for {
		if err := c.flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, fail(exitUsage, "%s: see 'regionjwt help %s'", clip(err.Error()), c.name)
		}
		if c.flags.NArg() == 0 {
			break
		}
		rest = append(rest, c.flags.Arg(0))
		args = c.flags.Args()[1:]
	}
	given := map[string]bool{}
	c.flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, variable := range c.variables {
		if variable == "" || given[name] {
			continue
		}
		if value := c.env(variable); value != "" {
			if err := c.flags.Set(name, value); err != nil {
				return nil, fail(exitUsage, "the environment variable %s does not fit -%s", variable, name)
			}
		}
	}
	return rest, nil
}

// none refuses arguments that are no flags. It does not repeat them: one may be a token.
func (c *call) none(arguments []string) error {
	if len(arguments) > 0 {
		return fail(exitUsage, "it takes flags only, and was given %d other arguments: see 'regionjwt help %s'",
			len(arguments), c.name)
	}
	return nil
}

// help is the text for one command.
func (c *call) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: regionjwt %s\n\n", strings.TrimSpace(c.name+" [flags] "+c.arguments))
	fmt.Fprintf(&b, "%s\n\nFlags:\n", strings.TrimSpace(c.long))
	c.flags.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(&b, "  %s\n        %s", strings.TrimSpace("-"+f.Name+" "+value), usage)
		if v := c.variables[f.Name]; v != "" {
			fmt.Fprintf(&b, " [$%s]", v)
		}
		b.WriteString("\n")
	})
	b.WriteString("\n" + exitHelp)
	return b.String()
}

// moment reads a time: RFC 3339, or "now", which is the end of this second, so that all that was issued so far is earlier.
func moment(flagName, text string, now time.Time) (time.Time, error) {
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now.UTC().Truncate(time.Second).Add(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fail(exitUsage, "-%s is neither a time such as 2026-01-31T03:00:00Z nor now", flagName)
	}
	return t.UTC(), nil
}

// end reads when a rule ends: RFC 3339, or how long it lasts.
func end(flagName, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		if !t.After(now) {
			return time.Time{}, fail(exitUsage, "-%s is in the past: the rule would have ended already", flagName)
		}
		return t.UTC(), nil
	}
	d, err := duration(text)
	if err != nil || d <= 0 {
		return time.Time{}, fail(exitUsage,
			"-%s is neither a time such as 2026-01-31T03:00:00Z nor a duration such as 90m, 24h or 30d",
			flagName)
	}
	return now.UTC().Truncate(time.Second).Add(d), nil
}

// duration reads a duration, which may also be in days.
func duration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		if d > 365*100*time.Hour {
			return 0, errors.New("too long")
		}
		return 24 * d, err
	}
	return time.ParseDuration(text)
}
