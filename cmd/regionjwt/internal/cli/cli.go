// Package cli is what the commands of regionjwt have in common: flags that the environment can set, exit codes, JSON, and output
// that is harmless on a terminal.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes. They are part of the interface, and the help lists them.
const (
	ExitOK         = 0
	ExitNo         = 1
	ExitUsage      = 2
	ExitCannotTell = 3
	ExitNotShared  = 4
)

const exitHelp = `Exit codes:
  0  done, or yes
  1  the answer is no: no such rule, the token is rejected, something would break, doctor found an error
  2  wrong usage, a file that cannot be used, or a rule that is not valid; nothing was changed
  3  cannot tell: the store or the keys are unavailable, or the store is not authentic, malformed, lost or rolled back;
     or all is done, but standard output could not be written
  4  the change is not in effect, or this is not certain: see 'regionjwt rules' or, for a pin, 'regionjwt active'
`

// IO is what a run reads and writes, and its environment.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(name string) string
}

// Command describes a command.
type Command struct {
	Name, Arguments, Short, Long string
	// Complete returns what may stand in place of an argument, for completion by a shell. It must do no I/O. Nil means nothing.
	Complete func() []string
	// Prepare defines the flags, and returns what is done after they were parsed. It is nil if there are only Commands.
	Prepare func(c *Call) Action
	// Commands are those below this one.
	Commands []Command
}

// Action does what a command does, with the arguments that are not flags.
type Action func(ctx context.Context, arguments []string) error

// Call is one run of a command.
type Call struct {
	IO
	JSON  bool           // write JSON, for programs
	Flags *pflag.FlagSet // of the command

	cmd     *cobra.Command
	fromEnv map[string]bool     // the flags that the environment has set
	choices map[string][]string // the words that a flag takes
}

// ours marks a command of this package, whose flags the environment can set.
const ours = "regionjwt"

// cobra makes the command that cobra runs.
func (d Command) cobra(streams IO) *cobra.Command {
	cmd := &cobra.Command{Use: d.Name, Short: d.Short, Long: d.Long, Annotations: map[string]string{ours: d.Arguments}}
	for _, below := range d.Commands {
		cmd.AddCommand(below.cobra(streams))
	}
	if d.Prepare == nil {
		cmd.Annotations = nil // it has no flags
		cmd.RunE = func(cmd *cobra.Command, arguments []string) error { return withoutCommand(cmd, arguments, streams) }
		return cmd
	}
	c := &Call{IO: streams, Flags: cmd.Flags(), cmd: cmd, fromEnv: map[string]bool{}, choices: map[string][]string{}}
	c.Flags.SortFlags = true
	c.Bool(&c.JSON, "json", "write JSON, for programs")
	act := d.Prepare(c)
	for name, words := range c.choices {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // it is there
	}
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if d.Complete == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // cobra adds the commands below
		}
		_ = c.readEnvironment() // what does not fit names nothing
		return d.Complete(), cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = func(cmd *cobra.Command, arguments []string) error {
		if len(d.Commands) > 0 && len(arguments) > 0 {
			return unknown(cmd, arguments[0])
		}
		if err := c.readEnvironment(); err != nil {
			return err
		}
		return act(cmd.Context(), arguments)
	}
	return cmd
}

// Run runs the command that args name, and returns its exit code. It needs neither a network nor a file for help, for version and
// for completion.
func Run(ctx context.Context, args []string, streams IO, commands ...Command) int {
	out := &output{Writer: streams.Out}
	streams.Out = out
	cmd, err := execute(ctx, args, streams, commands)
	lost := out.lost()
	switch {
	case lost == nil && err == nil:
		return ExitOK
	case lost == nil:
		return report(cmd, err, streams)
	case err == nil, errors.Is(err, lost):
		err = Told(ExitCannotTell) // but not that nothing was changed
	}
	code := report(cmd, err, streams)
	_, _ = fmt.Fprintf(streams.Err, "regionjwt%s: standard output could not be written: %s\n", below(cmd), SafeText(lost.Error()))
	return code
}

