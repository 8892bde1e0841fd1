package statuspage

import (
	"strconv"
	"strings"
	"time"
)

// report is what one reporter says about a region: a line of failover.RegionStatus.Reports.
type report struct {
	Reporter            string
	Health              string
	Failures, Successes int
	Last                time.Time
}

// reportOf reads a line. What it cannot read is left out.
func reportOf(line string) report {
	colon := strings.LastIndex(line, ": ")
	if colon < 0 {
		return report{Reporter: line}
	}
	r := report{Reporter: line[:colon]}
	for i, part := range strings.Split(line[colon+len(": "):], ", ") {
		number, _, _ := strings.Cut(part, " ")
		switch i {
		case 0:
			r.Health = part
		case 1:
			r.Failures, _ = strconv.Atoi(number)
		case 2:
			r.Successes, _ = strconv.Atoi(number)
		case 3:
			r.Last, _ = time.Parse(time.RFC3339, part)
		}
	}
	return r
}
