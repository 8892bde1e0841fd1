// Soak runs a real service over HTTP and gRPC, with two real issuers in processes of their own, under load and with faults at
// random, and judges every answer: the driver knows of each token whether it is good.
//
//	go run .                         # a minute
//	go run . -minutes 10 -write      # ten, and RESULTS.md and soak.svg
//	go run . -seed 42                # the same faults, keys and choices at the same times
//
// It exits with status 1 where an answer was wrong, or the service grew. Nothing but the loopback interface is used, and every
// process ends with this one. It is made for Linux, where the kernel tells of memory, processors and files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "issuer":
		err = runIssuer(ctx, os.Stdin, os.Stdout)
	case len(os.Args) == 2 && os.Args[1] == "service":
		err = runService(ctx, os.Stdin, os.Stdout)
	default:
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	minutes float64
	rate    int
	seed    uint64
	write   bool
	note    string
}

func (o options) duration() time.Duration { return time.Duration(o.minutes * float64(time.Minute)) }

var errWrong = errors.New("there were wrong answers, growth or trouble: see above")

// run soaks as args say, and reports.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.Float64Var(&o.minutes, "minutes", 1, "how long the load lasts, at least 0.25")
	flags.IntVar(&o.rate, "rate", 7000, "calls a second, beside streams")
	flags.Uint64Var(&o.seed, "seed", 0, "of everything that is left to chance; 0 means any")
	flags.BoolVar(&o.write, "write", false, "write RESULTS.md and soak.svg")
	flags.StringVar(&o.note, "note", "", "a `line` for the circumstances in RESULTS.md")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.minutes < 0.25 || o.rate < 1 || flags.NArg() > 0 {
		return errors.New("at least 0.25 minutes and 1 call a second, and no arguments")
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano() % 1_000_000)
	}
	if _, err := fmt.Fprintf(progress, "seed %d, %v\n", o.seed, o.duration()); err != nil {
		return err
	}
	r, err := soak(ctx, o, progress)
	if err != nil {
		return err
	}
	if err := r.table(out); err != nil {
		return err
	}
	if o.write {
		if err := r.write(); err != nil {
			return err
		}
	}
	if r.failed() {
		return errWrong
	}
	return nil
}

// soak starts everything, and returns what came of it.
func soak(ctx context.Context, o options, progress io.Writer) (*report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := newWorld(ctx, o)
	if err != nil {
		return nil, err
	}
	defer w.close()
	w.stats = newStats(max(time.Second, o.duration()/120))
	w.began = w.stats.began
	var samples []sample
	loading, unload := context.WithCancel(ctx)
	var parts sync.WaitGroup
	for _, part := range []func(){
		func() { w.probe.run(loading) },
		func() { w.revoke(loading) },
		func() { samples = w.sample(loading) },
		func() { w.tell(loading, progress) },
		func() {
			if err := w.load(loading); err != nil {
				w.stats.trouble(err)
			}
		},
	} {
		parts.Go(part)
	}
	for _, r := range w.regions {
		parts.Go(func() { r.run(loading) })
	}
	errPlay := w.play(ctx)
	unload()
	parts.Wait()
	if errPlay != nil {
		return nil, errPlay
	}
	w.slowest.note(w.probe.take())
	w.stats.settle(w.slowest)
	return newReport(w, samples), nil
}

// tell says how it goes, until ctx ends.
func (w *world) tell(ctx context.Context, progress io.Writer) {
	told := 0
	for pause(ctx, 15*time.Second) {
		w.stats.mu.Lock()
		calls := 0
		for _, c := range w.stats.protocols {
			calls += c.calls()
		}
		lines := slices.Concat([]string{fmt.Sprintf("%4.0f s: %d calls", time.Since(w.began).Seconds(), calls)},
			w.stats.details[told:])
		told = len(w.stats.details)
		w.stats.mu.Unlock()
		for _, line := range lines {
			_, _ = fmt.Fprintln(progress, line)
		}
	}
}
