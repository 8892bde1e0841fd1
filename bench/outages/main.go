// Outages plays outages and hostile traffic against JWT libraries, side by side, and prints a table of what was measured.
//
// Every library talks to HTTP servers of its own on 127.0.0.1. Nothing else is on the network, and everything ends by
// itself within about three minutes.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "outages:", err)
		os.Exit(1)
	}
}

// run plays what args ask for.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("outages", flag.ContinueOnError)
	flags.SetOutput(progress)
	asJSON := flags.Bool("json", false, "print JSON")
	write := flags.String("write", "", "write the table with versions and machine to this `file` as well")
	onlyLibraries := flags.String("libraries", "", "comma-separated `names` of the libraries; empty means all")
	onlyScenarios := flags.String("scenarios", "", "comma-separated `ids` of the scenarios; empty means all")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ls, err := pick(peers.All(), *onlyLibraries, func(l peers.Library) string { return l.Name })
	if err != nil {
		return err
	}
	scs, err := pick(scenarios(), *onlyScenarios, func(s scenario) string { return s.id })
	if err != nil {
		return err
	}
	if _, err := ring(); err != nil {
		return err
	}
	r := newReport(ls)
	r.Rows = measure(ctx, ls, scs, progress)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if *write != "" {
		var doc bytes.Buffer
		if err := r.document(&doc); err != nil {
			return err
		}
		if err := os.WriteFile(*write, doc.Bytes(), 0o600); err != nil {
			return err
		}
	}
	if *asJSON {
		return r.json(out)
	}
	return r.table(out)
}

// pick returns the elements of all that names lists, or all.
func pick[T any](all []T, names string, name func(T) string) ([]T, error) {
	if names == "" {
		return all, nil
	}
	var picked []T
	for n := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(e T) bool { return name(e) == n })
		if i < 0 {
			return nil, errors.New("there is no " + n)
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

// measure plays every scenario with every library: the libraries beside one another, the scenarios of a library one
// after the other, and those that measure the process itself at the end, alone.
func measure(ctx context.Context, ls []peers.Library, scs []scenario, progress io.Writer) []row {
	rows := make([]row, len(scs))
	for i, s := range scs {
		rows[i] = row{s.id, s.title, map[string]string{}}
	}
	var mu sync.Mutex
	play := func(i int, l peers.Library) {
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		cell := strings.Join(strings.Fields(scs[i].play(l)), " ")
		mu.Lock()
		defer mu.Unlock()
		rows[i].Cells[l.Name] = cell
		_, _ = fmt.Fprintf(progress, "%-12s %-12s %5.1f s  %s\n", l.Name, scs[i].id, time.Since(began).Seconds(), cell)
	}
	var wg sync.WaitGroup
	for _, l := range ls {
		wg.Go(func() {
			for i, s := range scs {
				if !s.alone {
					play(i, l)
				}
			}
		})
	}
	wg.Wait()
	for i, s := range scs {
		for _, l := range ls {
			if s.alone {
				play(i, l)
			}
		}
	}
	return rows
}