// execute runs the command that args name.
func execute(ctx context.Context, args []string, streams IO, commands []Command) (*cobra.Command, error) {
	root := &cobra.Command{
		Use: "regionjwt", Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, arguments []string) error { return withoutCommand(cmd, arguments, streams) },
	}
	root.SetArgs(append([]string{}, args...))
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { _, _ = io.WriteString(streams.Out, helpText(cmd)) })
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand())
	for _, d := range append(commands, versionCommand()) {
		root.AddCommand(d.cobra(streams))
	}
	root.InitDefaultCompletionCmd(args...)
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Short, cmd.Args = "write the completion of commands and flags for a shell", cobra.ArbitraryArgs
			cmd.RunE = func(cmd *cobra.Command, arguments []string) error {
				if len(arguments) > 0 {
					return Fail(ExitUsage, "there is no completion for %s: see 'regionjwt help completion'", clip(arguments[0]))
				}
				return cmd.Help()
			}
		}
	}
	return root.ExecuteContextC(ctx)
}

// flagError names the problem with a flag. It repeats little of what was typed: it may be a token.
func flagError(cmd *cobra.Command, err error) error {
	text := clip(err.Error())
	var value *pflag.InvalidValueError
	switch {
	case errors.As(err, &value):
		text = "--" + value.GetFlag().Name + ": " + clip(errors.Unwrap(value).Error())
	case strings.Contains(text, "shorthand"):
		text += " (flags have two dashes, such as --provider)"
	}
	return Fail(ExitUsage, "%s: see 'regionjwt help%s'", text, below(cmd))
}

// withoutCommand is what is done if the next argument names no command. It repeats little of it: it may be a token.
func withoutCommand(at *cobra.Command, arguments []string, streams IO) error {
	if len(arguments) == 0 {
		_, _ = io.WriteString(streams.Err, helpText(at))
		return Told(ExitUsage)
	}
	return unknown(at, arguments[0])
}

// report writes an error and returns the exit code.
func report(cmd *cobra.Command, err error, streams IO) int {
	var f *ExitError
	switch {
	case !errors.As(err, &f) && cmd.Annotations == nil: // of cobra, which repeats what was typed
		f = &ExitError{Code: ExitUsage}
		err = errors.New(clip(err.Error()))
	case f == nil:
		f = &ExitError{Code: ExitUsage}
	case f.told:
		return f.Code
	}
	text := SafeText(err.Error())
	_, _ = fmt.Fprintf(streams.Err, "regionjwt%s: %s\n", below(cmd), text)
	if wantsJSON(cmd, streams) {
		c := &Call{IO: streams}
		_ = c.WriteJSON(struct {
			Error string `json:"error"`
			Code  int    `json:"exit_code"`
		}{text, f.Code})
	}
	return f.Code
}

// below is the name of a command with a space before it, and "" for the root.
func below(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return ""
	}
	return below(cmd.Parent()) + " " + cmd.Name()
}

// wantsJSON reports whether a command that has failed, perhaps before it read its environment, was to write JSON.
func wantsJSON(cmd *cobra.Command, streams IO) bool {
	f := cmd.Flags().Lookup("json")
	if f == nil || cmd.Annotations == nil {
		return false
	}
	return f.Value.String() == "true" || !f.Changed && streams.Getenv(Variable("json")) == "true"
}

// ExitError is an error with an exit code.
type ExitError struct {
	Code int
	told bool // the output says it already
	err  error
}

// Error implements error.
func (f *ExitError) Error() string { return f.err.Error() }

// Unwrap returns the cause.
func (f *ExitError) Unwrap() error { return f.err }

// Fail makes an error with an exit code.
func Fail(code int, format string, args ...any) error {
	return &ExitError{Code: code, err: fmt.Errorf(format, args...)}
}

// Told is the error of a command whose output says what the problem is.
func Told(code int) error {
	return &ExitError{Code: code, told: true, err: errors.New("see the output")}
}
