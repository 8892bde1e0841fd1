package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/conformance"
)

// table writes one row for each verifier.
func table(results []result) string {
	var b strings.Builder
	b.WriteString("| library | language | cases | accepted, must not | refused, must accept | stories | accepted, must not | " +
		"good token refused | cannot tell, said bad | slow, or too many requests | other | n/a |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		other := r.count(false, crash) + r.count(true, crash) + r.count(true, unsure)
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", r.Library, r.Language,
			r.Cases, r.count(false, accepted), r.count(false, refused),
			r.Stories, r.count(true, accepted), r.count(true, refused), r.count(true, called),
			r.count(true, slow)+r.count(true, asked), other, len(r.Skipped))
	}
	return b.String()
}

// failures lists what went wrong.
func failures(results []result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "\n## %s\n\n%s. Of the cases that leave it open, it accepts %d.\n", r.Adapter, r.Library, r.Lenient)
		kinds := []struct {
			title, kind string
			story       bool
		}{
			{"accepted, must not", accepted, false},
			{"refused, must accept", refused, false},
			{"failed", crash, false},
			{"stories: accepted, must not", accepted, true},
			{"stories: good token refused", refused, true},
			{"stories: cannot tell, said bad", called, true},
			{"stories: bad, said cannot tell", unsure, true},
			{"stories: slow", slow, true},
			{"stories: too many requests", asked, true},
			{"stories: failed", crash, true},
		}
		for _, k := range kinds {
			var ids []string
			for _, f := range r.Failures {
				if f.Kind == k.kind && isStory(f.ID) == k.story {
					ids = append(ids, strings.TrimPrefix(f.ID, storyPrefix))
				}
			}
			if len(ids) > 0 {
				slices.Sort(ids)
				fmt.Fprintf(&b, "\n- %s: %s\n", k.title, strings.Join(ids, ", "))
			}
		}
		if len(r.Failures) == 0 {
			b.WriteString("\n- nothing\n")
		}
	}
	return b.String()
}

// document is the whole report.
func document(c *conformance.Corpus, results []result) string {
	const head = "# Results\n\n" +
		"Written by `go run ./conformance -all -write ../conformance/RESULTS.md` in `bench`, on %s, with version %s of the\n" +
		"corpus (%d cases, %d stories). Each library is used as its documentation shows. [README.md](README.md) says what the\n" +
		"columns mean, and how to run one row.\n\n"
	date := time.Now().UTC().Format(time.DateOnly)
	return fmt.Sprintf(head, date, c.Version, len(c.Cases), len(c.Stories)) + table(results) + failures(results)
}
