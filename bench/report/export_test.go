package main

// What the tests look at.
var (
	Run   = run
	Parse = parse
)

// Median is that of the results.
func (r results) Median(name, unit string) (float64, bool) { return r.median(name, unit) }

// Spread is that of the results.
func (r results) Spread(name, unit string) float64 { return r.spread(name, unit) }

// Names lists the benchmarks.
func (r results) Names() []string { return r.names }
