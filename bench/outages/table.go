package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

// row is what one scenario has shown.
type row struct {
	Scenario string            `json:"scenario"`
	Title    string            `json:"title"`
	Cells    map[string]string `json:"cells"`
}

// report is a whole run.
type report struct {
	Date      string              `json:"date"`
	Machine   string              `json:"machine"`
	Libraries []string            `json:"libraries"`
	Versions  map[string][]string `json:"versions"`
	Rows      []row               `json:"rows"`
}

func newReport(ls []peers.Library) report {
	r := report{
		Date: time.Now().UTC().Format(time.DateOnly),
		Machine: fmt.Sprintf("%s %s/%s, %d cores, everything in one process over 127.0.0.1",
			runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		Versions: map[string][]string{},
	}
	known := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			known[m.Path] = m.Version
			if m.Replace != nil {
				known[m.Path] = "of this repository"
			}
		}
	}
	for _, l := range ls {
		r.Libraries = append(r.Libraries, l.Name)
		for _, m := range l.Modules {
			r.Versions[l.Name] = append(r.Versions[l.Name], strings.TrimSpace(m+" "+known[m]))
		}
		if l.Note != "" {
			r.Versions[l.Name] = append(r.Versions[l.Name], l.Note)
		}
	}
	return r
}

func (r report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// table writes the rows as a Markdown table.
func (r report) table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| scenario | %s |\n|---|%s\n", strings.Join(r.Libraries, " | "), strings.Repeat("---|", len(r.Libraries)))
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s |", row.Title)
		for _, l := range r.Libraries {
			fmt.Fprintf(&b, " %s |", strings.ReplaceAll(row.Cells[l], "|", `\|`))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// document writes the table with what has to be known to read it.
func (r report) document(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Outages, side by side\n\n" +
		"Written by `go run ./outages -write OUTAGES.md`; see [README.md](README.md) for how to read it.\n\n")
	fmt.Fprintf(&b, "%s, %s.\n\n", r.Date, r.Machine)
	for _, l := range r.Libraries {
		fmt.Fprintf(&b, "- %s: %s\n", l, strings.Join(r.Versions[l], ", "))
	}
	b.WriteByte('\n')
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return r.table(w)
}
