// Conformance drives verifiers through the corpus in the directory conformance of the repository, and says what each does wrong.
//
// A verifier is driven through an adapter, a small HTTP server: see conformance/README.md. Everything is on 127.0.0.1.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
	"github.com/regionjwt/regionjwt/internal/conformance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// options is what the command line asks for.
type options struct {
	adapters []adapter
	corpus   string
	only     string
	known    []string // IDs that may go wrong
	write    string
	asJSON   bool
	verbose  bool
	workers  int // of each adapter
	parallel int // adapters
	every    int
}

var (
	errWrong   = errors.New("a verifier did something wrong")
	errNothing = errors.New("no case or story was run: -only must be the beginning of an ID")
)

// run does what args ask for.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 2 && args[0] == "serve" {
		return serveLibrary(ctx, args[1])
	}
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	corpus, err := conformance.Load(o.corpus)
	if err != nil {
		return err
	}
	results, failed := judgeAll(ctx, corpus, o, progress)
	if o.write != "" {
		text := []byte(document(corpus, results))
		if err := os.WriteFile(o.write, text, 0o600); err != nil {
			return err
		}
	}
	if o.asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(results)
	} else {
		_, err = io.WriteString(out, table(results)+failures(results))
	}
	if err == nil && len(results) == 1 {
		err = results[0].verdict(o.known)
	}
	return errors.Join(failed, err)
}

// verdict returns an error if something went wrong that is not known, or if nothing was run. Several adapters are compared, and
// have no verdict.
func (r *result) verdict(known []string) error {
	if r.Cases+r.Stories+len(r.Skipped) == 0 {
		return errNothing
	}
	var unknown []string
	for _, f := range r.Failures {
		if !slices.Contains(known, f.ID) && !slices.Contains(unknown, f.ID) {
			unknown = append(unknown, f.ID)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("%w: %d of the cases and stories, beginning with %s", errWrong, len(unknown), unknown[0])
	}
	return nil
}

// judgeAll runs the adapters, some of them beside one another. One that cannot be run has no result.
func judgeAll(ctx context.Context, corpus *conformance.Corpus, o options, progress io.Writer) ([]result, error) {
	results, errs := make([]result, len(o.adapters)), make([]error, len(o.adapters))
	var wg sync.WaitGroup
	var mu sync.Mutex // guards progress
	slots := make(chan struct{}, max(1, o.parallel))
	for i, a := range o.adapters {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var text bytes.Buffer
			if results[i], errs[i] = a.judge(ctx, corpus, o, &text); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", a.Name, errs[i])
			}
			mu.Lock()
			defer mu.Unlock()
			_, _ = progress.Write(text.Bytes())
		})
	}
	wg.Wait()
	results = slices.DeleteFunc(results, func(r result) bool { return r.Adapter == "" })
	return results, errors.Join(errs...)
}

func parse(args []string, progress io.Writer) (options, error) {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(progress)
	var o options
	names := flags.String("adapter", "", "comma-separated `names` of the adapters that are run")
	all := flags.Bool("all", false, "run every adapter")
	local := flags.String("local", "", "the `name` of a Go library that is run in this process")
	url := flags.String("url", "", "the `URL` of an adapter that runs already")
	flags.StringVar(&o.corpus, "corpus", "../conformance", "the `directory` of the corpus")
	flags.StringVar(&o.only, "only", "", "the `prefix` of the IDs of the cases and stories that are run")
	knownFile := flags.String("known", "", "a `file` of IDs, one a line, that may go wrong: the status is 1 for others only")
	flags.StringVar(&o.write, "write", "", "write the table and the failing IDs to this `file` as well")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	flags.BoolVar(&o.verbose, "v", false, "print what each adapter answered where it was wrong")
	flags.IntVar(&o.workers, "workers", 4, "how many stories run at once, each with a process of the adapter")
	flags.IntVar(&o.every, "every", 1, "run every n-th case only, for a look")
	flags.IntVar(&o.parallel, "parallel", 3, "how many adapters are run at once")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *knownFile != "" {
		text, err := os.ReadFile(*knownFile)
		if err != nil {
			return o, err
		}
		o.known = strings.Fields(string(text))
	}
	known := adapters()
	switch {
	case *url != "":
		o.adapters, o.workers = []adapter{{Name: *url, url: strings.TrimSuffix(*url, "/")}}, 1
	case *local != "":
		i := slices.IndexFunc(peers.All(), func(l peers.Library) bool { return l.Name == *local })
		if i < 0 {
			return o, fmt.Errorf("%w %s", errNoAdapter, *local)
		}
		o.adapters = []adapter{{Name: *local, Language: "Go", local: &peers.All()[i]}}
	case *all:
		o.adapters = known
	case *names == "":
		var list []string
		for _, a := range known {
			list = append(list, a.Name)
		}
		return o, fmt.Errorf("%w: -adapter %s, -all or -url", errNoAdapter, strings.Join(list, ","))
	default:
		for name := range strings.SplitSeq(*names, ",") {
			i := slices.IndexFunc(known, func(a adapter) bool { return a.Name == name })
			if i < 0 {
				return o, fmt.Errorf("%w %s", errNoAdapter, name)
			}
			o.adapters = append(o.adapters, known[i])
		}
	}
	return o, nil
}

var errNoAdapter = errors.New("no adapter")
