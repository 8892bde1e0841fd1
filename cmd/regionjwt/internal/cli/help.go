package cli

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const overview = `regionjwt revokes tokens for a fleet at once, moves it to another region, and says what a token is.

Usage: regionjwt COMMAND [flags]

Commands:
`

const environment = `
'regionjwt help COMMAND' lists the flags of a command, and 'regionjwt help completion' says how to set up completion in a shell.
Every flag can be given by an environment variable: REGIONJWT_ and the name in capitals, with _ for -. So REGIONJWT_DRY_RUN=true
is --dry-run. A flag wins. Values of a flag that is repeatable have commas between them. Secrets are read from files, and a Redis
password from REGIONJWT_REDIS_PASSWORD: never give one as the value of a flag.

`

// helpText is the help of a command.
func helpText(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return overview + commandList(cmd) + environment + exitHelp
	}
	var b strings.Builder
	arguments, known := cmd.Annotations[ours]
	usage := strings.TrimSpace("regionjwt" + below(cmd) + " [flags] " + arguments)
	if cmd.HasAvailableSubCommands() && !known {
		usage = "regionjwt" + below(cmd) + " COMMAND"
	}
	fmt.Fprintf(&b, "Usage: %s\n\n%s\n", usage, strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short)))
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n" + commandList(cmd))
	}
	b.WriteString("\nFlags:\n")
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(&b, "  %s\n        %s", strings.TrimSpace("--"+f.Name+" "+value), usage)
		if known && f.Name != "help" {
			fmt.Fprintf(&b, " [$%s]", Variable(f.Name))
		}
		b.WriteString("\n")
	})
	if known {
		b.WriteString("\n" + exitHelp)
	}
	return b.String()
}

func commandList(cmd *cobra.Command) string {
	var b strings.Builder
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			fmt.Fprintf(&b, "  %-10s %s\n", sub.Name(), sub.Short)
		}
	}
	return b.String()
}

// helpCommand is 'regionjwt help'.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help", Short: "list the commands, or the flags of one", Args: cobra.ArbitraryArgs,
		Long: "Lists the commands, or what one of them does and its flags:\n\n" +
			"  regionjwt help revoke\n  regionjwt help failover why",
		ValidArgsFunction: func(cmd *cobra.Command, arguments []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if at, _, err := cmd.Root().Find(arguments); err == nil {
				for _, sub := range at.Commands() {
					if sub.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, arguments []string) error {
			at := cmd.Root()
			for _, name := range arguments {
				below := commandBelow(at, name)
				if below == nil {
					return unknown(at, name)
				}
				at = below
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}

// commandBelow is the command with a name, or nil.
func commandBelow(at *cobra.Command, name string) *cobra.Command {
	i := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == name })
	if i < 0 {
		return nil
	}
	return at.Commands()[i]
}

// unknown says that there is no such command below another one, and which ones are like it, or which ones there are.
func unknown(at *cobra.Command, name string) error {
	text := "there is no command"
	if at.HasParent() {
		text = "regionjwt" + below(at) + " has no command"
	}
	text += " " + clip(name)
	var names []string
	if len(name) <= maxClip {
		at.SuggestionsMinimumDistance = 2
		names = at.SuggestionsFor(name)
	}
	if len(names) == 0 && at.HasParent() {
		for _, sub := range at.Commands() {
			names = append(names, sub.Name())
		}
	}
	if len(names) > 0 {
		text += " (perhaps " + strings.Join(slices.Sorted(slices.Values(names)), " or ") + ")"
	}
	return Fail(ExitUsage, "%s: see 'regionjwt help%s'", text, below(at))
}

func versionCommand() Command {
	return Command{
		Name: "version", Short: "say which version this is",
		Long: "Says which version this is, of which commit, and which Go made it.",
		Prepare: func(c *Call) Action {
			return func(_ context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				return c.version()
			}
		},
	}
}

func (c *Call) version() error {
	v := struct {
		Version  string `json:"version"`
		Commit   string `json:"commit,omitempty"`
		Modified bool   `json:"modified,omitempty"` // files of the commit were changed before it was built
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = cmp.Or(info.Main.Version, v.Version)
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if c.JSON {
		return c.WriteJSON(v)
	}
	c.Printf("regionjwt %s (%s, %s)\n", v.Version, v.Go, v.Platform)
	if v.Commit != "" {
		c.Printf("commit %s\n", v.Commit)
	}
	return nil
}
