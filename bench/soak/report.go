package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what came of a run.
type report struct {
	options options
	stats   *stats
	samples []sample
	events  []event
	growth  growth
	late    time.Duration
	began   time.Time
	rotated map[string]int
	fetches map[string]map[string]int
}

func newReport(w *world, samples []sample) *report {
	r := &report{
		options: w.options, stats: w.stats, samples: samples, events: w.events.all, began: w.began,
		growth: grown(samples, w.stats.restartAt, w.options.duration()), rotated: map[string]int{},
		late: w.slowest.worst(w.began, time.Now()),
	}
	for _, region := range w.regions {
		r.rotated[region.name] = region.rotations
	}
	r.fetches = fetchesOf(samples, w.stats.restartAt)
	return r
}

// fetchesOf sums the fetches of both processes of the service.
func fetchesOf(samples []sample, restart time.Time) map[string]map[string]int {
	sum := map[string]map[string]int{}
	add := func(r reading) {
		for region, outcomes := range r.Fetches {
			if sum[region] == nil {
				sum[region] = map[string]int{}
			}
			for what, n := range outcomes {
				sum[region][what] += n
			}
		}
	}
	for i, s := range samples {
		if i == len(samples)-1 || s.at.Before(restart) && samples[i+1].at.After(restart) {
			add(s.reading)
		}
	}
	return sum
}

// failed reports whether the run shows something that must not be.
func (r *report) failed() bool {
	return r.stats.wrongAnswers() > 0 || r.growth.heapGrew || r.growth.routineGrew || len(r.stats.troubles) > 0
}

// table writes the tables as text.
func (r *report) table(out io.Writer) error {
	var text strings.Builder
	r.summary(&text)
	r.kinds(&text)
	r.minutes(&text)
	r.byMinute(&text)
	r.memory(&text)
	r.network(&text)
	r.complaints(&text)
	_, err := io.WriteString(out, text.String())
	return err
}

func columns(to io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
}

func (r *report) summary(to io.Writer) {
	s := r.stats
	var all cell
	for _, c := range s.minutes {
		all.latency.merge(&c.latency)
		for a, n := range c.answers {
			all.answers[a] += n
		}
	}
	seconds := r.options.duration().Seconds()
	_, _ = fmt.Fprintf(to,
		"%d calls (%.0f/s), %d of them accepted, %d refused, %d could not be told, %d limited, %d had no answer\n",
		all.calls(), float64(all.calls())/seconds, all.answers[accepted], all.answers[refused], all.answers[unavailable],
		all.answers[limited], all.answers[lost])
	_, _ = fmt.Fprintf(to, "%d messages of streams, %d streams ended by the token, %d by the restart\n",
		s.messages, s.ends[refused], s.ends[lost])
	_, _ = fmt.Fprintf(to, "wrong answers: %d\n", s.wrongAnswers())
	_, _ = fmt.Fprintf(to, "%d tokens revoked in use; the last call that did not heed a rule began %v after it was written\n",
		s.revoked, s.slowest.Round(time.Millisecond))
	_, _ = fmt.Fprintf(to, "timers were at most %v late; %d answers are right only because of that\n",
		r.late.Round(time.Millisecond), s.excused)
	_, _ = fmt.Fprintf(to, "%d tokens were refused in a flood because their key was younger than the last answer of the issuer\n",
		s.tooNew)
	for _, v := range slices.Sorted(maps.Keys(s.wrong)) {
		_, _ = fmt.Fprintf(to, "  %d: %s\n", s.wrong[v], v)
	}
}

// quantiles are the columns of latency.
var quantiles = []float64{0.5, 0.9, 0.99, 0.999}

func latencies(c *cell) string {
	if c.latency.count == 0 {
		return "-\t-\t-\t-\t-\t"
	}
	var s strings.Builder
	for _, q := range quantiles {
		_, _ = fmt.Fprintf(&s, "%s\t", ms(c.latency.at(q)))
	}
	return s.String() + ms(c.latency.most) + "\t"
}

// ms writes a duration as milliseconds.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

const head = "calls\taccepted\trefused\tcannot tell\tlimited\tlost\twrong\tp50\tp90\tp99\tp99.9\tmax\t"

func row(to io.Writer, name string, c *cell) {
	_, _ = fmt.Fprintf(to, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", name, c.calls(), c.answers[accepted], c.answers[refused],
		c.answers[unavailable], c.answers[limited], c.answers[lost], c.wrong, latencies(c))
}

func (r *report) kinds(to io.Writer) {
	_, _ = fmt.Fprintln(to, "\nBy kind of token (latency in ms)")
	t := columns(to)
	_, _ = fmt.Fprintln(t, "\t"+head)
	for _, k := range kinds {
		if c := r.stats.kinds[k]; c != nil && k != streamKind {
			row(t, string(k), c)
		}
	}
	_ = t.Flush()
	_, _ = fmt.Fprintln(to, "\nBy protocol (latency in ms; of a stream, to its first message)")
	t = columns(to)
	_, _ = fmt.Fprintln(t, "\t"+head)
	for _, p := range []string{"HTTP", "gRPC", "stream"} {
		if c := r.stats.protocols[p]; c != nil {
			row(t, p, c)
		}
	}
	_ = t.Flush()
}

func (r *report) minutes(to io.Writer) {
	_, _ = fmt.Fprintln(to, "\nBy minute (latency in ms)")
	t := columns(to)
	_, _ = fmt.Fprintln(t, "minute\t"+head)
	for i, c := range r.stats.minutes {
		row(t, strconv.Itoa(i+1), c)
	}
	_ = t.Flush()
}

