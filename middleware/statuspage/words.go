package statuspage

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
)

// templateFuncs are the functions of the template.
var templateFuncs = template.FuncMap{
	"long":       long,
	"stamp":      func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"rfc3339":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"say":        func(label string) string { return say(sentences, label) },
	"sayOne":     sayOne,
	"sayProblem": func(of, label string) string { return "the " + of + " " + say(problems, label) },
	"plural":     plural,
	"shown":      func(names []string) []string { return shortened(names, maxKeyIDs) },
	"skipped":    skipped,
	"url":        withoutQuery,
}

// skipped writes the first names of keys that are not used, with the reason: "#3 use".
func skipped(names []string) []string {
	all := shortenedSkipped(names, maxKeyIDs)
	for i, text := range all {
		if j := strings.LastIndex(text, ": "); j >= 0 {
			all[i] = text[:j] + " " + text[j+len(": "):]
		}
	}
	return all
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// long writes a duration for people, in its two largest units. A number and its unit stay on one line.
func long(s int64) string {
	const minute, hour, day = 60, 60 * 60, 24 * 60 * 60
	const space = "\u00a0"
	two := func(a int64, unit string, b int64, smaller string) string {
		if b == 0 {
			return fmt.Sprint(a, space, unit)
		}
		return fmt.Sprint(a, space, unit, " ", b, space, smaller)
	}
	switch {
	case s < minute:
		return fmt.Sprint(s, space, "s")
	case s < hour:
		return two(s/minute, "min", s%minute, "s")
	case s < day:
		return two(s/hour, "h", s%hour/minute, "min")
	}
	return two(s/day, "d", s%day/hour, "h")
}

// say writes a label for people.
func say(from map[string]string, label string) string {
	if s := from[label]; s != "" {
		return s
	}
	return strings.ReplaceAll(label, "_", " ")
}

// sayOne writes a problem of a provider with one region, without a word about regions.
func sayOne(problem string) string {
	switch problem {
	case notReady:
		return "no usable keys"
	case regionUnhealthy:
		return label.Unhealthy
	}
	return say(sentences, problem)
}

var sentences = map[string]string{
	notReady:         "no region has usable keys",
	regionUnhealthy:  "a region is unhealthy",
	fetchFailing:     "fetching keys fails",
	keysInconsistent: "JWKS URLs list different keys",
	pinConflict:      "pins of several operators are in conflict",
	pinUnknown:       "it is not known whether an operator pinned a region",
	storeProblem:     "a problem with the store or the local copy of the pin",

	byReports: "by reports to the controller",
	byKeys:    "by the fetches of its keys",
	byNothing: "nothing is known yet",

	label.Fresh:    "fresh",
	label.Stale:    "stale: its refresh is overdue",
	label.Expired:  "expired: its keys are not used",
	label.Empty:    "no good answer yet",
	label.Snapshot: "of a snapshot: it has not answered yet",
}

// problems are those of a store or a local copy.
var problems = map[string]string{
	label.Unavailable:  "does not answer",
	label.Missing:      "has no document",
	label.Lost:         "has lost its document",
	label.RolledBack:   "was rolled back",
	label.NotAuthentic: "has a document that no configured key has signed",
	label.Malformed:    "has a document that cannot be read",
}
