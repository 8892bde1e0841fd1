// Report runs the speed benchmarks and prints what they measured: the goals, the full tables, and the machine.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// options is what the command was asked for.
type options struct {
	bench, benchtime, cpu string
	count                 int
	million               bool
	from, write           string
}

func parseOptions(args []string, progress io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.StringVar(&o.bench, "bench", ".", "run the benchmarks that match this `regexp`; the others are not measured")
	flags.StringVar(&o.benchtime, "benchtime", "0.5s", "`time` for each run of a benchmark")
	flags.IntVar(&o.count, "count", 6, "`runs` of each benchmark")
	flags.StringVar(&o.cpu, "cpu", "2", "GOMAXPROCS, one `number`")
	flags.BoolVar(&o.million, "million", false, "measure the cache with a million tokens as well: takes minutes and 4 GB")
	flags.StringVar(&o.from, "from", "", "read the output of go test from this `file`, and run nothing")
	flags.StringVar(&o.write, "write", "", "write the report to this `file` as well")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if _, err := strconv.ParseUint(o.cpu, 10, 8); err != nil {
		return o, fmt.Errorf("-cpu %q is not one number", o.cpu)
	}
	if o.count < 1 {
		return o, fmt.Errorf("-count %d is not positive", o.count)
	}
	return o, nil
}

// run measures, or reads what was measured, and writes the report.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parseOptions(args, progress)
	if err != nil {
		return err
	}
	var output []byte
	if o.from != "" {
		output, err = os.ReadFile(o.from)
	} else {
		output, err = o.measure(ctx, progress)
	}
	if err != nil {
		return err
	}
	r, err := parse(bytes.NewReader(output))
	if err != nil {
		return err
	}
	if len(r.names) == 0 {
		return fmt.Errorf("nothing was measured by %s", o.command())
	}
	m, err := describe(ctx, o, r)
	if err != nil {
		return err
	}
	document := m.document(r)
	if o.write != "" {
		if err := os.WriteFile(o.write, []byte(document), 0o600); err != nil { //nolint:gosec // the file that the user named
			return err
		}
	}
	_, err = io.WriteString(out, document)
	return err
}

func (o options) arguments() []string {
	return []string{
		"test", "-run", "^$", "-bench", o.bench, "-benchtime", o.benchtime, "-count", strconv.Itoa(o.count), "-cpu", o.cpu,
		"-timeout", "0", "./speed",
	}
}

// command is what is run, for a shell.
func (o options) command() string {
	quoted := make([]string, 0, len(o.arguments())+1)
	if o.million {
		quoted = append(quoted, "BENCH_MILLION=1")
	}
	quoted = append(quoted, "go")
	for _, a := range o.arguments() {
		if strings.ContainsAny(a, "^$*?|()[] ") {
			a = "'" + a + "'"
		}
		quoted = append(quoted, a)
	}
	return strings.Join(quoted, " ")
}

// measure runs the benchmarks and returns their output, which goes to progress as it comes.
func (o options) measure(ctx context.Context, progress io.Writer) ([]byte, error) {
	var output bytes.Buffer
	c := exec.CommandContext(ctx, "go", o.arguments()...) //nolint:gosec // what the user asked for
	c.Env = os.Environ()
	if o.million {
		c.Env = append(c.Env, "BENCH_MILLION=1")
	}
	c.Stdout, c.Stderr = io.MultiWriter(&output, progress), progress
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", o.command(), err)
	}
	return output.Bytes(), nil
}