// byMinute writes p50, p99 and p99.9 by kind and minute.
func (r *report) byMinute(to io.Writer) {
	for _, q := range quantiles {
		_, _ = fmt.Fprintf(to, "\nLatency by kind and minute: p%g, in ms\n", q*100)
		t := columns(to)
		for i := range r.stats.minutes {
			_, _ = fmt.Fprintf(t, "\t%d", i+1)
		}
		_, _ = fmt.Fprintln(t, "\t")
		for _, k := range kinds {
			cells := r.stats.byMinute[k]
			if len(cells) == 0 {
				continue
			}
			_, _ = fmt.Fprint(t, k)
			for i := range r.stats.minutes {
				what := "-"
				if i < len(cells) && cells[i].latency.count > 0 {
					what = ms(cells[i].latency.at(q))
				}
				_, _ = fmt.Fprint(t, "\t", what)
			}
			_, _ = fmt.Fprintln(t, "\t")
		}
		_ = t.Flush()
	}
}

var allowedGrowth = fmt.Sprintf("%.0f %% of the heap and 1 KiB for each new rule, or %d goroutines",
	heapNoise*100, goroutinesNoise)

func (r *report) memory(to io.Writer) {
	g := r.growth
	_, _ = fmt.Fprintln(to, "\nThe service from its restart on: medians of the second and of the last fifth")
	t := columns(to)
	_, _ = fmt.Fprintln(t, "\t2nd fifth\tlast fifth\tchange\t")
	line := func(name, format string, v [2]float64, unit float64) {
		change := "-"
		if v[0] > 0 {
			change = fmt.Sprintf("%+.1f %%", 100*(v[1]/v[0]-1))
		}
		_, _ = fmt.Fprintf(t, "%s\t"+format+"\t"+format+"\t%s\t\n", name, v[0]/unit, v[1]/unit, change)
	}
	line("heap after collection, MiB", "%.2f", g.heap, 1<<20)
	line("resident, MiB", "%.1f", g.resident, 1<<20)
	line("revocation rules", "%.0f", g.rules, 1)
	line("goroutines", "%.0f", g.goroutines, 1)
	line("open files", "%.0f", g.files, 1)
	_ = t.Flush()
	switch {
	case !g.judged:
		_, _ = fmt.Fprintf(to, "growth: not judged, the run is shorter than %v\n", growthAtLeast)
	case g.heapGrew || g.routineGrew:
		_, _ = fmt.Fprintf(to, "growth: YES, more than %s\n", allowedGrowth)
	default:
		_, _ = fmt.Fprintf(to, "growth: none beyond %s\n", allowedGrowth)
	}
}

func (r *report) network(to io.Writer) {
	_, _ = fmt.Fprintln(to, "\nFetches of keys, rotations and faults")
	for _, region := range slices.Sorted(maps.Keys(r.rotated)) {
		counts := map[string]int{}
		for _, e := range r.events {
			if e.where == region {
				counts[e.what]++
			}
		}
		_, _ = fmt.Fprintf(to, "%s: fetches %s; %d rotations; faults %s\n", region, listing(r.fetches[region]), r.rotated[region],
			listing(counts))
	}
	if n := len(r.samples); n > 0 {
		last := r.samples[n-1].reading
		_, _ = fmt.Fprintf(to, "failover: %d moves from the restart on; active at the end: %s\n", last.Moves, last.Active)
		var busy float64
		shares := make([]float64, len(r.samples[n-1].shares))
		for _, s := range r.samples {
			busy += s.busy / float64(n)
			for i, share := range s.shares {
				shares[i] += share / float64(n)
			}
		}
		_, _ = fmt.Fprintf(to, "processors: %.0f %% busy; the driver takes %.0f %%, the service %.0f %%, the issuers %.0f %%\n",
			busy*100, shares[0]*100, shares[1]*100, (shares[2]+shares[3])*100)
	}
}

func listing(counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[what], what))
	}
	return strings.Join(parts, ", ")
}

func (r *report) complaints(to io.Writer) {
	for _, title := range []string{"Wrong answers, the first of them", "What did not work in the soak itself"} {
		lines := r.stats.details
		if title[0] != 'W' || strings.Contains(title, "itself") {
			lines = r.stats.troubles
		}
		if len(lines) > 0 {
			_, _ = fmt.Fprintf(to, "\n%s\n  %s\n", title, strings.Join(lines, "\n  "))
		}
	}
}

// write writes RESULTS.md and soak.svg.
func (r *report) write() error {
	var doc strings.Builder
	_, _ = fmt.Fprintf(&doc, `# Soak

What a real service did for %v under load and faults. [README.md](README.md) says what is run, and what counts as wrong.

![Latency, answers, memory and goroutines over time](soak.svg)

| circumstance | |
|---|---|
| date | %s |
| duration | %v |
| seed | %d |
| machine | %d processors, %s/%s |
| Go | %s |
| load | %d calls a second by %d HTTP and %d gRPC callers, and %d streams |
`, r.options.duration(), r.began.UTC().Format(time.DateOnly), r.options.duration(), r.options.seed, runtime.NumCPU(),
		runtime.GOOS, runtime.GOARCH, runtime.Version(), r.options.rate, httpCallers, grpcCallers, streams)
	if r.options.note != "" {
		_, _ = fmt.Fprintf(&doc, "| beside | %s |\n", r.options.note)
	}
	doc.WriteString("\n```\n")
	if err := r.table(&doc); err != nil {
		return err
	}
	doc.WriteString("```\n")
	if err := os.WriteFile("RESULTS.md", []byte(doc.String()), 0o600); err != nil {
		return err
	}
	return os.WriteFile("soak.svg", []byte(r.chart()), 0o600)
}
