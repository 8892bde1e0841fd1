package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// trial is the version under which modules are published for a check.
const trial = "v0.0.0-trial"

// workshop is what a check needs to see modules as their users do: a proxy of them, and a module cache of its own.
type workshop struct {
	proxy, cache string
	online       []string // environment with the proxies that are set up, behind ours
	offline      []string // environment with ours and the module cache only
}

func newWorkshop(ctx context.Context, dir string) (*workshop, error) {
	out, err := tool(ctx, ".", nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	set := lines(out)
	if len(set) != 2 {
		return nil, fmt.Errorf("go env says %q", out)
	}
	w := &workshop{proxy: filepath.Join(dir, "proxy"), cache: filepath.Join(dir, "cache")}
	local := "file://" + filepath.ToSlash(w.proxy) + ",file://" + filepath.ToSlash(filepath.Join(set[0], "cache", "download"))
	common := []string{"GOMODCACHE=" + w.cache, "GOFLAGS=-mod=mod -modcacherw -trimpath -buildvcs=false"}
	w.online = append([]string{"GOPROXY=" + local + "," + set[1], "GONOSUMDB=" + root}, common...)
	w.offline = append([]string{"GOPROXY=" + local, "GONOSUMDB=*"}, common...) // go.sum has what hashes there are
	return w, nil
}

// prepare edits the go.mod of a module for a release: it requires the others at that version, and a published one replaces
// none of them. go.sum gets their hashes.
func (t *tree) prepare(ctx context.Context, m *module, version string, w *workshop) error {
	edit := []string{"mod", "edit"}
	for _, p := range m.own() {
		edit = append(edit, "-require="+p+"@"+version)
	}
	if m.published() {
		for _, p := range m.replaces {
			edit = append(edit, "-dropreplace="+p)
		}
	}
	if len(edit) == 2 {
		return nil
	}
	if _, err := tool(ctx, t.at(m), nil, "go", edit...); err != nil {
		return err
	}
	_, err := tool(ctx, t.at(m), w.online, "go", "mod", "tidy")
	return err
}

// prepareTree edits this tree for the commit that is tagged.
func prepareTree(ctx context.Context, t *tree, o options) error {
	number, ok := strings.CutPrefix(o.version, "v")
	if !ok || !regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`).MatchString(number) {
		return fmt.Errorf("-version %q is not one like v0.1.0", o.version)
	}
	changes, err := t.read("CHANGELOG.md")
	if err != nil {
		return err
	}
	if !strings.Contains(changes, "\n## ["+number+"]") {
		return fmt.Errorf("CHANGELOG.md has no section %q", "## ["+number+"]")
	}
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w, err := newWorkshop(ctx, dir)
	if err != nil {
		return err
	}
	for _, m := range t.modules {
		if err := t.prepare(ctx, m, o.version, w); err != nil {
			return err
		}
		if !m.published() {
			continue
		}
		sum, err := t.publish(m, o.version, w.proxy)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintln(o.out, "git tag", strings.TrimPrefix(m.dir+"/", "./")+o.version, "#", sum)
	}
	return nil
}

// usable publishes a copy of every module to a proxy, without its replace directives, and uses each from an empty module.
func usable(ctx context.Context, t *tree, o options) error {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	w, err := newWorkshop(ctx, dir)
	if err != nil {
		return err
	}
	c, err := t.copyTo(filepath.Join(dir, "tree"))
	if err != nil {
		return err
	}
	var failed error
	for _, m := range c.modules {
		if !m.published() {
			continue
		}
		sum, err := c.use(ctx, m, w, dir, o)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.path, err))
			continue
		}
		_, _ = fmt.Fprintf(o.out, "%s: can be got and built, %s\n", m.path, sum)
	}
	return failed
}

// use publishes a module and builds a program that imports all of it, offline: with what its go.mod and go.sum name.
func (t *tree) use(ctx context.Context, m *module, w *workshop, dir string, o options) (sum string, err error) {
	if err := t.prepare(ctx, m, trial, w); err != nil {
		return "", err
	}
	if sum, err = t.publish(m, trial, w.proxy); err != nil {
		return "", err
	}
	if o.only != "" && o.only != m.dir {
		return sum, nil
	}
	if _, err := tool(ctx, t.at(m), w.online, "go", "build", "./..."); err != nil {
		return "", err
	}
	out, err := tool(ctx, t.at(m), w.offline, "go", "list", "-f", "{{.Name}} {{.ImportPath}}", "./...")
	if err != nil {
		return "", err
	}
	user := filepath.Join(dir, "user", fileName(m))
	sums, err := t.read(path.Join(m.dir, "go.sum"))
	if err != nil {
		return "", err
	}
	if err := writeFile(filepath.Join(user, "go.sum"), []byte(sums)); err != nil {
		return "", err
	}
	var imports strings.Builder
	for _, l := range lines(out) {
		name, p, _ := strings.Cut(l, " ")
		switch {
		case internal(p):
		case name == "main": // a go install of it refuses replace directives
			_, err := tool(ctx, dir, append(slices.Clone(w.offline), "GOBIN="+user), "go", "install", p+"@"+trial)
			if err != nil {
				return "", err
			}
		default:
			_, _ = fmt.Fprintf(&imports, "\t_ %q\n", p)
		}
	}
	program := "package main\n\nimport (\n" + imports.String() + ")\n\nfunc main() {}\n"
	if err := writeFile(filepath.Join(user, "main.go"), []byte(program)); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/user"},
		{"get", m.path + "@" + trial},
		{"mod", "verify"},
		{"build", "-o", os.DevNull, "."},
	} {
		if _, err := tool(ctx, user, w.offline, "go", args...); err != nil {
			return "", err
		}
	}
	return sum, t.sameSum(filepath.Join(user, "go.sum"), m, sum)
}

// sameSum reports whether the go command found the hash that we expect.
func (t *tree) sameSum(goSum string, m *module, sum string) error {
	f, err := os.OpenInRoot(filepath.Dir(goSum), filepath.Base(goSum))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if want := m.path + " " + trial + " " + sum + "\n"; !strings.Contains(string(text), want) {
		if m.path != root && !strings.Contains(string(text), m.path+" "+trial+" h1:") {
			return nil // a program, of which nothing is imported
		}
		return errors.New("the go command found another hash than " + sum)
	}
	return nil
}

// reproducible packs every published module twice, from two readings of the tree, and prints the hashes.
func reproducible(ctx context.Context, t *tree, o options) error {
	list, err := t.chosen(o)
	if err != nil {
		return err
	}
	again, err := open(ctx, t.dir)
	if err != nil {
		return err
	}
	for _, m := range list {
		var sums [2]string
		for i, t := range []*tree{t, again} {
			files, err := t.contents(m)
			if err != nil {
				return err
			}
			archive, err := pack(m.path, trial, files)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(archive)
			sums[i] = fmt.Sprintf("%s, zip of %d bytes, SHA-256 %s",
				hash1(m.path, trial, files), len(archive), hex.EncodeToString(sum[:]))
		}
		if sums[0] != sums[1] {
			return fmt.Errorf("%s: packed twice: %q, then %q", m.path, sums[0], sums[1])
		}
		_, _ = fmt.Fprintf(o.out, "%s: %s\n", m.path, sums[0])
	}
	return nil
}
