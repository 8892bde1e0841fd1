package cli

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Variable is the environment variable that stands for a flag.
func Variable(flagName string) string {
	return "REGIONJWT_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// Text defines a flag that takes a text.
func (c *Call) Text(into *string, name, usage string) { c.Flags.StringVar(into, name, *into, usage) }

// File defines a flag that takes the name of a file.
func (c *Call) File(into *string, name, usage string) {
	c.Text(into, name, usage)
	_ = cobra.MarkFlagFilename(c.Flags, name) // the flag is there
}

// Dir defines a flag that takes the name of a directory.
func (c *Call) Dir(into *string, name, usage string) {
	c.Text(into, name, usage)
	_ = cobra.MarkFlagDirname(c.Flags, name) // the flag is there
}

// Bool defines a flag that takes no value.
func (c *Call) Bool(into *bool, name, usage string) { c.Flags.BoolVar(into, name, *into, usage) }

// Duration defines a flag that takes a duration.
func (c *Call) Duration(into *time.Duration, name string, value time.Duration, usage string) {
	c.Flags.DurationVar(into, name, value, usage)
}

// Int defines a flag that takes a number.
func (c *Call) Int(into *int, name string, value int, usage string) {
	c.Flags.IntVar(into, name, value, usage)
}

// List defines a flag that may be repeated, or take values with commas between them.
func (c *Call) List(into *List, name, usage string) { c.Flags.Var(into, name, usage+"; repeatable") }

// Choice defines a flag that takes one of several words, which completion offers.
func (c *Call) Choice(into *string, name, usage string, words ...string) {
	c.Text(into, name, usage)
	c.choices[name] = words
}

// FromEnvironment reports whether the environment has set a flag.
func (c *Call) FromEnvironment(flagName string) bool { return c.fromEnv[flagName] }

// readEnvironment sets the flags that were not given. An empty variable is none.
func (c *Call) readEnvironment() (err error) {
	c.Flags.VisitAll(func(f *pflag.Flag) {
		value := c.Getenv(Variable(f.Name))
		if f.Name == "help" || f.Changed || value == "" || err != nil {
			return
		}
		if errSet := c.Flags.Set(f.Name, value); errSet != nil {
			err = Fail(ExitUsage, "the environment variable %s does not fit --%s", Variable(f.Name), f.Name)
		}
		c.fromEnv[f.Name] = true
	})
	return err
}

// List is the value of a flag that may be repeated.
type List []string

// String implements pflag.Value.
func (l *List) String() string { return strings.Join(*l, ",") }

// Type implements pflag.Value.
func (l *List) Type() string { return "value" }

// Set implements pflag.Value.
func (l *List) Set(values string) error {
	for value := range strings.SplitSeq(values, ",") {
		if value = strings.TrimSpace(value); value == "" {
			return errors.New("a value is empty")
		}
		*l = append(*l, value)
	}
	return nil
}

// None rejects arguments that are not flags. It does not repeat them: one may be a token.
func (c *Call) None(arguments []string) error {
	if len(arguments) > 0 {
		return Fail(ExitUsage, "%d unexpected arguments, it takes flags only: see 'regionjwt help%s'",
			len(arguments), below(c.cmd))
	}
	return nil
}

// Moment reads a time: RFC 3339, or "now", which is the end of this second, so that everything issued so far is earlier.
func Moment(flagName, text string, now time.Time) (time.Time, error) {
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now.UTC().Truncate(time.Second).Add(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, Fail(ExitUsage, "--%s is neither a time such as 2026-01-31T03:00:00Z nor now", flagName)
	}
	return t.UTC(), nil
}

// End reads when a rule ends: RFC 3339, or how long it lasts.
func End(flagName, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		if !t.After(now) {
			return time.Time{}, Fail(ExitUsage, "--%s is in the past: the rule would have ended already", flagName)
		}
		return t.UTC(), nil
	}
	d, err := ParseDuration(text)
	if err != nil || d <= 0 {
		return time.Time{}, Fail(ExitUsage,
			"--%s is neither a time such as 2026-01-31T03:00:00Z nor a duration such as 90m, 24h or 30d",
			flagName)
	}
	return now.UTC().Truncate(time.Second).Add(d), nil
}

// ParseDuration reads a duration, which may also be in days.
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		if d > 365*100*time.Hour {
			return 0, errors.New("too long")
		}
		return 24 * d, err
	}
	return time.ParseDuration(text)
}

// Lifetime reads a duration such as 90m, 24h or 30d; "" is 0.
func Lifetime(flagName, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, Fail(ExitUsage, "--%s is not a duration such as 90m, 24h or 30d", flagName)
	}
	return d, nil
}
