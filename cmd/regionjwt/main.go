// Regionjwt is an operations tool: it revokes tokens for a fleet that follows a store of rules, moves the fleet to another region
// and back, decides on requests for Envoy, nginx and Caddy, says what would break if a region were lost, what a token is, and
// whether and why it would be rejected, and computes the pseudonyms of audit records.
//
//	regionjwt help
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/check"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/doctor"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/inspect"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/keys"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/monitors"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/pins"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/pseudonyms"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/rules"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/why"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv})
	stop()
	os.Exit(code)
}

// run runs the tool and returns its exit code.
func run(ctx context.Context, args []string, streams cli.IO) int {
	commands := slices.Concat(rules.Commands(), pins.Commands(), []cli.Command{
		check.Command(), doctor.Command(), inspect.Command(), keys.Command(), pseudonyms.Command(),
		serve.Command(),
		{
			Name: "failover", Short: "explain the active region, or sign what a monitor says about one",
			Long: "Explains which region is active, or signs what a monitor says about a region. 'regionjwt pin', " +
				"'regionjwt unpin'\nand 'regionjwt active' are about what operators decide.",
			Commands: []cli.Command{why.Command(), monitors.Command()},
		},
	})
	return cli.Run(ctx, args, streams, commands...)
}
