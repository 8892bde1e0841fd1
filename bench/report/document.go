package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// modules lists the libraries whose versions are printed.
func modules() []string {
	return []string{
		"github.com/regionjwt/regionjwt", "github.com/golang-jwt/jwt/v5", "github.com/MicahParks/keyfunc/v3",
		"github.com/MicahParks/jwkset", "github.com/go-jose/go-jose/v4", "github.com/coreos/go-oidc/v3",
		"github.com/zitadel/oidc/v3", "github.com/auth0/go-jwt-middleware/v3", "github.com/hashicorp/cap",
		"github.com/stacklok/toolhive-core", "github.com/lestrrat-go/jwx/v2", "github.com/lestrrat-go/jwx/v3",
	}
}

// circumstances is what has to be known to read the figures.
type circumstances struct {
	date, command, machine string
	runs                   int
	versions               []string
}

func describe(ctx context.Context, o options, r results) (circumstances, error) {
	c := circumstances{
		date: time.Now().UTC().Format(time.DateOnly), command: o.command(), runs: r.runs,
		machine: fmt.Sprintf("%s, %d cores, %s %s/%s", or(r.cpu, "unknown processor"), runtime.NumCPU(), runtime.Version(),
			runtime.GOOS, runtime.GOARCH),
	}
	if o.from != "" {
		c.command = "of " + o.from
	}
	const format = "{{.Path}} {{if .Replace}}of this repository{{else}}{{.Version}}{{end}}"
	args := append([]string{"list", "-m", "-f", format}, modules()...)
	out, err := exec.CommandContext(ctx, "go", args...).Output() //nolint:gosec // a fixed list
	if err != nil {
		return c, fmt.Errorf("go list -m: %w", err)
	}
	c.versions = strings.Split(strings.TrimSpace(string(out)), "\n")
	return c, nil
}

// document writes everything as Markdown.
func (c circumstances) document(r results) string {
	var b strings.Builder
	b.WriteString("# Speed, side by side\n\n" +
		"Written by `go run ./report -write RESULTS.md`; see [README.md](README.md#speed) for how to read it.\n\n" +
		"## Goals\n\n| what | goal | measured | met? |\n|---|---|---|---|\n")
	for _, g := range goals() {
		measured, met := g.judge(r)
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.what, g.goal, measured, met)
	}
	b.WriteString("\n## Tables\n")
	for _, t := range tables() {
		b.WriteString("\n" + t.markdown(r))
	}
	fmt.Fprintf(&b, "\n## Circumstances\n\n- %s\n- %s\n- `%s`, %d runs: the figures are medians over them\n",
		c.date, c.machine, c.command, c.runs)
	for _, v := range c.versions {
		b.WriteString("- " + v + "\n")
	}
	return b.String()
}
