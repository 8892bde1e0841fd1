package statuspage

import (
	"strings"
	"time"
)

// report is what one reporter says about a region: a line of failover.RegionStatus.Reports.
type report struct {
	Reporter string
	View     string
	Last     time.Time
}

// reportOf reads a line. What it cannot read is left out.
func reportOf(line string) report {
	colon := strings.LastIndex(line, ": ")
	if colon < 0 {
		return report{Reporter: line}
	}
	r := report{Reporter: line[:colon], View: line[colon+len(": "):]}
	if before, last, found := strings.Cut(r.View, ", last "); found {
		r.View = before
		r.Last, _ = time.Parse(time.RFC3339, last)
	}
	return r
}
