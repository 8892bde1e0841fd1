package main

import (
	"context"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// api compares the exported API of each published module with the list in api/, one fact a line.
func api(ctx context.Context, t *tree, o options) error {
	list, err := t.chosen(o)
	if err != nil {
		return err
	}
	var failed error
	for _, m := range list {
		text, err := t.exported(ctx, m)
		if err != nil {
			return err
		}
		if text == "" {
			continue // a program
		}
		if err := o.compare(t, "api/"+fileName(m)+".txt", text); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.path, err))
		}
		_, _ = fmt.Fprintf(o.out, "%s: %d exported facts\n", m.path, strings.Count(text, "\n"))
	}
	if failed != nil {
		_, _ = fmt.Fprintln(o.out, "make api lists the API; what is gone (-) breaks users: CHANGELOG.md has to say so")
	}
	return failed
}

// fileName is the name of a module's list.
func fileName(m *module) string {
	if m.dir == "." {
		return "regionjwt"
	}
	return strings.ReplaceAll(m.dir, "/", "-")
}

// exported lists the API of a module's packages.
func (t *tree) exported(ctx context.Context, m *module) (string, error) {
	out, err := tool(ctx, t.at(m), target, "go", "list", "-export", "-deps", "-f",
		"{{.ImportPath}}\t{{.Export}}\t{{.Name}}\t{{if .Module}}{{.Module.Path}}{{end}}", "./...")
	if err != nil {
		return "", err
	}
	exports := map[string]string{}
	var packages []string
	for _, l := range lines(out) {
		f := strings.Split(l, "\t")
		exports[f[0]] = f[1]
		if f[3] == m.path && f[2] != "main" && !internal(f[0]) {
			packages = append(packages, f[0])
		}
	}
	slices.Sort(packages)
	from := importer.ForCompiler(token.NewFileSet(), "gc", func(p string) (io.ReadCloser, error) {
		return os.OpenInRoot(filepath.Dir(exports[p]), filepath.Base(exports[p]))
	})
	var text strings.Builder
	for _, p := range packages {
		pkg, err := from.Import(p)
		if err != nil {
			return "", fmt.Errorf("package %s: %w", p, err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p, root), "/")
		if name == "" {
			name = "regionjwt"
		}
		for _, fact := range facts(pkg) {
			text.WriteString(name + ": " + fact + "\n")
		}
	}
	return text.String(), nil
}

// internal reports whether a package can be imported by this repository only, or is an example.
func internal(importPath string) bool {
	rest := strings.TrimPrefix(importPath, root) + "/"
	return strings.Contains(rest, "/internal/") || strings.HasPrefix(rest, "/examples/")
}

// facts lists what a package exports, sorted; other packages are named by their names.
func facts(pkg *types.Package) []string {
	show := func(t types.Type) string {
		return types.TypeString(nameless(t), func(p *types.Package) string {
			if p == pkg {
				return ""
			}
			return p.Name()
		})
	}
	var list []string
	for _, name := range pkg.Scope().Names() {
		o := pkg.Scope().Lookup(name)
		if !o.Exported() {
			continue
		}
		switch o := o.(type) {
		case *types.Const:
			list = append(list, fmt.Sprintf("const %s %s = %s", name, show(o.Type()), o.Val().ExactString()))
		case *types.Var:
			list = append(list, fmt.Sprintf("var %s %s", name, show(o.Type())))
		case *types.Func:
			list = append(list, "func "+name+strings.TrimPrefix(show(o.Type()), "func"))
		case *types.TypeName:
			list = append(list, typeFacts(o, show)...)
		}
	}
	slices.Sort(list)
	return list
}

// nameless drops the names of the parameters and results of a function: they are no part of what users depend on.
func nameless(t types.Type) types.Type {
	s, ok := t.(*types.Signature)
	if !ok {
		return t
	}
	strip := func(tuple *types.Tuple) *types.Tuple {
		var list []*types.Var
		for v := range tuple.Variables() {
			list = append(list, types.NewParam(v.Pos(), v.Pkg(), "", nameless(v.Type())))
		}
		return types.NewTuple(list...)
	}
	if s.TypeParams().Len() > 0 {
		return t // they can be bound to one signature only
	}
	return types.NewSignatureType(nil, nil, nil, strip(s.Params()), strip(s.Results()), s.Variadic())
}

func typeFacts(o *types.TypeName, show func(types.Type) string) []string {
	name := o.Name()
	if o.IsAlias() {
		return []string{fmt.Sprintf("type %s = %s", name, show(types.Unalias(o.Type())))}
	}
	var list []string
	switch u := o.Type().Underlying().(type) {
	case *types.Struct:
		list = append(list, "type "+name+" struct")
		hidden := false
		for f := range u.Fields() {
			switch {
			case !f.Exported():
				hidden = true
			case f.Embedded():
				list = append(list, fmt.Sprintf("type %s struct, embeds %s", name, show(f.Type())))
			default:
				list = append(list, fmt.Sprintf("type %s struct, %s %s", name, f.Name(), show(f.Type())))
			}
		}
		if hidden {
			list = append(list, "type "+name+" struct, unexported fields")
		}
	case *types.Interface:
		list = append(list, "type "+name+" interface")
		for f := range u.Methods() {
			what := f.Name() + strings.TrimPrefix(show(f.Type()), "func")
			if !f.Exported() {
				what = "unexported methods"
			}
			list = append(list, fmt.Sprintf("type %s interface, %s", name, what))
		}
	default:
		list = append(list, fmt.Sprintf("type %s %s", name, show(u)))
	}
	if n, ok := o.Type().(*types.Named); ok {
		for f := range n.Methods() {
			if f.Exported() {
				of := "method (" + show(f.Signature().Recv().Type()) + ") "
				list = append(list, of+f.Name()+strings.TrimPrefix(show(f.Type()), "func"))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
