// Package doctor has the command doctor: whether this machine is ready for an incident.
package doctor

import (
	"context"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/config"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/pins"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/provider"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/rules"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/limit"
)

// Command is doctor.
func Command() cli.Command {
	return cli.Command{
		Name: "doctor", Short: "check keys, store, clock and JWKS URLs, and say how to correct what is wrong",
		Long: `
Checks everything that the other commands need, as flags or the environment describe it: owner and mode of key files and of
the directories that hold them; whether the keys can be read and belong together; whether the store answers, and whether its rules
and pins are authentic for this fleet, with their epochs; the local copy; the clock, against the store's and the Date of each
JWKS URL; and every JWKS URL of the provider. With --config it checks what the services' configuration file describes: the file
itself, its stores with their rules and pins, and the JWKS URLs of each of its providers. It changes nothing: neither the store
nor the local copy, nor any file.

  regionjwt doctor --config /etc/orders/regionjwt.json
  regionjwt doctor --store dir:/var/lib/rules --fleet production --sign-key operators.key
  regionjwt doctor --user-pool us-east-1_AbCdEf123 --replica us-west-2 --json

Each line is ok, warning or error, and says how to correct what is not ok. It exits with 0 if there is no error, with 1 if there
is one (with --strict also if there is a warning), and with 2 if a flag is wrong. What was not configured is not checked.`,
		Prepare: func(c *cli.Call) cli.Action {
			var f flags
			f.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				return run(ctx, c, &f)
			}
		},
	}
}

// flags say what is checked.
type flags struct {
	provider provider.Options
	config   config.Flags
	rules    rules.Flags
	pinName  string
	strict   bool
}

func (f *flags) define(c *cli.Call) {
	f.provider.Define(c, provider.JWKSUsage)
	f.config.Define(c)
	f.rules.Define(c)
	pins.DefineName(c, &f.pinName)
	provider.DefineStrict(c, &f.strict)
}

// The levels of a line.
const (
	levelOK      = "ok"
	levelWarning = "warning"
	levelError   = "error"
)

// line is the result of one check.
type line struct {
	Level   string `json:"level"`
	Check   string `json:"check"`
	Subject string `json:"subject,omitempty"`
	Detail  string `json:"detail"`
	Remedy  string `json:"remedy,omitempty"` // how to correct it; "" if it is ok
}

// examination collects the lines.
type examination struct {
	flags *flags
	call  *cli.Call
	lines []line
}

func (x *examination) ok(check, subject, detail string) {
	x.lines = append(x.lines, line{levelOK, check, subject, detail, ""})
}

func (x *examination) warn(check, subject, detail, remedy string) {
	x.lines = append(x.lines, line{levelWarning, check, subject, detail, remedy})
}

func (x *examination) fail(check, subject, detail, remedy string) {
	x.lines = append(x.lines, line{levelError, check, subject, detail, remedy})
}

// found counts the lines of a level.
func (x *examination) found(level string) (n int) {
	for _, l := range x.lines {
		if l.Level == level {
			n++
		}
	}
	return n
}

func run(ctx context.Context, c *cli.Call, f *flags) error {
	s := &f.rules.Flags
	switch {
	case s.Timeout <= 0:
		return cli.Fail(cli.ExitUsage, "--timeout must be positive")
	case f.config.Given() && (len(s.Stores) > 0 || f.provider.Given()):
		return cli.Fail(cli.ExitUsage, "give --config, or flags that describe a provider and stores, not both")
	case !f.config.Given() && !f.provider.Given() &&
		len(s.Stores) == 0 && s.SignKey == "" && len(s.VerifyKeys) == 0 && s.SecretFile == "":
		return cli.Fail(cli.ExitUsage,
			"what is to be checked? Give --config, --store and its keys, or a provider: --user-pool or --issuer")
	}
	x := &examination{flags: f, call: c}
	p, err := x.describedProvider()
	if err != nil {
		return err
	}
	x.keyFiles()
	if err := x.store(ctx, p); err != nil {
		return err
	}
	if p != nil {
		if err := x.urls(ctx, *p, nil); err != nil {
			return err
		}
	}
	if f.config.Given() {
		if err := x.file(ctx); err != nil {
			return err
		}
	}
	return x.write()
}

func (x *examination) write() error {
	c, n := x.call, x.found(levelError)
	warnings := x.found(levelWarning)
	if c.JSON {
		verdict := levelOK
		switch {
		case n > 0:
			verdict = levelError
		case warnings > 0:
			verdict = levelWarning
		}
		out := struct {
			Verdict string `json:"verdict"` // the worst level
			Checks  []line `json:"checks"`
		}{verdict, x.lines}
		if err := c.WriteJSON(out); err != nil {
			return err
		}
	} else {
		for _, l := range x.lines {
			c.Printf("%-8s %-12s", l.Level, l.Check)
			if l.Subject != "" {
				c.Printf(" %s:", l.Subject)
			}
			c.Printf(" %s\n", l.Detail)
			if l.Remedy != "" {
				c.Printf("%-8s %-12s %s\n", "", "", l.Remedy)
			}
		}
		c.Printf("%s, %s\n", label.Count(n, "error"), label.Count(warnings, "warning"))
	}
	if n > 0 || x.flags.strict && warnings > 0 {
		return cli.Told(cli.ExitNo)
	}
	return nil
}

// How far clocks may differ. A verifier allows 30 s.
const (
	clockWarning = 5 * time.Second
	clockError   = limit.Leeway // services reject tokens then
)

// clock judges how far another clock is ahead of this one.
func (x *examination) clock(subject string, ahead time.Duration) {
	const remedy = "set the clock of this machine by NTP, or that of the other one: --issued-before now and " +
		"the times of tokens depend on it"
	var detail string
	switch {
	case ahead == 0:
		x.ok("clock", subject, "the same as here, to the second")
		return
	case ahead > 0:
		detail = "it is " + ahead.Round(time.Millisecond).String() + " ahead of the clock here"
	default:
		detail = "it is " + (-ahead).Round(time.Millisecond).String() + " behind the clock here"
	}
	switch {
	case ahead.Abs() > clockError:
		x.fail("clock", subject, detail, remedy)
	case ahead.Abs() > clockWarning:
		x.warn("clock", subject, detail, remedy)
	default:
		x.ok("clock", subject, detail)
	}
}
