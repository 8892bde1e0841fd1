// Package serve has the command that decides on requests for services that are not written in Go: it answers Envoy (ext_authz),
// nginx (auth_request) and Caddy (forward_auth).
package serve

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/config"
	"github.com/regionjwt/regionjwt/configfile"
)

const defaultGrace = 20 * time.Second

// flags are the flags of the command.
type flags struct {
	config config.Flags
	routes string
	listen cli.List
	status string
	grace  time.Duration
	audit  auditFlags
}

// Command returns the command.
func Command() cli.Command {
	return cli.Command{
		Name: "serve", Short: "decide on requests for Envoy, nginx and Caddy",
		Long: `
Decides on the requests that a proxy asks about, for services that are not written in Go. It verifies the token of each request by
the configuration file, and checks what the routes file requires. The answers are 401, 403, 429 and 503 as docs/answers.md says.

Each listener speaks one dialect: envoy is ext_authz version 3 by gRPC, nginx is auth_request with the headers X-Original-Method
and X-Original-URI, caddy is forward_auth with X-Forwarded-Method and X-Forwarded-Uri. An address is HOST:PORT or unix:PATH.
Requests are not encrypted: listen on loopback or a socket, or in a network that only the proxy is in. docs/serve.md has the
configuration of each proxy.

  regionjwt serve --config regionjwt.json --routes routes.json --listen nginx=127.0.0.1:9180 --status 127.0.0.1:9181

SIGHUP reads both files again; a change is also seen within 10 seconds. SIGTERM ends the process when the requests that it has are
answered.
`,
		Prepare: func(c *cli.Call) cli.Action {
			f := &flags{}
			f.config.Define(c)
			c.File(&f.routes, "routes", "`file` of routes, in JSON or YAML")
			c.List(&f.listen, "listen", "`DIALECT=ADDRESS` to answer on: nginx=HOST:PORT, envoy=unix:PATH")
			c.Text(&f.status, "status",
				"`address` of the status page, /health, /live, /metrics and /verdicts (of monitors); empty means none")
			c.Duration(&f.grace, "grace", defaultGrace, "`time` that requests have to end after SIGTERM")
			f.audit.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				return f.run(ctx, c)
			}
		},
	}
}

// run serves until ctx ends.
func (f *flags) run(ctx context.Context, c *cli.Call) error {
	switch {
	case !f.config.Given() || f.routes == "":
		return cli.Fail(cli.ExitUsage, "give --config and --routes")
	case f.grace <= 0:
		return cli.Fail(cli.ExitUsage, "--grace must be positive")
	}
	all, err := places(f.listen, f.status)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(c.Err, nil))
	file, closeStores, err := f.config.OpenFile(func(c *regionjwt.Config) error {
		c.Logger = log
		return nil
	})
	if err != nil {
		return err
	}
	defer closeStores()
	v := file.Validator()
	if m := file.Config().Monitors; m != nil && len(m.Stores) == 0 && f.status == "" {
		return cli.Fail(cli.ExitUsage,
			"no verdict of the monitors can arrive: give --status, which they post to, or name stores in the member monitors")
	}
	closeAudit, err := f.audit.open(v, c.Out)
	if err != nil {
		return err
	}
	defer closeAudit()
	s := &server{log: log, validator: v, grace: f.grace, stopping: make(chan struct{})}
	rules := &atomic.Pointer[Rules]{}
	routes := fileOf(f.routes, v, rules, log)
	if err := routes.open(); err != nil {
		return cli.Fail(cli.ExitUsage, "--routes: %w", err)
	}
	if s.metrics, err = newTelemetry(v); err != nil {
		return err
	}
	s.door = &Door{Rules: rules, OnAnswer: s.metrics.count, OnMistake: s.mistake}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := s.open(ctx, all); err != nil {
		return err
	}
	go v.Run(background)
	follow(background, file, routes)
	return s.run(ctx)
}

// follow reads files again when they have changed, and at SIGHUP.
func follow(ctx context.Context, f *configfile.File, r *file) {
	for _, one := range []func(<-chan os.Signal){
		func(s <-chan os.Signal) { _ = f.Follow(ctx, s) },
		func(s <-chan os.Signal) { r.follow(ctx, s) },
	} {
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		go func() {
			defer signal.Stop(hangups)
			one(hangups)
		}()
	}
}
