// Regionjwt is the tool for the bad hours: it revokes tokens for a fleet that follows a store of rules, moves the fleet to
// another region and back, says what would break if a region were lost, what a token is, and whether and why it would be refused.
//
//	regionjwt help
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// The exit codes. They are part of the interface, and stand in the help.
const (
	exitOK        = 0
	exitNo        = 1
	exitUsage     = 2
	exitStore     = 3
	exitNotShared = 4
)

const exitHelp = `Exit codes:
  0  done, or yes
  1  the answer is no: no such rule, the token is refused, something would break
  2  wrong usage, a file that cannot be used, or a rule that is not valid; nothing was changed
  3  cannot tell: the store or the keys are unreachable, or the store is not authentic, malformed, wiped or rolled back
  4  the change is not in force, or it is not certain that it is: look at 'regionjwt rules'
`

// command is what the first argument names.
type command struct {
	name, arguments, short string
	long                   string
	// prepare defines the flags, and returns what is to be done once they are parsed.
	prepare func(c *call) action
}

// action does what a command does, with the arguments that are no flags.
type action func(ctx context.Context, arguments []string) error

func commands() []command {
	return []command{
		keygenCommand(), revokeCommand(), unrevokeCommand(), rulesCommand(), statusCommand(), inspectCommand(), checkCommand(),
		activateCommand(), resumeCommand(), activeCommand(),
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

// run runs the tool and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, overview())
		return exitUsage
	}
	name := args[0]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		if len(args) == 1 || name != "help" {
			_, _ = io.WriteString(stdout, overview())
			return exitOK
		}
		args = []string{args[1], "-h"}
		name = args[0]
	}
	for _, cmd := range commands() {
		if cmd.name == name {
			c := &call{command: cmd, stdin: stdin, stdout: stdout, stderr: stderr, env: env}
			return c.run(ctx, args[1:])
		}
	}
	_, _ = fmt.Fprintf(stderr, "regionjwt: there is no command %s: see 'regionjwt help'\n", clip(name))
	return exitUsage
}

func overview() string {
	var b strings.Builder
	b.WriteString("regionjwt revokes tokens for a fleet at once, moves it to another region, and says what a token is.\n\n" +
		"Usage: regionjwt COMMAND [flags]\n\nCommands:\n")
	for _, cmd := range commands() {
		fmt.Fprintf(&b, "  %-9s %s\n", cmd.name, cmd.short)
	}
	b.WriteString("\n'regionjwt help COMMAND' lists the flags of a command. Every command takes -json.\n\n" + exitHelp)
	return b.String()
}

// call is one run of a command.
type call struct {
	command
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string

	flags     *flag.FlagSet
	variables map[string]string // of a flag: the environment variable that stands in for it
	json      bool
}

// run parses the flags, acts, and turns an error into an exit code.
func (c *call) run(ctx context.Context, args []string) int {
	c.flags = flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	c.variables = map[string]string{}
	c.flags.BoolVar(&c.json, "json", false, "write JSON, for machines")
	act := c.prepare(c)
	rest, err := c.parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(c.stdout, c.help())
		return exitOK
	}
	if err == nil {
		err = act(ctx, rest)
	}
	if err == nil {
		return exitOK
	}
	return c.report(err)
}

// report tells of an error and returns the exit code.
func (c *call) report(err error) int {
	code := exitUsage
	var f *failure
	if errors.As(err, &f) {
		code = f.code
	}
	if f != nil && f.told {
		return code
	}
	text := safeText(err.Error())
	_, _ = fmt.Fprintf(c.stderr, "regionjwt %s: %s\n", c.name, text)
	if c.json {
		_ = c.writeJSON(struct {
			Error string `json:"error"`
			Code  int    `json:"exit_code"`
		}{text, code})
	}
	return code
}

// failure is an error with an exit code.
type failure struct {
	code int
	told bool // the output says it already
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(code int, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...)}
}

// told is the error of a command whose output says what is wrong.
func told(code int) error { return &failure{code: code, told: true, err: errors.New("see the output")} }
