package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// What the texts of licences cannot do without, in lower case and with single spaces.
const (
	grant     = "permission is hereby granted, free of charge, to any person obtaining"
	notice    = "this permission notice shall be included"
	binaries  = "redistribution and use in source and binary forms"
	reproduce = "reproduce the above copyright"
	endorse   = "endorse or promote"
	use       = "permission to use, copy, modify, and"
	anyFee    = "distribute this software for any purpose with or without fee is hereby granted"
	mozilla   = "mozilla public license"
	gpl       = "gnu general public license"
	lgpl      = "gnu lesser general public license"
	agpl      = "gnu affero general public license"
	eclipse   = "eclipse public license"
)

// marks tell licences by what their texts have, and what they have not.
var marks = []struct {
	name     string
	has, not []string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0"}, nil},
	{"MIT", []string{grant, notice}, nil},
	{"MIT-0", []string{grant}, []string{notice}},
	{"ISC", []string{use, anyFee}, nil},
	{"BSD-3-Clause", []string{binaries, endorse}, nil},
	{"BSD-2-Clause", []string{binaries, reproduce}, []string{endorse}},
	{"MPL-2.0", []string{mozilla, "version 2.0"}, nil},
	{"LGPL", []string{lgpl}, []string{mozilla}},
	{"AGPL", []string{agpl}, []string{mozilla, lgpl}},
	{"GPL", []string{gpl}, []string{mozilla, lgpl, agpl}},
	{"EPL", []string{eclipse}, []string{mozilla}},
}

// free are the licences that ask of those who link the code no more than a notice.
var free = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0"}

// agreed are modules that may be linked although their licence asks for more.
var agreed = map[string]struct{ licence, reason string }{
	"github.com/hashicorp/golang-lru/v2": {
		"MPL-2.0", "copyleft by file: who changes a file of that module publishes the file; what links it is free",
	},
}

var (
	spaces   = regexp.MustCompile(`[\s*#/]+`)
	licenced = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([._-].*)?$`)
)

// classify names the licences of a text, joined by "and"; "" is one that is not known.
func classify(text string) string {
	text = spaces.ReplaceAllString(strings.ToLower(text), " ")
	misses := func(s string) bool { return !strings.Contains(text, s) }
	has := func(s string) bool { return strings.Contains(text, s) }
	var names []string
	for _, m := range marks {
		if !slices.ContainsFunc(m.has, misses) && !slices.ContainsFunc(m.not, has) && !slices.Contains(names, m.name) {
			names = append(names, m.name)
		}
	}
	return strings.Join(names, " and ")
}

// licenceOf names the licence of a module's root directory.
func licenceOf(dir fs.FS) (string, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, e := range entries {
		if e.Type().IsRegular() && licenced.MatchString(e.Name()) {
			text, err := fs.ReadFile(dir, e.Name())
			if err != nil {
				return "", err
			}
			all.Write(append(text, '\n'))
		}
	}
	return classify(all.String()), nil
}

// refused says why who links a module of this licence would have to ask; "" is that all is well.
func refused(modulePath, licence string) string {
	if licence == "" {
		return "has no licence that is known here"
	}
	if a, ok := agreed[modulePath]; ok && a.licence == licence {
		return ""
	}
	for l := range strings.SplitSeq(licence, " and ") {
		if !slices.Contains(free, l) {
			return "has the licence " + l
		}
	}
	return ""
}

// part is one way in which dependencies reach somebody.
type part struct {
	title, note string
	binding     bool                       // an odd licence is an error
	rows        map[string]map[string]bool // "path version licence" to the modules that bring it
	skip        func(row string) bool      // it stands in another part already
}

// licences compares docs/licences.md with the licences of all modules that the packages of this tree are compiled with.
func licences(ctx context.Context, t *tree, o options) error {
	linked := &part{
		title: "Linked by users", binding: true,
		note: "Of packages that a published module imports outside its tests.", rows: map[string]map[string]bool{},
	}
	tests := &part{
		title: "Tests of published modules", rows: map[string]map[string]bool{},
		note: "No user links them.",
	}
	others := &part{
		title: "Benchmarks, examples, end-to-end tests and the code of these documents", rows: map[string]map[string]bool{},
		note: "Modules of this repository that are not published.",
	}
	tests.skip = func(row string) bool { return linked.rows[row] != nil }
	others.skip = func(row string) bool { return linked.rows[row] != nil || tests.rows[row] != nil }
	var failed error
	for _, step := range []struct {
		to        *part
		published bool
		flag      string
	}{{linked, true, "-test=false"}, {tests, true, "-test"}, {others, false, "-test"}} {
		for _, m := range t.modules {
			if m.published() == step.published {
				failed = errors.Join(failed, t.dependencies(ctx, m, step.flag, step.to))
			}
		}
	}
	if failed != nil {
		return failed
	}
	text := "# Licences of dependencies\n\n" +
		"`make licences` writes this page from the licence files of the modules that packages are compiled with on Linux;\n" +
		"`make licence-check` compares. regionjwt itself is under the licence in `LICENSE`.\n" +
		linked.table() + tests.table() + others.table()
	if err := o.compare(t, "docs/licences.md", text); err != nil {
		return fmt.Errorf("docs/licences.md: %w; make licences writes it", err)
	}
	_, _ = fmt.Fprintf(o.out, "versions of modules: %d linked, %d for tests, %d otherwise\n",
		len(linked.rows), len(tests.rows), len(others.rows))
	return nil
}

// dependencies adds the modules whose packages m is compiled with, and fails where the licence of one is refused.
func (t *tree) dependencies(ctx context.Context, m *module, flag string, to *part) error {
	out, err := tool(ctx, t.at(m), target, "go", "list", "-deps", flag, "-f",
		"{{with .Module}}{{if not .Main}}{{if not .Replace}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}{{end}}", "./...")
	if err != nil {
		return err
	}
	list := lines(out)
	slices.Sort(list)
	var failed error
	for _, l := range slices.Compact(list) {
		f := strings.Split(l, "\t")
		licence, err := licenceOf(os.DirFS(f[2]))
		if err != nil {
			return err
		}
		if why := refused(f[0], licence); why != "" && to.binding {
			failed = errors.Join(failed, fmt.Errorf("%s %s, linked by %s, %s", f[0], f[1], m.path, why))
		}
		if licence == "" {
			licence = "unknown"
		}
		row := fmt.Sprintf("| %s | %s | %s |", f[0], f[1], licence)
		if to.skip != nil && to.skip(row) {
			continue
		}
		if to.rows[row] == nil {
			to.rows[row] = map[string]bool{}
		}
		to.rows[row][m.dir] = true
	}
	return failed
}

func (p *part) table() string {
	var text strings.Builder
	text.WriteString("\n## " + p.title + "\n\n" + p.note + "\n\n| module | version | licence | for |\n|---|---|---|---|\n")
	for _, row := range sortedKeys(p.rows) {
		var by []string
		for _, dir := range sortedKeys(p.rows[row]) {
			if dir == "." {
				dir = "regionjwt"
			}
			by = append(by, dir)
		}
		text.WriteString(row + " " + strings.Join(by, ", ") + " |\n")
	}
	if p.binding {
		for _, path := range sortedKeys(agreed) {
			_, _ = fmt.Fprintf(&text, "\n%s, %s: %s.\n", path, agreed[path].licence, agreed[path].reason)
		}
	}
	return text.String()
}
