// Release holds the checks of a release that the go command alone does not make. It runs in the root of the tree.
//
//	go run ./internal/release api           the exported API is what api/ lists; -write writes the list
//	go run ./internal/release examples      every package has its doc, documented names, and an Example with output
//	go run ./internal/release oldest        modules work with the Go version and the dependencies that go.mod names
//	go run ./internal/release newest        and with the newest dependencies there are
//	go run ./internal/release modules       who gets a module by its path gets something that builds
//	go run ./internal/release reproducible  module zips are the same each time; their hashes
//	go run ./internal/release prepare       edits every go.mod for the commit that is tagged -version
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// check is one subcommand.
type check func(ctx context.Context, t *tree, o options) error

// options are the flags that subcommands share.
type options struct {
	write   bool   // write the list instead of comparing
	version string // that is released
	only    string // directory of the one module to look at; "" is all of them
	out     io.Writer
}

var checks = map[string]check{
	"api":          api,
	"examples":     examples,
	"modules":      usable,
	"newest":       newest,
	"oldest":       oldest,
	"prepare":      prepareTree,
	"reproducible": reproducible,
}

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	name := "?"
	if len(args) > 0 {
		name = args[0]
	}
	c, ok := checks[name]
	if !ok {
		return fmt.Errorf("%q is none of: %s", name, strings.Join(sortedKeys(checks), ", "))
	}
	o := options{out: out}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.BoolVar(&o.write, "write", false, "write the list that the check compares with")
	flags.StringVar(&o.version, "version", "", "the version that is prepared, such as v0.1.0")
	flags.StringVar(&o.only, "module", "", "the directory of the only module to look at; all of them where empty")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	t, err := open(ctx, ".")
	if err != nil {
		return err
	}
	return c(ctx, t, o)
}

// errFound ends a check that has printed what it found.
var errFound = errors.New("not as it should be: see above")

// tool runs a command in dir with env added to the environment, and returns its standard output. Its error holds what the
// command said.
func tool(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the go command and git, on this tree
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Env = append(cmd.Env, env...)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if args[0] == "test" { // which says on its standard output what has failed
			said.WriteString(out.String())
		}
		return "", fmt.Errorf("%s %s in %s: %w\n%s", name, strings.Join(args, " "), dir, err, said.String())
	}
	return out.String(), nil
}

// target has lists say the same wherever they are made.
var target = []string{"GOOS=linux", "GOARCH=amd64"}

// lines splits the output of a command.
func lines(out string) []string {
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// difference lists what only one of two texts has, by line: "- " before what is gone, "+ " before what is new.
func difference(before, after string) []string {
	var found []string
	old, now := map[string]bool{}, map[string]bool{}
	for l := range strings.SplitSeq(before, "\n") {
		old[l] = true
	}
	for l := range strings.SplitSeq(after, "\n") {
		now[l] = true
		if !old[l] {
			found = append(found, "+ "+l)
		}
	}
	for l := range strings.SplitSeq(before, "\n") {
		if !now[l] {
			found = append(found, "- "+l)
		}
	}
	if len(found) == 0 && before != after {
		found = append(found, "  the same lines in another order, or not as often")
	}
	return found
}

// compare compares a committed list with what was found, or writes it.
func (o options) compare(t *tree, name, now string) error {
	if o.write {
		return t.write(name, now)
	}
	before, err := t.read(name)
	if err != nil {
		return err
	}
	found := difference(before, now)
	for _, l := range found {
		_, _ = fmt.Fprintln(o.out, name+":", l)
	}
	if len(found) > 0 {
		return errFound
	}
	return nil
}
