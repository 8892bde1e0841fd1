package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// held are the dependencies that newest leaves at a version, and why.
var held = map[string]struct{ version, reason string }{}

// needs are programs without which the tests of a module are only compiled.
var needs = map[string]string{"cmd/regionjwt": "redis-server", "store/redisstore": "redis-server"}

// asCommitted are tests that compare with the versions that are committed: newer ones have them fail.
const asCommitted = "^TestModuleGraph$"

// test builds a module and runs its short tests, except those of a name that skip matches.
func (t *tree) test(ctx context.Context, m *module, env []string, skip string, o options) error {
	if _, err := tool(ctx, t.at(m), env, "go", "build", "./..."); err != nil {
		return err
	}
	args := []string{"test", "-short", "-shuffle=on", "-skip=" + skip, "./..."}
	if program := needs[m.dir]; program != "" {
		if _, err := exec.LookPath(program); err != nil {
			_, _ = fmt.Fprintf(o.out, "%s: its tests are compiled only, for there is no %s\n", m.path, program)
			args = []string{"test", "-run=^$", "./..."}
		}
	}
	_, err := tool(ctx, t.at(m), env, "go", args...)
	return err
}

// oldest tests each published module with the Go version of its go line, and looks that the versions it requires are those it
// is built with: no user can have older ones.
func oldest(ctx context.Context, t *tree, o options) error {
	list, err := t.chosen(o)
	if err != nil {
		return err
	}
	var failed error
	for _, m := range list {
		env := []string{"GOTOOLCHAIN=go" + m.goLine, "GOFLAGS=-mod=readonly -buildvcs=false"}
		if err := t.selected(ctx, m, env); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if err := t.test(ctx, m, env, "", o); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s with go%s: %w", m.path, m.goLine, err))
			continue
		}
		_, _ = fmt.Fprintf(o.out, "%s: works with go%s and %d required versions\n", m.path, m.goLine, len(m.requires))
	}
	return failed
}

// selected reports whether a module is built with the very versions that its go.mod requires.
func (t *tree) selected(ctx context.Context, m *module, env []string) error {
	if len(m.requires) == 0 {
		return nil
	}
	args := append([]string{"list", "-m", "-f", "{{.Path}} {{.Version}}"}, sortedKeys(m.requires)...)
	out, err := tool(ctx, t.at(m), env, "go", args...)
	if err != nil {
		return err
	}
	var wrong []string
	for _, l := range lines(out) {
		p, version, _ := strings.Cut(l, " ")
		if m.requires[p] != version {
			wrong = append(wrong, fmt.Sprintf("go.mod requires %s %s, but %s is built", p, m.requires[p], version))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s: %s", m.path, strings.Join(wrong, "; "))
	}
	return nil
}

// newest tests a copy of each published module with the newest versions of its dependencies.
func newest(ctx context.Context, t *tree, o options) error {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c, err := t.copyTo(filepath.Join(dir, "tree"))
	if err != nil {
		return err
	}
	list, err := c.chosen(o)
	if err != nil {
		return err
	}
	env := []string{"GOFLAGS=-mod=mod -buildvcs=false"}
	var failed error
	for _, m := range list {
		if err := c.renew(ctx, m, env, o); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s with its newest dependencies: %w", m.path, err))
			continue
		}
		if err := c.test(ctx, m, env, asCommitted, o); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s with its newest dependencies: %w", m.path, err))
			continue
		}
		_, _ = fmt.Fprintf(o.out, "%s: works with its newest dependencies\n", m.path)
	}
	return failed
}

// renew lifts the dependencies of a module, and tells what has moved.
func (t *tree) renew(ctx context.Context, m *module, env []string, o options) error {
	get := []string{"get"}
	for _, p := range sortedKeys(m.requires) {
		if h, ok := held[p]; ok {
			get = append(get, p+"@"+h.version)
			_, _ = fmt.Fprintf(o.out, "%s: %s stays at %s: %s\n", m.path, p, h.version, h.reason)
		} else if !slices.Contains(m.own(), p) {
			get = append(get, p+"@upgrade")
		}
	}
	for _, args := range [][]string{get, {"mod", "tidy"}} {
		if _, err := tool(ctx, t.at(m), env, "go", args...); err != nil {
			return err
		}
	}
	text, err := t.read(filepath.ToSlash(filepath.Join(m.dir, "go.mod")))
	if err != nil {
		return err
	}
	now := parseMod(text)
	if now.goLine != m.goLine {
		_, _ = fmt.Fprintf(o.out, "%s: the newest dependencies need go %s; go.mod says %s\n", m.path, now.goLine, m.goLine)
	}
	for _, p := range sortedKeys(now.requires) {
		if before := m.requires[p]; before != "" && before != now.requires[p] && !slices.Contains(m.own(), p) {
			_, _ = fmt.Fprintf(o.out, "%s: %s %s -> %s\n", m.path, p, before, now.requires[p])
		}
	}
	return nil
}
