package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
)

// examples looks at every package that others can import: it has a doc, every exported name has one, and one Example at least
// has output that go test compares.
func examples(_ context.Context, t *tree, o options) error {
	list, err := t.chosen(o)
	if err != nil {
		return err
	}
	var failed error
	for _, m := range list {
		byDir := map[string][]string{}
		for _, name := range t.of(m) {
			if strings.HasSuffix(name, ".go") && !strings.Contains("/"+name, "/testdata/") {
				byDir[path.Dir(name)] = append(byDir[path.Dir(name)], name)
			}
		}
		for _, dir := range sortedKeys(byDir) {
			p := path.Join(root, dir)
			if internal(p) {
				continue
			}
			failed = errors.Join(failed, t.documented(p, byDir[dir], o))
		}
	}
	return failed
}

// documented checks the documentation of one package.
func (t *tree) documented(importPath string, names []string, o options) error {
	fset := token.NewFileSet()
	var files, tests []*ast.File
	for _, name := range names {
		text, err := t.read(name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, "_test.go") {
			tests = append(tests, f)
		} else {
			files = append(files, f)
		}
	}
	if len(files) == 0 || files[0].Name.Name == "main" {
		return nil
	}
	d, err := doc.NewFromFiles(fset, slices.Clone(files), importPath)
	if err != nil {
		return err
	}
	var wrong []string
	if !strings.HasPrefix(d.Doc, "Package "+d.Name+" ") {
		wrong = append(wrong, "has no package doc")
	}
	all, bare := exportedNames(d)
	for _, name := range bare {
		wrong = append(wrong, name+" has no doc")
	}
	shown := 0
	for _, e := range doc.Examples(tests...) {
		if e.Output != "" || e.EmptyOutput {
			shown++
		}
	}
	if shown == 0 {
		wrong = append(wrong, "has no Example with output")
	}
	_, _ = fmt.Fprintf(o.out, "%s: %d of %d exported names documented, %d examples with output\n",
		importPath, all-len(bare), all, shown)
	if len(wrong) > 0 {
		return fmt.Errorf("%s: %s", importPath, strings.Join(wrong, "; "))
	}
	return nil
}

// exportedNames counts the exported functions, methods, types, and groups of constants and variables, and lists those without
// a comment.
func exportedNames(d *doc.Package) (all int, bare []string) {
	see := func(name, comment string) {
		if ast.IsExported(name) {
			all++
			if comment == "" {
				bare = append(bare, name)
			}
		}
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			for _, s := range v.Decl.Specs {
				s := s.(*ast.ValueSpec)
				see(s.Names[0].Name, v.Doc+s.Doc.Text()+s.Comment.Text())
			}
		}
	}
	funcs := func(of string, list []*doc.Func) {
		for _, f := range list {
			before := len(bare)
			see(f.Name, f.Doc)
			if len(bare) > before {
				bare[before] = of + f.Name
			}
		}
	}
	values(d.Consts)
	values(d.Vars)
	funcs("", d.Funcs)
	for _, ty := range d.Types {
		see(ty.Name, ty.Doc)
		values(ty.Consts)
		values(ty.Vars)
		funcs("", ty.Funcs)
		funcs(ty.Name+".", ty.Methods)
	}
	return all, bare
}
