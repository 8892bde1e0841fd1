package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const root = "github.com/regionjwt/regionjwt"

// kept are the modules that are never tagged: they serve this tree alone.
var kept = []string{"bench", "e2e"}

// tree is a copy of this repository.
type tree struct {
	dir     string
	files   []string  // of the index, and those that would be added to it; sorted, slashes
	modules []*module // each after those it requires
}

// module is one of the tree's modules.
type module struct {
	dir      string // in the tree; "." is the root
	path     string
	goLine   string            // the version of its go line
	requires map[string]string // module path to version
	replaces []string          // the paths that have a replace directive
}

// published reports whether the module is tagged and used by others.
func (m *module) published() bool {
	return !slices.Contains(kept, m.dir)
}

// own lists the modules of the tree that m requires.
func (m *module) own() []string {
	var own []string
	for p := range m.requires {
		if p == root || strings.HasPrefix(p, root+"/") {
			own = append(own, p)
		}
	}
	slices.Sort(own)
	return own
}

// open reads which files and modules the tree has.
func open(ctx context.Context, dir string) (*tree, error) {
	out, err := tool(ctx, dir, nil, "git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate")
	if err != nil {
		return nil, err
	}
	t := &tree{dir: dir, files: lines(out)}
	t.files = slices.DeleteFunc(t.files, func(name string) bool { // deleted, or a link
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name)))
		return err != nil || !info.Mode().IsRegular()
	})
	slices.Sort(t.files)
	return t, t.load()
}

// load reads the go.mod files.
func (t *tree) load() error {
	t.modules = nil
	var waiting []*module
	for _, name := range t.files {
		if path.Base(name) != "go.mod" {
			continue
		}
		text, err := t.read(name)
		if err != nil {
			return err
		}
		m := parseMod(text)
		m.dir = path.Dir(name)
		waiting = append(waiting, m)
	}
	slices.SortFunc(waiting, func(a, b *module) int { return strings.Compare(a.path, b.path) })
	placed := map[string]bool{}
	for len(waiting) > 0 {
		i := slices.IndexFunc(waiting, func(m *module) bool {
			return !slices.ContainsFunc(m.own(), func(p string) bool { return !placed[p] })
		})
		if i < 0 {
			return errors.New("modules require each other in a circle, or one that is not here")
		}
		placed[waiting[i].path] = true
		t.modules = append(t.modules, waiting[i])
		waiting = slices.Delete(waiting, i, i+1)
	}
	return nil
}

// parseMod reads what matters here of a go.mod that the go command wrote.
func parseMod(text string) *module {
	m := &module{requires: map[string]string{}}
	block := ""
	for line := range strings.SplitSeq(text, "\n") {
		line, _, _ = strings.Cut(line, "//")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case words[0] == ")":
			block = ""
			continue
		case len(words) == 2 && words[1] == "(":
			block = words[0]
			continue
		case block != "":
			words = append([]string{block}, words...)
		}
		switch {
		case words[0] == "module":
			m.path = words[1]
		case words[0] == "go":
			m.goLine = words[1]
		case words[0] == "require" && len(words) > 2:
			m.requires[words[1]] = words[2]
		case words[0] == "replace":
			m.replaces = append(m.replaces, words[1])
		}
	}
	return m
}

// chosen lists the published modules, or the one that was asked for.
func (t *tree) chosen(o options) ([]*module, error) {
	var list []*module
	for _, m := range t.modules {
		if m.published() && (o.only == "" || o.only == m.dir) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%q is no published module", o.only)
	}
	return list, nil
}

// of lists the files of a module, with their names in the tree: none of the modules below it.
func (t *tree) of(m *module) []string {
	in := func(m *module, name string) bool { return m.dir == "." || strings.HasPrefix(name, m.dir+"/") }
	var files []string
	for _, name := range t.files {
		deeper := func(other *module) bool { return len(other.path) > len(m.path) && in(other, name) }
		if in(m, name) && !slices.ContainsFunc(t.modules, deeper) {
			files = append(files, name)
		}
	}
	return files
}

// at is the path of a module's directory.
func (t *tree) at(m *module) string { return filepath.Join(t.dir, filepath.FromSlash(m.dir)) }

func (t *tree) read(name string) (string, error) {
	text, err := fs.ReadFile(os.DirFS(t.dir), name)
	return string(text), err
}

func (t *tree) write(name, text string) error {
	return writeFile(filepath.Join(t.dir, filepath.FromSlash(name)), []byte(text))
}

// copyTo copies the files of the tree.
func (t *tree) copyTo(dir string) (*tree, error) {
	for _, name := range t.files {
		text, err := t.read(name)
		if err != nil {
			return nil, err
		}
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text)); err != nil {
			return nil, err
		}
	}
	c := &tree{dir: dir, files: t.files}
	return c, c.load()
}

func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}
