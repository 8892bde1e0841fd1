// Doors measures what regionjwt serve adds to each request behind a proxy: against a bare ext_authz server, which admits
// everything, a bare forward-auth server, and oauth2-proxy, which also verifies bearer tokens. All run as processes of their own,
// one after the other in rounds, under the same load.
//
//	go run ./doors                                        # three rounds of 2 s
//	go run ./doors -oauth2-proxy ~/go/bin/oauth2-proxy    # with github.com/oauth2-proxy/oauth2-proxy/v7
//	go run ./doors -minutes 10                            # then load for ten minutes, and the memory at each minute
//
// Only ratios of one run mean something.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if len(os.Args) == 3 && os.Args[1] == "bare" {
		err = runBare(ctx, os.Args[2])
	} else {
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "doors:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	rounds, clients int
	each            time.Duration
	minutes         float64
	other           string
}

// run measures as args say.
func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("doors", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 3, "how often each server is measured")
	flags.IntVar(&o.clients, "clients", 16, "requests at a time")
	flags.DurationVar(&o.each, "each", 2*time.Second, "the time of a measurement")
	flags.Float64Var(&o.minutes, "minutes", 0, "minutes of load afterwards, with the memory at each minute")
	flags.StringVar(&o.other, "oauth2-proxy", "", "the program oauth2-proxy")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "doors")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w, err := newWorld(ctx, dir, o.other)
	if err != nil {
		return err
	}
	defer w.close()
	results := map[string][]result{}
	for round := range o.rounds {
		for i := range w.subjects { // another order each round
			s := w.subjects[(i+round)%len(w.subjects)]
			r, err := measure(ctx, s, o.clients, o.each)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			results[s.name] = append(results[s.name], r)
		}
	}
	if err := table(out, w.subjects, results); err != nil {
		return err
	}
	return soak(ctx, out, w, o)
}

// result is a measurement.
type result struct {
	rate     float64 // requests a second
	p50, p99 time.Duration
}

// middle is the median of a quantity of several results.
func middle(all []result, of func(result) float64) float64 {
	values := make([]float64, 0, len(all))
	for _, r := range all {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// table writes the medians, and the ratios to the bare server of the same protocol.
func table(out io.Writer, subjects []*subject, results map[string][]result) error {
	rate := func(r result) float64 { return r.rate }
	p50 := func(r result) float64 { return float64(r.p50) }
	p99 := func(r result) float64 { return float64(r.p99) }
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "server\trequests/s\tof bare\tp50 added\tp99 added")
	for _, s := range subjects {
		own, bare := results[s.name], results[s.bare]
		added := func(of func(result) float64) time.Duration {
			return time.Duration(middle(own, of) - middle(bare, of)).Round(time.Microsecond)
		}
		_, _ = fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%v\t%v\n",
			s.name, middle(own, rate), middle(own, rate)/middle(bare, rate), added(p50), added(p99))
	}
	return w.Flush()
}

// soak loads regionjwt serve, and writes its memory at each minute.
func soak(ctx context.Context, out io.Writer, w *world, o options) error {
	if o.minutes <= 0 {
		return nil
	}
	_, _ = fmt.Fprintln(out, "\nminute  requests  resident MiB")
	total := 0.0
	for minute := 1; float64(minute) <= o.minutes; minute++ {
		for _, s := range w.subjects {
			if !strings.HasPrefix(s.name, "regionjwt") {
				continue
			}
			each := time.Minute / time.Duration(w.ours)
			r, err := measure(ctx, s, o.clients, each)
			if err != nil {
				return err
			}
			total += r.rate * each.Seconds()
		}
		mib, err := resident(w.serve.Process.Pid)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "%6d  %8.0f  %12.1f\n", minute, total, mib)
	}
	return nil
}

// resident returns the memory of a process in MiB.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return 0, err
	}
	var size, pages float64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0, err
	}
	return pages * float64(os.Getpagesize()) / (1 << 20), nil
}
