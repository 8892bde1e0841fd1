package check

import (
	"fmt"
	"strings"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/label"
)

// maxRows is how many keys of a list are written for people; JSON has all.
// maxLine is how many bytes of a text of a server stand in a line.
const maxLine = 60

const maxRows = 20

// writeDrill writes the report for people.
func writeReport(c *cli.Call, r *drillReport) {
	c.Printf("%-10s %s\n", "provider", r.Provider)
	for _, region := range r.Regions {
		c.Printf("%-10s %s\n", "region", region.Name)
		for _, s := range region.KeySets {
			c.Printf("  %-8s %s: %s\n", "keys", s.URL, s.sentence())
		}
		for _, doc := range r.Documents {
			if doc.Regions[0] == region.Name {
				c.Printf("  %-8s %s: %s\n", "issuer", doc.Issuer, doc.sentence())
			}
		}
	}
	writeAccepts(c, r.Accepts)
	for _, l := range r.Losses {
		c.Printf("%-10s %s (%s)\n", "lose", l.Region, l.hosts())
		c.Printf("  %-8s a service that starts %s\n", "start", verifies(l.Start, len(r.Accepts)))
		c.Printf("  %-8s a service that is running %s\n", "running", verifies(l.Running, len(r.Accepts)))
	}
	writeFindings(c, r.Findings)
	c.Printf("%-10s what a drill from here cannot see:\n", "limits")
	for _, text := range r.Limits {
		c.Printf("%-10s %s\n", "", text)
	}
	c.Printf("%-10s %s\n", "verdict", r.sentence())
}

func writeAccepts(c *cli.Call, keys []acceptedKey) {
	iss := ""
	for i, k := range keys {
		if i == maxRows {
			c.Printf("%-10s and %d more: see --json\n", "", len(keys)-i)
			return
		}
		if k.Issuer != iss {
			iss = k.Issuer
			c.Printf("%-10s %s\n", "accepts", iss)
		}
		algorithm := k.Algorithm
		if algorithm == "" {
			algorithm = "any"
		}
		c.Printf("%-10s %s %s %s, thumbprint %s\n", "", clip(k.ID), algorithm, strings.Join(k.Regions, ", "), k.Thumbprint)
	}
	if len(keys) == 0 {
		c.Printf("%-10s nothing\n", "accepts")
	}
}

// writeFindings writes the findings of each code together: what it means, where it is, and what to do.
func writeFindings(c *cli.Call, all []finding) {
	written := map[code]bool{}
	for _, first := range all {
		if written[first.Code] {
			continue
		}
		written[first.Code] = true
		c.Printf("%-10s %s: %s\n", string(first.Level), string(first.Code), first.Meaning)
		for _, f := range all {
			if f.Code != first.Code {
				continue
			}
			text := f.where()
			if text != "" && f.Detail != "" {
				text += ": "
			}
			text += f.Detail
			c.Printf("%-12s %s%s\n", "", text, f.kids())
		}
		c.Printf("%-10s %s\n", "", first.Measure)
	}
}

func (s *keySet) sentence() string {
	text := fmt.Sprintf("%s, %d ms", count(s.Keys), s.Millis)
	switch s.State {
	case urlNotEnabled:
		text = fmt.Sprintf("not enabled here (%d)", s.Status)
	case urlFailed:
		text = "no keys (" + failureOf(s.Error, s.Status) + ")"
	}
	if len(s.Skipped) > 0 {
		text += fmt.Sprintf(", %d skipped", len(s.Skipped))
	}
	return text + s.Certificate.sentence()
}

func (doc *document) sentence() string {
	text := fmt.Sprintf("discovery is good, %d ms", doc.Millis)
	switch {
	case doc.State == urlNotEnabled:
		text = fmt.Sprintf("discovery is not enabled here (%d)", doc.Status)
	case doc.misnamed:
		text = "discovery names another issuer"
	case doc.State == urlFailed:
		text = "discovery failed (" + failureOf(doc.Error, doc.Status) + ")"
	}
	return text + doc.Certificate.sentence()
}

func (c *certificate) sentence() string {
	switch {
	case c == nil:
		return ""
	case c.Flaw != "":
		return ", certificate " + c.Flaw
	}
	return fmt.Sprintf(", certificate %d days", c.Days)
}

func (l loss) hosts() string {
	if len(l.Hosts) == 0 {
		return "no host of its own"
	}
	return strings.Join(l.Hosts, ", ")
}

// verifies says what a service has, of all keys that are accepted now.
func verifies(lost []missingKey, accepted int) string {
	switch {
	case accepted == 0:
		return "has no keys"
	case len(lost) == 0:
		return "has every key above"
	}
	return fmt.Sprintf("misses %d of the keys above, each counted under its issuer", len(lost))
}

// where says where a finding is, in which region and of which URL, host or issuer.
func (f finding) where() string {
	var parts []string
	for _, text := range []string{f.Region, f.URL, f.Host} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	if f.Issuer != "" && f.URL == "" {
		parts = append(parts, cut(f.Issuer))
	}
	return strings.Join(parts, ", ")
}

func (f finding) kids() string {
	if len(f.Keys) == 0 {
		return ""
	}
	var kids []string
	for _, kid := range f.Keys {
		kids = append(kids, clip(kid))
	}
	return ": " + strings.Join(kids, ", ")
}

func (r *drillReport) sentence() string {
	var n [3]int
	for _, f := range r.Findings {
		switch f.Level {
		case levelError:
			n[0]++
		case levelWarning:
			n[1]++
		default:
			n[2]++
		}
	}
	counts := label.Count(n[0], "error") + ", " + label.Count(n[1], "warning") + ", " + label.Count(n[2], "info")
	switch r.Verdict {
	case drillReady:
		return "ready: nothing would break (" + counts + ")"
	case drillNotReady:
		if n[0] == 0 {
			return "not ready: nothing would break, but --strict counts warnings (" + counts + ")"
		}
		return "not ready: something would break (" + counts + ")"
	}
	return "cannot tell: no URL could be reached from here (" + counts + ")"
}
