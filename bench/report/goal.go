package main

import (
	"fmt"
	"strings"
)

// goal is a row of the first table.
type goal struct {
	what, goal string
	checks     []check
}

// check compares one value with its limit.
type check struct {
	label    string
	value    value
	format   func(float64) string
	limit    float64
	atLeast  bool // the limit is a lower one
	twoCores bool // means nothing where other work held the second core
	informs  bool // has no limit
}

// value takes a value out of the results; false where it was not measured.
type value func(results) (float64, bool)

// metric is what a benchmark has reported.
func metric(name, unit string) value {
	return func(r results) (float64, bool) { return r.median(name, unit) }
}

// quotient is one metric by another of the same unit.
func quotient(name, by, unit string) value {
	return func(r results) (float64, bool) {
		a, okA := r.median(name, unit)
		b, okB := r.median(by, unit)
		if !okA || !okB || b == 0 {
			return 0, false
		}
		return a / b, true
	}
}

// difference is one metric less another of the same unit.
func difference(name, less, unit string) value {
	return func(r results) (float64, bool) {
		a, okA := r.median(name, unit)
		b, okB := r.median(less, unit)
		return a - b, okA && okB
	}
}

// judge returns what was measured, and whether it meets the goal.
func (g goal) judge(r results) (measured, met string) {
	texts := make([]string, 0, len(g.checks))
	var missed []string
	complete := true
	for _, c := range g.checks {
		text := "not measured"
		v, ok := c.value(r)
		if ok {
			text = c.format(v)
			missed = append(missed, c.miss(v, r)...)
			if c.twoCores && !secondCore(r) {
				ok = false
				text += " (other work held the second core)"
			}
		}
		complete = complete && (ok || c.informs)
		texts = append(texts, strings.TrimSpace(c.label+" "+text))
	}
	measured = strings.Join(texts, "; ")
	switch {
	case len(missed) == 1 && len(g.checks) == 1:
		return measured, "**no**"
	case len(missed) > 0:
		return measured, "**no**: " + strings.Join(missed, ", ")
	case !complete:
		return measured, "–"
	}
	return measured, "yes"
}

// miss returns what is missed by v, if anything.
func (c check) miss(v float64, r results) []string {
	within := v <= c.limit
	if c.atLeast {
		within = v >= c.limit
	}
	if within || c.informs || c.twoCores && !secondCore(r) {
		return nil
	}
	return []string{or(c.label, "it")}
}

// secondCore reports whether a second core was to be had: the raw check, which shares nothing, ran faster on two.
func secondCore(r results) bool {
	v, ok := r.median("Fast/10k/two-cores", "x-one-core-raw")
	return !ok || v >= 1.9
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// Formats of values.

func ratio(v float64) string     { return fmt.Sprintf("%.3f", v) }
func times(v float64) string     { return fmt.Sprintf("%.2f x", v) }
func micros(v float64) string    { return fmt.Sprintf("%.1f us", v) }
func nanos(v float64) string     { return fmt.Sprintf("%.0f ns", v) }
func millis(v float64) string    { return fmt.Sprintf("%.0f ms", v) }
func count(v float64) string     { return fmt.Sprintf("%.0f", v) }
func byteCount(v float64) string { return fmt.Sprintf("%.0f B", v) }
func mega(v float64) string      { return fmt.Sprintf("%.1f MB", v) }
func kilo(v float64) string      { return fmt.Sprintf("%.1f KB", v/1e3) }

// share is a ratio far below 1, as a fraction.
func share(v float64) string {
	if v <= 0 {
		return "0"
	}
	return fmt.Sprintf("1/%.0f", 1/v)
}
