package statuspage

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// words are the functions of the template.
var words = template.FuncMap{
	"long":   long,
	"stamp":  func(t time.Time) string { return t.Format("2006-01-02 15:04:05 UTC") },
	"say":    say,
	"plural": plural,
	"source": func(s string) string {
		if s == "" {
			return "reports"
		}
		return s
	},
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

// say says for people what a label says to machines.
func say(label string) string {
	if s := sentences[label]; s != "" {
		return s
	}
	return strings.ReplaceAll(label, "_", " ")
}

var sentences = map[string]string{
	notReady:        "no region has usable keys",
	regionUnhealthy: "a region is unhealthy",
	fetchFailing:    "fetching keys fails",
	ordersUnknown:   "not known what operators have ordered",
	storeTrouble:    "trouble with the store of orders",

	byEvidence: "by the evidence of the controller",
	byKeys:     "by how fetches of its keys went",
	byNothing:  "nothing is known yet",

	"fresh":   "fresh",
	"stale":   "stale: its refresh is overdue",
	"expired": "expired: its keys are not used",
	"empty":   "no good answer yet",

	"unreachable":   "the store does not answer",
	"not_authentic": "the store has a document that none who may has written",
	"malformed":     "the store has a document that cannot be read",
	"wiped":         "the store has lost its document",
	"behind":        "the store was rolled back",
}
