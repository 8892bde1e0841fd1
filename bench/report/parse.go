package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// results holds what benchmarks have reported: by name and unit, a value for each run.
type results struct {
	names  []string // in the order of the output, without "Benchmark" and the number of cores
	values map[string]map[string][]float64
	cpu    string
	runs   int // of the benchmark that ran most often
}

var cores = regexp.MustCompile(`-\d+$`)

// parse reads the output of go test -bench.
func parse(in io.Reader) (results, error) {
	r := results{values: map[string]map[string][]float64{}}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		if cpu, ok := strings.CutPrefix(line, "cpu: "); ok {
			r.cpu = cpu
		}
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		if _, err := strconv.Atoi(fields[1]); err != nil {
			continue
		}
		if err := r.add(cores.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), ""), fields[2:]); err != nil {
			return r, fmt.Errorf("%q: %w", line, err)
		}
	}
	return r, lines.Err()
}

// add takes in the pairs of value and unit that one run has reported.
func (r *results) add(name string, pairs []string) error {
	units := r.values[name]
	if units == nil {
		units = map[string][]float64{}
		r.values[name] = units
		r.names = append(r.names, name)
	}
	for pair := range slices.Chunk(pairs, 2) {
		if len(pair) < 2 {
			return fmt.Errorf("%q has no unit", pair[0])
		}
		v, err := strconv.ParseFloat(pair[0], 64)
		if err != nil {
			return err
		}
		units[pair[1]] = append(units[pair[1]], v)
		r.runs = max(r.runs, len(units[pair[1]]))
	}
	return nil
}

// median returns the median over the runs; false where the value was not measured.
func (r results) median(name, unit string) (float64, bool) {
	values := r.values[name][unit]
	if len(values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[half-1] + sorted[half]) / 2, true
	}
	return sorted[half], true
}

// spread returns how far the runs lie from their median, at most, as a share of it.
func (r results) spread(name, unit string) float64 {
	m, ok := r.median(name, unit)
	if !ok || m == 0 {
		return 0
	}
	values := r.values[name][unit]
	return max(slices.Max(values)-m, m-slices.Min(values)) / max(m, -m)
}

// under returns the last parts of the names that begin with prefix and have one more part, in the order of the output.
func (r results) under(prefix string) (last []string) {
	for _, name := range r.names {
		if rest, ok := strings.CutPrefix(name, prefix+"/"); ok && !strings.Contains(rest, "/") {
			last = append(last, rest)
		}
	}
	return last
}
